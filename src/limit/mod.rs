//! Limits preverify calls: per caller, per caller by batch length, and for the whole process.
//!
//! Rates, and the pauses while KooDrive throttles, live in this process, or in a store that replicas
//! share; concurrency is always local.
//! Knows callers only as digests. Knows nothing of statuses or headers of the call itself.

mod bucket;
mod caller;
mod shared;
mod throttle;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue};

use self::bucket::{Buckets, Quota};
pub use self::caller::CallerLimits;
use self::shared::{Access, Shared};
pub use self::shared::{StoreNews, StoreReport};
use self::throttle::Throttle;
use crate::accept::CallerId;
use crate::clock::Clock;
use crate::config::{GuardMode, LimitConfig};
use crate::lifecycle::Tasks;
use crate::places::Places;
use crate::words::words;

pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

const MINUTE: Duration = Duration::from_mins(1);
const SECOND: Duration = Duration::from_secs(1);

words! {
    /// The rules, in the order in which they are asked.
    pub enum Policy {
        /// KooDrive's own: whether it throttles. Asked again before a call goes out.
        Upstream = "upstream",
        /// Calls of one caller.
        Calls = "calls",
        /// Calls of the whole process.
        Total = "total",
        /// Preverify calls at KooDrive at once, whole process.
        Concurrent = "concurrent",
        /// Users in the batches of one caller.
        Users = "users",
    }
}

words! {
    /// What one rule said.
    pub enum Decision {
        Allowed = "allowed",
        Refused = "refused",
        /// Would have been refused; `limit.mode = "observe"`.
        Observed = "observed",
    }
}

/// What the rules said of one call. A rule that was not asked has said nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decisions([Option<Decision>; Policy::ALL.len()]);

impl Decisions {
    /// The last word of a rule counts.
    pub fn note(&mut self, policy: Policy, decision: Decision) {
        self.0[policy as usize] = Some(decision);
    }

    /// The rules that were asked, with what they said.
    pub fn iter(self) -> impl Iterator<Item = (Policy, Decision)> {
        let decided = Policy::ALL.iter().zip(self.0);
        decided.filter_map(|(policy, decision)| Some((*policy, decision?)))
    }
}

/// One call, or one batch, too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("over the limit `{}`", policy.as_str())]
pub struct LimitExceeded {
    pub policy: Policy,
    /// After this time the same call passes, if nothing else was charged meanwhile.
    pub retry_after: Duration,
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
pub struct LimitStores {
    clock: Clock,
    tasks: Tasks,
    report: StoreReport,
    current: ArcSwap<Stores>,
}

#[derive(Clone, Debug)]
struct Stores {
    calls: Arc<Buckets<CallerId>>,
    users: Arc<Buckets<CallerId>>,
    total: Arc<Buckets<()>>,
    concurrent: Places,
    throttle: Throttle,
    shared: Option<Shared>,
    clock: Clock,
}

impl LimitStores {
    /// A shared store is connected to in the background, within a Tokio runtime.
    pub fn new(config: &LimitConfig, clock: Clock, tasks: Tasks, report: StoreReport) -> Self {
        let mut stores = Stores::new(config, &clock);
        let access = Access::from_config(config);
        stores.shared = Shared::open(access, clock.clone(), tasks.clone(), Arc::clone(&report));
        Self { clock, tasks, report, current: ArcSwap::from_pointee(stores) }
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
        new.concurrent = old.concurrent.clone();
        new.concurrent.resize(config.concurrent.get() as usize);
        new.throttle = old.throttle.clone();
        let access = Access::from_config(config);
        new.shared = match &old.shared {
            Some(shared) if *shared.access() == access => Some(shared.clone()),
            _ => {
                let (clock, tasks) = (self.clock.clone(), self.tasks.clone());
                Shared::open(access, clock, tasks, Arc::clone(&self.report))
            }
        };
        let new = Arc::new(new);
        self.current.store(Arc::clone(&new));
        new
    }

    /// Callers with a bucket of their own.
    pub fn tracked_callers(&self) -> usize {
        self.current.load().calls.len()
    }

    /// Preverify calls at KooDrive now, and how many there may be.
    pub fn concurrent(&self) -> (usize, usize) {
        self.current.load().concurrent.taken()
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
            concurrent: Places::new("preverify calls", config.concurrent.get() as usize),
            throttle: Throttle::default(),
            shared: None,
            clock: clock.clone(),
        }
    }
}

/// The limits under one configuration.
#[derive(Clone, Debug)]
pub struct Limiter {
    mode: GuardMode,
    /// Whether KooDrive is left alone while it throttles.
    obey_throttling: bool,
    stores: Arc<Stores>,
    policy: HeaderValue,
}

impl Limiter {
    pub fn new(config: &LimitConfig, stores: &LimitStores) -> Self {
        let stores = stores.apply(config);
        let rule = |policy: Policy, quota: &Quota| {
            format!("\"{}\";q={};w={}", policy.as_str(), quota.burst(), quota.window_seconds())
        };
        let policy = [
            rule(Policy::Calls, stores.calls.quota()),
            rule(Policy::Users, stores.users.quota()),
            rule(Policy::Total, stores.total.quota()),
        ]
        .join(", ");
        let policy = HeaderValue::try_from(policy).expect("names and numbers are ASCII");
        let obey_throttling = config.obey_throttling && config.mode != GuardMode::Off;
        Self { mode: config.mode, obey_throttling, stores, policy }
    }

    /// The limits as this caller meets them.
    pub fn for_caller(&self, caller: CallerId) -> CallerLimits {
        CallerLimits::new(self.clone(), caller)
    }
}

impl std::fmt::Debug for LimitStores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LimitStores").field("current", &self.current).finish_non_exhaustive()
    }
}
