//! What the last ten minutes were like, in counts of five seconds each: for the admin page.
//!
//! The ring is made once. A call that ends adds to the slot of its time: some relaxed additions,
//! no allocation, and a lock only for whoever comes first in five seconds.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{array, iter};

use super::event::Stage;
use super::record::Closed;
use crate::rejection::{Origin, Reason};
use crate::words::words;

words! {
    /// How a call ended, as far as an operator must tell at a glance.
    pub enum Outcome {
        Answered = "answered",
        /// KooDrive's own answer.
        UpstreamRefused = "KooDrive 4xx",
        /// KooDrive's own answer.
        UpstreamFailed = "KooDrive 5xx",
        /// By the gateway, below 500.
        Refused = "refused",
        /// By the gateway, 500 and above, or the answer broke off.
        Failed = "failed",
        /// Before the end of the answer.
        CallerGone = "caller left",
    }
}

impl Outcome {
    fn of(closed: &Closed<'_>) -> Self {
        let refused = closed.facts.refused.as_ref();
        match (refused, closed.origin, closed.status) {
            (Some(_), _, 500..) => Self::Failed,
            (Some(_), ..) => Self::Refused,
            (None, Some(Origin::Caller), _) => Self::CallerGone,
            (None, Some(_), _) => Self::Failed,
            (None, None, 500..) => Self::UpstreamFailed,
            (None, None, 400..) => Self::UpstreamRefused,
            (None, None, _) => Self::Answered,
        }
    }
}

/// What time is taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timed {
    Call,
    Stage(Stage),
}

impl Timed {
    fn all() -> impl Iterator<Item = Self> {
        iter::once(Self::Call).chain(Stage::ALL.iter().copied().map(Self::Stage))
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Call => "whole call",
            Self::Stage(stage) => stage.as_str(),
        }
    }

    /// Its place in [`Slot::took`].
    fn place(self) -> usize {
        match self {
            Self::Call => 0,
            Self::Stage(stage) => 1 + stage as usize,
        }
    }
}

/// The ring.
#[derive(Debug)]
pub(super) struct Recent {
    slots: Box<[Slot]>,
    turning: Mutex<()>,
}

/// What ended within one period of [`PERIOD`].
#[derive(Debug)]
struct Slot {
    /// Which one, counted from 1970.
    period: AtomicU64,
    outcomes: [AtomicU32; Outcome::ALL.len()],
    reasons: [AtomicU32; Reason::ALL.len()],
    took: [[AtomicU32; BUCKETS]; 1 + Stage::ALL.len()],
}

/// The last ten minutes, oldest period first; the last one is not over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub outcomes: Vec<[u32; Outcome::ALL.len()]>,
    /// Only those that occurred.
    pub reasons: Vec<(Reason, Vec<u32>)>,
    /// Of what happened at all.
    pub latencies: Vec<Latency>,
}

/// How long something took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    pub of: Timed,
    pub p50: Duration,
    pub p95: Duration,
    /// The 95th percentile of each period in which it happened.
    pub series: Vec<Option<Duration>>,
}

impl Traffic {
    /// How many calls ended so in the last `periods`.
    pub fn count(&self, outcome: Outcome, periods: usize) -> u64 {
        let counts = self.outcomes.iter().rev().take(periods);
        counts.map(|counts| u64::from(counts[outcome as usize])).sum()
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self { slots: (0..PERIODS).map(|_| Slot::new()).collect(), turning: Mutex::new(()) }
    }
}

impl Recent {
    pub(super) fn closed(&self, closed: &Closed<'_>) {
        let slot = self.slot(period_of(closed.facts.opened.started + closed.duration));
        count(&slot.outcomes[Outcome::of(closed) as usize]);
        if let Some(refused) = &closed.facts.refused {
            count(&slot.reasons[refused.reason as usize]);
        }
        slot.took(Timed::Call, closed.duration);
        for stage in Stage::ALL {
            if let Some(timing) = closed.facts.stage(*stage) {
                slot.took(Timed::Stage(*stage), timing.busy(closed.duration));
            }
        }
    }

