//! Joining and leading: what happens for a call without a fresh token.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::cache::{CacheKey, CachedToken};
use super::error::{RETRY_AFTER_MIN, TokenError, Unusable};
use super::exchange::{Answered, Ask};
use super::flight::{Boarding, Departure, Landing, Work};
use super::pace::Pass;
use super::report::{ExchangeOutcome, ExchangeReport};
use super::{Inner, Issued, Method, TokenSource};
use crate::accept::Accepted;
use crate::client;
use crate::clock::chance;
use crate::trace_context::SpanContext;

impl Inner {
    /// No fresh token: joins or leads the flight of `key`.
    pub(super) async fn fly(
        self: &Arc<Self>,
        key: CacheKey,
        cached: Option<Arc<CachedToken>>,
        caller: &Accepted,
        now: SystemTime,
        span: &SpanContext,
    ) -> Result<Issued, TokenError> {
        let monotonic = self.shared.clock.monotonic();
        let (seat, leads) = match self.shared.flights.board(key, monotonic, || span.child()) {
            Boarding::Failed(error) => return self.rescue(cached, error),
            Boarding::Joined(seat) => (seat, false),
            Boarding::Leading(seat, departure) => {
                self.depart(departure, caller.clone(), Some(*span));
                (seat, true)
            }
        };
        let leader = seat.span;
        let landing = match tokio::time::timeout(self.patience(), seat.wait()).await {
            Ok(landing) => landing,
            Err(_) => Landing { result: Err(self.too_slow()), work: Work::Found },
        };
        match landing.result {
            Ok(token) => {
                self.used(&token, caller, now);
                let source = match landing.work {
                    Work::Found => TokenSource::Cached,
                    _ if !leads => TokenSource::Joined,
                    Work::First => TokenSource::Exchanged,
                    Work::Renewal => TokenSource::Refreshed,
                };
                let leader = (landing.work != Work::Found).then_some(leader);
                Ok(Issued::of(token, source, leader))
            }
            Err(error) => self.rescue(cached, error),
        }
    }

    /// A token in its last minute still serves when no newer one can be had for now.
    fn rescue(
        &self,
        cached: Option<Arc<CachedToken>>,
        error: TokenError,
    ) -> Result<Issued, TokenError> {
        let now = self.shared.clock.now();
        match (cached, &error) {
            (_, TokenError::Denied(_) | TokenError::AnswerUnusable(_)) => Err(error),
            (Some(token), _) if token.is_alive(now) => {
                Ok(Issued::of(token, TokenSource::Cached, None))
            }
            _ => Err(error),
        }
    }

    /// Runs the flight detached from whoever asked for it.
    fn depart(
        self: &Arc<Self>,
        departure: Departure,
        caller: Accepted,
        parent: Option<SpanContext>,
    ) {
        let inner = Arc::clone(self);
        self.shared.tasks.spawn("token-exchange", async move {
            let landing = inner.lead(&departure, &caller, parent, None).await;
            inner.land(departure, landing);
        });
    }

    pub(super) fn land(&self, departure: Departure, landing: Landing) {
        let now = self.shared.clock.monotonic();
        let remember = match &landing.result {
            Err(TokenError::Denied(_)) => Some(self.denied_for),
            Err(TokenError::AnswerUnusable(_)) => Some(self.unavailable_for),
            // The gate remembers these for the whole endpoint.
            Err(
                TokenError::Busy { .. }
                | TokenError::Unavailable { .. }
                | TokenError::TimedOut { .. },
            )
            | Ok(_) => None,
        };
        departure.land(landing, remember.map(|pause| now + pause), now);
    }

    /// Flies: finds out what there is to do, waits its turn, exchanges. `ahead_of` is the fresh
    /// token to be renewed ahead of need, if that is the flight's purpose.
    pub(super) async fn lead(
        &self,
        departure: &Departure,
        caller: &Accepted,
        parent: Option<SpanContext>,
        ahead_of: Option<&CachedToken>,
    ) -> Landing {
        let previous = self.cache.get(&departure.key).await;
        // A flight that landed between the look into the cache and the boarding left its token.
        if let Some(token) = &previous
            && token.is_fresh(self.shared.clock.now())
            && ahead_of.is_none_or(|old| old.generation != token.generation)
        {
            return Landing { result: Ok(Arc::clone(token)), work: Work::Found };
        }
        let work = if previous.is_some() { Work::Renewal } else { Work::First };
        let result = match self.gate.enter(self.timeout).await {
            Ok(pass) => self.exchange(pass, departure, caller, parent, previous).await,
            Err(error) => Err(error),
        };
        Landing { result, work }
    }

    async fn exchange(
        &self,
        pass: Pass,
        departure: &Departure,
        caller: &Accepted,
        parent: Option<SpanContext>,
        previous: Option<Arc<CachedToken>>,
    ) -> Result<Arc<CachedToken>, TokenError> {
        let Method::Network(exchange) = &self.method else { return Err(TokenError::lost()) };
        let sent_at = self.shared.clock.now();
        let alive = previous.as_ref().filter(|token| token.is_alive(sent_at));
        let session = alive.and_then(|token| Some((token.session.as_ref()?, &token.header)));
        let ask = Ask { caller, session, now: sent_at, span: departure.span };
        let Answered { mut result, status, date } = exchange.run(&ask).await;
        let ended = self.shared.clock.now();
        if let Ok(token) = &result
            && token.expires_in.is_some_and(|life| sent_at + life <= ended)
        {
            result = Err(TokenError::AnswerUnusable(Unusable::Expired));
        }
        self.tell_gate(pass, result.as_ref().err());
        (self.shared.report)(ExchangeReport {
            span: departure.span,
            parent,
            started: sent_at,
            ended,
            outcome: ExchangeOutcome::of(result.as_ref().err()),
            status,
            skew_seconds: date.map(|date| client::clock_skew(date, sent_at, ended)),
            background: parent.is_none(),
        });
        let token = Arc::new(CachedToken::issue(
            departure.key,
            self.setup.mark(),
            self.shared.next_generation(),
            result?,
            &self.lifetimes,
            sent_at,
            chance(),
        ));
        self.cache.insert(departure.key, Arc::clone(&token)).await;
        Ok(token)
    }

    fn tell_gate(&self, pass: Pass, error: Option<&TokenError>) {
        match error {
            None | Some(TokenError::Denied(_) | TokenError::AnswerUnusable(_)) => pass.up(),
            Some(error @ TokenError::Busy { retry_after }) => pass.down(error, *retry_after),
            Some(error @ (TokenError::Unavailable { .. } | TokenError::TimedOut { .. })) => {
                pass.down(error, self.unavailable_for);
            }
        }
    }

    /// Longer than any flight takes: queue, and up to two requests.
    fn patience(&self) -> Duration {
        self.timeout.saturating_mul(3).saturating_add(Duration::from_secs(1))
    }

    fn too_slow(&self) -> TokenError {
        TokenError::TimedOut { after: self.patience(), retry_after: RETRY_AFTER_MIN }
    }
}
