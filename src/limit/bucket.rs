//! Buckets for many keys under one rule: governor's GCRA (generic cell rate algorithm) over a
//! bounded table of our own.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use governor::RateLimiter;
use governor::clock::Clock as _;
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
pub(super) struct Buckets<K: Hash + Eq + Clone> {
    quota: Quota,
    time: Time,
    limiter: RateLimiter<K, Table<K>, Time, NoOpMiddleware<Nanos>>,
    table: Table<K>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    pub(super) fn new(quota: Quota, keys_max: usize, clock: Clock) -> Self {
        let time = Time { started: clock.monotonic(), clock };
        let inner = Inner { keys: HashMap::default(), overflow: None, next_sweep: Nanos::new(0) };
        let table = Table { keys_max, time: time.clone(), inner: Arc::new(Mutex::new(inner)) };
        let limiter = RateLimiter::new(quota.to_governor(), table.clone(), time.clone());
        Self { quota, time, limiter, table }
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

    /// Takes `tokens` from the key's bucket and says when it will be full again, or after how long
    /// they will be there. More than a full bucket costs a full bucket.
    pub(super) fn charge(&self, key: &K, tokens: NonZeroU32) -> Result<FullAt, Duration> {
        let tokens = tokens.min(self.quota.burst);
        self.limiter
            .check_key_n(key, tokens)
            .expect("no more than a full bucket is asked for")
            .map_err(|until| until.wait_time_from(self.time.now()))?;
        Ok(self.full_at(key))
    }

    /// When the key's bucket will be full again.
    pub(super) fn full_at(&self, key: &K) -> FullAt {
        let full_at = self.table.lock().full_at(key).unwrap_or_default();
        FullAt(self.time.started + full_at)
    }

    /// Forgets keys whose buckets are full.
    pub(super) fn sweep(&self) {
        self.table.lock().sweep(self.time.now());
    }
}

impl<K: Hash + Eq + Clone> fmt::Debug for Buckets<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").field("quota", &self.quota).finish_non_exhaustive()
    }
}

/// When a bucket will be full again, by the clock of the limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct FullAt(Duration);

impl FullAt {
    pub(super) fn of(moment: Duration) -> Self {
        Self(moment)
    }

    /// How long that is from `now`.
    pub(super) fn after(self, now: Duration) -> Duration {
        self.0.saturating_sub(now)
    }
}

/// What governor keeps per key: when the bucket will be full again.
struct Inner<K> {
    keys: HashMap<K, Nanos, RandomState>,
    overflow: Option<Nanos>,
    next_sweep: Nanos,
}

impl<K: Hash + Eq> Inner<K> {
    fn full_at(&self, key: &K) -> Option<Nanos> {
        self.keys.get(key).copied().or(self.overflow)
    }

    fn sweep(&mut self, now: Nanos) {
        self.keys.retain(|_, full_at| now < *full_at);
        if self.keys.len() * 4 < self.keys.capacity() {
            self.keys.shrink_to_fit();
        }
        self.overflow = self.overflow.filter(|full_at| now < *full_at);
    }
}

#[derive(Clone)]
struct Table<K> {
    keys_max: usize,
    time: Time,
    inner: Arc<Mutex<Inner<K>>>,
}

impl<K> Table<K> {
    fn lock(&self) -> MutexGuard<'_, Inner<K>> {
        // Every critical section leaves the table whole, even one that panicked.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone> StateStore for Table<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut inner = self.lock();
        if let Some(full_at) = inner.keys.get_mut(key) {
            let (outcome, new) = decide(Some(*full_at))?;
            *full_at = new;
            return Ok(outcome);
        }
        let now = self.time.now();
        if self.keys_max <= inner.keys.len() && inner.next_sweep <= now {
            inner.next_sweep = now + SWEEP_EVERY;
            inner.sweep(now);
        }
        // While the shared bucket is in use, a newcomer may be one who already drew on it: a
        // bucket of its own would hand back what it spent.
        let is_full = self.keys_max <= inner.keys.len();
        if is_full || inner.overflow.is_some_and(|full_at| now < full_at) {
            let (outcome, new) = decide(inner.overflow)?;
            inner.overflow = Some(new);
            return Ok(outcome);
        }
        let (outcome, new) = decide(None)?;
        inner.keys.insert(key.clone(), new);
        Ok(outcome)
    }
}

/// A full table is searched for free places at most this often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Our clock as governor reads it: nanoseconds since the buckets were made.
#[derive(Clone, Debug)]
struct Time {
    clock: Clock,
    started: Duration,
}

impl governor::clock::Clock for Time {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(nanos(self.clock.monotonic().saturating_sub(self.started)))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(0 < duration.subsec_nanos())
}
