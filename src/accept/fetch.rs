//! One fetch of an issuer's keys over HTTP: discovery if need be, bounds, what the answer says
//! about its own age and about the time; and what is told of it once it is over.

use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, LOCATION,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use serde::Deserialize;

use super::error::{FetchFailure, Shown};
use super::keys::{KeySet, Skipped};
use crate::body::OutboundBody;
use crate::client;
use crate::client::{Client, ClientError, SmallAnswer};
use crate::config::{HttpUrl, KeySetDocument, without_bom};
use crate::trace_context::SpanContext;
use crate::words::words;

/// Largest key set or discovery document, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Longest time one of the two requests may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// One attempt to get an issuer's keys, for metrics, spans and the clock sentinel.
#[derive(Clone, Debug)]
pub struct KeyFetch {
    pub issuer: Arc<str>,
    pub cause: KeyFetchCause,
    pub outcome: KeyFetchOutcome,
    pub started: SystemTime,
    pub ended: SystemTime,
    /// Usable keys that arrived.
    pub keys: usize,
    /// Published keys that are not used, and why.
    pub skipped: Skipped,
    /// Why none arrived, causes included.
    pub failure: Option<FetchFailure>,
    /// The issuer's clock minus ours by the answer's `Date`, in seconds; one second is noise.
    pub skew_seconds: Option<i64>,
    /// The CLIENT span `jwks.fetch`, the first of its trace; telemetry decides whether it is kept.
    /// A file is read without one.
    pub span: SpanContext,
}

impl KeyFetch {
    pub(super) fn begin(issuer: &Arc<str>, cause: KeyFetchCause, now: SystemTime) -> Self {
        Self {
            issuer: Arc::clone(issuer),
            cause,
            outcome: KeyFetchOutcome::Unreachable,
            started: now,
            ended: now,
            keys: 0,
            skipped: Skipped::default(),
            failure: None,
            skew_seconds: None,
            span: SpanContext::root(true),
        }
    }
}

words! {
    /// What made us fetch.
    pub enum KeyFetchCause {
        /// Its time had come.
        Schedule = "schedule",
        /// A token named a key that is not in the set.
        UnknownKid = "unknown_kid",
        /// A signature failed under the key its token names.
        FailedSignature = "failed_signature",
        /// The operator asked.
        Requested = "requested",
        /// A key set file was read, at start or because it changed.
        File = "file",
    }
}

words! {
    /// How an attempt ended.
    pub enum KeyFetchOutcome {
        Fetched = "fetched",
        /// No connection, or a broken one.
        Unreachable = "unreachable",
        TimedOut = "timed_out",
        /// Neither 200 nor anything that could be used; redirects too.
        Status = "status",
        TooLarge = "too_large",
        /// Plain http to a host that is not loopback.
        PlainHttp = "plain_http",
        /// The discovery document is malformed or speaks for another issuer.
        Discovery = "discovery",
        NotAKeySet = "not_a_key_set",
        NoUsableKeys = "no_usable_keys",
    }
}

impl KeyFetchOutcome {
    pub(super) fn of(error: &FetchError) -> Self {
        match error {
            FetchError::PlainHttp => Self::PlainHttp,
            FetchError::Client { error: ClientError::TimedOut(_), .. } => Self::TimedOut,
            FetchError::Client { error: ClientError::TooLarge(_), .. }
            | FetchError::Inflated { .. } => Self::TooLarge,
            FetchError::Client { .. } => Self::Unreachable,
            FetchError::Redirected { .. }
            | FetchError::Status { .. }
            | FetchError::Coding { .. } => Self::Status,
            FetchError::DiscoveryMalformed { .. } | FetchError::DiscoveryOfAnother { .. } => {
                Self::Discovery
            }
            FetchError::NotAKeySet { .. } => Self::NotAKeySet,
            FetchError::NoUsableKeys { .. } => Self::NoUsableKeys,
        }
    }
}

