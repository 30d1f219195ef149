//! How many calls may be sent again: few, so that a failing KooDrive is not asked twice as often.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// One retry for every five calls, and besides a few each second for when calls are rare. Clones
/// share the budget.
#[derive(Clone, Debug)]
pub(super) struct RetryBudget(Arc<Mutex<Left>>);

/// In tenths of a retry.
#[derive(Debug)]
struct Left {
    tenths: u64,
    floor_at: Instant,
}

impl RetryBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Left { tenths: TENTHS_MAX, floor_at: now })))
    }

    /// A call is sent for the first time.
    pub(super) fn earn(&self) {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        left.tenths = (left.tenths + TENTHS_PER_CALL).min(TENTHS_MAX);
    }

    /// Whether a call may be sent again.
    pub(super) fn spend(&self, now: Instant) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(left.floor_at);
        let due = u64::try_from(passed.as_nanos() / FLOOR_TENTH_EVERY.as_nanos()).unwrap_or(0);
        if 0 < due {
            left.floor_at = now;
            left.tenths = left.tenths.saturating_add(due).min(TENTHS_MAX);
        }
        let enough = 10 <= left.tenths;
        if enough {
            left.tenths -= 10;
        }
        enough
    }
}

const TENTHS_PER_CALL: u64 = 2;
/// Ten retries a second.
const FLOOR_TENTH_EVERY: Duration = Duration::from_millis(10);
/// A burst of so many tenths: 50 retries, for when KooDrive closes many connections at once.
const TENTHS_MAX: u64 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_five_and_a_floor() {
        let start = Instant::now();
        let budget = RetryBudget::new(start);
        let spent = |now| (0..1000).take_while(|_| budget.spend(now)).count();
        assert_eq!(spent(start), 50, "a full budget to begin with");
        (0..100).for_each(|_| budget.earn());
        assert_eq!(spent(start), 20);
        assert_eq!(spent(start + Duration::from_secs(1)), 10);
        assert_eq!(spent(start + Duration::from_secs(1)), 0);
        assert_eq!(spent(start + Duration::from_hours(1)), 50, "never more than full");
    }
}
