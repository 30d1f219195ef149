//! A forward proxy: where it is, how we prove ourselves to it, and how it can stand in the way.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use crate::config::HttpUrl;
use crate::words::words;

/// A forward proxy, and how we prove ourselves to it.
#[derive(Clone)]
pub struct Proxy(Arc<Known>);

struct Known {
    /// Scheme, host and port.
    address: Uri,
    authorization: Option<HeaderValue>,
    failures: ProxyFailures,
}

impl Proxy {
    pub(super) fn new(
        address: &HttpUrl,
        authorization: Option<HeaderValue>,
        failures: &ProxyFailures,
    ) -> Self {
        let (address, failures) = (address.uri().clone(), failures.clone());
        Self(Arc::new(Known { address, authorization, failures }))
    }

    /// `[http://][user[:password]@]host[:port][/]`, with the credentials percent-encoded;
    /// `authorization` stands above them.
    pub(super) fn parse(
        text: &str,
        authorization: Option<&HeaderValue>,
        failures: &ProxyFailures,
    ) -> Option<Self> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let (userinfo, host) = match rest.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, rest),
        };
        let address: HttpUrl = format!("{scheme}://{host}").parse().ok()?;
        let own = userinfo.map(|userinfo| {
            let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
            let decoded = |text| percent_decode_str(text).decode_utf8_lossy();
            basic(&decoded(user), &decoded(password))
        });
        address.is_proxy().then(|| Self::new(&address, authorization.cloned().or(own), failures))
    }

    pub(super) fn address(&self) -> &Uri {
        &self.0.address
    }

    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.0.authorization.as_ref()
    }

    /// It stands in the way of a request: that is counted here.
    pub(super) fn failed(&self, failure: ProxyFailure) -> ProxyError {
        self.0.failures.add(failure.fault());
        ProxyError { proxy: self.to_string(), failure }
    }

    pub(super) fn credentials_wanted(&self) -> ProxyFailure {
        match self.0.authorization {
            Some(_) => ProxyFailure::CredentialsRefused,
            None => ProxyFailure::CredentialsMissing,
        }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.0.address.authority();
        write!(f, "http://{}", authority.map_or("", |authority| authority.as_str()))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// The proxy stands in the way, not the destination.
#[derive(Debug, thiserror::Error)]
#[error("stopped at the proxy {proxy}")]
pub(super) struct ProxyError {
    pub(super) proxy: String,
    #[source]
    pub(super) failure: ProxyFailure,
}

/// What stopped us at a proxy.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyFailure {
    #[error("it cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    #[error("it wants credentials (407); set egress.username and egress.password_file")]
    CredentialsMissing,
    #[error("it does not take our credentials (407)")]
    CredentialsRefused,
    #[error("it answered CONNECT with status {0}")]
    Refused(u16),
    #[error("it did not answer CONNECT in time")]
    Silent,
    #[error("the connection broke before its answer to CONNECT")]
    Broken(#[source] hyper::Error),
    #[error("it sent more than its answer to CONNECT")]
    Unasked,
}

impl ProxyFailure {
    fn fault(&self) -> ProxyFault {
        match self {
            Self::Unreachable(_) => ProxyFault::Unreachable,
            Self::CredentialsMissing | Self::CredentialsRefused => ProxyFault::Credentials,
            Self::Refused(_) => ProxyFault::Refused,
            Self::Silent => ProxyFault::Silent,
            Self::Broken(_) | Self::Unasked => ProxyFault::Broken,
        }
    }
}

words! {
    /// How a proxy stood in the way.
    pub enum ProxyFault {
        /// No connection to it.
        Unreachable = "unreachable",
        /// It wants credentials, or others than ours.
        Credentials = "credentials",
        /// It answered CONNECT with a status that is no success.
        Refused = "refused",
        /// It did not answer CONNECT in time.
        Silent = "silent",
        /// It did not stay with what an answer to CONNECT is.
        Broken = "broken",
    }
}

/// How often proxies have stood in the way, by [`ProxyFault`]. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct ProxyFailures(Arc<[AtomicU64; ProxyFault::ALL.len()]>);

impl ProxyFailures {
    fn add(&self, fault: ProxyFault) {
        self.0[fault as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// So far.
    pub fn count(&self, fault: ProxyFault) -> u64 {
        self.0[fault as usize].load(Ordering::Relaxed)
    }
}

/// RFC 7617.
pub(super) fn basic(user: &str, password: &str) -> HeaderValue {
    let encoded = BASE64_STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {encoded}"))
        .expect("base64 is always the value of a header");
    value.set_sensitive(true);
    value
}
