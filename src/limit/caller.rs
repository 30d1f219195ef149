//! The limits as one call of one caller meets them.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::bucket::Quota;
use super::shared::{Answer, Ask};
use super::throttle::Sent;
use super::{
    Decision, Decisions, LimitExceeded, Limiter, Policy, SECOND, Standing, Stores, shared,
};
use crate::accept::CallerId;
use crate::config::GuardMode;
use crate::places::{Holder, Place};

/// The rules with buckets, in the order in which they are asked.
const RULES: [Policy; 3] = [Policy::Calls, Policy::Total, Policy::Users];

/// What each of [`RULES`] is charged.
type Tokens = [u32; RULES.len()];

/// One caller before the limits, for the time of one call.
#[derive(Debug)]
pub struct CallerLimits {
    limiter: Limiter,
    caller: CallerId,
    decisions: Decisions,
    /// What was exceeded, but only observed, and not told yet.
    observed: Option<LimitExceeded>,
    /// What the shared buckets said last; `None` when the local ones decided.
    shared: Option<SharedStanding>,
    /// Once the call may go out, as far as KooDrive's throttling is obeyed.
    sent: Option<Sent>,
}

#[derive(Clone, Copy, Debug)]
struct SharedStanding {
    until_full: [Duration; RULES.len()],
    at: Duration,
}

impl CallerLimits {
    pub(super) fn new(limiter: Limiter, caller: CallerId) -> Self {
        Self {
            limiter,
            caller,
            decisions: Decisions::default(),
            observed: None,
            shared: None,
            sent: None,
        }
    }

    /// Asks the rules that need no body: whether KooDrive throttles, which costs the caller nothing;
    /// then calls of this caller, and of all. A rule that refuses has already charged those before
    /// it.
    pub async fn admit_call(&mut self) -> Result<(), LimitExceeded> {
        if self.limiter.obey_throttling {
            let stores = &self.limiter.stores;
            let looked = stores.throttle.look(stores.clock.monotonic());
            self.decide(&[Policy::Upstream], looked.map_err(paused))?;
        }
        let asked = match self.limiter.mode {
            GuardMode::Off => Ok(()),
            GuardMode::Enforce | GuardMode::Observe => self.charge([1, 1, 0]).await,
        };
        self.decide(&[Policy::Calls, Policy::Total], asked)
    }

    /// Takes a place among the calls at KooDrive, unless it throttles by now; to be dropped when its
    /// answer has ended. After a pause, the first call here is the probe: all its body has arrived,
    /// so that no slow caller makes the others wait. `None` when there are no limits, or when they only observe and all places are taken.
    pub fn take_place(&mut self) -> Result<Option<Place>, LimitExceeded> {
        if self.limiter.mode == GuardMode::Off {
            return Ok(None);
        }
        if self.limiter.obey_throttling {
            let stores = &self.limiter.stores;
            let entered = stores.throttle.enter(stores.clock.monotonic());
            self.sent = self.decide(&[Policy::Upstream], entered.map(Some).map_err(paused))?;
        }
        let holder = Holder::Caller(self.caller.to_bytes());
        let exceeded = LimitExceeded { policy: Policy::Concurrent, retry_after: SECOND };
        let taken = self.limiter.stores.concurrent.try_take(holder).map_err(|_| exceeded);
        self.decide(&[Policy::Concurrent], taken.map(Some))
    }

    /// Charges the users of a batch.
    pub async fn admit_users(&mut self, users: u32) -> Result<(), LimitExceeded> {
        let asked = match self.limiter.mode {
            GuardMode::Off => Ok(()),
            GuardMode::Enforce | GuardMode::Observe => self.charge([0, 0, users]).await,
        };
        self.decide(&[Policy::Users], asked)
    }

    /// KooDrive throttled this call: calls are refused for as long as it asks, or for a while.
    pub fn throttled(&self, retry_after: Option<Duration>) {
        let Some(sent) = &self.sent else { return };
        if let Some(pause) = sent.throttled(retry_after, self.limiter.stores.clock.monotonic()) {
            tracing::warn!(seconds = pause.as_secs(), "KooDrive throttles; preverify pauses");
        }
    }

    /// KooDrive served this call.
    pub fn served(&self) {
        if self.sent.as_ref().is_some_and(Sent::served) {
            tracing::info!("KooDrive throttles no more");
        }
    }

    /// What the rules have said so far.
    pub fn decisions(&self) -> Decisions {
        self.decisions
    }

    /// What the last question would have been refused with, if limits did not only observe. Told
    /// once.
    pub fn take_observed(&mut self) -> Option<LimitExceeded> {
        self.observed.take()
    }

