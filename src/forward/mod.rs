//! Sends a call on to KooDrive and brings the answer back, streaming both ways.
//!
//! Swaps the credentials, keeps everything else. Knows nothing of why a call may pass.

mod answer;
mod body;
mod budget;
mod envelope;
mod headers;
mod inflate;
mod sign;

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, header, request,
    response,
};
use http_body::Body as _;
use tokio::time::Instant;

use self::answer::{AnswerRules, Judgement};
pub use self::body::{AnswerBody, ReadAhead};
use self::budget::RetryBudget;
use self::sign::{SignedHeaders, Unsigned};
use crate::body::{BodyError, OutboundBody};
use crate::client::{AnswerTimeouts, ClientError, Pool, retry_after};
use crate::config::{ForwardConfig, Forwarded, Propagate};
use crate::listener::CallerAddress;
use crate::places::{Holder, Place, Places};
use crate::token::{Credential, TokenVerdict};
use crate::trace_context;
use crate::trace_context::{SpanContext, TRACEPARENT, TRACESTATE};
use crate::trace_id::{X_TRACEID, XTraceId};

/// The way to KooDrive under one configuration.
#[derive(Clone, Debug)]
pub struct Forwarder {
    pool: Pool,
    host: HeaderValue,
    timeouts: AnswerTimeouts,
    propagate: Propagate,
    forwarded: Forwarded,
    sso_header: HeaderName,
    rules: AnswerRules,
    retries: RetryBudget,
    /// Connections that bodies may occupy while they arrive.
    uploads: Places,
    connect_timeout: Duration,
}

/// A call as it came, and what is to be said upstream besides; the same for each attempt.
#[derive(Clone, Copy, Debug)]
pub struct OutboundCall<'a> {
    pub inbound: &'a request::Parts,
    /// Sent in place of the caller's; the query stays.
    pub path: &'a str,
    pub x_trace_id: &'a XTraceId,
    pub caller: CallerAddress,
    /// Whose connection to KooDrive it takes.
    pub holder: Holder,
    pub default_language: Option<&'a HeaderValue>,
}

/// KooDrive's answer, ready to go back.
#[derive(Debug)]
pub struct Answer {
    pub head: response::Parts,
    pub body: AnswerBody,
    pub verdict: TokenVerdict,
    pub load: Load,
}

