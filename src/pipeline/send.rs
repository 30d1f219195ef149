//! Token and forward: the part of a call's way that may be gone a second time.

use std::sync::Arc;

use http::header::DATE;
use http::{Method, Response};
use http_body::Body as _;

use super::Pipeline;
use super::context::RequestContext;
use crate::accept::Accepted;
use crate::body;
use crate::body::{InboundBody, OutboundBody, WholeBody};
use crate::call::{CallPlan, Route};
use crate::clock::Moment;
use crate::forward::{Answer, AnswerBody, ForwardError, Forwarder, Load, OutboundCall};
use crate::places::{Holder, Place};
use crate::rejection::Rejection;
use crate::telemetry::{Attempt, Stage};
use crate::token::{Credential, Issued, Refusal, TokenError, TokenSource, TokenVerdict};

/// A request body on its way out.
pub(super) enum CallBody {
    Empty,
    /// In memory: can be sent again.
    Whole(WholeBody),
    /// Passes through once.
    Stream(Box<InboundBody>),
}

impl From<InboundBody> for CallBody {
    fn from(body: InboundBody) -> Self {
        if body.is_end_stream() { Self::Empty } else { Self::Stream(Box::new(body)) }
    }
}

/// What stays here of a body that can be sent again: nothing of an empty one.
struct Repeatable(Option<WholeBody>);

impl Repeatable {
    fn to_body(&self) -> OutboundBody {
        self.0.as_ref().map_or_else(OutboundBody::empty, |whole| whole.bytes.clone().into())
    }
}

impl CallBody {
    /// For the first attempt, and for another one.
    fn into_parts(self) -> (OutboundBody, Option<Repeatable>) {
        let copy = match self {
            Self::Empty => Repeatable(None),
            Self::Whole(whole) => Repeatable(Some(whole)),
            Self::Stream(body) => return (OutboundBody::Streaming(body), None),
        };
        (copy.to_body(), Some(copy))
    }
}

/// Why a call is on its way again. Each cause counts once, so a call goes out three times at most.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Resent {
    Not,
    AfterLoss,
    AfterRefusal,
    AfterBoth,
}

impl Resent {
    fn after_loss(self) -> Option<Self> {
        match self {
            Self::Not => Some(Self::AfterLoss),
            Self::AfterRefusal => Some(Self::AfterBoth),
            Self::AfterLoss | Self::AfterBoth => None,
        }
    }

    fn after_refusal(self) -> Option<Self> {
        match self {
            Self::Not => Some(Self::AfterRefusal),
            Self::AfterLoss => Some(Self::AfterBoth),
            Self::AfterRefusal | Self::AfterBoth => None,
        }
    }

    /// Whoever lost a call on an idle connection does not trust the next one.
    fn wants_fresh_connection(self) -> bool {
        matches!(self, Self::AfterLoss | Self::AfterBoth)
    }
}

impl Pipeline {
    /// Gets a credential and forwards; once more when KooDrive refuses the token, and once more
    /// when the connection was lost in a way that cannot have done harm.
    pub(super) async fn send(
        &self,
        context: &mut RequestContext,
        route: &Route,
        accepted: &Accepted,
        body: CallBody,
    ) -> Result<Response<AnswerBody>, Rejection> {
        let mut issued = self.issue(context, accepted).await?;
        let body = self.make_ready(body, &issued.credential, accepted).await?;
        let place = place_at_koodrive(context)?;
        let (mut outbound, copy) = body.into_parts();
        let mut resent = Resent::Not;
        if !accepted.cached {
            // To verify a signature takes as long as a call. Of calls that come at once all are
            // verified before the first goes out: then one write follows the other, and the other
            // side is not woken anew for each, which is a sixth of what such a call costs.
            tokio::task::yield_now().await;
        }
        loop {
            let sent_at = self.clock.moment();
            let sent = self.attempt(context, route, outbound, &issued, resent, sent_at).await;
            (outbound, resent) = match sent {
                Err(error) => match (&copy, resent.after_loss()) {
                    (Some(copy), Some(next))
                        if error.closed_while_idle()
                            && is_idempotent(&context.parts.method)
                            && self.forwarder.may_retry() =>
                    {
                        (copy.to_body(), next)
                    }
                    _ => return Err(error.into()),
                },
                Ok(answer) => {
                    tell_load(context, &answer);
                    let refusal = self.judge(&answer, &issued.credential, accepted, sent_at);
                    match (&copy, resent.after_refusal()) {
                        (Some(copy), Some(next)) if refusal == Some(Refusal::Renew) => {
                            context.record.end(Stage::Forward);
                            issued = self.issue(context, accepted).await?;
                            (copy.to_body(), next)
                        }
                        _ => return self.pass_on(context, answer, place).await,
                    }
                }
            };
        }
    }

