//! Flights: one exchange per key, however many calls wait for it.
//!
//! Whoever asks first leads a flight and waits like everyone else; the exchange itself runs
//! detached, so that a hang-up costs nobody anything. All who wait get the same outcome, failures
//! too, and a failure is remembered for a moment, so that a thousand callers do not try one after
//! the other. Knows nothing of what is exchanged.
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
use super::key::CacheKey;
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
    under_way: HashMap<CacheKey, Waiter>,
    failures: HashMap<CacheKey, Failure>,
}

#[derive(Debug)]
struct Failure {
    until: Duration,
    error: TokenError,
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
    outcome: watch::Receiver<Option<Outcome>>,
}

/// The duty to end a flight. Dropped without, it ends as lost, so that nobody waits for ever.
#[derive(Debug)]
pub(super) struct Leader {
    flights: Flights,
    pub(super) key: CacheKey,
    pub(super) span: SpanContext,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Flights {
    /// Joins the flight of `key`, or starts one whose exchange is `span()`.
    /// `now` is monotonic time.
    pub(super) fn join_or_lead(
        &self,
        key: CacheKey,
        now: Duration,
        span: impl FnOnce() -> SpanContext,
    ) -> Flight {
        let mut state = self.lock();
        if let Some(waiter) = state.under_way.get(&key) {
            return Flight::Joined(waiter.clone());
        }
        if let Some(failure) = state.failures.get(&key) {
            if now < failure.until {
                let left = failure.until.saturating_sub(now);
                return Flight::Failed(failure.error.after_waiting(left));
            }
            state.failures.remove(&key);
        }
        let span = span();
        let (sender, outcome) = watch::channel(None);
        let waiter = Waiter { span, outcome };
        state.under_way.insert(key, waiter.clone());
        Flight::Led(waiter, Leader { flights: self.clone(), key, span, outcome: sender })
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
            state.under_way.remove(&self.key);
            match (&outcome.result, remember_until) {
                (Err(error), Some(until)) if now < until => {
                    state.remember(self.key, Failure { until, error: error.clone() }, now);
                }
                _ => {}
            }
        }
        self.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if self.outcome.borrow().is_none() {
            self.flights.lock().under_way.remove(&self.key);
            self.outcome.send_replace(Some(Outcome::lost()));
        }
    }
}

impl State {
    fn remember(&mut self, key: CacheKey, failure: Failure, now: Duration) {
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
