//! Whether one neighbour does its part: good answers and failures in, changes out.
//!
//! ```text
//!           a failure that counts
//!   good ─────────────────────────▶ failing ──┐ more failures
//!    ▲                                 │  ▲   │
//!    └── a good answer, and no failure │  └───┘
//!        that counts for `hold` ◀──────┘
//! ```
//! `hold` is nothing at first, so that an outage is over with the first good answer. Whoever fails
//! again soon is believed later and later: a neighbour that goes to and fro changes its state a few
//! times, not with every answer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::latencies::Latencies;
use crate::clock::{Clock, Moment};

/// What is known of one neighbour.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) latencies: Latencies,
    /// One failure among many good answers is no outage.
    is_busy: bool,
    /// Milliseconds since 1970; 0: never.
    last_good: AtomicU64,
    /// Whether there is more to know than that: else a good answer needs no lock.
    is_troubled: AtomicBool,
    trouble: Mutex<Trouble>,
}

#[derive(Debug, Default)]
struct Trouble {
    /// In a row.
    failures: u32,
    /// The first of the row, or of the outage.
    first: Option<Moment>,
    /// The last one that counts.
    last: Duration,
    cause: String,
    is_failing: bool,
    /// The first good answer since.
    good_again: Option<Moment>,
    hold: Duration,
    /// When the last outage was over.
    over: Option<Duration>,
}

/// A state has become another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Failing { cause: String },
    Back { after: Duration, cause: String },
}

/// Of a neighbour that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outage {
    pub(super) since: SystemTime,
    pub(super) cause: String,
}

impl Health {
    /// `is_busy`: it is asked by every call, so one failure in between says little.
    pub(super) fn new(is_busy: bool) -> Self {
        Self {
            latencies: Latencies::default(),
            is_busy,
            last_good: AtomicU64::new(0),
            is_troubled: AtomicBool::new(false),
            trouble: Mutex::default(),
        }
    }

    /// It did at `when` what it was asked.
    pub(super) fn good(&self, when: SystemTime, clock: &Clock) -> Option<Change> {
        self.last_good.store(millis(when), Ordering::Relaxed);
        if !self.is_troubled.load(Ordering::Relaxed) {
            return None;
        }
        let now = clock.moment();
        let mut trouble = self.trouble();
        trouble.failures = 0;
        if !trouble.is_failing {
            trouble.first = None;
            self.is_troubled.store(false, Ordering::Relaxed);
            return None;
        }
        trouble.good_again.get_or_insert(now);
        self.settle(&mut trouble, now.monotonic)
    }

    /// It did not, and why.
    pub(super) fn failed(&self, now: Moment, cause: impl FnOnce() -> String) -> Option<Change> {
        let mut trouble = self.trouble();
        self.is_troubled.store(true, Ordering::Relaxed);
        trouble.failures = trouble.failures.saturating_add(1);
        trouble.first.get_or_insert(now);
        let counts = !self.is_busy || COUNT <= trouble.failures || self.is_quiet(now.wall);
        if !counts {
            return None;
        }
        let is_new = !trouble.is_failing || trouble.good_again.is_some();
        // Under a storm of failures their texts are not made anew a thousand times a second.
        if is_new || trouble.last + CAUSE_EVERY <= now.monotonic {
            trouble.cause = cause();
        }
        trouble.last = now.monotonic;
        trouble.good_again = None;
        if trouble.is_failing {
            return None;
        }
        trouble.is_failing = true;
        let calm = trouble.over.is_none_or(|over| over + CALM <= now.monotonic);
        trouble.hold =
            if calm { Duration::ZERO } else { (trouble.hold * 2).clamp(HOLD_MIN, HOLD_MAX) };
        Some(Change::Failing { cause: trouble.cause.clone() })
    }

    /// Whether the outage is over by now.
    pub(super) fn tidy(&self, clock: &Clock) -> Option<Change> {
        if !self.is_troubled.load(Ordering::Relaxed) {
            return None;
        }
        self.settle(&mut self.trouble(), clock.monotonic())
    }

    pub(super) fn last_good(&self) -> Option<SystemTime> {
        let millis = self.last_good.load(Ordering::Relaxed);
        (millis != 0).then(|| UNIX_EPOCH + Duration::from_millis(millis))
    }

    pub(super) fn outage(&self) -> Option<Outage> {
        let trouble = self.trouble();
        let since = trouble.first.filter(|_| trouble.is_failing)?.wall;
        Some(Outage { since, cause: trouble.cause.clone() })
    }

    fn settle(&self, trouble: &mut Trouble, now: Duration) -> Option<Change> {
        let good_again = trouble.good_again.filter(|_| trouble.is_failing)?;
        if now < trouble.last + trouble.hold {
            return None;
        }
        let first = trouble.first.take()?;
        trouble.is_failing = false;
        trouble.good_again = None;
        trouble.over = Some(now);
        self.is_troubled.store(0 < trouble.failures, Ordering::Relaxed);
        let after = good_again.monotonic.saturating_sub(first.monotonic);
        Some(Change::Back { after, cause: std::mem::take(&mut trouble.cause) })
    }

