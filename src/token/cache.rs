//! Cached access tokens: how long they live, whether they may still be sent, when one is due for
//! renewal.
//!
//! moka only bounds how many there are. Their life is ours: it slides, ends early on a refusal,
//! and must follow a clock that tests can move. Knows nothing of how tokens are obtained.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use foldhash::fast::RandomState;
use http::HeaderValue;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use secrecy::{ExposeSecret as _, SecretString};

use super::key::CacheKey;
use crate::accept::CallerId;
use crate::clock::Moment;
use crate::config::ExpiresIn;

/// How long tokens live when their answer does not say less.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetimes {
    pub(super) idle: Duration,
    pub(super) absolute: Duration,
    pub(super) margin: Duration,
    pub(super) refresh_ahead: f64,
    /// What the answer's `expires_in` means.
    pub(super) expires_in: ExpiresIn,
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
    /// Whose it is; nobody's when it is the whole process's.
    pub(super) caller: Option<CallerId>,
    pub(super) header: HeaderValue,
    pub(super) session: Option<SecretString>,
    fixed_end: End,
    idle_end: End,
    /// Milliseconds, as all `_ms` here.
    idle_ms: u64,
    /// By the monotonic clock.
    renew_at_ms: AtomicU64,
    fixed_margin_ms: u32,
    idle_margin_ms: u32,
    refused: AtomicBool,
    /// It took the place of a refused one, and until then (monotonic) a refusal says nothing.
    proof_until_ms: u64,
}

/// An end by both clocks: it has come when either says so.
#[derive(Debug)]
struct End {
    /// Since the Unix epoch.
    wall_ms: AtomicU64,
    monotonic_ms: AtomicU64,
}

/// What a token is issued with besides what the endpoint gave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Issue<'a> {
    pub(super) generation: u64,
    pub(super) caller: Option<CallerId>,
    /// When the exchange was sent.
    pub(super) sent_at: Moment,
    /// For how long a refusal says nothing about it.
    pub(super) proof: Duration,
    pub(super) lifetimes: &'a Lifetimes,
    /// In 0..1, spreads renewals.
    pub(super) chance: f64,
}

impl CachedToken {
    /// What an access token of up to 1.4 KiB takes with its place in the cache, measured.
    pub(super) const BYTES: usize = 2 * 1024;
    /// Of these, what is neither the token nor its session.
    const PLACE_BYTES: usize = 640;

    /// In bytes. Short tokens count alike, so that their number is bounded as well.
    fn weight(&self) -> u32 {
        let session = self.session.as_ref().map_or(0, |session| session.expose_secret().len());
        let bytes = Self::PLACE_BYTES + self.header.len() + session;
        u32::try_from(bytes.max(Self::BYTES)).unwrap_or(u32::MAX)
    }

    pub(super) fn issue(token: NewToken, issue: &Issue<'_>) -> Self {
        let Lifetimes { absolute, margin, refresh_ahead, .. } = *issue.lifetimes;
        let (fixed, idle) = issue.lifetimes.of(token.expires_in);
        let fixed = fixed.min(absolute);
        let fixed_margin = margin.min(fixed / MARGIN_SHARE_MIN);
        let usable = fixed.saturating_sub(fixed_margin);
        let jitter = REFRESH_SPREAD * (2.0 * issue.chance - 1.0);
        let share = (refresh_ahead * (1.0 + jitter)).clamp(0.0, 1.0);
        let at = issue.sent_at.monotonic;
        Self {
            generation: issue.generation,
            caller: issue.caller,
            header: token.header,
            session: token.session,
            fixed_end: End::at(issue.sent_at, ms(fixed)),
            idle_end: End::at(issue.sent_at, ms(idle)),
            idle_ms: ms(idle),
            renew_at_ms: AtomicU64::new(ms(at.saturating_add(usable.mul_f64(share)))),
            fixed_margin_ms: short_ms(fixed_margin),
            idle_margin_ms: short_ms(margin.min(idle / MARGIN_SHARE_MIN) / 2),
            refused: AtomicBool::new(false),
            proof_until_ms: ms(at.saturating_add(issue.proof)),
        }
    }

    /// Whether a call may set out with it.
    ///
    /// The margin before the idle end is half of that before a fixed end: the idle end is counted
    /// from the *sending* of the last accepted call and KooDrive counts from its arrival, so it
    /// comes early by itself.
    pub(super) fn is_fresh(&self, now: Moment) -> bool {
        !self.is_refused()
            && !self.fixed_end.is_within(self.fixed_margin_ms, now)
            && !self.idle_end.is_within(self.idle_margin_ms, now)
    }