    /// Something that was answered but could not be read as a request.
    pub(super) fn unreadable(&self, time: SystemTime, reason: Reason) {
        let slot = self.slot(period_of(time));
        count(&slot.outcomes[Outcome::Refused as usize]);
        count(&slot.reasons[reason as usize]);
    }

    /// The ten minutes that end with `now`.
    pub(super) fn until(&self, now: SystemTime) -> Traffic {
        let last = period_of(now);
        let first = last.saturating_sub(PERIODS as u64 - 1);
        let slots: Vec<Option<&Slot>> = (first..=last)
            .map(|period| {
                let slot = &self.slots[place_of(period)];
                (slot.period.load(Ordering::Acquire) == period).then_some(slot)
            })
            .collect();
        let read = |cell: fn(&Slot, usize) -> &AtomicU32, index: usize| {
            let counts = slots.iter();
            let counts = counts.map(|slot| slot.map_or(0, |slot| load(cell(slot, index))));
            counts.collect::<Vec<u32>>()
        };
        let reasons = Reason::ALL.iter().map(|reason| {
            let counts = read(|slot, index| &slot.reasons[index], *reason as usize);
            (*reason, counts)
        });
        Traffic {
            outcomes: slots
                .iter()
                .map(|slot| slot.map_or([0; _], |slot| slot.outcomes.each_ref().map(load)))
                .collect(),
            reasons: reasons.filter(|(_, counts)| counts.iter().any(|count| *count != 0)).collect(),
            latencies: Timed::all().filter_map(|of| Latency::of(&slots, of)).collect(),
        }
    }

    /// The slot of a period, empty if nothing of it was there before.
    fn slot(&self, period: u64) -> &Slot {
        let slot = &self.slots[place_of(period)];
        if slot.period.load(Ordering::Acquire) != period {
            let _turning = self.turning.lock().unwrap_or_else(PoisonError::into_inner);
            // Somebody else may have been first.
            if slot.period.load(Ordering::Acquire) != period {
                slot.empty();
                slot.period.store(period, Ordering::Release);
            }
        }
        slot
    }
}

impl Slot {
    fn new() -> Self {
        Self {
            period: AtomicU64::new(0),
            outcomes: array::from_fn(|_| AtomicU32::new(0)),
            reasons: array::from_fn(|_| AtomicU32::new(0)),
            took: array::from_fn(|_| array::from_fn(|_| AtomicU32::new(0))),
        }
    }

    fn took(&self, of: Timed, time: Duration) {
        count(&self.took[of.place()][bucket_of(time)]);
    }

