//! The gate before the token endpoint: how many exchanges at once, how many a second, and none
//! while it is down.
//!
//! ```text
//!            the endpoint fails                     its pause is over
//!  closed ───────────────────────▶ open until t ───────────────────────▶ probing
//!    ▲                               ▲  everyone gets the failure           │ one exchange tries,
//!    │                               │  at once                             │ everyone else gets
//!    │                               └──── it fails, or says nothing ───────┤ the failure
//!    └───────────── it answers, whatever it says ───────────────────────────┘
//! ```
//!
//! Only leaders of flights come here. Calls with a fresh token never touch any of this, so a
//! hanging token endpoint costs them nothing.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::error::{Crowded, RETRY_AFTER_MIN, TokenError};
use crate::accept::CallerId;
use crate::clock::Clock;
use crate::places::{Holder, Place, Places};

/// The gate's numbers. A gate whose numbers did not change survives a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GateNumbers {
    /// Whose gate it is.
    pub(super) endpoint: String,
    pub(super) max_concurrent: usize,
    pub(super) max_per_second: NonZeroU32,
}

/// The gate. One per token endpoint.
#[derive(Debug)]
pub(super) struct Gate {
    clock: Clock,
    numbers: GateNumbers,
    places: Places,
    background: Arc<Semaphore>,
    /// Queueing for a place, for telling newcomers how long it takes.
    waiting: AtomicUsize,
    /// Times (monotonic) of the exchanges of the last second and of those that have a turn.
    turns: Mutex<VecDeque<Duration>>,
    breaker: Mutex<Breaker>,
}

#[derive(Debug)]
enum Breaker {
    Closed,
    /// Nothing goes out until then (monotonic); everyone gets the failure at once.
    Open {
        until: Duration,
        error: TokenError,
    },
    /// One exchange tries whether the endpoint is back; everyone else gets the failure at once.
    Probing {
        error: TokenError,
    },
}

/// Permission to run one exchange. Dropped without a verdict, it says nothing about the endpoint.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Arc<Gate>,
    probe: bool,
    _place: Place,
}

