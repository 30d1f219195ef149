//! Limits preverify calls: per caller, per caller by batch length, and for the whole process.
//!
//! Knows callers only as digests. Knows nothing of statuses or headers of the call itself.

mod bucket;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderName;
use http::HeaderValue;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use self::bucket::Buckets;
use self::bucket::Quota;
use crate::accept::CallerId;
use crate::clock::Clock;
use crate::config::GuardMode;
use crate::config::LimitConfig;

pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

const MINUTE: Duration = Duration::from_mins(1);
const SECOND: Duration = Duration::from_secs(1);

/// The rules, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Calls of one caller.
    Calls,
    /// Calls of the whole process.
    Total,
    /// Preverify calls in flight, whole process.
    Concurrent,
    /// Users in the batches of one caller.
    Users,
}

impl Policy {
    pub fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Total => "total",
            Self::Concurrent => "concurrent",
            Self::Users => "users",
        }
    }
}

/// One call, or one batch, too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("over the limit `{}`", policy.name())]
pub struct LimitExceeded {
    pub policy: Policy,
    /// After this time the same call passes, if nothing else was charged meanwhile.
    pub retry_after: Duration,
}

/// A call that was let through. Dropping it frees its place among the concurrent ones.
#[derive(Debug)]
pub struct Admission {
    _permit: Option<OwnedSemaphorePermit>,
    /// The rule that would have refused the call, when the limits only observe.
    pub observed: Option<LimitExceeded>,
}

/// What a caller may still do, as header values (draft-ietf-httpapi-ratelimit-headers).
#[derive(Clone, Debug)]
pub struct Standing {
    /// `RateLimit-Policy`: what the rules are.
    pub policy: HeaderValue,
    /// `RateLimit`: what is left of them.
    pub limits: HeaderValue,
}

/// Buckets that survive reloads as long as their numbers stay.
#[derive(Debug)]
pub struct LimitStores {
    clock: Clock,
    current: ArcSwap<Stores>,
}

#[derive(Clone, Debug)]
struct Stores {
    calls: Arc<Buckets<CallerId>>,
    users: Arc<Buckets<CallerId>>,
    total: Arc<Buckets<()>>,
    concurrent: Arc<Semaphore>,
    concurrent_max: u32,
}

impl LimitStores {
    pub fn new(config: &LimitConfig, clock: Clock) -> Self {
        let stores = Stores::new(config, &clock);
        Self { clock, current: ArcSwap::from_pointee(stores) }
    }

    /// Takes over new numbers; buckets whose numbers did not change keep what they hold.
    fn apply(&self, config: &LimitConfig) -> Arc<Stores> {
        let old = self.current.load_full();
        let mut new = Stores::new(config, &self.clock);
        if old.calls.same_rule(&new.calls) {
            new.calls = Arc::clone(&old.calls);
        }
        if old.users.same_rule(&new.users) {
            new.users = Arc::clone(&old.users);
        }
        if old.total.same_rule(&new.total) {
            new.total = Arc::clone(&old.total);
        }
        if old.concurrent_max == new.concurrent_max {
            new.concurrent = Arc::clone(&old.concurrent);
        }
        let new = Arc::new(new);
        self.current.store(Arc::clone(&new));
        new
    }

    /// Callers with a bucket of their own.
    pub fn tracked_callers(&self) -> usize {
        self.current.load().calls.len()
    }

    /// Forgets callers whose buckets are full again. To be called now and then.
    pub fn sweep(&self) {
        let stores = self.current.load_full();
        stores.calls.sweep();
        stores.users.sweep();
    }
}

