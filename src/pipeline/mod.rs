//! ONE request, top to bottom: trace id, call, accept, limit, validate, token, forward.
//!
//! The order is law: cheap before costly, headers before bodies, local before network; nothing is
//! spent upstream on a call that will be refused. [`Pipeline::handle`] cannot fail; what it wraps
//! may end in a [`Rejection`].
//!
//! Stages return facts. Here, and only here, they are told to the request's record; nothing here
//! counts, logs or chooses a status.

mod accepted;
mod context;
mod reply;
mod send;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderValue, Response, request};
use http_body::Body as _;

pub use self::accepted::AcceptedCalls;
use self::context::RequestContext;
pub use self::reply::ResponseBody;
use self::send::CallBody;
use crate::accept::{Accepted, Acceptor};
use crate::authorize::{Authorizer, Verdict};
use crate::body;
use crate::body::{Budget, InboundBody};
use crate::call::{CallPlan, Route, Routes};
use crate::clock::Clock;
use crate::config::{GuardMode, OnIllegal};
use crate::forward::{AnswerBody, Forwarder};
use crate::limit::{CallerLimits, Limiter};
use crate::listener::CallerAddress;
use crate::places::{Holder, Places};
use crate::rejection::{Reason, Rejection};
use crate::telemetry;
use crate::telemetry::{Peer, Stage, Telemetry};
use crate::token::Tokens;
use crate::trace_id::IllegalTraceId;
use crate::validate::{BatchRules, Language};

/// All stages under one configuration. Immutable; a reload makes another.
pub struct Pipeline {
    pub clock: Clock,
    pub telemetry: Telemetry,
    pub on_illegal_trace_id: OnIllegal,
    pub routes: Routes,
    pub acceptor: Acceptor,
    pub authorizer: Authorizer,
    pub limiter: Limiter,
    pub validate_mode: GuardMode,
    pub rules: BatchRules,
    /// `language` of preverify calls that have none.
    pub default_language: Option<HeaderValue>,
    pub tokens: Tokens,
    pub forwarder: Forwarder,
    pub upstream: Arc<Peer>,
    /// Calls at once.
    pub in_flight: Places,
    /// Those of them whose bodies are still arriving.
    pub arriving: Places,
    /// Memory for whole bodies.
    pub budget: Arc<Budget>,
}

/// What the server knows of a request besides the request.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub caller: CallerAddress,
    /// Who holds the call's places until the caller is known.
    pub holder: Holder,
    /// What makes the framing of this request ambiguous.
    pub framing_fault: Option<&'static str>,
    pub draining: bool,
    /// Those of the connection, if anybody asks.
    pub accepted: Option<AcceptedCalls>,
}

/// The pipeline for the next request. Clones share it.
#[derive(Clone)]
pub struct CurrentPipeline(Arc<ArcSwap<Pipeline>>);

impl CurrentPipeline {
    pub fn new(first: Pipeline) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(first)))
    }

    pub fn replace(&self, next: Pipeline) {
        self.0.store(Arc::new(next));
    }

    /// A request keeps what it loaded to its end.
    pub fn load(&self) -> Arc<Pipeline> {
        self.0.load_full()
    }
}

impl fmt::Debug for CurrentPipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurrentPipeline").finish_non_exhaustive()
    }
}

impl Pipeline {
    /// Answers a request, unless its caller has hung up while it sent its body: `None`. A body that
    /// nobody reads is dropped before the answer is returned.
    pub async fn handle(
        &self,
        parts: request::Parts,
        body: InboundBody,
        arrival: Arrival,
    ) -> Option<Response<ResponseBody>> {
        // The ids first: every log line and every refusal carries them.
        let (mut context, illegal_trace_id) = self.open(parts, arrival);
        let body = body.count_into(context.record.bytes_in());
        let (x_trace_id, trace_id) = (context.x_trace_id.as_header().clone(), context.trace_id);
        let run = self.run(&mut context, body, illegal_trace_id);
        let response = match telemetry::within(x_trace_id, trace_id, run).await {
            Ok(response) => response,
            // The record says so by itself.
            Err(rejection) if rejection.caller_is_gone() => return None,
            Err(rejection) => context.refuse(&rejection),
        };
        Some(context.close(response))
    }

    /// Something that was answered without being a request: its head could not be read.
    pub fn unparsable(&self, reason: Reason, detail: Option<&'static str>) {
        self.telemetry.unreadable(self.clock.now(), reason, detail);
    }

