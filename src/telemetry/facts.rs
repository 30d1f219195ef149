//! The words of telemetry: finite enums and plain values that the pipeline reports.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderValue, Method, Version};
use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use crate::config::HttpUrl;
use crate::trace_context::SpanContext;

/// A finite set of words: one spelling for labels, span attributes and log fields.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// All of them, in order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as it stands in labels, attributes and log fields.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
                self.as_str().encode(encoder)
            }
        }
    };
}

words! {
    /// Which call a request is, as far as telemetry tells them apart.
    CallName {
        Preverify = "preverify",
        Other = "other",
        /// No route, or not even a request.
        None = "none",
    }
}

words! {
    /// A stage of the walk; each is a span and a `<stage>_ms` of the access log.
    Stage {
        Accept = "accept",
        Limit = "limit",
        Validate = "validate",
        Token = "token",
        Forward = "forward",
    }
}

words! {
    /// Who must act on a refusal.
    Origin {
        /// Not refused by the gateway: the answer is the upstream's own.
        None = "none",
        Caller = "caller",
        Gateway = "gateway",
        Sso = "sso",
        TokenEndpoint = "token_endpoint",
        Upstream = "upstream",
    }
}

words! {
    /// Where the access token of a call came from.
    TokenSource {
        Cached = "cached",
        Joined = "joined",
        Exchanged = "exchanged",
        Refreshed = "refreshed",
        /// None was had.
        Denied = "denied",
    }
}

words! {
    /// Which limit spoke.
    Policy {
        Calls = "calls",
        Users = "users",
        Total = "total",
        Concurrent = "concurrent",
    }
}

words! {
    /// What it said.
    Decision {
        Allowed = "allowed",
        Refused = "refused",
        /// Would have been refused; `limit.mode = "observe"`.
        Observed = "observed",
    }
}

words! {
    /// What became of a changed configuration.
    ReloadOutcome {
        Applied = "applied",
        Refused = "refused",
        Unchanged = "unchanged",
    }
}

impl From<bool> for Decision {
    /// Whether the call was let through.
    fn from(allowed: bool) -> Self {
        if allowed { Self::Allowed } else { Self::Refused }
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
    /// Why there is no answer; a word, never a message.
    pub error: Option<&'static str>,
    /// Sent again after a lost connection or a refused token.
    pub replay: bool,
    pub server: Arc<Peer>,
}

/// A refusal by the gateway.
#[derive(Clone, Debug)]
pub struct Refused {
    /// A reason of the rejection table.
    pub reason: &'static str,
    pub status: u16,
    pub origin: Origin,
    /// For operators; no secret, no value of the batch.
    pub detail: String,
    /// The stage that said no.
    pub stage: Option<Stage>,
}

/// One fetch of an issuer's key set.
#[derive(Clone, Debug)]
pub struct KeyFetch {
    pub issuer: Arc<str>,
    /// The span of the call that caused it; none for fetches on a timer.
    pub parent: Option<SpanContext>,
    pub started: SystemTime,
    pub ended: SystemTime,
    /// A word such as `fetched` or `timed_out`.
    pub outcome: &'static str,
    pub failed: bool,
    pub status: Option<u16>,
    pub server: Option<Arc<Peer>>,
}

/// One request to the token endpoint.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub span: SpanContext,
    /// The leader's token span; none for renewals ahead of need.
    pub parent: Option<SpanContext>,
    pub started: SystemTime,
    pub ended: SystemTime,
    /// A word such as `issued`, `denied` or `unavailable`.
    pub outcome: &'static str,
    pub failed: bool,
    pub status: Option<u16>,
    /// Off the request path.
    pub background: bool,
    pub server: Option<Arc<Peer>>,
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
