//! How a refusal looks: one row per reason decides status, code and who must act.
//!
//! The body satisfies KooDrive's clients (`code`, `msg`) and RFC 9457 alike. What the caller may
//! learn stands here; what operators may learn is the error's own text, and goes to log and trace.

mod text;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use self::text::Text;
use crate::accept::{AcceptError, MalformedToken};
use crate::body::{BodyError, OutboundBody};
use crate::call::CallRefused;
use crate::forward::ForwardError;
use crate::limit::{LimitExceeded, Policy};
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
    #[error("too many calls at once")]
    Overloaded,
    #[error("the gateway is stopping")]
    Draining,
}

/// Every reason of the table.
pub fn reasons() -> impl Iterator<Item = &'static str> {
    text::TITLES.iter().map(|(reason, _)| *reason)
}

/// Who must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Caller,
    Gateway,
    Sso,
    TokenEndpoint,
    Upstream,
}

impl Origin {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Gateway => "gateway",
            Self::Sso => "sso",
            Self::TokenEndpoint => "token_endpoint",
            Self::Upstream => "upstream",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub code: u32,
    pub reason: &'static str,
    pub origin: Origin,
}

impl Row {
    /// The first three digits of the code.
    pub fn status(self) -> StatusCode {
        u16::try_from(self.code / 1000)
            .ok()
            .and_then(|status| StatusCode::from_u16(status).ok())
            .expect("codes begin with a status")
    }
}

const fn row(code: u32, reason: &'static str, origin: Origin) -> Row {
    Row { code, reason, origin }
}

impl Rejection {
    /// The table. Exhaustive, so that a new failure cannot be forgotten.
    pub fn row(&self) -> Row {
        match self {
            Self::TraceId(IllegalTraceId) => row(400_003, "trace_id_illegal", Origin::Caller),
            Self::Framing(_) => row(400_004, "framing_illegal", Origin::Caller),
            Self::Call(CallRefused::RouteUnknown) => row(404_001, "route_unknown", Origin::Caller),
            Self::Call(CallRefused::Method { .. }) => {
                row(405_001, "method_refused", Origin::Caller)
            }
            Self::Accept(error) => accept_row(error),
            Self::Limit(exceeded) => limit_row(exceeded.policy),
            Self::Content(_) => row(415_001, "content_type_refused", Origin::Caller),
            Self::Batch(malformed) => match malformed.kind {
                MalformedKind::NotJson => row(400_001, "batch_not_json", Origin::Caller),
                MalformedKind::Malformed => row(400_002, "batch_malformed", Origin::Caller),
            },
            Self::Body(error) => body_row(error),
            Self::Token(error) => token_row(error),
            Self::Forward(error) => match (error, error.caller_body()) {
                (_, Some(body)) => body_row(body),
                (ForwardError::Unreachable(_), None) => {
                    row(502_001, "upstream_unreachable", Origin::Upstream)
                }
                (
                    ForwardError::Broken { .. }
                    | ForwardError::CallerBody(_)
                    | ForwardError::Switched,
                    None,
                ) => row(502_002, "upstream_broken", Origin::Upstream),
                (ForwardError::Saturated, None) => row(503_003, "overloaded", Origin::Gateway),
                (ForwardError::TimedOut(_), None) => {
                    row(504_001, "upstream_timeout", Origin::Upstream)
                }
            },
            Self::Overloaded => row(503_003, "overloaded", Origin::Gateway),
            Self::Draining => row(503_004, "draining", Origin::Gateway),
        }
    }

    /// After how long the same call may pass.
    pub fn retry_after(&self) -> Option<Duration> {
        let after = match self {
            Self::Accept(AcceptError::KeysUnavailable { retry_after, .. }) => Some(*retry_after),
            Self::Limit(exceeded) => Some(exceeded.retry_after),
            Self::Token(error) => error.retry_after(),
            Self::Overloaded | Self::Draining | Self::Body(BodyError::NoBudget) => Some(SECOND),
            _ if self.row().status() == StatusCode::SERVICE_UNAVAILABLE => Some(SECOND),
            _ => None,
        };
        after.map(|after| after.max(SECOND))
    }