    /// Whether nothing good was heard of late, so that a single failure is all there is.
    fn is_quiet(&self, now: SystemTime) -> bool {
        self.last_good()
            .is_none_or(|good| now.duration_since(good).is_ok_and(|since| QUIET <= since))
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        // Plain values: whole even if a holder panicked.
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// So many failures in a row are an outage, however much is going on.
const COUNT: u32 = 3;
/// After so long without a good answer one failure is.
const QUIET: Duration = Duration::from_secs(5);
const CAUSE_EVERY: Duration = Duration::from_secs(1);
/// How long a neighbour that failed before must be free of failures: doubled from the first to the
/// last each time it was not.
const HOLD_MIN: Duration = Duration::from_secs(10);
const HOLD_MAX: Duration = Duration::from_mins(5);
/// After so long what was before is forgotten.
const CALM: Duration = Duration::from_mins(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// A neighbour, and the changes it went through.
    struct Watched {
        health: Health,
        clock: Clock,
        changes: Vec<Change>,
    }

    impl Watched {
        fn new(is_busy: bool) -> Self {
            Self { health: Health::new(is_busy), clock: Clock::system(), changes: Vec::new() }
        }

        fn good(&mut self) {
            let change = self.health.good(self.clock.now(), &self.clock);
            self.changes.extend(change);
        }

        fn fails(&mut self, cause: &str) {
            let change = self.health.failed(self.clock.moment(), || cause.to_owned());
            self.changes.extend(change);
        }

        /// Time goes by; the caller of `tidy` comes every second.
        fn seconds(&mut self, seconds: u64) {
            for _ in 0..seconds {
                self.clock.advance(Duration::from_secs(1));
                self.changes.extend(self.health.tidy(&self.clock));
            }
        }
    }

    fn failing(cause: &str) -> Change {
        Change::Failing { cause: cause.to_owned() }
    }

    #[test]
    fn an_outage_begins_once_and_ends_once() {
        let mut sso = Watched::new(false);
        sso.good();
        assert_eq!(sso.health.outage(), None);
        sso.fails("refused");
        sso.seconds(30);
        sso.fails("no name");
        assert_eq!(sso.health.outage().unwrap().cause, "no name");
        sso.seconds(30);
        sso.good();
        sso.good();
        sso.seconds(60);
        assert_eq!(sso.changes[0], failing("refused"));
        let Change::Back { after, cause } = &sso.changes[1] else { panic!("{:?}", sso.changes) };
        assert_eq!((after.as_secs(), &**cause), (60, "no name"));
        assert_eq!((sso.changes.len(), sso.health.outage()), (2, None));
    }

    #[test]
    fn of_one_that_every_call_asks_a_failure_in_between_is_no_outage() {
        let mut koodrive = Watched::new(true);
        koodrive.fails("first of all");
        koodrive.good();
        assert_eq!(koodrive.changes.len(), 2, "nothing good was known of it");
        for _ in 0..50 {
            koodrive.good();
            koodrive.fails("once");
            koodrive.fails("twice");
        }
        assert_eq!(koodrive.changes.len(), 2);
        koodrive.fails("thrice");
        assert_eq!(koodrive.changes[2..], [failing("thrice")]);
        koodrive.good();
        let mut seldom = Watched::new(true);
        seldom.good();
        seldom.seconds(6);
        seldom.fails("at once");
        assert_eq!(seldom.changes, [failing("at once")]);
    }

    #[test]
    fn one_that_goes_to_and_fro_changes_a_few_times_only() {
        let mut collector = Watched::new(false);
        for _ in 0..3600 {
            collector.fails("now and then");
            collector.good();
            collector.seconds(1);
        }
        // The first outage, and the second, which never is over.
        assert_eq!(collector.changes.len(), 3, "{:?}", collector.changes);
        // Only ever up for a little longer than the hold.
        let mut slower = Watched::new(false);
        for _ in 0..360 {
            slower.fails("every half minute");
            slower.seconds(5);
            slower.good();
            slower.seconds(25);
        }
        assert!(slower.changes.len() < 10, "{:?}", slower.changes);
        slower.seconds(600);
        assert!(matches!(slower.changes.last(), Some(Change::Back { .. })));
        // What was long ago is forgiven.
        slower.seconds(600);
        let before = slower.changes.len();
        slower.fails("again");
        slower.good();
        assert_eq!(slower.changes.len(), before + 2);
    }

    #[test]
    fn a_text_is_not_made_for_each_of_many_failures() {
        let health = Health::new(false);
        let (clock, mut made) = (Clock::system(), 0);
        let now = clock.moment();
        for _ in 0..1000 {
            health.failed(now, || {
                made += 1;
                String::new()
            });
        }
        assert_eq!(made, 1);
    }
}
