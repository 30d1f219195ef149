//! Buckets for many keys under one rule: governor's GCRA over a bounded table of our own.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;

use crate::clock::Clock;

/// A rate with a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    per_token: Duration,
    burst: NonZeroU32,
}

impl Quota {
    pub(super) fn new(rate: NonZeroU32, period: Duration, burst: NonZeroU32) -> Self {
        let per_token = (period / rate.get()).max(Duration::from_nanos(1));
        Self { per_token, burst }
    }

    /// Takes a token, of which there is one, a millisecond to come back.
    pub(super) const PROBE: Self =
        Self { per_token: Duration::from_millis(1), burst: NonZeroU32::MIN };

    pub(super) fn per_token(&self) -> Duration {
        self.per_token
    }

    pub(super) fn burst(&self) -> u32 {
        self.burst.get()
    }

    /// Whole seconds in which an empty bucket fills up again.
    pub(super) fn window_seconds(&self) -> u64 {
        whole_seconds(self.per_token * self.burst.get())
    }

    /// Tokens left in a bucket that will be full after `missing`, and that time in whole seconds.
    pub(super) fn standing(&self, missing: Duration) -> (u64, u64) {
        let per_token = nanos(self.per_token);
        let capacity = per_token.saturating_mul(u64::from(self.burst()));
        (capacity.saturating_sub(nanos(missing)) / per_token, whole_seconds(missing))
    }

    fn to_governor(self) -> governor::Quota {
        governor::Quota::with_period(self.per_token)
            .expect("a token takes at least a nanosecond")
            .allow_burst(self.burst)
    }
}

/// One bucket per key, at most `keys_max`; further keys share one more bucket until places come
/// free. A key loses its place only when its bucket is full again, so nothing is regained.
#[derive(Debug)]
pub(super) struct Buckets<K: Hash + Eq + Clone> {
    quota: Quota,
    clock: Clock,
    limiter: RateLimiter<K, Table<K>, Monotonic, NoOpMiddleware<Moment>>,
    table: Arc<TableState<K>>,
    started: Duration,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    pub(super) fn new(quota: Quota, keys_max: usize, clock: Clock) -> Self {
        let started = clock.monotonic();
        let table = Arc::new(TableState {
            keys_max,
            clock: clock.clone(),
            started,
            inner: Mutex::new(Inner { keys: HashMap::new(), overflow: None, swept: started }),
        });
        let store = Table(Arc::clone(&table));
        let limiter = RateLimiter::new(
            quota.to_governor(),
            store,
            Monotonic { clock: clock.clone(), started },
        );
        Self { quota, clock, limiter, table, started }
    }

    pub(super) fn quota(&self) -> &Quota {
        &self.quota
    }

    pub(super) fn same_rule(&self, other: &Self) -> bool {
        self.quota == other.quota && self.table.keys_max == other.table.keys_max
    }

    pub(super) fn len(&self) -> usize {
        self.table.lock().keys.len()
    }

    /// Takes `tokens` from the key's bucket, or says after how long they will be there. More than
    /// a full bucket costs a full bucket.
    pub(super) fn charge(&self, key: &K, tokens: u32) -> Result<(), Duration> {
        let Some(tokens) = NonZeroU32::new(tokens.min(self.quota.burst())) else { return Ok(()) };
        self.limiter
            .check_key_n(key, tokens)
            .expect("no more than a full bucket is asked for")
            .map_err(|until| {
                let now = self.limiter.clock().now();
                until.wait_time_from(now)
            })
    }

    /// Tokens left, and whole seconds until the bucket is full.
    pub(super) fn standing(&self, key: &K) -> (u64, u64) {
        let now = nanos(self.clock.monotonic().saturating_sub(self.started));
        let full_at = self.table.lock().full_at(key).unwrap_or(0).max(now);
        self.quota.standing(Duration::from_nanos(full_at - now))
    }

    /// Forgets keys whose buckets are full.
    pub(super) fn sweep(&self) {
        let now = self.table.now();
        self.table.lock().sweep(now);
    }
}

/// What governor keeps per key: when the bucket will be full again, in nanoseconds since start.
struct Inner<K> {
    keys: HashMap<K, u64>,
    overflow: Option<u64>,
    swept: Duration,
}

impl<K: Hash + Eq> Inner<K> {
    fn full_at(&self, key: &K) -> Option<u64> {
        self.keys.get(key).copied().or(self.overflow)
    }

    fn sweep(&mut self, now: u64) {
        self.keys.retain(|_, full_at| now < *full_at);
        if self.keys.len() * 4 < self.keys.capacity() {
            self.keys.shrink_to_fit();
        }
        self.overflow = self.overflow.filter(|full_at| now < *full_at);
    }
}

struct TableState<K> {
    keys_max: usize,
    clock: Clock,
    started: Duration,
    inner: Mutex<Inner<K>>,
}

impl<K> std::fmt::Debug for TableState<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableState").field("keys_max", &self.keys_max).finish_non_exhaustive()
    }
}

impl<K> TableState<K> {
    fn lock(&self) -> MutexGuard<'_, Inner<K>> {
        // Every critical section leaves the table whole, even one that panicked.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        nanos(self.clock.monotonic().saturating_sub(self.started))
    }
}

#[derive(Debug)]
struct Table<K>(Arc<TableState<K>>);

impl<K: Hash + Eq + Clone> StateStore for Table<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut inner = self.0.lock();
        if let Some(full_at) = inner.keys.get_mut(key) {
            let (outcome, new) = decide(Some(Nanos::new(*full_at)))?;
            *full_at = new.as_u64();
            return Ok(outcome);
        }
        if self.0.keys_max <= inner.keys.len() {
            let elapsed = self.0.clock.monotonic();
            if inner.swept + SWEEP_EVERY <= elapsed {
                inner.swept = elapsed;
                inner.sweep(nanos(elapsed.saturating_sub(self.0.started)));
            }
        }
        // While the shared bucket is in use, a newcomer may be one who already drew on it: a
        // bucket of its own would hand back what it spent.
        let full = self.0.keys_max <= inner.keys.len();
        if full || inner.overflow.is_some_and(|full_at| self.0.now() < full_at) {
            let (outcome, new) = decide(inner.overflow.map(Nanos::new))?;
            inner.overflow = Some(new.as_u64());
            return Ok(outcome);
        }
        let (outcome, new) = decide(None)?;
        inner.keys.insert(key.clone(), new.as_u64());
        Ok(outcome)
    }
}

/// A full table is searched for free places at most this often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Nanoseconds since the buckets were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u64);

impl Reference for Moment {
    fn duration_since(&self, earlier: Self) -> Nanos {
        Nanos::new(self.0.saturating_sub(earlier.0))
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.saturating_sub(duration.as_u64()))
    }
}

impl std::ops::Add<Nanos> for Moment {
    type Output = Self;

    fn add(self, duration: Nanos) -> Self {
        Self(self.0.saturating_add(duration.as_u64()))
    }
}

/// Our clock as governor wants it.
#[derive(Clone, Debug)]
struct Monotonic {
    clock: Clock,
    started: Duration,
}

impl GovernorClock for Monotonic {
    type Instant = Moment;

    fn now(&self) -> Moment {
        Moment(nanos(self.clock.monotonic().saturating_sub(self.started)))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(0 < duration.subsec_nanos())
}