    /// The stages in their order. Each position has its reason.
    async fn run(
        &self,
        context: &mut RequestContext,
        mut body: InboundBody,
        illegal_trace_id: Option<IllegalTraceId>,
    ) -> Result<Response<AnswerBody>, Rejection> {
        // What two parsers could read differently must not be judged by either reading.
        if let Some(fault) = context.arrival.framing_fault {
            return Err(Rejection::Framing(fault));
        }
        if let (Some(illegal), OnIllegal::Reject) = (illegal_trace_id, self.on_illegal_trace_id) {
            return Err(illegal.into());
        }
        // Before anything that costs more than a look at the head.
        let place = self.in_flight.try_take(context.arrival.holder)?;
        let route = self.routes.plan_for(&context.parts.method, &context.parts.uri)?;
        context.record.call(route.plan);
        // After the plan, so that calls turned away while stopping are counted as what they are,
        // and a wrong path is told so even then.
        if context.arrival.draining {
            return Err(Rejection::Draining);
        }

        let certificate = context.arrival.caller.certificate;
        let headers = &context.parts.headers;
        context.record.begin(Stage::Accept);
        let accepted = self.acceptor.accept(headers, context.now, certificate.as_ref()).await?;
        context.record.end(Stage::Accept);
        let identity = &accepted.identity;
        context.record.identity(identity.caller, Arc::clone(&identity.issuer), accepted.cached);
        let caller = Holder::Caller(identity.caller.to_bytes());
        context.held.in_flight = Some(place.hand_to(caller)?);
        context.held.accepted = context.arrival.accepted.as_ref().map(AcceptedCalls::begin);
        if !body.is_end_stream() {
            // Without a bound of their own, slow uploads could shut out calls that wait for nothing.
            // Given back as soon as the body has been read, not when the answer has gone out.
            body.hold(self.arriving.try_take(caller)?);
        }

        // Before the limits: what nobody may do takes nothing from the caller's budget.
        self.authorize(context, &route, &accepted)?;

        let body = match route.plan {
            CallPlan::TaskCreate | CallPlan::TaskResult | CallPlan::Passthrough => {
                CallBody::from(body)
            }
            CallPlan::Preverify => {
                let mut limits = self.limiter.for_caller(identity.caller);
                let checked = self.preverify(context, body, &mut limits).await;
                context.limits = Some(limits);
                checked?
            }
        };
        self.send(context, &route, &accepted, body).await
    }

    /// Asks the rules whether this caller may make this call.
    fn authorize(
        &self,
        context: &mut RequestContext,
        route: &Route,
        accepted: &Accepted,
    ) -> Result<(), Rejection> {
        if !self.authorizer.is_on() {
            return Ok(());
        }
        context.record.begin(Stage::Authorize);
        let method = &context.parts.method;
        let decision = self.authorizer.decide(method, &route.path, &accepted.identity);
        let verdict = match (&decision.denied, self.authorizer.observes()) {
            (None, _) => Verdict::Allowed,
            (Some(_), true) => Verdict::Observed,
            (Some(_), false) => Verdict::Denied,
        };
        context.record.authorized(decision.rule, verdict);
        if let Some(denied) = decision.denied {
            context.refuse_unless(self.authorizer.observes(), denied.into())?;
        }
        context.record.end(Stage::Authorize);
        Ok(())
    }

    /// What a preverify call meets besides all others do. First the limits that need no body: a
    /// flood must cost neither memory nor parsing. Then the batch: a malformed one must not cost
    /// an exchange. Then the limit on its users, who are only known now.
    async fn preverify(
        &self,
        context: &mut RequestContext,
        body: InboundBody,
        limits: &mut CallerLimits,
    ) -> Result<CallBody, Rejection> {
        context.record.begin(Stage::Limit);
        let admitted = limits.admit_call().await;
        context.limits_said(limits.decisions(), limits.take_observed());
        admitted?;
        context.record.end(Stage::Limit);

        if self.validate_mode == GuardMode::Off {
            return Ok(CallBody::from(body));
        }
        context.record.begin(Stage::Validate);
        let (batch, users) = self.check_batch(context, body).await?;
        context.record.end(Stage::Validate);
        if let Some(users) = users {
            context.record.begin(Stage::Limit);
            let charged = limits.admit_users(users).await;
            context.limits_said(limits.decisions(), limits.take_observed());
            charged?;
            context.record.end(Stage::Limit);
        }
        Ok(batch)
    }

    /// Reads the batch whole and checks it; the same bytes go on. Also how many users are to be
    /// charged: where faults are only observed, those of a malformed batch too, if they could be
    /// counted.
    async fn check_batch(
        &self,
        context: &mut RequestContext,
        mut body: InboundBody,
    ) -> Result<(CallBody, Option<u32>), Rejection> {
        let observes = self.validate_mode == GuardMode::Observe;
        if let Err(refused) = self.rules.check_content(&context.parts.headers) {
            context.refuse_unless(observes, refused.into())?;
        }
        body.bound_whole();
        let whole = body::read_budgeted(&mut body, self.rules.max_body(), &self.budget).await?;
        let users = match self.rules.check(&whole.bytes) {
            Ok(facts) => {
                context.record.batch_users(facts.users);
                Some(facts.users)
            }
            Err(malformed) => {
                let users = malformed.users;
                context.refuse_unless(observes, Rejection::Batch(malformed))?;
                users
            }
        };
        Ok((CallBody::Whole(whole), users))
    }
}

/// The language of refusals, by KooDrive's own `language` header.
fn language_of(parts: &request::Parts) -> Language {
    let value = parts.headers.get(crate::forward::LANGUAGE);
    value.and_then(|value| value.to_str().ok()).map_or(Language::English, Language::of)
}

#[cfg(test)]
mod tests;