/// What arrived.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) set: KeySet,
    pub(super) skipped: Skipped,
    /// What is left of `max-age`, when the answer may be kept at all.
    pub(super) fresh_for: Option<Duration>,
    pub(super) date: Option<SystemTime>,
}

/// Why no keys arrived. What the other side said is named, cut short.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("plain http is allowed for loopback hosts only")]
    PlainHttp,
    #[error("no answer from {url}")]
    Client {
        url: Box<HttpUrl>,
        #[source]
        error: ClientError,
    },
    #[error("{url} redirects to {location} (status {status}); redirects are not followed")]
    Redirected { url: Box<HttpUrl>, status: u16, location: Shown },
    #[error("{url} answered with status {status}, content type {content_type}")]
    Status { url: Box<HttpUrl>, status: u16, content_type: Shown },
    #[error("{url} answered in the content coding {coding}; only gzip is read")]
    Coding { url: Box<HttpUrl>, coding: Shown },
    #[error("{url} answered with more than {ANSWER_BYTES_MAX} bytes behind gzip")]
    Inflated { url: Box<HttpUrl> },
    #[error("{url} is not a discovery document: {fault} (content type {content_type})")]
    DiscoveryMalformed { url: Box<HttpUrl>, fault: &'static str, content_type: Shown },
    #[error("{url} is the discovery document of another issuer, {found}")]
    DiscoveryOfAnother { url: Box<HttpUrl>, found: Shown },
    #[error("{url} answered with something that is not a key set (content type {content_type})")]
    NotAKeySet { url: Box<HttpUrl>, content_type: Shown },
    #[error("none of the keys at {url} can be used: {skipped}")]
    NoUsableKeys { url: Box<HttpUrl>, skipped: Skipped },
}

/// Who asks, and under which rules.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetch<'a> {
    pub(super) client: &'a Client,
    /// `http://` to hosts other than loopback.
    pub(super) allow_plain_http: bool,
}

