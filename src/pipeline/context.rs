//! What one request carries through the stages, from its head to its answer.

use std::time::SystemTime;

use http::{Response, request};

use super::accepted::AcceptedCall;
use super::{Arrival, Pipeline, ResponseBody, language_of};
use crate::body::Reservation;
use crate::forward::AnswerBody;
use crate::limit::{CallerLimits, Decisions, LimitExceeded, RATE_LIMIT, RATE_LIMIT_POLICY};
use crate::places::Place;
use crate::rejection::Rejection;
use crate::telemetry;
use crate::telemetry::{Opened, Refused, RequestRecord, Stage};
use crate::trace_context::{SpanContext, TraceId};
use crate::trace_id::{IllegalTraceId, X_TRACEID, XTraceId};
use crate::validate::{Language, Malformed};

/// What every stage of one request may look at. Decisions are made of its values; the record is
/// write-only. The body is none of it: it is handed from stage to stage, and so used once.
pub(super) struct RequestContext {
    pub(super) now: SystemTime,
    pub(super) parts: request::Parts,
    pub(super) arrival: Arrival,
    pub(super) x_trace_id: XTraceId,
    pub(super) trace_id: TraceId,
    pub(super) record: RequestRecord,
    pub(super) held: Held,
    /// Set once the limits were asked: their standing goes into the answer.
    pub(super) limits: Option<CallerLimits>,
    language: Language,
}

/// What a request occupies until its answer has gone out.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) in_flight: Option<Place>,
    /// For the connection, which goes by it.
    pub(super) accepted: Option<AcceptedCall>,
    /// Memory for an answer that was read before the caller asked for it.
    pub(super) ahead: Option<Reservation>,
    /// Among the preverify calls at KooDrive; only while its answer has not ended.
    pub(super) concurrent: Option<Place>,
}

impl Pipeline {
    /// Opens the record under the request's ids. An illegal X-Traceid is replaced by a new one,
    /// under which it may still be refused.
    pub(super) fn open(
        &self,
        parts: request::Parts,
        arrival: Arrival,
    ) -> (RequestContext, Option<IllegalTraceId>) {
        let now = self.clock.now();
        let (given, illegal) = match XTraceId::from_headers(&parts.headers) {
            Ok(given) => (given, None),
            Err(illegal) => (None, Some(illegal)),
        };
        let replaced = illegal.map(|_| XTraceId::illegal_text(&parts.headers).into());
        let (span, parent) = self.place_in_trace(&parts, given.as_ref());
        let x_trace_id = given.unwrap_or_else(|| XTraceId::generate(&span, now));
        let record = self.telemetry.open(Opened {
            started: now,
            method: parts.method.clone(),
            path: parts.uri.path().into(),
            version: parts.version,
            scheme: arrival.caller.scheme(),
            span,
            parent,
            x_trace_id: x_trace_id.as_header().clone(),
            x_trace_id_replaced: replaced,
            peer: arrival.caller.ip,
        });
        let language = language_of(&parts);
        let context = RequestContext {
            now,
            parts,
            arrival,
            x_trace_id,
            trace_id: span.trace_id,
            record,
            held: Held::default(),
            limits: None,
            language,
        };
        (context, illegal)
    }

    /// The SERVER span and its parent: by the caller's `traceparent`, else by the trace that its
    /// X-Traceid was made from, else the first of a new trace.
    fn place_in_trace(
        &self,
        parts: &request::Parts,
        given: Option<&XTraceId>,
    ) -> (SpanContext, Option<SpanContext>) {
        if let Some(remote) = SpanContext::from_headers(&parts.headers) {
            let sampled = self.telemetry.sample(Some(&remote), remote.trace_id);
            return (SpanContext { sampled, ..remote.child() }, Some(remote));
        }
        if let Some((trace_id, span_id)) = given.and_then(XTraceId::origin) {
            let sampled = self.telemetry.sample(None, trace_id);
            // Whoever made the id, this does not say how: so it is not known to be random.
            let parent = SpanContext { trace_id, span_id, sampled, random: false };
            return (parent.child(), Some(parent));
        }
        let span = SpanContext::root(false);
        let sampled = self.telemetry.sample(None, span.trace_id);
        (SpanContext { sampled, ..span }, None)
    }
}

