//! How long the last answers took: enough to tell quick from slow, in a kilobyte.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

/// The last answers' times; noting one costs two atomic writes.
#[derive(Debug)]
pub(super) struct Latencies {
    next: AtomicUsize,
    /// Microseconds and one more; 0 where nothing was noted yet.
    micros: [AtomicU32; KEPT],
}

impl Default for Latencies {
    fn default() -> Self {
        Self { next: AtomicUsize::new(0), micros: std::array::from_fn(|_| AtomicU32::new(0)) }
    }
}

impl Latencies {
    pub(super) fn note(&self, took: Duration) {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % KEPT;
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).saturating_add(1);
        self.micros[at].store(micros, Ordering::Relaxed);
    }

    /// The time that half of them took at most, and the one that 95 of 100 did.
    pub(super) fn quantiles(&self) -> Option<[Duration; 2]> {
        let noted = self.micros.iter().map(|micros| micros.load(Ordering::Relaxed));
        let mut noted: Vec<u32> = noted.filter(|micros| *micros != 0).collect();
        noted.sort_unstable();
        let last = noted.len().checked_sub(1)?;
        let at = |percent: usize| {
            Duration::from_micros(u64::from(noted[(last * percent).div_ceil(100)] - 1))
        };
        Some([at(50), at(95)])
    }
}

const KEPT: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_last_answers() {
        let latencies = Latencies::default();
        assert_eq!(latencies.quantiles(), None);
        latencies.note(Duration::ZERO);
        assert_eq!(latencies.quantiles(), Some([Duration::ZERO; 2]));
        // The first ones are forgotten.
        for _ in 0..KEPT {
            latencies.note(Duration::from_secs(9));
        }
        for ms in 0..u64::try_from(KEPT).unwrap() {
            latencies.note(Duration::from_millis(ms));
        }
        let expected = [128, 243].map(Duration::from_millis);
        assert_eq!(latencies.quantiles(), Some(expected));
    }
}