    /// Hands the answer on. A place at KooDrive is free once its answer has ended; that is not left
    /// to the pace of the caller, as far as memory allows.
    async fn pass_on(
        &self,
        context: &mut RequestContext,
        answer: Answer,
        place: Option<Place>,
    ) -> Result<Response<AnswerBody>, Rejection> {
        let Answer { head, mut body, .. } = answer;
        if place.is_some() {
            let mut memory = self.budget.take(Forwarder::AHEAD_BYTES_MAX);
            let mut ended = false;
            if let Some(memory) = &mut memory {
                let read = self.forwarder.read_ahead(&mut body).await?;
                memory.shrink_to(read.bytes);
                ended = read.ended;
            }
            context.held.ahead = memory;
            if !ended {
                context.held.concurrent = place;
            }
        }
        Ok(Response::from_parts(head, body))
    }

    async fn issue(
        &self,
        context: &mut RequestContext,
        accepted: &Accepted,
    ) -> Result<Issued, Rejection> {
        context.record.begin(Stage::Token);
        let span = context.record.stage_span(Stage::Token);
        match self.tokens.token_for(accepted, &span).await {
            Ok(issued) => {
                context.record.token(issued.source, issued.exchange);
                context.record.end(Stage::Token);
                Ok(issued)
            }
            Err(error) => {
                if let TokenError::Denied(_) = error {
                    context.record.token(TokenSource::Denied, None);
                }
                Err(error.into())
            }
        }
    }

    /// A signature covers a digest of the body, so that one must be known first; else a body that
    /// is still arriving waits for its place among the uploads.
    async fn make_ready(
        &self,
        body: CallBody,
        credential: &Credential,
        accepted: &Accepted,
    ) -> Result<CallBody, Rejection> {
        match (body, credential) {
            (CallBody::Stream(mut stream), Credential::Signature(_)) => {
                stream.bound_whole();
                let limit = self.rules.max_body();
                let whole = body::read_budgeted(stream, limit, &self.budget).await?;
                Ok(CallBody::Whole(whole))
            }
            (CallBody::Stream(mut stream), Credential::Token(_)) => {
                let caller = Holder::Caller(accepted.identity.caller.to_bytes());
                stream.hold(self.forwarder.place_for_upload(caller).await?);
                Ok(CallBody::Stream(stream))
            }
            (body @ (CallBody::Empty | CallBody::Whole(_)), _) => Ok(body),
        }
    }