impl RequestContext {
    /// Turns a rejection into the answer, and into facts.
    pub(super) fn refuse(&mut self, rejection: &Rejection) -> Response<AnswerBody> {
        self.record.rejected(Refused {
            reason: rejection.reason(),
            detail: telemetry::chain(rejection),
            stage: stage_of(rejection),
        });
        rejection.to_response(self.language, &self.x_trace_id).map(AnswerBody::from)
    }

    /// Refuses, unless the guard whose verdict this is only observes: then what it would have said
    /// is told to operators, and the call goes on.
    pub(super) fn refuse_unless(
        &mut self,
        observes: bool,
        rejection: Rejection,
    ) -> Result<(), Rejection> {
        if observes {
            self.observe(&rejection);
            return Ok(());
        }
        Err(rejection)
    }

    /// What the limits have said so far, and what they would refuse now.
    pub(super) fn limits_said(&mut self, decisions: Decisions, observed: Option<LimitExceeded>) {
        self.record.limits(decisions);
        if let Some(exceeded) = observed {
            self.observe(&exceeded.into());
        }
    }

    fn observe(&mut self, rejection: &Rejection) {
        let reason = rejection.reason();
        self.record.observed(reason);
        let reason = reason.as_str();
        if let Rejection::Batch(malformed) = rejection {
            let (findings, more) = listed(malformed);
            tracing::info!(reason, findings, more, "batch would be refused");
        } else {
            tracing::info!(reason, detail = telemetry::chain(rejection), "call would be refused");
        }
    }

    /// Adds what every answer carries; the record and what is held go with the body.
    pub(super) fn close(self, mut response: Response<AnswerBody>) -> Response<ResponseBody> {
        let headers = response.headers_mut();
        headers.insert(X_TRACEID, self.x_trace_id.as_header().clone());
        let standing = self.limits.as_ref().and_then(CallerLimits::standing);
        if let Some(standing) = standing {
            headers.insert(RATE_LIMIT_POLICY, standing.policy);
            headers.insert(RATE_LIMIT, standing.limits);
        }
        let (head, body) = response.into_parts();
        let body = self.record.close_with(head.status, body);
        Response::from_parts(head, ResponseBody::new(body, self.held))
    }
}

/// Pointer and rule of each fault of a batch, as many as a log line holds, and how many more there
/// are.
fn listed(malformed: &Malformed) -> (String, usize) {
    let mut text = String::new();
    let mut listed = 0;
    for finding in &malformed.findings {
        let separator = if text.is_empty() { "" } else { ", " };
        let told = format!("{separator}{} {}", finding.pointer, finding.rule());
        if LISTED_BYTES_MAX < text.len() + told.len() {
            break;
        }
        text.push_str(&told);
        listed += 1;
    }
    (text, malformed.findings.len() - listed + malformed.more)
}

/// Below the length at which log fields are cut.
const LISTED_BYTES_MAX: usize = 1000;

/// The stage that said no; none for what is refused before the stages.
fn stage_of(rejection: &Rejection) -> Option<Stage> {
    match rejection {
        Rejection::Accept(_) => Some(Stage::Accept),
        Rejection::Denied(_) => Some(Stage::Authorize),
        Rejection::Limit(_) => Some(Stage::Limit),
        Rejection::Content(_) | Rejection::Batch(_) | Rejection::Body(_) => Some(Stage::Validate),
        Rejection::Token(_) => Some(Stage::Token),
        Rejection::Forward(_) => Some(Stage::Forward),
        Rejection::TraceId(_)
        | Rejection::Framing(_)
        | Rejection::Call(_)
        | Rejection::Overloaded(_)
        | Rejection::Draining => None,
    }
}