/// What an answer says about KooDrive's load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// It served the call, or refused it for other reasons than its load.
    Served,
    /// It gets more calls than it wants, and may say for how long none should come.
    Throttled { retry_after: Option<Duration> },
    /// Nothing is known: KooDrive failed, or did not take the token.
    Unknown,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    #[error("KooDrive cannot be reached")]
    Unreachable(#[source] ClientError),
    #[error("the connection to KooDrive at {at} broke before its answer")]
    Broken {
        at: String,
        #[source]
        cause: ClientError,
    },
    #[error("all connections to KooDrive are in use")]
    Saturated,
    #[error("KooDrive switched to another protocol, unasked")]
    Switched,
    #[error("KooDrive's answer has a transfer coding other than chunked, unasked")]
    Coded,
    #[error("KooDrive at {at} did not answer within {after:?}")]
    TimedOut { at: String, after: Duration },
    #[error("the caller's body did not arrive")]
    CallerBody(#[source] ClientError),
}

impl Forwarder {
    /// What an answer to preverify may have to be taken off KooDrive's hands at once; the findings
    /// on a full batch have less.
    pub const AHEAD_BYTES_MAX: usize = 256 * 1024;

    /// `sso_header` is where SSO tokens arrive.
    pub fn new(
        config: &ForwardConfig,
        sso_header: HeaderName,
        pool: Pool,
        uploads: Places,
    ) -> Self {
        Self {
            pool,
            host: host_header(config.upstream.uri()),
            timeouts: AnswerTimeouts { head: config.response_timeout, idle: config.idle_timeout },
            propagate: config.propagate,
            forwarded: config.forwarded,
            sso_header,
            rules: AnswerRules::new(config),
            retries: RetryBudget::new(Instant::now()),
            uploads,
            connect_timeout: config.connect_timeout,
        }
    }

    /// Waits for a place for a body that is passed on as it arrives, as long as connecting may take.
    pub async fn place_for_upload(&self, caller: Holder) -> Result<Place, ForwardError> {
        let place = self.uploads.take(caller);
        let place = tokio::time::timeout(self.connect_timeout, place).await;
        place.map_err(|_| ForwardError::Saturated)
    }

    /// Reads an answer on, though nobody has asked for it yet. One that is too large is left where
    /// it is.
    pub async fn read_ahead(&self, body: &mut AnswerBody) -> Result<ReadAhead, ForwardError> {
        body.read_ahead(Self::AHEAD_BYTES_MAX).await.map_err(|error| self.broken_off(error))
    }

    /// One attempt. `span` is the attempt's own span, the parent of what KooDrive does; `fresh`
    /// asks for a connection that was never used.
    pub async fn attempt(
        &self,
        call: &OutboundCall<'_>,
        body: OutboundBody,
        credential: &Credential,
        span: SpanContext,
        now: SystemTime,
        fresh: bool,
    ) -> Result<Answer, ForwardError> {
        let request = self.request(call, body, credential, span, now);
        if !fresh {
            self.retries.earn();
        }
        let sent = self.pool.send(request, self.timeouts, call.holder, fresh).await;
        let (mut head, body) = sent.map_err(|error| self.failure(error))?.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(ForwardError::Switched);
        }
        if headers::has_other_coding(&head.headers) {
            return Err(ForwardError::Coded);
        }
        // The version of the answer is ours, not KooDrive's (RFC 9112 section 2.3).
        head.version = Version::HTTP_11;
        headers::for_caller(&mut head.headers);
        let judged = envelope::judge(&self.rules, &head, body).await;
        let (judgement, body) = judged.map_err(|error| self.broken_off(error))?;
        let load = load_of(&head, judgement, now);
        Ok(Answer { head, body, verdict: judgement.token, load })
    }

    fn request(
        &self,
        call: &OutboundCall<'_>,
        body: OutboundBody,
        credential: &Credential,
        span: SpanContext,
        now: SystemTime,
    ) -> Request<OutboundBody> {
        let OutboundCall { inbound, path, x_trace_id, caller, default_language, .. } = *call;
        let uri = target(&inbound.uri, path);
        let mut headers = headers::for_upstream(&inbound.headers, &self.sso_header);
        inflate::reduce_accept_encoding(&mut headers);
        headers.insert(header::HOST, self.host.clone());
        headers.insert(X_TRACEID, x_trace_id.as_header().clone());
        headers.append(header::VIA, VIA);
        if let Some(language) = default_language {
            headers.entry(LANGUAGE).or_insert_with(|| language.clone());
        }
        if self.forwarded == Forwarded::Append {
            append_forwarded(&mut headers, inbound, caller);
        }
        match credential {
            Credential::Token(token) => {
                headers.insert(header::AUTHORIZATION, token.header().clone());
            }
            Credential::Signature(identity) => {
                let whole = match &body {
                    OutboundBody::Whole(bytes) => bytes.as_deref().unwrap_or_default(),
                    OutboundBody::Streaming(_) => &[],
                };
                let unsigned = Unsigned {
                    method: &inbound.method,
                    path: uri.path(),
                    query: uri.query(),
                    host: self.host.to_str().unwrap_or_default(),
                    body: whole,
                };
                SignedHeaders::sign(identity, &unsigned, now).apply(&mut headers);
            }
        }
        self.propagate_trace(&mut headers, &inbound.headers, span);
        // hyper drops a body of unknown length from GET and HEAD unless told to send it chunked.
        let sized = body.size_hint().exact().is_some();
        if !sized && matches!(inbound.method, Method::GET | Method::HEAD) {
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let mut request = Request::new(body);
        *request.method_mut() = inbound.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        request
    }

    fn propagate_trace(&self, headers: &mut HeaderMap, inbound: &HeaderMap, span: SpanContext) {
        if self.propagate != Propagate::None {
            headers.insert(TRACEPARENT, span.to_traceparent());
        }
        if self.propagate == Propagate::Full {
            let tracestate = trace_context::tracestate(inbound).map(|state| (TRACESTATE, state));
            headers.extend(tracestate);
            headers.extend(joined(inbound, &BAGGAGE).map(|baggage| (BAGGAGE, baggage)));
        }
    }

    /// Whether one more call may be sent again.
    pub fn may_retry(&self) -> bool {
        self.retries.spend(Instant::now())
    }

    fn failure(&self, error: ClientError) -> ForwardError {
        match error {
            ClientError::TimedOut(_) => {
                ForwardError::TimedOut { at: self.at(), after: self.timeouts.head }
            }
            ClientError::Connect(_) => ForwardError::Unreachable(error),
            ClientError::Saturated => ForwardError::Saturated,
            _ if error.body_error().is_some() => ForwardError::CallerBody(error),
            _ => ForwardError::Broken { at: self.at(), cause: error },
        }
    }

    /// Of an answer that ended before its time, while its head is still held.
    fn broken_off(&self, error: BodyError) -> ForwardError {
        match error {
            BodyError::Idle(after) => ForwardError::TimedOut { at: self.at(), after },
            error => ForwardError::Broken { at: self.at(), cause: ClientError::Body(error) },
        }
    }

    /// Host and port as the configuration has them.
    fn at(&self) -> String {
        String::from_utf8_lossy(self.host.as_bytes()).into_owned()
    }
}

impl ForwardError {
    /// Whether the call was lost on a connection that had been used before, which KooDrive may
    /// have been closing at that moment.
    pub fn closed_while_idle(&self) -> bool {
        matches!(self, Self::Broken { cause, .. } if cause.closed_while_idle())
    }

    /// Why the caller's own body failed, if that was it.
    pub fn caller_body(&self) -> Option<&BodyError> {
        match self {
            Self::CallerBody(error) => error.body_error(),
            Self::Unreachable(_)
            | Self::Broken { .. }
            | Self::TimedOut { .. }
            | Self::Saturated
            | Self::Switched
            | Self::Coded => None,
        }
    }
}

/// Several lines of one list-valued field as one (RFC 9110 section 5.3).
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    let mut whole = first.as_bytes().to_vec();
    for value in values {
        whole.extend_from_slice(b",");
        whole.extend_from_slice(value.as_bytes());
    }
    HeaderValue::from_maybe_shared(Bytes::from(whole)).ok()
}

