//! Flights: one exchange per key, however many calls wait for it.
//!
//! Whoever asks first starts a flight and waits like everyone else; the exchange itself runs
//! detached, so that a hang-up costs nobody anything. All who wait get the same landing, failures
//! too, and a failure is remembered for a moment, so that a thousand callers do not try one after
//! the other. Knows nothing of what is exchanged.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::cache::{CacheKey, CachedToken};
use super::error::TokenError;
use crate::trace_context::SpanContext;

/// How a flight ended.
#[derive(Clone, Debug)]
pub(super) struct Landing {
    pub(super) result: Result<Arc<CachedToken>, TokenError>,
    /// What the leader did for it.
    pub(super) work: Work,
}

/// What a leader did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Nothing: another flight had landed just before.
    Found,
    /// Exchanged for a caller who had no token.
    First,
    /// Exchanged for a caller whose token was refused or past its time.
    Renewal,
}

/// All flights under way, and the failures remembered. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Flights {
    board: Arc<Mutex<Board>>,
}

#[derive(Debug, Default)]
struct Board {
    flights: HashMap<CacheKey, Flight>,
    failures: HashMap<CacheKey, Failure>,
}

#[derive(Debug)]
struct Flight {
    span: SpanContext,
    landing: watch::Receiver<Option<Landing>>,
}

#[derive(Debug)]
struct Failure {
    until: Duration,
    error: TokenError,
}

/// What a caller without a fresh token finds.
#[derive(Debug)]
pub(super) enum Boarding {
    /// The last attempt for this key failed a moment ago.
    Failed(TokenError),
    /// A flight is under way.
    Joined(Seat),
    /// Nobody flies yet: fly the departure, then the seat learns the landing.
    Leading(Seat, Departure),
}

/// A place to wait for a landing.
#[derive(Debug)]
pub(super) struct Seat {
    /// The exchange waited for.
    pub(super) span: SpanContext,
    landing: watch::Receiver<Option<Landing>>,
}

/// The duty to land. Dropped without, it lands as lost, so that nobody waits for ever.
#[derive(Debug)]
pub(super) struct Departure {
    flights: Flights,
    pub(super) key: CacheKey,
    pub(super) span: SpanContext,
    landing: watch::Sender<Option<Landing>>,
}

impl Flights {
    /// Boards the flight of `key`, or starts one whose exchange is `span()`.
    /// `now` is monotonic time.
    pub(super) fn board(
        &self,
        key: CacheKey,
        now: Duration,
        span: impl FnOnce() -> SpanContext,
    ) -> Boarding {
        let mut board = self.lock();
        if let Some(flight) = board.flights.get(&key) {
            let landing = flight.landing.clone();
            return Boarding::Joined(Seat { span: flight.span, landing });
        }
        if let Some(failure) = board.failures.get(&key) {
            if now < failure.until {
                return Boarding::Failed(
                    failure.error.after_waiting(failure.until.saturating_sub(now)),
                );
            }
            board.failures.remove(&key);
        }
        let span = span();
        let (sender, landing) = watch::channel(None);
        board.flights.insert(key, Flight { span, landing: landing.clone() });
        let flights = self.clone();
        Boarding::Leading(Seat { span, landing }, Departure { flights, key, span, landing: sender })
    }

    /// Flights under way.
    pub(super) fn count(&self) -> usize {
        self.lock().flights.len()
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// The landing.
    pub(super) async fn wait(mut self) -> Landing {
        match self.landing.wait_for(Option::is_some).await.map(|landing| landing.clone()) {
            Ok(Some(landing)) => landing,
            Ok(None) | Err(_) => Landing::lost(),
        }
    }
}

impl Landing {
    fn lost() -> Self {
        Self { result: Err(TokenError::lost()), work: Work::Found }
    }
}

impl Departure {
    /// Ends the flight. A failure is remembered until `remember_until` (monotonic), which must
    /// happen in the same breath as the flight leaves the board: a caller in between would try
    /// again at once.
    pub(super) fn land(self, landing: Landing, remember_until: Option<Duration>, now: Duration) {
        {
            let mut board = self.flights.lock();
            board.flights.remove(&self.key);
            match (&landing.result, remember_until) {
                (Err(error), Some(until)) if now < until => {
                    board.remember(self.key, Failure { until, error: error.clone() }, now);
                }
                _ => {}
            }
        }
        self.landing.send_replace(Some(landing));
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        if self.landing.borrow().is_none() {
            self.flights.lock().flights.remove(&self.key);
            self.landing.send_replace(Some(Landing::lost()));
        }
    }
}

impl Board {
    fn remember(&mut self, key: CacheKey, failure: Failure, now: Duration) {
        if FAILURES_MAX <= self.failures.len() {
            self.failures.retain(|_, failure| now < failure.until);
        }
        if self.failures.len() < FAILURES_MAX {
            self.failures.insert(key, failure);
        }
    }
}

/// Failures remembered at once. They last seconds and cost an exchange each, so pacing keeps them
/// far below it.
const FAILURES_MAX: usize = 16_384;