impl Stores {
    fn new(config: &LimitConfig, clock: &Clock) -> Self {
        let callers_max = config.max_tracked_callers;
        let calls = Quota::new(config.calls_per_minute, MINUTE, config.calls_burst);
        let users = Quota::new(config.users_per_minute, MINUTE, config.users_burst);
        let total = Quota::new(config.total_calls_per_second, SECOND, config.total_burst);
        Self {
            calls: Arc::new(Buckets::new(calls, callers_max, clock.clone())),
            users: Arc::new(Buckets::new(users, callers_max, clock.clone())),
            total: Arc::new(Buckets::new(total, 1, clock.clone())),
            concurrent: Arc::new(Semaphore::new(config.concurrent.get() as usize)),
            concurrent_max: config.concurrent.get(),
        }
    }
}

/// The limits under one configuration.
#[derive(Clone, Debug)]
pub struct Limiter {
    mode: GuardMode,
    stores: Arc<Stores>,
    policy: HeaderValue,
}

impl Limiter {
    pub fn new(config: &LimitConfig, stores: &LimitStores) -> Self {
        let stores = stores.apply(config);
        let rule = |policy: Policy, quota: &Quota| {
            format!("\"{}\";q={};w={}", policy.name(), quota.burst(), quota.window_seconds())
        };
        let policy = [
            rule(Policy::Calls, stores.calls.quota()),
            rule(Policy::Users, stores.users.quota()),
            rule(Policy::Total, stores.total.quota()),
        ]
        .join(", ");
        let policy = HeaderValue::try_from(policy).expect("names and numbers are ASCII");
        Self { mode: config.mode, stores, policy }
    }

    /// Asks the rules that need no body: calls of this caller, then of all, then those in flight.
    pub fn admit_call(&self, caller: CallerId) -> Result<Admission, LimitExceeded> {
        if self.mode == GuardMode::Off {
            return Ok(Admission { _permit: None, observed: None });
        }
        let charged = self
            .stores
            .calls
            .charge(&caller, 1)
            .map_err(|wait| exceeded(Policy::Calls, wait))
            .and_then(|()| {
                self.stores.total.charge(&(), 1).map_err(|wait| exceeded(Policy::Total, wait))
            })
            .and_then(|()| {
                Arc::clone(&self.stores.concurrent)
                    .try_acquire_owned()
                    .map_err(|_| exceeded(Policy::Concurrent, SECOND))
            });
        match (charged, self.mode) {
            (Ok(permit), _) => Ok(Admission { _permit: Some(permit), observed: None }),
            (Err(exceeded), GuardMode::Enforce) => Err(exceeded),
            (Err(exceeded), _) => Ok(Admission { _permit: None, observed: Some(exceeded) }),
        }
    }

    /// Charges the users of a batch. `Ok(Some(_))`: over the limit, but only observed.
    pub fn admit_users(
        &self,
        caller: CallerId,
        users: u32,
    ) -> Result<Option<LimitExceeded>, LimitExceeded> {
        if self.mode == GuardMode::Off {
            return Ok(None);
        }
        match (self.stores.users.charge(&caller, users), self.mode) {
            (Ok(()), _) => Ok(None),
            (Err(wait), GuardMode::Enforce) => Err(exceeded(Policy::Users, wait)),
            (Err(wait), _) => Ok(Some(exceeded(Policy::Users, wait))),
        }
    }

    /// What is left for this caller; `None` when there are no limits.
    pub fn standing(&self, caller: CallerId) -> Option<Standing> {
        if self.mode == GuardMode::Off {
            return None;
        }
        let calls = self.stores.calls.standing(&caller);
        let users = self.stores.users.standing(&caller);
        let total = self.stores.total.standing(&());
        let limits = format!(
            "\"calls\";r={};t={}, \"users\";r={};t={}, \"total\";r={};t={}",
            calls.0, calls.1, users.0, users.1, total.0, total.1,
        );
        let limits = HeaderValue::try_from(limits).expect("names and numbers are ASCII");
        Some(Standing { policy: self.policy.clone(), limits })
    }
}

fn exceeded(policy: Policy, wait: Duration) -> LimitExceeded {
    LimitExceeded { policy, retry_after: wait }
}

#[cfg(test)]
mod tests;