/// In origin form: `path`, and the caller's query.
fn target(inbound: &Uri, path: &str) -> Uri {
    if let Some(as_written) = inbound.path_and_query()
        && as_written.path() == path
    {
        return as_written.clone().into();
    }
    let mut target = path.to_owned();
    if let Some(query) = inbound.query() {
        target.push('?');
        target.push_str(query);
    }
    PathAndQuery::try_from(target).expect("`call` has bounded what was parsed").into()
}

/// The value of `Host`: without a port that goes without saying.
fn host_header(uri: &Uri) -> HeaderValue {
    let host = uri.host().unwrap_or_default();
    let host = match (uri.port_u16(), uri.scheme_str()) {
        (None, _) | (Some(443), Some("https")) | (Some(80), Some("http")) => host.to_owned(),
        (Some(port), _) => format!("{host}:{port}"),
    };
    HeaderValue::try_from(host).expect("the host of an address is visible ASCII")
}

fn append_forwarded(headers: &mut HeaderMap, inbound: &request::Parts, caller: CallerAddress) {
    let mut chain = Vec::with_capacity(CHAIN_BYTES);
    let before = inbound.headers.get_all(X_FORWARDED_FOR).iter();
    for value in before.filter(|value| value.to_str().is_ok()) {
        chain.extend_from_slice(value.as_bytes());
        chain.extend_from_slice(b", ");
    }
    match caller.ip {
        Some(ip) => write!(chain, "{ip}").expect("a Vec takes everything"),
        None => chain.extend_from_slice(b"unknown"),
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(chain)) {
        headers.insert(X_FORWARDED_FOR, value);
    }
    let proto = caller.scheme();
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    let host = inbound.headers.get(header::HOST).cloned().or_else(|| {
        inbound.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok())
    });
    if let Some(host) = host {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

/// KooDrive's own header for the language of messages; not `Accept-Language`.
pub const LANGUAGE: HeaderName = HeaderName::from_static("language");

fn load_of(head: &response::Parts, judgement: Judgement, now: SystemTime) -> Load {
    if judgement.throttled {
        Load::Throttled { retry_after: retry_after(&head.headers, now) }
    } else if head.status.is_server_error() || judgement.token == TokenVerdict::Refused {
        Load::Unknown
    } else {
        Load::Served
    }
}

/// The address of a caller that nobody has spoken for.
const CHAIN_BYTES: usize = 40;
const VIA: HeaderValue = HeaderValue::from_static("1.1 koodrive-gateway");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