    fn empty(&self) {
        let took = self.took.iter().flatten();
        for counter in self.outcomes.iter().chain(&self.reasons).chain(took) {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

impl Latency {
    fn of(slots: &[Option<&Slot>], of: Timed) -> Option<Self> {
        let mut whole = [0; BUCKETS];
        let mut series = Vec::with_capacity(slots.len());
        for slot in slots {
            let counts =
                slot.map_or([0; BUCKETS], |slot| slot.took[of.place()].each_ref().map(load));
            for (sum, count) in whole.iter_mut().zip(counts) {
                *sum += count;
            }
            series.push(quantile(&counts, 95));
        }
        Some(Self { of, p50: quantile(&whole, 50)?, p95: quantile(&whole, 95)?, series })
    }
}

/// What so many per cent of all stayed within; none of nothing.
fn quantile(counts: &[u32; BUCKETS], percent: u64) -> Option<Duration> {
    let all: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    let mut wanted = (all * percent).div_ceil(100);
    for (bucket, count) in counts.iter().enumerate() {
        let count = u64::from(*count);
        if wanted <= count && count != 0 {
            // As if those of one bucket were spread over it evenly.
            let (from, to) = (micros_from(bucket), micros_from(bucket + 1));
            return Some(Duration::from_micros(from + (to - from) * wanted / count));
        }
        wanted -= count;
    }
    None
}

/// Two buckets to each doubling, from 64 µs on.
fn bucket_of(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let Some(doublings) = micros.checked_ilog2().and_then(|log| log.checked_sub(FIRST_LOG2)) else {
        return 0;
    };
    let upper_half = micros >> (doublings + FIRST_LOG2 - 1) & 1;
    let bucket = 1 + 2 * doublings as usize + usize::from(upper_half == 1);
    bucket.min(BUCKETS - 1)
}

fn micros_from(bucket: usize) -> u64 {
    match bucket.checked_sub(1) {
        None => 0,
        Some(above) => (2 + above as u64 % 2) << (FIRST_LOG2 as usize - 1 + above / 2),
    }
}

fn period_of(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / PERIOD.as_secs()
}

fn place_of(period: u64) -> usize {
    usize::try_from(period % PERIODS as u64).expect("below PERIODS")
}

fn count(counter: &AtomicU32) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn load(counter: &AtomicU32) -> u32 {
    counter.load(Ordering::Relaxed)
}

const PERIOD: Duration = Duration::from_secs(5);
const PERIODS: usize = 120;
const FIRST_LOG2: u32 = 6;
/// Up to 67 seconds; the last takes whatever is longer.
const BUCKETS: usize = 41;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_meet_without_gap_or_overlap() {
        for bucket in 0..BUCKETS {
            let (from, to) = (micros_from(bucket), micros_from(bucket + 1));
            assert!(from < to, "{bucket}");
            for micros in [from, to - 1] {
                assert_eq!(bucket_of(Duration::from_micros(micros)), bucket, "{micros} µs");
            }
        }
        assert_eq!((micros_from(1), micros_from(2), micros_from(3)), (64, 96, 128));
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_lie_within_the_bucket_of_the_call_they_name() {
        let mut counts = [0; BUCKETS];
        assert_eq!(quantile(&counts, 50), None);
        counts[bucket_of(Duration::from_millis(1))] = 94;
        counts[bucket_of(Duration::from_secs(1))] = 6;
        let of = |percent| quantile(&counts, percent).unwrap();
        let near = |time: Duration, micros: u64| {
            let bucket = bucket_of(Duration::from_micros(micros));
            let bounds = micros_from(bucket)..=micros_from(bucket + 1);
            (Duration::from_micros(*bounds.start())..=Duration::from_micros(*bounds.end()))
                .contains(&time)
        };
        assert!(near(of(50), 1000), "{:?}", of(50));
        assert!(near(of(94), 1000), "{:?}", of(94));
        assert!(near(of(95), 1_000_000), "{:?}", of(95));
    }

    #[test]
    fn a_slot_is_empty_again_ten_minutes_later_and_after_the_clock_was_set_back() {
        let ring = Recent::default();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let counts = |now| {
            let traffic = ring.until(now);
            let refused: Vec<u64> =
                [1, PERIODS].map(|periods| traffic.count(Outcome::Refused, periods)).into();
            (refused, traffic.reasons.len())
        };
        assert_eq!(counts(at(10_000)), (vec![0, 0], 0));
        ring.unreadable(at(10_000), Reason::FramingIllegal);
        ring.unreadable(at(10_004), Reason::FramingIllegal);
        ring.unreadable(at(10_005), Reason::HeadersTooLarge);
        assert_eq!(counts(at(10_005)), (vec![1, 3], 2));
        assert_eq!(counts(at(10_599)), (vec![0, 3], 2));
        assert_eq!(counts(at(10_600)), (vec![0, 1], 1), "the first five seconds are past");
        ring.unreadable(at(10_600), Reason::FramingIllegal);
        assert_eq!(counts(at(10_600)), (vec![1, 2], 2), "in the place of the first");
        ring.unreadable(at(10_000), Reason::FramingIllegal);
        assert_eq!(counts(at(10_000)), (vec![1, 1], 1), "the clock was set back");
    }
}
