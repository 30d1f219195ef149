//! What is told of a request while it is on its way, in plain values.
//!
//! Where a stage has a word of its own (`limit::Policy`, `token::TokenSource`, `rejection::Reason`)
//! it is that word; here stand only those that no stage knows.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderValue, Method, Version};

use crate::config::HttpUrl;
use crate::rejection::Reason;
use crate::token::TokenVerdict;
use crate::trace_context::SpanContext;
use crate::words::words;

words! {
    /// A stage of a call; each is a span and a `<stage>_ms` of the access log.
    pub enum Stage {
        Accept = "accept",
        Authorize = "authorize",
        Limit = "limit",
        Validate = "validate",
        Token = "token",
        Forward = "forward",
    }
}

words! {
    /// What became of a changed configuration.
    pub enum ReloadOutcome {
        Applied = "applied",
        Refused = "refused",
        Unchanged = "unchanged",
    }
}

/// Whose clock it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SkewedPeer {
    Sso,
    TokenEndpoint,
    Upstream,
}

impl SkewedPeer {
    /// As it stands in labels.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Sso => "sso",
            Self::TokenEndpoint => "token_endpoint",
            Self::Upstream => "upstream",
        }
    }
}

/// What is known of a request when its head has been read.
#[derive(Clone, Debug)]
pub struct Opened {
    pub started: SystemTime,
    pub method: Method,
    /// Without the query.
    pub path: Box<str>,
    pub version: Version,
    /// `"http"` or `"https"`, as the caller connected.
    pub scheme: &'static str,
    /// The SERVER span.
    pub span: SpanContext,
    /// The caller's span.
    pub parent: Option<SpanContext>,
    /// The 58 characters.
    pub x_trace_id: HeaderValue,
    /// What the caller sent in its place, clipped.
    pub x_trace_id_replaced: Option<Box<str>>,
    /// The caller's address; none on a Unix socket.
    pub peer: Option<IpAddr>,
}

/// One request sent to the upstream, to the head of its answer or to its failure.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The CLIENT span, child of the forward span.
    pub span: SpanContext,
    pub started: SystemTime,
    pub ended: SystemTime,
    pub status: Option<u16>,
    /// What the answer says of the token.
    pub verdict: Option<TokenVerdict>,
    /// Why there is no answer; a word, never a message.
    pub error: Option<&'static str>,
    /// Sent again after a lost connection or a refused token.
    pub replay: bool,
    pub server: Arc<Peer>,
}

/// A refusal by the gateway.
#[derive(Clone, Debug)]
pub struct Refused {
    pub reason: Reason,
    /// For operators; no secret, no value of the batch.
    pub detail: String,
    /// The stage that said no.
    pub stage: Option<Stage>,
}

/// A server we are client of, in the words of span attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Scheme, host and port; no path.
    pub base: Arc<str>,
    pub host: Arc<str>,
    pub port: u16,
}

impl Peer {
    pub fn of(url: &HttpUrl) -> Self {
        let (scheme, default_port) = if url.is_https() { ("https", 443) } else { ("http", 80) };
        let port = url.uri().port_u16().unwrap_or(default_port);
        let authority = url.uri().authority().map_or("", |authority| authority.as_str());
        Self { base: format!("{scheme}://{authority}").into(), host: url.host().into(), port }
    }
}
