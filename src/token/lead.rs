//! Joining and leading: what happens for a call without a fresh token, and for one whose token is
//! due for renewal.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::OwnedSemaphorePermit;

use super::cache::CachedToken;
use super::error::{RETRY_AFTER_MIN, TokenError, Unusable};
use super::exchange::{Exchange, ExchangeRequest, ExchangeResult};
use super::flight::{Flight, Leader, Outcome, Work};
use super::gate::Pass;
use super::key::CacheKey;
use super::report::{ExchangeOutcome, ExchangeReport};
use super::{Inner, Issued, Method, TokenSource};
use crate::accept::Accepted;
use crate::client;
use crate::clock::chance;
use crate::trace_context::SpanContext;

/// Why a leader flies.
#[derive(Debug)]
pub(super) enum Errand {
    /// A caller waits, who has no fresh token.
    Needed,
    /// The token of this generation is due. It still serves, nobody waits; renewals have a share
    /// of the gate's places, so that they cannot crowd out callers who do.
    Ahead { generation: u64, _place: OwnedSemaphorePermit },
}

impl Inner {
    /// No fresh token: joins or leads the flight of `key`.
    pub(super) async fn obtain(
        self: &Arc<Self>,
        key: CacheKey,
        stale: Option<Arc<CachedToken>>,
        caller: &Accepted,
        span: &SpanContext,
    ) -> Result<Issued, TokenError> {
        let monotonic = self.shared.clock.monotonic();
        let flight = self.shared.flights.join_or_lead(key, monotonic, || span.child());
        let (waiter, leads) = match flight {
            Flight::Failed(error) => return self.serve_stale(stale, error),
            Flight::Joined(waiter) => (waiter, false),
            Flight::Led(waiter, leader) => {
                self.fly(leader, caller.clone(), *span, Errand::Needed);
                (waiter, true)
            }
        };
        let exchange = waiter.span;
        let outcome = match tokio::time::timeout(self.flight_timeout(), waiter.outcome()).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome { result: Err(self.too_slow()), work: Work::Found },
        };
        match outcome.result {
            Ok(token) => {
                let source = match outcome.work {
                    Work::Found => TokenSource::Cached,
                    _ if !leads => TokenSource::Joined,
                    Work::First => TokenSource::Exchanged,
                    Work::Renewal => TokenSource::Refreshed,
                };
                let exchange = (outcome.work != Work::Found).then_some(exchange);
                Ok(Issued::of(token, source, exchange))
            }
            Err(error) => self.serve_stale(stale, error),
        }
    }

    /// A token in its last minute still serves when no newer one is to be obtained for now.
    fn serve_stale(
        &self,
        stale: Option<Arc<CachedToken>>,
        error: TokenError,
    ) -> Result<Issued, TokenError> {
        let now = self.shared.clock.now();
        match (stale, &error) {
            (_, TokenError::Denied(_) | TokenError::AnswerUnusable(_)) => Err(error),
            (Some(token), _) if token.is_alive(now) => {
                Ok(Issued::of(token, TokenSource::Cached, None))
            }
            _ => Err(error),
        }
    }

    /// `token` is fresh and goes with the call; if it is due, a flight renews it meanwhile.
    ///
    /// The flight has the SSO token of this very call: none is kept for later. So a token is
    /// renewed ahead of need exactly for callers who still call.
    pub(super) fn renew_if_due(
        self: &Arc<Self>,
        exchange: &Exchange,
        (key, token): (CacheKey, &CachedToken),
        caller: &Accepted,
        now: SystemTime,
        span: &SpanContext,
    ) {
        if !token.is_due(now) {
            return;
        }
        if !exchange.is_per_process() && caller.identity.expires_at <= now + self.timeout {
            return; // the SSO token will have expired by then; the next call may bring another
        }
        let Some(place) = self.gate.background() else { return };
        if !token.claim_renewal(now) {
            return;
        }
        let monotonic = self.shared.clock.monotonic();
        let flight = self.shared.flights.join_or_lead(key, monotonic, || span.child());
        if let Flight::Led(_, leader) = flight {
            let errand = Errand::Ahead { generation: token.generation, _place: place };
            self.fly(leader, caller.clone(), *span, errand);
        }
    }

    /// Runs the flight detached from whoever asked for it. `parent` is the span of that call.
    fn fly(
        self: &Arc<Self>,
        leader: Leader,
        caller: Accepted,
        parent: SpanContext,
        errand: Errand,
    ) {
        let inner = Arc::clone(self);
        self.shared.tasks.spawn("token-exchange", async move {
            let outcome = inner.lead(&leader, &caller, parent, &errand).await;
            inner.end(leader, outcome);
        });
    }

    fn end(&self, leader: Leader, outcome: Outcome) {
        let now = self.shared.clock.monotonic();
        let remember = match &outcome.result {
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
        leader.end(outcome, remember.map(|pause| now + pause), now);
    }

    /// Leads: finds out what there is to do, waits for a turn, exchanges.
    pub(super) async fn lead(
        &self,
        leader: &Leader,
        caller: &Accepted,
        parent: SpanContext,
        errand: &Errand,
    ) -> Outcome {
        let previous = self.cache.get(&leader.key).await;
        // A flight that ended between the look into the cache and this one left its token.
        if let Some(token) = &previous
            && token.is_fresh(self.shared.clock.now())
            && !errand.is_to_replace(token)
        {
            return Outcome { result: Ok(Arc::clone(token)), work: Work::Found };
        }
        let work = if previous.is_some() { Work::Renewal } else { Work::First };
        let result = match self.gate.enter(self.timeout).await {
            Ok(pass) => self.exchange(pass, leader, caller, parent, previous, errand).await,
            Err(error) => Err(error),
        };
        Outcome { result, work }
    }

    async fn exchange(
        &self,
        pass: Pass,
        leader: &Leader,
        caller: &Accepted,
        parent: SpanContext,
        previous: Option<Arc<CachedToken>>,
        errand: &Errand,
    ) -> Result<Arc<CachedToken>, TokenError> {
        let Method::Network(exchange) = &self.method else { return Err(TokenError::lost()) };
        let sent_at = self.shared.clock.now();
        let alive = previous.as_ref().filter(|token| token.is_alive(sent_at));
        let session = alive.and_then(|token| Some((token.session.as_ref()?, &token.header)));
        let request = ExchangeRequest { caller, session, now: sent_at, span: leader.span };
        let ExchangeResult { mut result, status, date } = exchange.run(&request).await;
        let ended = self.shared.clock.now();
        if let Ok(token) = &result
            && token.expires_in.is_some_and(|life| sent_at + life <= ended)
        {
            result = Err(TokenError::AnswerUnusable(Unusable::Expired));
        }
        self.tell_gate(pass, result.as_ref().err());
        (self.shared.report)(ExchangeReport {
            span: leader.span,
            parent,
            started: sent_at,
            ended,
            outcome: ExchangeOutcome::of(result.as_ref().err()),
            status,
            skew_seconds: date.map(|date| client::clock_skew(date, sent_at, ended)),
            background: matches!(errand, Errand::Ahead { .. }),
        });
        let generation = self.shared.next_generation();
        let token = CachedToken::issue(generation, result?, &self.lifetimes, sent_at, chance());
        let token = Arc::new(token);
        self.cache.insert(leader.key, Arc::clone(&token)).await;
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
    fn flight_timeout(&self) -> Duration {
        self.timeout.saturating_mul(3).saturating_add(Duration::from_secs(1))
    }

    fn too_slow(&self) -> TokenError {
        TokenError::TimedOut { after: self.flight_timeout(), retry_after: RETRY_AFTER_MIN }
    }
}

impl Errand {
    /// Whether `token`, fresh as it is, is the one to be replaced.
    fn is_to_replace(&self, token: &CachedToken) -> bool {
        matches!(self, Self::Ahead { generation, .. } if *generation == token.generation)
    }
}