    /// Whether it is not known to be expired or refused: fit to serve when no newer one is to be
    /// obtained.
    pub(super) fn is_alive(&self, now: Moment) -> bool {
        !self.is_refused() && !self.fixed_end.has_come(now) && !self.idle_end.has_come(now)
    }

    /// Whether a call that uses it now should have it renewed meanwhile. Counts towards the fixed
    /// end only: the idle end moves away by itself with every accepted call.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.renew_at_ms.load(Ordering::Relaxed) <= ms(now.monotonic)
    }

    /// Takes the renewal upon oneself: true for one of all who find it due, and for nobody else
    /// for a while, also when the renewal fails.
    pub(super) fn claim_renewal(&self, now: Moment) -> bool {
        let now_ms = ms(now.monotonic);
        let due_ms = self.renew_at_ms.load(Ordering::Relaxed);
        let again_ms = now_ms.saturating_add(ms(RENEW_AGAIN_AFTER));
        due_ms <= now_ms
            && self
                .renew_at_ms
                .compare_exchange(due_ms, again_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// KooDrive accepted a call sent at `sent_at`: the idle life starts anew from there.
    pub(super) fn slide(&self, sent_at: Moment) {
        self.idle_end.move_to(sent_at, self.idle_ms);
    }

    /// KooDrive refused it: it is never sent again. False if that was known.
    pub(super) fn refuse(&self) -> bool {
        !self.refused.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Acquire)
    }

    /// Whether a refusal says nothing about it yet: see [`super::damping`].
    pub(super) fn is_unproved(&self, now: Moment) -> bool {
        ms(now.monotonic) < self.proof_until_ms
    }
}

impl Lifetimes {
    /// The fixed and the idle life of a token whose answer says `expires_in`.
    fn of(&self, expires_in: Option<Duration>) -> (Duration, Duration) {
        match (expires_in, self.expires_in) {
            (None, _) => (self.absolute, self.idle),
            (Some(given), ExpiresIn::Ends) => (given, self.idle),
            (Some(given), ExpiresIn::Slides) => (self.absolute, given),
        }
    }
}

impl End {
    fn at(start: Moment, after_ms: u64) -> Self {
        let (wall, monotonic) = ends_ms(start, after_ms);
        Self { wall_ms: AtomicU64::new(wall), monotonic_ms: AtomicU64::new(monotonic) }
    }

    /// Moves it to `after_ms` after `start`, but never back.
    fn move_to(&self, start: Moment, after_ms: u64) {
        let (wall, monotonic) = ends_ms(start, after_ms);
        self.wall_ms.fetch_max(wall, Ordering::Relaxed);
        self.monotonic_ms.fetch_max(monotonic, Ordering::Relaxed);
    }

    fn has_come(&self, now: Moment) -> bool {
        self.is_within(1, now)
    }

    /// Whether less than `margin_ms` is left.
    fn is_within(&self, margin_ms: u32, now: Moment) -> bool {
        let late = |now_ms: u64, end: &AtomicU64| {
            end.load(Ordering::Relaxed) < now_ms.saturating_add(margin_ms.into())
        };
        late(wall_ms(now), &self.wall_ms) || late(ms(now.monotonic), &self.monotonic_ms)
    }
}

fn ends_ms(start: Moment, after_ms: u64) -> (u64, u64) {
    (wall_ms(start).saturating_add(after_ms), ms(start.monotonic).saturating_add(after_ms))
}

/// The keys are digests: nobody makes many of them collide.
pub(super) type TokenCache = Cache<CacheKey, Arc<CachedToken>, RandomState>;

/// At most `max_entries` tokens of up to [`CachedToken::BYTES`], or fewer longer ones, the least
/// recently used going first.
///
/// LRU and not moka's default, which may refuse to admit a newcomer and so make him pay for an
/// exchange on every call. The idle bound is housekeeping: twice the idle lifetime without a
/// look-up, and a token is long dead.
pub(super) fn bounded(max_entries: usize, idle: Duration) -> TokenCache {
    Cache::builder()
        .max_capacity((max_entries as u64).saturating_mul(CachedToken::BYTES as u64))
        .weigher(|_, token: &Arc<CachedToken>| token.weight())
        .eviction_policy(EvictionPolicy::lru())
        .time_to_idle(idle.saturating_mul(2).min(HOUSEKEEPING_MAX))
        .build_with_hasher(RandomState::default())
}

fn wall_ms(moment: Moment) -> u64 {
    moment.wall.duration_since(UNIX_EPOCH).map_or(0, ms)
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
