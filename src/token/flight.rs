//! Flights: one exchange per key, however many calls wait for it.
//!
//! Whoever asks first leads a flight and waits like everyone else; the exchange itself runs
//! detached, so that a hang-up costs nobody anything. All who wait get the same outcome, failures
//! too, and a failure is remembered for a moment, so that a thousand callers do not try one after
//! the other. A denial speaks of the SSO token that was shown: it is remembered for that one, and
//! whoever waited with another is not told it. Knows nothing of what is exchanged.
//!
//! ```text
//!             join_or_lead                      leader ends it
//!  nobody ────────────────▶ under way ──┬── token ───▶ nobody (the token is in the cache)
//!     ▲     Led             │  ▲        ├── failure ─▶ remembered ──┐ join_or_lead: Failed
//!     │                     └──┘        └── dropped ─▶ nobody       │
//!     │                  Joined: waits     (lost: all who wait fail)│
//!     └──────────────────────────── its time is over ◀──────────────┘
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::cache::CachedToken;
use super::error::TokenError;
use super::key::{CacheKey, SsoDigest};
use crate::accept::CallerId;
use crate::trace_context::SpanContext;

/// How a flight ended.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) result: Result<Arc<CachedToken>, TokenError>,
    /// What the leader did for it.
    pub(super) work: Work,
}

/// What a leader did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Nothing: another flight had ended just before.
    Found,
    /// Exchanged for a caller who had no token.
    First,
    /// Exchanged for a caller whose token was refused or past its time.
    Renewal,
}

/// All flights under way, and the failures remembered. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Flights {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    under_way: HashMap<CacheKey, UnderWay>,
    failures: HashMap<FailureKey, Failure>,
}

#[derive(Debug)]
struct UnderWay {
    waiter: Waiter,
    caller: CallerId,
}

/// A denial is that of one SSO token, any other failure that of the key.
type FailureKey = (CacheKey, Option<SsoDigest>);

#[derive(Debug)]
struct Failure {
    until: Duration,
    error: TokenError,
    caller: CallerId,
}

/// Who wants the token of a key, and what is shown for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claimant {
    pub(super) key: CacheKey,
    pub(super) caller: CallerId,
    pub(super) sso: SsoDigest,
}

/// What a caller without a fresh token finds.
#[derive(Debug)]
pub(super) enum Flight {
    /// The last attempt for this key failed a moment ago.
    Failed(TokenError),
    /// Somebody leads already.
    Joined(Waiter),
    /// Nobody did: run the exchange, end the flight, and the waiter learns the outcome.
    Led(Waiter, Leader),
}

/// Waits for an outcome.
#[derive(Clone, Debug)]
pub(super) struct Waiter {
    /// The exchange waited for.
    pub(super) span: SpanContext,
    /// The SSO token it shows.
    pub(super) sso: SsoDigest,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// The duty to end a flight. Dropped without, it ends as lost, so that nobody waits for ever.
#[derive(Debug)]
pub(super) struct Leader {
    flights: Flights,
    pub(super) claimant: Claimant,
    pub(super) span: SpanContext,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Flights {
    /// Joins the flight of the claimant's key, or starts one whose exchange is `span()`.
    /// `now` is monotonic time.
    pub(super) fn join_or_lead(
        &self,
        claimant: Claimant,
        now: Duration,
        span: impl FnOnce() -> SpanContext,
    ) -> Flight {
        let Claimant { key, caller, sso } = claimant;
        let mut state = self.lock();
        for remembered in [(key, Some(sso)), (key, None)] {
            match state.failures.get(&remembered) {
                Some(failure) if now < failure.until => {
                    let left = failure.until.saturating_sub(now);
                    return Flight::Failed(failure.error.after_waiting(left));
                }
                Some(_) => drop(state.failures.remove(&remembered)),
                None => {}
            }
        }
        if let Some(flight) = state.under_way.get(&key) {
            return Flight::Joined(flight.waiter.clone());
        }
        let span = span();
        let (sender, outcome) = watch::channel(None);
        let waiter = Waiter { span, sso, outcome };
        state.under_way.insert(key, UnderWay { waiter: waiter.clone(), caller });
        Flight::Led(waiter, Leader { flights: self.clone(), claimant, span, outcome: sender })
    }

    /// Forgets the failures of the callers that `who` names, and how many; flights of theirs that
    /// are under way end unseen by newcomers, and leave no token.
    pub(super) fn forget(&self, who: impl Fn(&CallerId) -> bool) -> usize {
        let mut state = self.lock();
        let before = state.failures.len();
        state.failures.retain(|_, failure| !who(&failure.caller));
        state.under_way.retain(|_, flight| !who(&flight.caller));
        before - state.failures.len()
    }

    /// Flights under way.
    pub(super) fn count(&self) -> usize {
        self.lock().under_way.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    pub(super) async fn outcome(mut self) -> Outcome {
        match self.outcome.wait_for(Option::is_some).await.map(|outcome| outcome.clone()) {
            Ok(Some(outcome)) => outcome,
            Ok(None) | Err(_) => Outcome::lost(),
        }
    }
}

impl Outcome {
    fn lost() -> Self {
        Self { result: Err(TokenError::lost()), work: Work::Found }
    }
}

impl Leader {
    /// Ends the flight. A failure is remembered until `remember_until` (monotonic), under the
    /// same lock that takes the flight off the list: a caller in between would try again at once.
    pub(super) fn end(self, outcome: Outcome, remember_until: Option<Duration>, now: Duration) {
        {
            let mut state = self.flights.lock();
            let seen = self.take_off(&mut state);
            match (&outcome.result, remember_until) {
                (Err(error), Some(until)) if seen && now < until => {
                    let Claimant { key, caller, sso } = self.claimant;
                    let of_token = matches!(error, TokenError::Denied(_)).then_some(sso);
                    let failure = Failure { until, error: error.clone(), caller };
                    state.remember((key, of_token), failure, now);
                }
                _ => {}
            }
        }
        self.outcome.send_replace(Some(outcome));
    }

    /// Whether newcomers join it: its caller was not forgotten meanwhile.
    pub(super) fn is_seen(&self) -> bool {
        self.is_listed(&self.flights.lock())
    }

    fn is_listed(&self, state: &State) -> bool {
        let listed = state.under_way.get(&self.claimant.key);
        listed.is_some_and(|flight| flight.waiter.span.span_id == self.span.span_id)
    }

    /// Whether it was still listed.
    fn take_off(&self, state: &mut State) -> bool {
        let listed = self.is_listed(state);
        if listed {
            state.under_way.remove(&self.claimant.key);
        }
        listed
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if self.outcome.borrow().is_none() {
            self.take_off(&mut self.flights.lock());
            self.outcome.send_replace(Some(Outcome::lost()));
        }
    }
}

impl State {
    fn remember(&mut self, key: FailureKey, failure: Failure, now: Duration) {
        if FAILURES_MAX <= self.failures.len() {
            self.failures.retain(|_, failure| now < failure.until);
        }
        if self.failures.len() < FAILURES_MAX {
            self.failures.insert(key, failure);
        }
    }
}

/// Failures remembered at once. They last seconds and cost an exchange each, so the gate keeps
/// them far below it.
const FAILURES_MAX: usize = 16_384;
