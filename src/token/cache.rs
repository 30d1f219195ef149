//! Cached access tokens: whose they are, how long they live, whether they may still be sent.
//!
//! moka only bounds how many there are. Their life is ours: it slides, ends early on a refusal,
//! and must follow a clock that tests can move. Knows nothing of how tokens are had.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use http::HeaderValue;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use secrecy::SecretString;

use crate::accept::{Accepted, Identity};
use crate::config::TokenConfig;

/// Whose token it is, had how: a digest, so that neither a secret nor a subject is a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CacheKey([u8; 32]);

impl CacheKey {
    /// The key of one caller. `claims` are the names that make callers distinct; an absent claim
    /// differs from every present one.
    pub(super) fn of_caller(setup: &SetupDigest, identity: &Identity, claims: &[String]) -> Self {
        let mut fields = Fields::begin();
        fields.add(&setup.0);
        fields.add(identity.issuer.as_bytes());
        fields.add(identity.subject.as_bytes());
        for name in claims {
            fields.add(name.as_bytes());
            match identity.claims.get(name) {
                Some(value) => fields.add(value.to_string().as_bytes()),
                None => fields.add(&[]),
            }
        }
        Self(fields.finish())
    }

    /// The one key of methods whose token belongs to the process.
    pub(super) fn of_process(setup: &SetupDigest) -> Self {
        let mut fields = Fields::begin();
        fields.add(&setup.0);
        Self(fields.finish())
    }
}

/// Digest of everything that decides which token a caller gets: a token had under another
/// endpoint, method or client is unreachable. Secrets and lifetimes are not part of it, so that
/// their change costs no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SetupDigest([u8; 32]);

impl SetupDigest {
    pub(super) fn of(config: &TokenConfig) -> Self {
        let mut fields = Fields::begin();
        let custom = serde_json::to_vec(&config.custom).unwrap_or_default();
        for field in [
            format!("{:?}", config.method).as_bytes(),
            config.endpoint.as_ref().map_or("", |endpoint| endpoint.as_str()).as_bytes(),
            config.client_id.as_bytes(),
            config.subject_token_type.as_bytes(),
            config.audience.as_bytes(),
            config.resource.as_bytes(),
            config.scope.as_bytes(),
            config.scheme.as_bytes(),
            config.carrier.account.as_bytes(),
            config.carrier.agent_name.as_bytes(),
            &custom,
        ] {
            fields.add(field);
        }
        for claim in &config.cache_claims {
            fields.add(claim.as_bytes());
        }
        Self(fields.finish())
    }
}

impl SetupDigest {
    /// Enough of it to tell two configurations of one process apart.
    pub(super) fn mark(&self) -> u64 {
        let mut mark = [0; 8];
        mark.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(mark)
    }
}

/// SHA-256 over length-prefixed fields: "a" + "bc" differs from "ab" + "c".
struct Fields(digest::Context);

impl Fields {
    fn begin() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    fn add(&mut self, field: &[u8]) {
        self.0.update(&(field.len() as u64).to_be_bytes());
        self.0.update(field);
    }

    fn finish(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.finish().as_ref());
        bytes
    }
}

/// How long tokens live when their answer does not say less.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetimes {
    pub(super) idle: Duration,
    pub(super) absolute: Duration,
    pub(super) margin: Duration,
    pub(super) refresh_ahead: f64,
}

/// What KooDrive gave, before it is cached.
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
#[derive(Debug)]
pub(super) struct CachedToken {
    pub(super) key: CacheKey,
    /// [`SetupDigest::mark`] of the configuration it was had under.
    pub(super) setup: u64,
    /// Number of this token among all the process ever had.
    pub(super) generation: u64,
    pub(super) header: HeaderValue,
    pub(super) session: Option<SecretString>,
    /// Milliseconds since the Unix epoch, as all `_ms` here.
    fixed_end_ms: u64,
    idle_end_ms: AtomicU64,
    idle_ms: u64,
    refresh_at_ms: u64,
    fixed_margin_ms: u32,
    idle_margin_ms: u32,
    refused: AtomicBool,
    /// The last caller seen in the time that decides about renewal ahead of need. Boxed: most
    /// tokens never have one, and there may be a hundred thousand of them.
    active: Mutex<Option<Box<Accepted>>>,
}

impl CachedToken {
    /// A token whose exchange was sent at `sent_at`. `chance` in 0..1 spreads renewals.
    pub(super) fn issue(
        key: CacheKey,
        setup: u64,
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
            key,
            setup,
            generation,
            header: token.header,
            session: token.session,
            fixed_end_ms: sent_at_ms.saturating_add(ms(fixed)),
            idle_end_ms: AtomicU64::new(sent_at_ms.saturating_add(ms(lifetimes.idle))),
            idle_ms: ms(lifetimes.idle),
            fixed_margin_ms: short_ms(margin),
            idle_margin_ms: short_ms(lifetimes.margin.min(lifetimes.idle / MARGIN_SHARE_MIN) / 2),
            refused: AtomicBool::new(false),
            refresh_at_ms: sent_at_ms.saturating_add(ms(usable.mul_f64(share))),
            active: Mutex::new(None),
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

    /// Whether it is not known to be expired or refused: fit to serve when no newer one can be had.
    pub(super) fn is_alive(&self, now: SystemTime) -> bool {
        let now_ms = to_ms(now);
        !self.refused.load(Ordering::Acquire)
            && now_ms < self.fixed_end_ms
            && now_ms < self.idle_end_ms()
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

    /// Notes a caller who uses it, if that decides about its renewal. True when the first of them
    /// makes the renewal due at [`CachedToken::refresh_at`].
    ///
    /// Earlier uses need no note: a token unused for the whole idle lifetime before its renewal
    /// is dead by then. So most tokens hold on to nobody's SSO token.
    pub(super) fn touch(&self, caller: &Accepted, now: SystemTime) -> bool {
        if to_ms(now) < self.refresh_at_ms.saturating_sub(self.idle_ms) {
            return false;
        }
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        match &*active {
            Some(kept) if Arc::ptr_eq(&kept.sso_token, &caller.sso_token) => false,
            Some(kept) if caller.identity.expires_at < kept.identity.expires_at => false,
            Some(_) => {
                *active = Some(Box::new(caller.clone()));
                false
            }
            None => {
                *active = Some(Box::new(caller.clone()));
                true
            }
        }
    }

    /// The last active caller, who is then forgotten.
    pub(super) fn take_active(&self) -> Option<Box<Accepted>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Puts a caller back after a renewal that failed for now.
    pub(super) fn put_back_active(&self, caller: Box<Accepted>) {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(caller);
    }

    /// When it is to be renewed ahead of need. Counts towards the fixed end only: the idle end
    /// moves away by itself with every accepted call, and without calls nobody needs the token.
    pub(super) fn refresh_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.refresh_at_ms)
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
/// moka refuses bounds of more than a thousand years.
const HOUSEKEEPING_MAX: Duration = Duration::from_hours(24 * 365);