    /// The answer to the caller.
    pub fn to_response(&self, language: Language, x_trace_id: &XTraceId) -> Response<OutboundBody> {
        let row = self.row();
        let retry_after = self.retry_after().map(whole_seconds);
        let problem = Problem {
            code: row.code,
            msg: self.text(language),
            kind: format!("urn:koodrive-gateway:{}", row.reason),
            title: text::title(row.reason),
            status: row.status().as_u16(),
            reason: row.reason,
            origin: row.origin.as_str(),
            trace_id: x_trace_id.as_str(),
            retry_after,
            errors: self.findings(language),
        };
        let body = serde_json::to_vec(&problem).expect("strings and numbers serialize");
        let mut response = Response::new(OutboundBody::from(Bytes::from(body)));
        *response.status_mut() = row.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        self.add_headers(headers, row);
        response
    }

    fn add_headers(&self, headers: &mut HeaderMap, row: Row) {
        if let Self::Call(CallRefused::Method { allow }) = self {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if row.status() == StatusCode::UNAUTHORIZED {
            let challenge = match self {
                Self::Accept(AcceptError::TokenMissing) => "Bearer".to_owned(),
                _ => {
                    format!("Bearer error=\"invalid_token\", error_description=\"{}\"", row.reason)
                }
            };
            let challenge = HeaderValue::try_from(challenge).expect("reasons are ASCII words");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        let closes = match self {
            Self::Framing(_) | Self::Body(_) => true,
            Self::Forward(error) => error.caller_body().is_some(),
            _ => false,
        };
        if closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }

    fn findings(&self, language: Language) -> Vec<FindingView<'_>> {
        match self {
            Self::Batch(malformed) => {
                malformed.findings.iter().map(|finding| finding.view(language)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn text(&self, language: Language) -> String {
        let text = Text { language, rejection: self };
        text.to_string()
    }
}

fn accept_row(error: &AcceptError) -> Row {
    let caller = |code, reason| row(code, reason, Origin::Caller);
    match error {
        AcceptError::TokenMissing => caller(401_001, "token_missing"),
        AcceptError::TokenMalformed(
            MalformedToken::HeaderRepeated
            | MalformedToken::TooLong
            | MalformedToken::Characters
            | MalformedToken::NotThreeParts
            | MalformedToken::NotBase64url(_)
            | MalformedToken::NotJson(_)
            | MalformedToken::Member(_)
            | MalformedToken::Extension(_)
            | MalformedToken::Type,
        ) => caller(401_002, "token_malformed"),
        AcceptError::SignatureInvalid { .. } => caller(401_003, "token_signature_invalid"),
        AcceptError::Expired { .. } => caller(401_004, "token_expired"),
        AcceptError::NotYetValid { .. } => caller(401_005, "token_not_yet_valid"),
        AcceptError::IssuerUnknown { .. } => caller(401_006, "token_issuer_unknown"),
        AcceptError::AudienceMismatch { .. } => caller(401_007, "token_audience_mismatch"),
        AcceptError::AlgorithmRefused { .. } => caller(401_008, "token_algorithm_refused"),
        AcceptError::KeyUnknown { .. } => caller(401_009, "token_key_unknown"),
        AcceptError::ClaimRefused { .. } => caller(401_010, "token_claim_refused"),
        AcceptError::KeysUnavailable { .. } => row(503_001, "keys_unavailable", Origin::Sso),
    }
}

fn limit_row(policy: Policy) -> Row {
    let (code, reason) = match policy {
        Policy::Calls => (429_001, "limit_calls"),
        Policy::Users => (429_002, "limit_users"),
        Policy::Total => (429_003, "limit_total"),
        Policy::Concurrent => (429_004, "limit_concurrent"),
    };
    row(code, reason, Origin::Caller)
}

fn body_row(error: &BodyError) -> Row {
    match error {
        BodyError::TooLarge(_) => row(413_001, "body_too_large", Origin::Caller),
        BodyError::NoBudget => row(503_003, "overloaded", Origin::Gateway),
        BodyError::Malformed(_) => row(400_004, "framing_illegal", Origin::Caller),
        // A body that broke off has nobody left to answer; it is told apart in the log only.
        BodyError::Idle(_) | BodyError::Broken(_) => row(408_001, "body_timeout", Origin::Caller),
    }
}

fn token_row(error: &TokenError) -> Row {
    match error {
        TokenError::Denied(_) => row(403_001, "caller_denied", Origin::TokenEndpoint),
        TokenError::AnswerUnusable(_) => row(502_003, "token_answer_unusable", Origin::Gateway),
        TokenError::Busy { .. } => row(503_005, "token_endpoint_busy", Origin::TokenEndpoint),
        TokenError::Unavailable { .. } => {
            row(503_002, "token_endpoint_unavailable", Origin::TokenEndpoint)
        }
        TokenError::TimedOut { .. } => {
            row(504_002, "token_endpoint_timeout", Origin::TokenEndpoint)
        }
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
