//! Buckets for many keys under one rule, in a bounded table.
//!
//! A bucket is one number, the moment at which it will be full again: each token taken moves it
//! later by the time a token takes to come back (GCRA, the generic cell rate algorithm).

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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

    /// When a bucket is full again from which `tokens` are taken `now`, and that else were full at
    /// `full_at`; or after how long they are there.
    fn take(self, full_at: Option<u64>, tokens: u32, now: u64) -> Result<u64, Duration> {
        let per_token = nanos(self.per_token);
        let cost = per_token.saturating_mul(tokens.min(self.burst()).into());
        let full_at = full_at.unwrap_or(0).max(now).saturating_add(cost);
        let capacity = per_token.saturating_mul(self.burst().into());
        match full_at.saturating_sub(capacity).saturating_sub(now) {
            0 => Ok(full_at),
            short => Err(Duration::from_nanos(short)),
        }
    }

    /// Tokens left in a bucket that will be full after `missing`, and that time in whole seconds.
    pub(super) fn standing(&self, missing: Duration) -> (u64, u64) {
        let per_token = nanos(self.per_token);
        let capacity = per_token.saturating_mul(u64::from(self.burst()));
        (capacity.saturating_sub(nanos(missing)) / per_token, whole_seconds(missing))
    }
}

/// One bucket per key, at most `keys_max`; further keys share one more bucket until places come
/// free. A key loses its place only when its bucket is full again, so nothing is regained.
pub(super) struct Buckets<K> {
    quota: Quota,
    keys_max: usize,
    table: Mutex<Table<K>>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    pub(super) fn new(quota: Quota, keys_max: usize) -> Self {
        let table = Table { keys: HashMap::new(), overflow: None, next_sweep: 0 };
        Self { quota, keys_max, table: Mutex::new(table) }
    }

    pub(super) fn quota(&self) -> &Quota {
        &self.quota
    }

    pub(super) fn same_rule(&self, other: &Self) -> bool {
        self.quota == other.quota && self.keys_max == other.keys_max
    }

    pub(super) fn len(&self) -> usize {
        self.lock().keys.len()
    }

    /// Takes `tokens` from the key's bucket and says when it will be full again, or after how long
    /// they will be there. More than a full bucket costs a full bucket.
    ///
    /// `now`, here and below, is one clock's, which never goes back.
    pub(super) fn charge(&self, key: &K, tokens: u32, now: Duration) -> Result<FullAt, Duration> {
        let now = nanos(now);
        let mut table = self.lock();
        if let Some(full_at) = table.keys.get_mut(key) {
            *full_at = self.quota.take(Some(*full_at), tokens, now)?;
            return Ok(FullAt(*full_at));
        }
        if self.keys_max <= table.keys.len() && table.next_sweep <= now {
            table.next_sweep = now.saturating_add(nanos(SWEEP_EVERY));
            table.sweep(now);
        }
        // While the shared bucket is in use, a newcomer may be one who already drew on it: a
        // bucket of its own would hand back what it spent.
        let is_full = self.keys_max <= table.keys.len();
        if is_full || table.overflow.is_some_and(|full_at| now < full_at) {
            let full_at = self.quota.take(table.overflow, tokens, now)?;
            table.overflow = Some(full_at);
            return Ok(FullAt(full_at));
        }
        let full_at = self.quota.take(None, tokens, now)?;
        table.keys.insert(key.clone(), full_at);
        Ok(FullAt(full_at))
    }

    /// When the key's bucket will be full again.
    pub(super) fn full_at(&self, key: &K) -> FullAt {
        let table = self.lock();
        FullAt(table.keys.get(key).copied().or(table.overflow).unwrap_or_default())
    }

    /// Forgets keys whose buckets are full.
    pub(super) fn sweep(&self, now: Duration) {
        self.lock().sweep(nanos(now));
    }

    fn lock(&self) -> MutexGuard<'_, Table<K>> {
        // Every critical section leaves the table whole, even one that panicked.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone> fmt::Debug for Buckets<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").field("quota", &self.quota).finish_non_exhaustive()
    }
}

/// When a bucket will be full again, in nanoseconds of the clock it was charged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct FullAt(u64);

impl FullAt {
    pub(super) fn of(moment: Duration) -> Self {
        Self(nanos(moment))
    }

    /// How long that is from `now`.
    pub(super) fn after(self, now: Duration) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(nanos(now)))
    }
}

/// For each key, when its bucket will be full again.
struct Table<K> {
    keys: HashMap<K, u64>,
    overflow: Option<u64>,
    next_sweep: u64,
}

impl<K: Hash + Eq> Table<K> {
    fn sweep(&mut self, now: u64) {
        self.keys.retain(|_, full_at| now < *full_at);
        if self.keys.len() * 4 < self.keys.capacity() {
            self.keys.shrink_to_fit();
        }
        self.overflow = self.overflow.filter(|full_at| now < *full_at);
    }
}

/// A full table is searched for free places at most this often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(0 < duration.subsec_nanos())
}
