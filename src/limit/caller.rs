//! The limits as one call of one caller meets them.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use super::bucket::{Buckets, FullAt, Quota};
use super::shared::{Answer, Ask, AskPause};
use super::throttle::{Sent, Throttling};
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

/// What the text of a standing takes, with numbers of usual length.
const STANDING_BYTES: usize = 96;

/// One caller before the limits, for the time of one call.
#[derive(Debug)]
pub struct CallerLimits {
    limiter: Limiter,
    caller: CallerId,
    decisions: Decisions,
    /// What was exceeded, but only observed, and not told yet.
    observed: Option<LimitExceeded>,
    /// Of each of [`RULES`], when its bucket will be full; `None` where none was asked yet.
    full_at: [Option<FullAt>; RULES.len()],
    /// Once the call may go out, as far as KooDrive's throttling is obeyed.
    sent: Option<Sent>,
}

impl CallerLimits {
    pub(super) fn new(limiter: Limiter, caller: CallerId) -> Self {
        Self {
            limiter,
            caller,
            decisions: Decisions::default(),
            observed: None,
            full_at: [None; RULES.len()],
            sent: None,
        }
    }

    /// Asks the rules that need no body: whether KooDrive throttles, which costs the caller nothing;
    /// then calls of this caller, and of all. A rule that refuses has already charged those before
    /// it.
    pub async fn admit_call(&mut self) -> Result<(), LimitExceeded> {
        let mut pause = AskPause::No;
        if self.limiter.obey_throttling {
            let stores = &self.limiter.stores;
            let looked = stores.throttle.look(stores.clock.monotonic());
            self.decide(&[Policy::Upstream], looked.map_err(paused))?;
            let enforce = self.limiter.mode == GuardMode::Enforce;
            pause = if enforce { AskPause::Obey } else { AskPause::Look };
        }
        let asked = match self.limiter.mode {
            GuardMode::Off => Ok(()),
            GuardMode::Enforce | GuardMode::Observe => self.charge([1, 1, 0], pause).await,
        };
        let rules: &[_] = match asked {
            Err(LimitExceeded { policy: Policy::Upstream, .. }) => &[Policy::Upstream],
            _ => &[Policy::Calls, Policy::Total],
        };
        self.decide(rules, asked)
    }

    /// Takes a place among the calls at KooDrive, unless it throttles by now; to be dropped when its
    /// answer has ended. After a pause, the first call here is the probe: all its body has arrived,
    /// so that no slow caller makes the others wait. `None` when there are no limits, or when they
    /// only observe and all places are taken.
    pub fn take_place(&mut self) -> Result<Option<Place>, LimitExceeded> {
        if self.limiter.mode == GuardMode::Off {
            return Ok(None);
        }
        let holder = Holder::Caller(self.caller.to_bytes());
        let exceeded = LimitExceeded { policy: Policy::Concurrent, retry_after: SECOND };
        let taken = self.limiter.stores.concurrent.try_take(holder).map_err(|_| exceeded);
        let place = self.decide(&[Policy::Concurrent], taken.map(Some))?;
        if self.limiter.obey_throttling {
            // Last: who is refused a place has not been the probe, nor had his turn.
            let stores = &self.limiter.stores;
            let entered = stores.throttle.enter(stores.clock.monotonic());
            self.sent = self.decide(&[Policy::Upstream], entered.map(Some).map_err(paused))?;
        }
        Ok(place)
    }

    /// Charges the users of a batch.
    pub async fn admit_users(&mut self, users: u32) -> Result<(), LimitExceeded> {
        let asked = match self.limiter.mode {
            GuardMode::Off => Ok(()),
            GuardMode::Enforce | GuardMode::Observe => {
                self.charge([0, 0, users], AskPause::No).await
            }
        };
        self.decide(&[Policy::Users], asked)
    }

    /// KooDrive throttled this call: calls are refused for as long as it asks, or for a while.
    pub fn throttled(&self, retry_after: Option<Duration>) {
        let Some(sent) = &self.sent else { return };
        let stores = &self.limiter.stores;
        let Some(throttling) = sent.throttled(retry_after, stores.clock.monotonic()) else {
            return;
        };
        let (Throttling::Begins(pause) | Throttling::Longer(pause)) = throttling;
        if let Throttling::Begins(_) = throttling {
            tracing::warn!(seconds = pause.lasts.as_secs(), "KooDrive throttles; preverify pauses");
        }
        if let Some(shared) = &stores.shared {
            let throttle = stores.throttle.clone();
            shared.tell(Some(pause), move || throttle.told());
        }
    }