    fn outbound<'c>(&'c self, context: &'c RequestContext, route: &'c Route) -> OutboundCall<'c> {
        let default_language = match route.plan {
            CallPlan::Preverify => self.default_language.as_ref(),
            CallPlan::TaskCreate | CallPlan::TaskResult | CallPlan::Passthrough => None,
        };
        OutboundCall {
            inbound: &context.parts,
            path: &route.path,
            x_trace_id: &context.x_trace_id,
            caller: context.arrival.caller,
            holder: context.held.in_flight.as_ref().map_or(context.arrival.holder, Place::holder),
            default_language,
        }
    }

    async fn attempt(
        &self,
        context: &mut RequestContext,
        route: &Route,
        body: OutboundBody,
        issued: &Issued,
        resent: Resent,
        sent_at: Moment,
    ) -> Result<Answer, ForwardError> {
        context.record.begin(Stage::Forward);
        let span = context.record.stage_span(Stage::Forward).child();
        let fresh = resent.wants_fresh_connection();
        let call = self.outbound(context, route);
        let sent = self
            .forwarder
            .attempt(&call, body, &issued.credential, span, sent_at.wall, fresh)
            .await;
        let attempt = Attempt {
            span,
            started: sent_at.wall,
            ended: self.clock.now(),
            status: sent.as_ref().ok().map(|answer| answer.head.status.as_u16()),
            verdict: sent.as_ref().ok().map(|answer| answer.verdict),
            error: sent.as_ref().err().map(error_word),
            replay: resent != Resent::Not,
            server: Arc::clone(&self.upstream),
        };
        match &sent {
            Ok(_) => self.telemetry.upstream(&attempt, None),
            Err(error) if is_koodrives_fault(error) => {
                self.telemetry.upstream(&attempt, Some(error));
            }
            Err(_) => {}
        }
        context.record.attempt(attempt);
        sent
    }

    /// Tells the tokens what KooDrive thinks of theirs; what a refusal of it means for the call.
    fn judge(
        &self,
        answer: &Answer,
        credential: &Credential,
        accepted: &Accepted,
        sent_at: Moment,
    ) -> Option<Refusal> {
        if let Some(date) = answer.head.headers.get(DATE) {
            self.telemetry.upstream_date(date, sent_at.wall);
        }
        self.telemetry.upstream_limits(&answer.head.headers, sent_at.wall);
        let Credential::Token(token) = credential else { return None };
        match answer.verdict {
            TokenVerdict::Accepted => {
                self.tokens.accepted(token, accepted, sent_at);
                None
            }
            TokenVerdict::Unread => None,
            TokenVerdict::Refused => Some(self.tokens.refused(token, accepted)),
        }
    }
}

/// The place of a preverify call among those at KooDrive: only now, when all that takes as long as
/// the caller likes is over.
fn place_at_koodrive(context: &mut RequestContext) -> Result<Option<Place>, Rejection> {
    let Some(limits) = context.limits.as_mut() else { return Ok(None) };
    context.record.begin(Stage::Limit);
    let place = limits.take_place();
    let (decisions, observed) = (limits.decisions(), limits.take_observed());
    context.limits_said(decisions, observed);
    let place = place?;
    context.record.end(Stage::Limit);
    Ok(place)
}

/// Tells the limits what KooDrive's answer to a preverify call says of its load.
fn tell_load(context: &RequestContext, answer: &Answer) {
    let Some(limits) = &context.limits else { return };
    match answer.load {
        Load::Served => limits.served(),
        Load::Throttled { retry_after } => limits.throttled(retry_after),
        Load::Unknown => {}
    }
}

/// Sending these twice is the same as sending them once (RFC 9110 section 9.2.2). That section has
/// OPTIONS and TRACE too: of the first KooDrive says nothing, the second goes nowhere.
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE)
}

/// Not the caller's, not a bound of ours, nor that it had closed a connection nobody used.
fn is_koodrives_fault(error: &ForwardError) -> bool {
    match error {
        ForwardError::Saturated | ForwardError::CallerBody(_) => false,
        ForwardError::Broken { .. } => !error.closed_while_idle(),
        ForwardError::Unreachable(_)
        | ForwardError::TimedOut { .. }
        | ForwardError::Switched
        | ForwardError::Coded => true,
    }
}

fn error_word(error: &ForwardError) -> &'static str {
    match error {
        ForwardError::Unreachable(_) => "unreachable",
        ForwardError::Broken { .. } => "broken",
        ForwardError::TimedOut { .. } => "timed_out",
        ForwardError::Saturated => "saturated",
        ForwardError::Switched => "switched",
        ForwardError::Coded => "coded",
        ForwardError::CallerBody(_) => "caller_body",
    }
}
