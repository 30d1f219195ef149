//! Which traces are kept though the ratio says no: decided when a call has ended, from what is known
//! then, before anything is built.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::record::Closed;
use crate::config::TelemetryConfig;
use crate::rejection::Origin;

/// The rule, and how often it has kept one of late.
#[derive(Debug)]
pub(super) struct Keep {
    refused: bool,
    slower_than: Duration,
    /// A storm of refused callers must not crowd out what is nobody's fault out there.
    of_callers: PerSecond,
    others: PerSecond,
}

impl Keep {
    pub(super) fn new(config: &TelemetryConfig) -> Self {
        let slower_than = config.keep_slower_than;
        Self {
            refused: config.keep_refused,
            slower_than: if slower_than.is_zero() { Duration::MAX } else { slower_than },
            of_callers: PerSecond::default(),
            others: PerSecond::default(),
        }
    }

    /// Whether this call is one to look at.
    pub(super) fn call(&self, closed: &Closed<'_>) -> bool {
        let refused = closed.facts.refused.is_some();
        let failed = 500 <= closed.status || closed.origin == Some(Origin::Upstream);
        let matters = self.refused && (refused || failed);
        if !matters && closed.duration <= self.slower_than {
            return false;
        }
        let turns = match closed.origin {
            Some(Origin::Caller) if refused => &self.of_callers,
            _ => &self.others,
        };
        turns.take(closed.facts.opened.started + closed.duration)
    }

    /// Whether a request of our own that failed is one to look at: it belongs to the calls that
    /// failed with it.
    pub(super) fn failure(&self, ended: SystemTime) -> bool {
        self.refused && self.others.take(ended)
    }
}

/// So many a second and no more.
#[derive(Debug, Default)]
struct PerSecond(AtomicU64);

impl PerSecond {
    fn take(&self, now: SystemTime) -> bool {
        let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let take = |packed: u64| {
            let (last, taken) = (packed >> COUNT_BITS, packed & COUNT_MASK);
            let taken = if last == second { taken } else { 0 };
            (taken < EACH_PER_SECOND).then_some(second << COUNT_BITS | (taken + 1))
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// Callers' faults and all others have half of what the contract allows each.
const EACH_PER_SECOND: u64 = 10;
const COUNT_BITS: u32 = 8;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_own_turns() {
        let turns = PerSecond::default();
        for second in [1_700_000_000, 1_700_000_001, 1_700_000_000] {
            let now = UNIX_EPOCH + Duration::from_secs(second);
            let taken = (0..50).filter(|_| turns.take(now)).count();
            assert_eq!(taken, 10, "{second}");
        }
    }
}