    /// KooDrive served this call.
    pub fn served(&self) {
        let stores = &self.limiter.stores;
        let now = stores.clock.monotonic();
        if !self.sent.as_ref().is_some_and(|sent| sent.served(now)) {
            return;
        }
        tracing::info!("KooDrive serves again; preverify resumes step by step");
        if let Some(shared) = &stores.shared {
            shared.tell(None, || ());
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
        let now = stores.clock.monotonic();
        let [calls, total, users] = self.full_at;
        let calls = calls.unwrap_or_else(|| stores.calls.full_at(&self.caller)).after(now);
        let total = total.unwrap_or_else(|| stores.total.full_at(&())).after(now);
        let users = users.unwrap_or_else(|| stores.users.full_at(&self.caller)).after(now);
        let mut text = Vec::with_capacity(STANDING_BYTES);
        push_standing(&mut text, b"\"calls\";r=", stores.calls.quota().standing(calls));
        push_standing(&mut text, b", \"users\";r=", stores.users.quota().standing(users));
        push_standing(&mut text, b", \"total\";r=", stores.total.quota().standing(total));
        let limits = HeaderValue::from_maybe_shared(Bytes::from(text));
        let limits = limits.expect("names and numbers are ASCII");
        Some(Standing { policy: self.limiter.policy.clone(), limits })
    }

    async fn charge(&mut self, tokens: Tokens, pause: AskPause) -> Result<(), LimitExceeded> {
        let stores = Arc::clone(&self.limiter.stores);
        let answer = match &stores.shared {
            Some(shared) => shared.charge(&stores.asks(self.caller, tokens), pause).await,
            None => None,
        };
        let Some(Answer { pause: elsewhere, refused, until_full }) = answer else {
            return stores.charge(self.caller, tokens, &mut self.full_at);
        };
        let now = stores.clock.monotonic();
        let heard = elsewhere.map_or(Ok(()), |elsewhere| stores.throttle.hear(elsewhere, now));
        if let (Err(wait), AskPause::Obey) = (heard, pause) {
            self.full_at = until_full.map(|until| Some(FullAt::of(now + until)));
            return Err(paused(wait));
        }
        // What this process let through weighs on its own buckets too: when the store goes away,
        // nobody finds a full one.
        let passed = refused.map_or(RULES.len(), |(rule, _)| rule);
        let passed = std::array::from_fn(|rule| if rule < passed { tokens[rule] } else { 0 });
        // The shared buckets have decided; a local one that is emptier has no say.
        stores.charge(self.caller, passed, &mut self.full_at).unwrap_or_default();
        let now = stores.clock.monotonic();
        self.full_at = until_full.map(|until| Some(FullAt::of(now + until)));
        match refused {
            Some((rule, retry_after)) => Err(LimitExceeded { policy: RULES[rule], retry_after }),
            None => Ok(()),
        }
    }
}

/// Charges one bucket, and notes when it will be full. From whose bucket nothing is taken needs
/// none.
fn charged<K: Hash + Eq + Clone>(
    buckets: &Buckets<K>,
    key: &K,
    tokens: u32,
    full_at: &mut Option<FullAt>,
) -> Result<(), Duration> {
    if let Some(tokens) = NonZeroU32::new(tokens) {
        *full_at = Some(buckets.charge(key, tokens)?);
    }
    Ok(())
}

/// Tokens left, and seconds until the bucket is full.
fn push_standing(text: &mut Vec<u8>, rule: &[u8], (left, seconds): (u64, u64)) {
    let mut digits = itoa::Buffer::new();
    text.extend_from_slice(rule);
    text.extend_from_slice(digits.format(left).as_bytes());
    text.extend_from_slice(b";t=");
    text.extend_from_slice(digits.format(seconds).as_bytes());
}

fn paused(retry_after: Duration) -> LimitExceeded {
    LimitExceeded { policy: Policy::Upstream, retry_after }
}

impl Stores {
    /// Charges the buckets of this process until one refuses, and notes when each will be full.
    fn charge(
        &self,
        caller: CallerId,
        tokens: Tokens,
        full_at: &mut [Option<FullAt>; RULES.len()],
    ) -> Result<(), LimitExceeded> {
        let exceeded = |policy| move |retry_after| LimitExceeded { policy, retry_after };
        let [calls, total, users] = full_at;
        charged(&self.calls, &caller, tokens[0], calls).map_err(exceeded(Policy::Calls))?;
        charged(&self.total, &(), tokens[1], total).map_err(exceeded(Policy::Total))?;
        charged(&self.users, &caller, tokens[2], users).map_err(exceeded(Policy::Users))
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
