//! Cached access tokens: how long they live, whether they may still be sent, when one is due for
//! renewal.
//!
//! moka only bounds how many there are. Their life is ours: it slides, ends early on a refusal,
//! and must follow a clock that tests can move. Knows nothing of how tokens are obtained.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use secrecy::SecretString;

use super::key::CacheKey;

/// How long tokens live when their answer does not say less.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetimes {
    pub(super) idle: Duration,
    pub(super) absolute: Duration,
    pub(super) margin: Duration,
    pub(super) refresh_ahead: f64,
}

/// What the token endpoint gave, before it is cached.
#[derive(Debug)]
pub(super) struct NewToken {
    /// The header KooDrive sees, scheme included.
    pub(super) header: HeaderValue,
    pub(super) expires_in: Option<Duration>,
    /// What renews it without a new login, where the method has such a thing.
    pub(super) session: Option<SecretString>,
}

/// One access token and its life. Shared by all calls that carry it, so that what KooDrive says
/// to one of them reaches this very token and never its successor.
///
/// ```text
///  issued ─────────── fresh ──────────┬──── due ────┬── stale ──┐
///    │   sent; slides with each call  │ sent, and a │ renewed,  │ dead: never sent
///    │   that KooDrive accepted       │ flight runs │ then sent │
///    └── KooDrive refuses it ─────────┴─────────────┴───────────┘
/// ```
#[derive(Debug)]
pub(super) struct CachedToken {
    /// Number of this token among all the process ever had.
    pub(super) generation: u64,
    pub(super) header: HeaderValue,
    pub(super) session: Option<SecretString>,
    /// Milliseconds since the Unix epoch, as all `_ms` here.
    fixed_end_ms: u64,
    idle_end_ms: AtomicU64,
    idle_ms: u64,
    renew_at_ms: AtomicU64,
    fixed_margin_ms: u32,
    idle_margin_ms: u32,
    refused: AtomicBool,
}

impl CachedToken {
    /// A token whose exchange was sent at `sent_at`. `chance` in 0..1 spreads renewals.
    pub(super) fn issue(
        generation: u64,
        token: NewToken,
        lifetimes: &Lifetimes,
        sent_at: SystemTime,
        chance: f64,
    ) -> Self {
        let fixed = match token.expires_in {
            Some(given) if given < lifetimes.idle => given.min(lifetimes.absolute),
            _ => lifetimes.absolute,
        };
        let sent_at_ms = to_ms(sent_at);
        let margin = lifetimes.margin.min(fixed / MARGIN_SHARE_MIN);
        let usable = fixed.saturating_sub(margin);
        let jitter = REFRESH_SPREAD * (2.0 * chance - 1.0);
        let share = (lifetimes.refresh_ahead * (1.0 + jitter)).clamp(0.0, 1.0);
        Self {
            generation,
            header: token.header,
            session: token.session,
            fixed_end_ms: sent_at_ms.saturating_add(ms(fixed)),
            idle_end_ms: AtomicU64::new(sent_at_ms.saturating_add(ms(lifetimes.idle))),
            idle_ms: ms(lifetimes.idle),
            renew_at_ms: AtomicU64::new(sent_at_ms.saturating_add(ms(usable.mul_f64(share)))),
            fixed_margin_ms: short_ms(margin),
            idle_margin_ms: short_ms(lifetimes.margin.min(lifetimes.idle / MARGIN_SHARE_MIN) / 2),
            refused: AtomicBool::new(false),
        }
    }

    /// Whether a call may set out with it.
    ///
    /// The margin before the idle end is half of that before a fixed end: the idle end is counted
    /// from the *sending* of the last accepted call and KooDrive counts from its arrival, so it
    /// comes early by itself.
    pub(super) fn is_fresh(&self, now: SystemTime) -> bool {
        let now_ms = to_ms(now);
        !self.refused.load(Ordering::Acquire)
            && now_ms.saturating_add(self.fixed_margin_ms.into()) <= self.fixed_end_ms
            && now_ms.saturating_add(self.idle_margin_ms.into()) <= self.idle_end_ms()
    }

    /// Whether it is not known to be expired or refused: fit to serve when no newer one is to be
    /// obtained.
    pub(super) fn is_alive(&self, now: SystemTime) -> bool {
        let now_ms = to_ms(now);
        !self.refused.load(Ordering::Acquire)
            && now_ms < self.fixed_end_ms
            && now_ms < self.idle_end_ms()
    }

    /// Whether a call that uses it now should have it renewed meanwhile. Counts towards the fixed
    /// end only: the idle end moves away by itself with every accepted call.
    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        self.renew_at_ms.load(Ordering::Relaxed) <= to_ms(now)
    }

    /// Takes the renewal upon oneself: true for one of all who find it due, and for nobody else
    /// for a while, also when the renewal fails.
    pub(super) fn claim_renewal(&self, now: SystemTime) -> bool {
        let now_ms = to_ms(now);
        let due_ms = self.renew_at_ms.load(Ordering::Relaxed);
        let again_ms = now_ms.saturating_add(ms(RENEW_AGAIN_AFTER));
        due_ms <= now_ms
            && self
                .renew_at_ms
                .compare_exchange(due_ms, again_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// KooDrive accepted a call sent at `sent_at`: the idle life starts anew from there.
    pub(super) fn slide(&self, sent_at: SystemTime) {
        let end_ms = to_ms(sent_at).saturating_add(self.idle_ms);
        self.idle_end_ms.fetch_max(end_ms, Ordering::Relaxed);
    }

    /// KooDrive refused it: it is never sent again. False if that was known.
    pub(super) fn refuse(&self) -> bool {
        !self.refused.swap(true, Ordering::AcqRel)
    }

    fn idle_end_ms(&self) -> u64 {
        self.idle_end_ms.load(Ordering::Relaxed)
    }
}

/// At most `max_entries` tokens, the least recently used going first.
///
/// LRU and not moka's default, which may refuse to admit a newcomer and so make him pay for an
/// exchange on every call. The idle bound is housekeeping: twice the idle lifetime without a
/// look-up, and a token is long dead.
pub(super) fn bounded(max_entries: usize, idle: Duration) -> Cache<CacheKey, Arc<CachedToken>> {
    Cache::builder()
        .max_capacity(max_entries as u64)
        .eviction_policy(EvictionPolicy::lru())
        .time_to_idle(idle.saturating_mul(2).min(HOUSEKEEPING_MAX))
        .build()
}

fn to_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, ms)
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn short_ms(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// The margin is at most this part of a life: a token of one minute must not be stale at birth.
const MARGIN_SHARE_MIN: u32 = 4;
/// Renewals of tokens issued at one moment are spread by this part of the time to them, either
/// way.
const REFRESH_SPREAD: f64 = 0.125;
/// Between two attempts to renew one token ahead of need.
const RENEW_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// moka refuses bounds of more than a thousand years.
const HOUSEKEEPING_MAX: Duration = Duration::from_hours(24 * 365);