impl Gate {
    pub(super) fn new(clock: Clock, numbers: GateNumbers) -> Self {
        let places = numbers.max_concurrent.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            clock,
            numbers,
            places: Places::new("exchanges", places),
            background: Arc::new(Semaphore::new((places / BACKGROUND_SHARE).max(1))),
            waiting: AtomicUsize::new(0),
            turns: Mutex::default(),
            breaker: Mutex::new(Breaker::Closed),
        }
    }

    pub(super) fn numbers(&self) -> &GateNumbers {
        &self.numbers
    }

    /// Waits its turn on behalf of `caller`, at most `timeout`: first come first served, but the
    /// last quarter of the places is for callers who hold few.
    pub(super) async fn enter(
        self: &Arc<Self>,
        caller: CallerId,
        timeout: Duration,
    ) -> Result<Pass, TokenError> {
        let deadline = Instant::now() + timeout;
        self.check()?;
        let place = self.place(caller, deadline).await?;
        self.check()?; // the endpoint may have gone down while we waited
        let now = self.clock.monotonic();
        let turn = self.turn(now, deadline.saturating_duration_since(Instant::now()))?;
        if now < turn {
            tokio::time::sleep(turn.saturating_sub(now)).await;
        }
        let probe = self.admit()?;
        Ok(Pass { gate: Arc::clone(self), probe, _place: place })
    }

    /// A place for one renewal ahead of need: a share of the places, and never while the endpoint
    /// is down, so that renewals cannot crowd out callers who wait.
    pub(super) fn background(&self) -> Option<OwnedSemaphorePermit> {
        self.check().ok()?;
        Arc::clone(&self.background).try_acquire_owned().ok()
    }

    async fn place(&self, caller: CallerId, deadline: Instant) -> Result<Place, TokenError> {
        let waiting = Waiting::begin(&self.waiting);
        let place = self.places.take(Holder::Caller(caller.to_bytes()));
        let place = tokio::time::timeout_at(deadline, place).await;
        place.map_err(|_| self.busy(waiting.count))
    }

    /// When the next exchange may go out: at most `max_per_second` in any second.
    fn turn(&self, now: Duration, timeout: Duration) -> Result<Duration, TokenError> {
        let per_second = self.numbers.max_per_second.get() as usize;
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        while turns.front().is_some_and(|turn| *turn + SECOND <= now) {
            turns.pop_front();
        }
        let turn = match turns.len().checked_sub(per_second) {
            None => now,
            Some(before) => (turns[before] + SECOND).max(now),
        };
        if timeout < turn.saturating_sub(now) {
            return Err(self.busy(turns.len()));
        }
        turns.push_back(turn);
        Ok(turn)
    }

    fn busy(&self, ahead: usize) -> TokenError {
        let seconds = ahead.div_ceil(self.numbers.max_per_second.get() as usize) as u64;
        let retry_after = Duration::from_secs(seconds).clamp(RETRY_AFTER_MIN, QUEUE_MAX);
        TokenError::Busy { retry_after, who: Crowded::Gateway }
    }

    fn check(&self) -> Result<(), TokenError> {
        match &*self.breaker() {
            Breaker::Closed => Ok(()),
            Breaker::Open { until, error } => {
                let now = self.clock.monotonic();
                if now < *until {
                    Err(error.after_waiting(until.saturating_sub(now)))
                } else {
                    Ok(())
                }
            }
            Breaker::Probing { error } => Err(error.after_waiting(RETRY_AFTER_MIN)),
        }
    }

    /// Like [`Gate::check`], and the first one after an outage becomes the probe.
    fn admit(&self) -> Result<bool, TokenError> {
        let mut breaker = self.breaker();
        match &*breaker {
            Breaker::Closed => Ok(false),
            Breaker::Probing { error } => Err(error.after_waiting(RETRY_AFTER_MIN)),
            Breaker::Open { until, error } => {
                let now = self.clock.monotonic();
                if now < *until {
                    return Err(error.after_waiting(until.saturating_sub(now)));
                }
                let error = error.clone();
                *breaker = Breaker::Probing { error };
                Ok(true)
            }
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// The endpoint answered: it is up, whatever it said.
    pub(super) fn up(self) {
        *self.gate.breaker() = Breaker::Closed;
    }

    /// The endpoint is down or wants to be left alone for `pause`.
    pub(super) fn down(self, error: &TokenError, pause: Duration) {
        *self.gate.breaker() = if pause.is_zero() {
            Breaker::Closed
        } else {
            Breaker::Open {
                until: self.gate.clock.monotonic() + pause,
                error: error.after_waiting(pause),
            }
        };
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut breaker = self.gate.breaker();
        if self.probe
            && let Breaker::Probing { error } = &*breaker
        {
            let error = error.clone();
            *breaker = Breaker::Open { until: self.gate.clock.monotonic(), error };
        }
    }
}

struct Waiting<'a> {
    waiting: &'a AtomicUsize,
    count: usize,
}

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        Self { waiting, count: waiting.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// Longest wait for our own queue that callers are told; nobody waits so long in it.
const QUEUE_MAX: Duration = Duration::from_mins(1);
/// Renewals ahead of need get this part of the places.
const BACKGROUND_SHARE: usize = 4;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    fn gate(max_per_second: u32) -> Gate {
        numbered(1, max_per_second)
    }

    fn numbered(max_concurrent: usize, max_per_second: u32) -> Gate {
        let max_per_second = NonZeroU32::new(max_per_second).unwrap();
        let numbers = GateNumbers { endpoint: String::new(), max_concurrent, max_per_second };
        Gate::new(Clock::system(), numbers)
    }

    #[tokio::test]
    async fn one_caller_alone_does_not_keep_the_others_from_the_endpoint() {
        let gate = Arc::new(numbered(4, 100));
        let [greedy, other] = ["greedy", "other"].map(|subject| CallerId::of("issuer", subject));
        let enter = |caller| gate.enter(caller, SECOND).now_or_never().and_then(Result::ok);
        let held: Vec<_> = std::iter::from_fn(|| enter(greedy)).collect();
        assert_eq!(held.len(), 3);
        assert!(enter(other).is_some());
    }

    proptest! {
        #[test]
        fn no_second_sees_more_turns_than_allowed_and_nobody_waits_in_vain(
            max_per_second in 1..20_u32,
            arrivals in prop::collection::vec(0..400_u64, 1..200),
        ) {
            let gate = gate(max_per_second);
            let (mut now, mut turns) = (Duration::ZERO, Vec::new());
            for after_ms in arrivals {
                now += Duration::from_millis(after_ms);
                let turn = gate.turn(now, Duration::from_hours(1)).unwrap();
                prop_assert!(now <= turn);
                // Waiting is only for a full second before.
                let before = turns.iter().filter(|t| turn <= **t + SECOND).count();
                prop_assert!(turn == now || max_per_second as usize <= before);
                turns.push(turn);
            }
            for window in turns.windows(max_per_second as usize + 1) {
                let (first, last) = (window[0], window[window.len() - 1]);
                prop_assert!(first + SECOND <= last);
            }
        }
    }

    #[test]
    fn a_turn_too_late_is_not_taken() {
        let gate = gate(1);
        let now = Duration::from_secs(10);
        let short = Duration::from_millis(500);
        assert_eq!(gate.turn(now, short).unwrap(), now);
        assert!(gate.turn(now, short).is_err());
        assert_eq!(gate.turn(now, SECOND).unwrap(), now + SECOND);
    }
}
