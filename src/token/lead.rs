//! Joining and leading: what happens for a call without a fresh token, and for one whose token is
//! due for renewal.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::cache::{CachedToken, Issue, NewToken};
use super::error::{At, Crowded, RETRY_AFTER_MIN, TokenError, Unusable};
use super::exchange::{Exchange, ExchangeRequest, ExchangeResult};
use super::flight::{Claimant, Flight, Leader, Outcome, Work};
use super::gate::Pass;
use super::key::{CacheKey, SsoDigest};
use super::report::{ExchangeOutcome, ExchangeReport};
use super::{Inner, Issued, Method, TokenSource, damping};
use crate::accept::Accepted;
use crate::client;
use crate::clock::{Moment, chance};
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
    /// No fresh token: joins or leads the flight of the caller's key.
    ///
    /// A flight that was denied spoke of its leader's SSO token. Who waited with another one goes
    /// round again, and leads in the end, if nobody else does so with success.
    pub(super) async fn obtain(
        self: &Arc<Self>,
        key: CacheKey,
        stale: Option<Arc<CachedToken>>,
        caller: &Accepted,
        span: &SpanContext,
    ) -> Result<Issued, TokenError> {
        let claimant = Claimant::new(key, caller);
        let deadline = Instant::now() + self.flight_timeout();
        loop {
            let monotonic = self.shared.clock.monotonic();
            let flight = self.shared.flights.join_or_lead(claimant, monotonic, || span.child());
            let (waiter, leads) = match flight {
                Flight::Failed(error) => return self.serve_stale(stale, error),
                Flight::Joined(waiter) => (waiter, false),
                Flight::Led(waiter, leader) => {
                    self.fly(leader, caller.clone(), *span, Errand::Needed);
                    (waiter, true)
                }
            };
            let (exchange, shown) = (waiter.span, waiter.sso);
            let outcome = match tokio::time::timeout_at(deadline, waiter.outcome()).await {
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
                    return Ok(Issued::of(token, source, exchange));
                }
                Err(TokenError::Denied(_)) if shown != claimant.sso => {}
                Err(error) => return self.serve_stale(stale, error),
            }
        }
    }

    /// A token in its last minute still serves when no newer one is to be obtained for now.
    fn serve_stale(
        &self,
        stale: Option<Arc<CachedToken>>,
        error: TokenError,
    ) -> Result<Issued, TokenError> {
        let now = self.shared.clock.moment();
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
        now: Moment,
        span: &SpanContext,
    ) {
        if !token.is_due(now) {
            return;
        }
        let shows_sso_token = !exchange.grant().is_per_process();
        if shows_sso_token && caller.identity.expires_at <= now.wall + self.timeout {
            return; // it will have expired by then; the next call may bring another
        }
        let Some(place) = self.gate.background() else { return };
        if !token.claim_renewal(now) {
            return;
        }
        let claimant = Claimant::new(key, caller);
        let flight = self.shared.flights.join_or_lead(claimant, now.monotonic, || span.child());
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
        let previous = self.cache.get(&leader.claimant.key).await;
        // A flight that ended between the look into the cache and this one left its token.
        if let Some(token) = &previous
            && token.is_fresh(self.shared.clock.moment())
            && !errand.is_to_replace(token)
        {
            return Outcome { result: Ok(Arc::clone(token)), work: Work::Found };
        }
        let work = if previous.is_some() { Work::Renewal } else { Work::First };
        let result = match self.gate.enter(leader.claimant.caller, self.timeout).await {
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
        let Method::Network { exchange, sharing } = &self.method else {
            return Err(TokenError::lost());
        };
        let sent_at = self.shared.clock.moment();
        let alive = previous.as_ref().filter(|token| token.is_alive(sent_at));
        let session = alive.and_then(|token| Some((token.session.as_ref()?, &token.header)));
        let request = ExchangeRequest { caller, session, now: sent_at.wall, span: leader.span };
        let ExchangeResult { mut result, status, pause, date } = exchange.run(&request).await;
        let ended = self.shared.clock.moment();
        if let Ok(token) = &result
            && token.expires_in.is_some_and(|life| sent_at.monotonic + life <= ended.monotonic)
        {
            result = Err(TokenError::AnswerUnusable(Unusable::Expired));
        }
        // Where nothing was answered there is nothing to tell, unless that is the endpoint's fault.
        let result = self.tell_gate(pass, result, status.is_some(), pause);
        let report = ExchangeReport {
            span: leader.span,
            parent,
            started: sent_at.wall,
            ended: ended.wall,
            outcome: ExchangeOutcome::of(result.as_ref().err()),
            error: result.as_ref().err().cloned(),
            status,
            skew_seconds: date.map(|date| client::clock_skew(date, sent_at.wall, ended.wall)),
            background: matches!(errand, Errand::Ahead { .. }),
        };
        report.log(leader.claimant.caller);
        (self.shared.report)(report);
        let follows_a_refusal = previous.is_some_and(|token| token.is_refused());
        let issue = Issue {
            generation: self.shared.next_generation(),
            caller: sharing.owner(&caller.identity),
            sent_at,
            proof: if follows_a_refusal { damping::PROOF } else { Duration::ZERO },
            lifetimes: &self.lifetimes,
            chance: chance(),
        };
        let token = Arc::new(CachedToken::issue(result?, &issue));
        self.keep(leader, &token).await;
        Ok(token)
    }

    /// Unless the caller was forgotten meanwhile: then the token serves those who waited for it,
    /// and whoever comes later starts anew.
    async fn keep(&self, leader: &Leader, token: &Arc<CachedToken>) {
        let key = leader.claimant.key;
        self.cache.insert(key, Arc::clone(token)).await;
        if !leader.is_seen()
            && self.cache.get(&key).await.is_some_and(|kept| Arc::ptr_eq(&kept, token))
        {
            self.cache.invalidate(&key).await;
        }
    }

    /// Tells the gate what the exchange says of the endpoint, and everybody who waited how long
    /// it is to be left alone: `pause`, if it said so.
    fn tell_gate(
        &self,
        pass: Pass,
        result: Result<NewToken, TokenError>,
        answered: bool,
        pause: Option<Duration>,
    ) -> Result<NewToken, TokenError> {
        let pause = pause.map(|pause| pause.clamp(RETRY_AFTER_MIN, PAUSE_MAX));
        let (error, pause) = match &result {
            Ok(_) | Err(TokenError::Denied(_) | TokenError::AnswerUnusable(_)) => {
                if answered {
                    pass.up();
                }
                return result;
            }
            // Our own bound says nothing about the endpoint.
            Err(TokenError::Busy { who: Crowded::Gateway, .. }) => return result,
            Err(error @ TokenError::Busy { who: Crowded::Endpoint { .. }, .. }) => {
                (error, pause.unwrap_or(RETRY_AFTER_MIN))
            }
            Err(error @ (TokenError::Unavailable { .. } | TokenError::TimedOut { .. })) => {
                (error, pause.unwrap_or(self.unavailable_for))
            }
        };
        let error = error.after_waiting(pause);
        pass.down(&error, pause);
        Err(error)
    }

    /// Longer than any flight takes: queue, and up to two requests.
    fn flight_timeout(&self) -> Duration {
        self.timeout.saturating_mul(3).saturating_add(Duration::from_secs(1))
    }

    fn too_slow(&self) -> TokenError {
        let (at, after) = (At::default(), self.flight_timeout());
        TokenError::TimedOut { at, after, retry_after: RETRY_AFTER_MIN }
    }
}

impl Errand {
    /// Whether `token`, fresh as it is, is the one to be replaced.
    fn is_to_replace(&self, token: &CachedToken) -> bool {
        matches!(self, Self::Ahead { generation, .. } if *generation == token.generation)
    }
}

impl Claimant {
    pub(super) fn new(key: CacheKey, caller: &Accepted) -> Self {
        Self { key, caller: caller.identity.caller, sso: SsoDigest::of(&caller.sso_token) }
    }
}

/// Longest pause one answer of the token endpoint can impose.
const PAUSE_MAX: Duration = Duration::from_hours(1);