impl Fetch<'_> {
    /// The keys at an address.
    pub(super) async fn keys_at(&self, url: &HttpUrl) -> Result<Fetched, FetchError> {
        let answer = self.get(url).await?;
        let date = client::answer_date(&answer.headers);
        let document =
            KeySetDocument::read(&answer.body).ok_or_else(|| FetchError::NotAKeySet {
                url: Box::new(url.clone()),
                content_type: shown(&answer.headers, CONTENT_TYPE),
            })?;
        let (set, skipped) = KeySet::read(&document);
        if set.len() == 0 {
            return Err(FetchError::NoUsableKeys { url: Box::new(url.clone()), skipped });
        }
        let fresh_for = fresh_for(&answer.headers);
        Ok(Fetched { set, skipped, fresh_for, date })
    }

    /// Where the issuer says its keys are (OpenID Connect Discovery 1.0 section 4).
    pub(super) async fn discover(&self, issuer: &HttpUrl) -> Result<HttpUrl, FetchError> {
        let url = issuer.below("/.well-known/openid-configuration");
        let answer = self.get(&url).await?;
        let malformed = |fault| FetchError::DiscoveryMalformed {
            url: Box::new(url.clone()),
            fault,
            content_type: shown(&answer.headers, CONTENT_TYPE),
        };
        let document: Discovery = serde_json::from_slice(without_bom(&answer.body))
            .map_err(|_| malformed("not a JSON object with the strings issuer and jwks_uri"))?;
        if document.issuer != issuer.as_str() {
            let found = Shown::new(&document.issuer);
            return Err(FetchError::DiscoveryOfAnother { url: Box::new(url), found });
        }
        document.jwks_uri.parse().map_err(|_| malformed("its jwks_uri is not a URL"))
    }

    async fn get(&self, url: &HttpUrl) -> Result<SmallAnswer, FetchError> {
        if !(url.is_https() || url.is_loopback() || self.allow_plain_http) {
            return Err(FetchError::PlainHttp);
        }
        let mut request = Request::new(OutboundBody::empty());
        *request.uri_mut() = url.uri().clone();
        request.headers_mut().insert(ACCEPT, JSON);
        request.headers_mut().insert(ACCEPT_ENCODING, GZIP);
        let sent = self.client.send_small(request, ANSWER_BYTES_MAX, ANSWER_TIMEOUT).await;
        let mut answer =
            sent.map_err(|error| FetchError::Client { url: Box::new(url.clone()), error })?;
        match answer.status.as_u16() {
            200 => {
                if let Some(body) = inflated(url, &answer)? {
                    answer.body = body;
                }
                Ok(answer)
            }
            status @ 300..400 => {
                let location = shown_location(&answer.headers);
                Err(FetchError::Redirected { url: Box::new(url.clone()), status, location })
            }
            status => {
                let content_type = shown(&answer.headers, CONTENT_TYPE);
                Err(FetchError::Status { url: Box::new(url.clone()), status, content_type })
            }
        }
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// The registered type of key sets, and what nearly all are served as.
const JSON: HeaderValue = HeaderValue::from_static("application/jwk-set+json, application/json");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// The body without its gzip, if it has one (RFC 9110 section 8.4.1.3).
fn inflated(url: &HttpUrl, answer: &SmallAnswer) -> Result<Option<Bytes>, FetchError> {
    let Some(coding) = answer.headers.get(CONTENT_ENCODING) else { return Ok(None) };
    let coding = coding.as_bytes().trim_ascii();
    if coding.is_empty() || coding.eq_ignore_ascii_case(b"identity") {
        return Ok(None);
    }
    let refused = || FetchError::Coding {
        url: Box::new(url.clone()),
        coding: shown(&answer.headers, CONTENT_ENCODING),
    };
    if !coding.eq_ignore_ascii_case(b"gzip") && !coding.eq_ignore_ascii_case(b"x-gzip") {
        return Err(refused());
    }
    let mut body = Vec::new();
    let reader = MultiGzDecoder::new(&*answer.body);
    // One byte more shows that there is more.
    let read = reader.take(ANSWER_BYTES_MAX as u64 + 1).read_to_end(&mut body);
    read.map_err(|_| refused())?;
    if ANSWER_BYTES_MAX < body.len() {
        return Err(FetchError::Inflated { url: Box::new(url.clone()) });
    }
    Ok(Some(body.into()))
}

fn shown(headers: &HeaderMap, name: HeaderName) -> Shown {
    let Some(value) = headers.get(name) else { return Shown::plain("(none)") };
    Shown::new(&String::from_utf8_lossy(value.as_bytes()))
}

/// Without its query, which may hold a session's secrets.
fn shown_location(headers: &HeaderMap) -> Shown {
    let Some(location) = headers.get(LOCATION) else { return Shown::plain("nowhere") };
    let location = String::from_utf8_lossy(location.as_bytes());
    Shown::new(location.split(['?', '#']).next().unwrap_or_default())
}

/// `max-age` less `Age` (RFC 9111 section 4.2). Answers that say `no-store`, `no-cache` or
/// `max-age=0` do so by a framework's habit and mean nothing by it: none.
pub(super) fn fresh_for(headers: &HeaderMap) -> Option<Duration> {
    let mut max_age = None;
    for value in headers.get_all(CACHE_CONTROL) {
        for directive in value.to_str().ok()?.split(',') {
            let directive = directive.trim().to_ascii_lowercase();
            match directive.split_once('=') {
                None if matches!(directive.as_str(), "no-store" | "no-cache") => return None,
                Some(("max-age", seconds)) => {
                    max_age = Some(seconds.trim_matches('"').parse::<u64>().ok()?);
                }
                _ => {}
            }
        }
    }
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.trim().parse().ok()).unwrap_or(0);
    max_age.filter(|seconds| *seconds != 0).map(|max| Duration::from_secs(max.saturating_sub(age)))
}
