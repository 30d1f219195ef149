//! How a refusal looks: each failure of a stage has a [`Reason`], and the reason's one row decides
//! status, code, who must act and what the caller reads.
//!
//! The body satisfies KooDrive's clients (`code`, `msg`) and RFC 9457 alike. What the caller may
//! learn stands here; what operators may learn is the error's own text, and goes to log and trace.
//!
//! A new reason is a row in `reason.rs`, an arm in [`Rejection::reason`] and a row in the README.

mod accept;
mod reason;
mod text;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

pub use self::reason::{Origin, Reason};
use self::text::Text;
use crate::accept::{AcceptError, MalformedToken};
use crate::authorize::Denied;
use crate::body::BodyError;
use crate::call::CallRefused;
use crate::forward::ForwardError;
use crate::limit::{LimitExceeded, Policy};
use crate::places::PlacesTaken;
use crate::token::TokenError;
use crate::trace_id::{IllegalTraceId, XTraceId};
use crate::validate::{ContentRefused, FindingView, Language, Malformed, MalformedKind};

/// Why the gateway itself answers a call.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    #[error(transparent)]
    TraceId(#[from] IllegalTraceId),
    /// Two parsers could read the request differently.
    #[error("ambiguous request framing: {0}")]
    Framing(&'static str),
    #[error(transparent)]
    Call(#[from] CallRefused),
    #[error(transparent)]
    Accept(#[from] AcceptError),
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    #[error(transparent)]
    Content(#[from] ContentRefused),
    #[error("the batch is refused; findings: {}", .0.findings.len() + .0.more)]
    Batch(Malformed),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Forward(#[from] ForwardError),
    #[error(transparent)]
    Overloaded(#[from] PlacesTaken),
    #[error("the gateway is stopping")]
    Draining,
}

impl Rejection {
    /// The row of the table. Exhaustive, so that a new failure cannot be forgotten.
    pub fn reason(&self) -> Reason {
        match self {
            Self::TraceId(IllegalTraceId) => Reason::TraceIdIllegal,
            Self::Framing(_) => Reason::FramingIllegal,
            Self::Call(CallRefused::RouteUnknown(_)) | Self::Denied(Denied::Ambiguous) => {
                Reason::RouteUnknown
            }
            Self::Call(CallRefused::Method { .. }) => Reason::MethodRefused,
            Self::Accept(error) => of_accept(error),
            Self::Denied(Denied::Lacks { .. } | Denied::Nobody { .. } | Denied::Unnamed) => {
                Reason::CallDenied
            }
            Self::Limit(exceeded) => match exceeded.policy {
                Policy::Upstream => Reason::LimitUpstream,
                Policy::Calls => Reason::LimitCalls,
                Policy::Users => Reason::LimitUsers,
                Policy::Total => Reason::LimitTotal,
                Policy::Concurrent => Reason::LimitConcurrent,
            },
            Self::Content(_) => Reason::ContentTypeRefused,
            Self::Batch(malformed) => match malformed.kind {
                MalformedKind::NotJson => Reason::BatchNotJson,
                MalformedKind::Malformed => Reason::BatchMalformed,
            },
            Self::Body(error) => of_body(error),
            Self::Token(error) => of_token(error),
            Self::Forward(error) => error.caller_body().map_or_else(|| of_forward(error), of_body),
            Self::Overloaded(_) => Reason::Overloaded,
            Self::Draining => Reason::Draining,
        }
    }

    /// After how long the same call may pass. Whoever is told 503 is told a time.
    pub fn retry_after(&self) -> Option<Duration> {
        let known = match self {
            Self::Accept(AcceptError::KeysUnavailable { retry_after, .. }) => Some(*retry_after),
            Self::Limit(exceeded) => Some(exceeded.retry_after),
            Self::Token(error) => error.retry_after(),
            Self::Accept(_)
            | Self::TraceId(_)
            | Self::Framing(_)
            | Self::Call(_)
            | Self::Denied(_)
            | Self::Content(_)
            | Self::Batch(_)
            | Self::Body(_)
            | Self::Forward(_)
            | Self::Overloaded(_)
            | Self::Draining => None,
        };
        let unavailable = self.reason().status() == StatusCode::SERVICE_UNAVAILABLE;
        known.or(unavailable.then_some(SECOND)).map(|after| after.max(SECOND))
    }

    /// The answer to the caller.
    pub fn to_response(&self, language: Language, x_trace_id: &XTraceId) -> Response<Bytes> {
        let reason = self.reason();
        let retry_after = self.retry_after().map(whole_seconds);
        let problem = Problem {
            code: reason.code(),
            msg: Text { language, rejection: self }.to_string(),
            kind: format!("urn:koodrive-gateway:{}", reason.as_str()),
            title: reason.title(),
            status: reason.status().as_u16(),
            reason: reason.as_str(),
            origin: reason.origin().as_str(),
            trace_id: x_trace_id.as_str(),
            retry_after,
            errors: self.findings(language),
        };
        let body = serde_json::to_vec(&problem).expect("strings and numbers serialize");
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = reason.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        self.add_headers(headers, reason);
        response
    }

    fn add_headers(&self, headers: &mut HeaderMap, reason: Reason) {
        if let Self::Call(CallRefused::Method { allow }) = self {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if reason.status() == StatusCode::UNAUTHORIZED {
            // Who sent no credentials is told no error (RFC 6750 section 3.1).
            let challenge = if reason == Reason::TokenMissing {
                "Bearer".to_owned()
            } else {
                let word = reason.as_str();
                format!("Bearer error=\"invalid_token\", error_description=\"{word}\"")
            };
            let challenge = HeaderValue::try_from(challenge).expect("reasons are ASCII words");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        // What is left of the request cannot be told from the next one, or will not arrive.
        if self.leaves_the_body() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }

    fn leaves_the_body(&self) -> bool {
        matches!(self, Self::Framing(_)) || self.of_caller_body().is_some()
    }

    /// Whether nobody is there to be told: the caller has hung up while its body was on its way.
    pub fn caller_is_gone(&self) -> bool {
        matches!(self.of_caller_body(), Some(BodyError::Broken(_)))
    }

    /// What went wrong with the caller's body, if that was it.
    fn of_caller_body(&self) -> Option<&BodyError> {
        match self {
            Self::Body(error) => Some(error),
            Self::Forward(error) => error.caller_body(),
            Self::TraceId(_)
            | Self::Framing(_)
            | Self::Call(_)
            | Self::Accept(_)
            | Self::Denied(_)
            | Self::Limit(_)
            | Self::Content(_)
            | Self::Batch(_)
            | Self::Token(_)
            | Self::Overloaded(_)
            | Self::Draining => None,
        }
    }

    fn findings(&self, language: Language) -> Vec<FindingView<'_>> {
        let Self::Batch(malformed) = self else { return Vec::new() };
        malformed.findings.iter().map(|finding| finding.view(language)).collect()
    }
}

fn of_accept(error: &AcceptError) -> Reason {
    match error {
        AcceptError::TokenMissing(_) => Reason::TokenMissing,
        AcceptError::TokenMalformed(
            MalformedToken::HeaderRepeated
            | MalformedToken::Empty
            | MalformedToken::Quoted
            | MalformedToken::SchemeTwice
            | MalformedToken::Placeholder
            | MalformedToken::WholeAnswer
            | MalformedToken::Characters
            | MalformedToken::NotThreeParts
            | MalformedToken::NotBase64url(_)
            | MalformedToken::NotJson(_)
            | MalformedToken::Member(_)
            | MalformedToken::Extension(_)
            | MalformedToken::Type,
        ) => Reason::TokenMalformed,
        AcceptError::SignatureInvalid { .. } => Reason::TokenSignatureInvalid,
        AcceptError::Expired { .. } => Reason::TokenExpired,
        AcceptError::NotYetValid { .. } => Reason::TokenNotYetValid,
        AcceptError::IssuerUnknown { .. } => Reason::TokenIssuerUnknown,
        AcceptError::AudienceMismatch { .. } => Reason::TokenAudienceMismatch,
        AcceptError::AlgorithmRefused { .. } => Reason::TokenAlgorithmRefused,
        AcceptError::KeyUnknown { .. } => Reason::TokenKeyUnknown,
        AcceptError::ClaimRefused { .. } => Reason::TokenClaimRefused,
        AcceptError::KeysUnavailable { .. } => Reason::KeysUnavailable,
    }
}

fn of_body(error: &BodyError) -> Reason {
    match error {
        BodyError::TooLarge(_) => Reason::BodyTooLarge,
        BodyError::NoBudget => Reason::Overloaded,
        BodyError::Malformed(_) => Reason::FramingIllegal,
        // Of a body that broke off nobody is told.
        BodyError::Idle(_) | BodyError::Slow(_) | BodyError::Broken(_) => Reason::BodyTimeout,
    }
}

fn of_token(error: &TokenError) -> Reason {
    match error {
        TokenError::Denied(_) => Reason::CallerDenied,
        TokenError::AnswerUnusable(_) => Reason::TokenAnswerUnusable,
        TokenError::Busy { .. } => Reason::TokenEndpointBusy,
        TokenError::Unavailable { .. } => Reason::TokenEndpointUnavailable,
        TokenError::TimedOut { .. } => Reason::TokenEndpointTimeout,
    }
}

fn of_forward(error: &ForwardError) -> Reason {
    match error {
        ForwardError::Unreachable(_) => Reason::UpstreamUnreachable,
        ForwardError::Broken { .. }
        | ForwardError::CallerBody(_)
        | ForwardError::Switched
        | ForwardError::Coded => Reason::UpstreamBroken,
        ForwardError::Saturated => Reason::Overloaded,
        ForwardError::TimedOut { .. } => Reason::UpstreamTimeout,
    }
}

/// The body, in the order of the public contract.
#[derive(Serialize)]
struct Problem<'r> {
    code: u32,
    msg: String,
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    reason: &'static str,
    origin: &'static str,
    #[serde(rename = "traceId")]
    trace_id: &'r str,
    #[serde(rename = "retryAfter")]
    retry_after: Option<u64>,
    errors: Vec<FindingView<'r>>,
}

/// Whole seconds, rounded up, so that obeying works.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(0 < duration.subsec_nanos())
}

const SECOND: Duration = Duration::from_secs(1);
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
