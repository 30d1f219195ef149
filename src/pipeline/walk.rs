//! What one request carries through the stages.

use std::time::SystemTime;

use http::{Response, request};
use tokio::sync::OwnedSemaphorePermit;

use super::{Arrival, Pipeline, ResponseBody, language_of};
use crate::body::InboundBody;
use crate::forward::AnswerBody;
use crate::limit::{Admission, CallerLimits, RATE_LIMIT, RATE_LIMIT_POLICY};
use crate::rejection::Rejection;
use crate::telemetry;
use crate::telemetry::{Opened, Refused, RequestRecord, Stage};
use crate::trace_context::{SpanContext, SpanId, TraceId};
use crate::trace_id::{IllegalTraceId, X_TRACEID, XTraceId};
use crate::validate::Language;

/// One request on its way. Decisions are made of its values; the record is write-only.
pub(super) struct Walk {
    pub(super) now: SystemTime,
    pub(super) parts: request::Parts,
    pub(super) arrival: Arrival,
    pub(super) x_trace_id: XTraceId,
    pub(super) trace_id: TraceId,
    pub(super) illegal_trace_id: Option<IllegalTraceId>,
    pub(super) record: RequestRecord,
    pub(super) held: Held,
    /// Set once the limits are asked: their standing goes into the answer.
    pub(super) limits: Option<CallerLimits>,
    language: Language,
    body: Option<InboundBody>,
}

/// What a request occupies until its answer has gone out.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) in_flight: Option<OwnedSemaphorePermit>,
    pub(super) admission: Option<Admission>,
}

impl Pipeline {
    /// First of all the ids: every log line and refusal carries them.
    pub(super) fn open(&self, parts: request::Parts, body: InboundBody, arrival: Arrival) -> Walk {
        let now = self.clock.now();
        let (given, illegal_trace_id) = match XTraceId::from_headers(&parts.headers) {
            Ok(given) => (given, None),
            Err(illegal) => (None, Some(illegal)),
        };
        let remote = SpanContext::from_headers(&parts.headers);
        let origin = given.as_ref().and_then(XTraceId::origin);
        let (span, parent) = match (remote, origin) {
            (Some(remote), _) => {
                let sampled = self.telemetry.sample(Some(&remote), remote.trace_id);
                (SpanContext { sampled, ..remote.child() }, Some(remote))
            }
            (None, Some((trace_id, span_id))) => {
                let sampled = self.telemetry.sample(None, trace_id);
                let span = SpanContext {
                    trace_id,
                    span_id: SpanId::generate(),
                    sampled,
                    // Whoever made the id, this does not say how.
                    random: false,
                };
                (span, Some(SpanContext { span_id, ..span }))
            }
            (None, None) => {
                let span = SpanContext::root(false);
                let sampled = self.telemetry.sample(None, span.trace_id);
                (SpanContext { sampled, ..span }, None)
            }
        };
        let x_trace_id = given.unwrap_or_else(|| XTraceId::generate(&span, now));
        let mut record = self.telemetry.open(Opened {
            started: now,
            method: parts.method.clone(),
            path: parts.uri.path().into(),
            version: parts.version,
            scheme: if arrival.tls { "https" } else { "http" },
            span,
            parent,
            x_trace_id: x_trace_id.as_header().clone(),
            peer: arrival.ip,
        });
        let body = body.count_into(record.bytes_in());
        let language = language_of(&parts);
        Walk {
            now,
            parts,
            arrival,
            x_trace_id,
            trace_id: span.trace_id,
            illegal_trace_id,
            record,
            held: Held::default(),
            limits: None,
            language,
            body: Some(body),
        }
    }
}

impl Walk {
    pub(super) fn body_mut(&mut self) -> &mut InboundBody {
        self.body.as_mut().expect("a body is taken once, by the last stage that needs it")
    }

    pub(super) fn take_body(&mut self) -> InboundBody {
        self.body.take().expect("a body is taken once, by the last stage that needs it")
    }

    /// Turns a rejection into the answer, and into facts.
    pub(super) fn refuse(&mut self, rejection: &Rejection) -> Response<AnswerBody> {
        self.record.rejected(Refused {
            reason: rejection.reason(),
            detail: telemetry::chain(rejection),
            stage: stage_of(rejection),
        });
        rejection.to_response(self.language, &self.x_trace_id).map(AnswerBody::from)
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

/// The stage that said no; none for what is refused before the stages.
fn stage_of(rejection: &Rejection) -> Option<Stage> {
    match rejection {
        Rejection::Accept(_) => Some(Stage::Accept),
        Rejection::Limit(_) => Some(Stage::Limit),
        Rejection::Content(_) | Rejection::Batch(_) | Rejection::Body(_) => Some(Stage::Validate),
        Rejection::Token(_) => Some(Stage::Token),
        Rejection::Forward(_) => Some(Stage::Forward),
        Rejection::TraceId(_)
        | Rejection::Framing(_)
        | Rejection::Call(_)
        | Rejection::Overloaded
        | Rejection::Draining => None,
    }
}
