//! One fetch of an issuer's keys over HTTP: discovery if need be, bounds, what the answer says
//! about its own age and about the time.

use std::time::{Duration, SystemTime};

use http::header::{ACCEPT, AGE, CACHE_CONTROL};
use http::{HeaderMap, HeaderValue, Request};
use serde::Deserialize;

use super::keys::{KeySet, Skipped};
use crate::body::OutboundBody;
use crate::client;
use crate::client::{Client, ClientError, SmallAnswer};
use crate::config::HttpUrl;

/// Largest key set or discovery document, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Longest time one of the two requests may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What arrived.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) set: KeySet,
    pub(super) skipped: Skipped,
    /// What is left of `max-age`, when the answer may be kept at all.
    pub(super) fresh_for: Option<Duration>,
    pub(super) date: Option<SystemTime>,
}

/// Why no keys arrived.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("plain http is allowed for loopback hosts only")]
    PlainHttp,
    #[error("no answer")]
    Client(#[from] ClientError),
    #[error("the answer has status {0}; redirects are not followed")]
    Status(u16),
    #[error("the issuer is no address that could be asked for its keys")]
    IssuerNoAddress,
    #[error("the discovery document is not what OpenID Connect Discovery describes")]
    DiscoveryMalformed,
    #[error("the discovery document speaks for another issuer")]
    DiscoveryOfAnother,
    #[error("the answer is not a key set")]
    NotAKeySet,
    #[error("none of the keys can be used: {0:?}")]
    NoUsableKeys(Skipped),
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
        let (set, skipped) = KeySet::parse(&answer.body).map_err(|_| FetchError::NotAKeySet)?;
        if set.len() == 0 {
            return Err(FetchError::NoUsableKeys(skipped));
        }
        let fresh_for = fresh_for(&answer.headers);
        Ok(Fetched { set, skipped, fresh_for, date })
    }

    /// Where the issuer says its keys are (OpenID Connect Discovery 1.0, section 4).
    pub(super) async fn discover(&self, issuer: &str) -> Result<HttpUrl, FetchError> {
        let base = issuer.trim_end_matches('/');
        let url: HttpUrl = format!("{base}/.well-known/openid-configuration")
            .parse()
            .map_err(|_| FetchError::IssuerNoAddress)?;
        let answer = self.get(&url).await?;
        let document: Discovery =
            serde_json::from_slice(&answer.body).map_err(|_| FetchError::DiscoveryMalformed)?;
        if document.issuer != issuer {
            return Err(FetchError::DiscoveryOfAnother);
        }
        document.jwks_uri.parse().map_err(|_| FetchError::DiscoveryMalformed)
    }

    async fn get(&self, url: &HttpUrl) -> Result<SmallAnswer, FetchError> {
        if !(url.is_https() || url.is_loopback() || self.allow_plain_http) {
            return Err(FetchError::PlainHttp);
        }
        let mut request = Request::new(OutboundBody::empty());
        *request.uri_mut() = url.uri().clone();
        request.headers_mut().insert(ACCEPT, JSON);
        let answer = self.client.send_small(request, ANSWER_BYTES_MAX, ANSWER_TIMEOUT).await?;
        match answer.status.as_u16() {
            200 => Ok(answer),
            status => Err(FetchError::Status(status)),
        }
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

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
