//! Damping of refusals: which of KooDrive's refusals say something about the token.
//!
//! A path that answers 401 whatever it is asked with looks like a dead token each time. So a
//! refusal of a token that a renewal brought a moment ago is taken for what the path always says:
//! it goes to the caller, and for that caller no refusal renews for a while, twice as long each
//! time, until KooDrive accepts one of the caller's calls. Other callers are not concerned.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::accept::CallerId;

/// The callers whose refusals say nothing. Times are monotonic.
#[derive(Debug, Default)]
pub(super) struct Damping {
    callers: Mutex<HashMap<CallerId, Damped>>,
    /// How many there are: for nearly all calls none, and the lock is not taken.
    count: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct Damped {
    until: Duration,
    pause: Duration,
}

impl Damping {
    /// Whether refusals say nothing for `caller` now.
    pub(super) fn holds(&self, caller: CallerId, now: Duration) -> bool {
        0 < self.count.load(Ordering::Relaxed)
            && self.lock().get(&caller).is_some_and(|damped| now < damped.until)
    }

    /// A renewal brought a token that was refused at once. Calls that learn it together count as
    /// one.
    pub(super) fn refused_again(&self, caller: CallerId, now: Duration) {
        let mut callers = self.lock();
        if CALLERS_MAX <= callers.len() {
            callers.retain(|_, damped| now < damped.until);
        }
        let known = callers.get(&caller).copied();
        if known.is_some_and(|damped| now < damped.until)
            || known.is_none() && CALLERS_MAX <= callers.len()
        {
            return;
        }
        let pause = known.map_or(PAUSE_MIN, |damped| (damped.pause * 2).min(PAUSE_MAX));
        callers.insert(caller, Damped { until: now + pause, pause });
        self.count.store(callers.len(), Ordering::Relaxed);
    }

    /// KooDrive accepted a call: refusals say something again.
    pub(super) fn accepted(&self, caller: CallerId) {
        if 0 < self.count.load(Ordering::Relaxed) {
            self.forget(|damped| *damped == caller);
        }
    }

    /// Forgets the callers that `who` names.
    pub(super) fn forget(&self, who: impl Fn(&CallerId) -> bool) {
        let mut callers = self.lock();
        callers.retain(|caller, _| !who(caller));
        self.count.store(callers.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CallerId, Damped>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token obtained in place of a refused one proves itself within this time; a refusal meanwhile
/// says nothing about it.
pub(super) const PROOF: Duration = Duration::from_secs(30);
const PAUSE_MIN: Duration = Duration::from_secs(30);
const PAUSE_MAX: Duration = Duration::from_mins(10);
/// Callers damped at once: about 1 MiB. Each costs two exchanges, so the gate keeps them far
/// below it.
const CALLERS_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_30_s_to_10_min_and_end_with_an_accepted_call() {
        let (damping, mut now) = (Damping::default(), Duration::from_secs(5));
        let (alice, bob) = (CallerId::of("i", "alice"), CallerId::of("i", "bob"));
        for seconds in [30, 60, 120, 240, 480, 600, 600] {
            assert!(!damping.holds(alice, now), "{seconds}");
            for _ in 0..8 {
                damping.refused_again(alice, now); // eight calls at once are one
            }
            now += Duration::from_millis(seconds * 1000 - 1);
            assert!(damping.holds(alice, now) && !damping.holds(bob, now), "{seconds}");
            now += Duration::from_millis(1);
        }
        damping.refused_again(alice, now);
        damping.accepted(bob);
        assert!(damping.holds(alice, now));
        damping.accepted(alice);
        assert!(!damping.holds(alice, now));
        damping.refused_again(alice, now);
        assert!(!damping.holds(alice, now + PAUSE_MIN));
    }

    #[test]
    fn no_number_of_callers_takes_more_than_their_room() {
        let (damping, now) = (Damping::default(), Duration::ZERO);
        for number in 0..CALLERS_MAX + 100 {
            damping.refused_again(CallerId::of("i", &number.to_string()), now);
        }
        assert_eq!(damping.lock().len(), CALLERS_MAX);
        let late = CallerId::of("i", "late");
        damping.refused_again(late, now + PAUSE_MIN); // the others' pauses are over
        assert!(damping.holds(late, now + PAUSE_MIN));
        assert_eq!(damping.lock().len(), 1);
    }
}