    /// Notes what each of `rules` said, asked in this order until one was exceeded. Where limits
    /// only observe, an exceeded one refuses nothing, and nothing is held for the call.
    fn decide<T: Default>(
        &mut self,
        rules: &[Policy],
        asked: Result<T, LimitExceeded>,
    ) -> Result<T, LimitExceeded> {
        let enforce = self.limiter.mode == GuardMode::Enforce;
        let exceeded = asked.as_ref().err().map(|exceeded| exceeded.policy);
        for policy in rules {
            let over = exceeded == Some(*policy);
            let decision = match (over, enforce) {
                (false, _) => Decision::Allowed,
                (true, true) => Decision::Refused,
                (true, false) => Decision::Observed,
            };
            self.decisions.note(*policy, decision);
            if over {
                break;
            }
        }
        if enforce {
            return asked;
        }
        Ok(asked.unwrap_or_else(|exceeded| {
            self.observed = Some(exceeded);
            T::default()
        }))
    }

    /// What is left for this caller; `None` when there are no limits.
    pub fn standing(&self) -> Option<Standing> {
        if self.limiter.mode == GuardMode::Off {
            return None;
        }
        let stores = &self.limiter.stores;
        let [calls, total, users] = match &self.shared {
            Some(shared) => {
                let passed = stores.clock.monotonic().saturating_sub(shared.at);
                let missing = shared.until_full.map(|until| until.saturating_sub(passed));
                let quotas = stores.quotas();
                std::array::from_fn(|at| quotas[at].standing(missing[at]))
            }
            None => [
                stores.calls.standing(&self.caller),
                stores.total.standing(&()),
                stores.users.standing(&self.caller),
            ],
        };
        let limits = format!(
            "\"calls\";r={};t={}, \"users\";r={};t={}, \"total\";r={};t={}",
            calls.0, calls.1, users.0, users.1, total.0, total.1,
        );
        let limits = HeaderValue::try_from(limits).expect("names and numbers are ASCII");
        Some(Standing { policy: self.limiter.policy.clone(), limits })
    }

    async fn charge(&mut self, tokens: Tokens) -> Result<(), LimitExceeded> {
        let stores = Arc::clone(&self.limiter.stores);
        self.shared = None;
        let answer = match &stores.shared {
            Some(shared) => shared.charge(&stores.asks(self.caller, tokens)).await,
            None => None,
        };
        let Some(Answer { refused, until_full }) = answer else {
            return stores.charge(self.caller, tokens);
        };
        self.shared = Some(SharedStanding { until_full, at: stores.clock.monotonic() });
        // What this process let through weighs on its own buckets too: when the store goes away,
        // nobody finds a full one.
        let passed = refused.map_or(RULES.len(), |(rule, _)| rule);
        let passed = std::array::from_fn(|rule| if rule < passed { tokens[rule] } else { 0 });
        // The shared buckets have decided; a local one that is emptier has no say.
        stores.charge(self.caller, passed).unwrap_or_default();
        match refused {
            Some((rule, retry_after)) => Err(LimitExceeded { policy: RULES[rule], retry_after }),
            None => Ok(()),
        }
    }
}

fn paused(retry_after: Duration) -> LimitExceeded {
    LimitExceeded { policy: Policy::Upstream, retry_after }
}

impl Stores {
    /// Charges the buckets of this process until one refuses.
    fn charge(&self, caller: CallerId, tokens: Tokens) -> Result<(), LimitExceeded> {
        let exceeded = |policy| move |retry_after| LimitExceeded { policy, retry_after };
        let [calls, total, users] = tokens;
        self.calls.charge(&caller, calls).map_err(exceeded(Policy::Calls))?;
        self.total.charge(&(), total).map_err(exceeded(Policy::Total))?;
        self.users.charge(&caller, users).map_err(exceeded(Policy::Users))
    }

    fn quotas(&self) -> [Quota; RULES.len()] {
        [*self.calls.quota(), *self.total.quota(), *self.users.quota()]
    }

    /// The rule's numbers are part of a bucket's name: others make another bucket.
    fn asks(&self, caller: CallerId, tokens: Tokens) -> [Ask; RULES.len()] {
        let quotas = self.quotas();
        std::array::from_fn(|at| {
            let (policy, quota) = (RULES[at], quotas[at]);
            let per_token = shared::micros(quota.per_token());
            let rule = format!("{}:{per_token}:{}", policy.as_str(), quota.burst());
            let key = match policy {
                Policy::Calls | Policy::Users => shared::key(&format!("{rule}:{caller}")),
                Policy::Total | Policy::Concurrent | Policy::Upstream => shared::key(&rule),
            };
            Ask { key, quota, tokens: tokens[at] }
        })
    }
}
