//! The second listener: is the process alive, is it ready, what is it doing.
//!
//! For operators and probes, on loopback by default. Knows nothing of requests to KooDrive; what it
//! shows is handed in by `app` as [`Pages`]. Nothing a visitor sends is ever shown back.

mod calls;
mod forget;
mod listen;
mod overview;
mod page;
mod text;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde::Serialize;

use crate::body::OutboundBody;
use crate::clock::push_rfc3339;
use crate::lifecycle::Readiness;
use crate::rejection::Reason;
use crate::telemetry::{CallFeed, Refusal};

pub use self::forget::Forget;
pub use self::listen::serve;
pub use self::overview::{Bound, Keys, Overview};

type Source<T> = Box<dyn Fn() -> T + Send + Sync>;
type Deed<A, T> = Box<dyn Fn(A) -> Pin<Box<dyn Future<Output = T> + Send>> + Send + Sync>;

/// What the pages show, asked for anew on each visit.
pub struct Pages {
    pub readiness: Readiness,
    /// What an operator should know though the process is ready: a refused reload.
    pub notes: Source<Vec<String>>,
    /// `OpenMetrics` text.
    pub metrics: Source<String>,
    /// The effective configuration as TOML, secrets redacted.
    pub config: Source<String>,
    /// Newest first.
    pub refusals: Source<Vec<Arc<Refusal>>>,
    /// The calls that end from now on; none while too many watch.
    pub calls: Source<Option<CallFeed>>,
    pub overview: Source<Overview>,
    /// Drops what is remembered, and how much; `None` when that is no digest of a caller.
    pub forget: Deed<Forget, Option<usize>>,
    /// Base address of Jaeger's page; none: no links.
    pub jaeger_ui: Option<String>,
}

impl Pages {
    /// The answer to one visit.
    ///
    /// Browsers are given as plain text what they would only save; whoever asks for text is given
    /// the page as text.
    pub fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Response<OutboundBody> {
        let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
        let accepts = accepts.unwrap_or_default();
        let is_browser = accepts.contains("text/html");
        let wants_text = accepts.contains("text/plain") && !is_browser;
        let page: fn(&Self) -> Page = match path {
            "/livez" => |_| Page::ok(TEXT, "alive\n"),
            "/readyz" => Self::readyz,
            "/metrics" => |pages| Page::ok(OPEN_METRICS, (pages.metrics)()),
            "/config" => |pages| Page::ok(TOML, (pages.config)()),
            "/refusals" => Self::refusals,
            "/" if wants_text => text::render,
            "/" => |pages| Page::ok(HTML, page::render(pages)),
            "/page.css" => |_| Page::ok("text/css; charset=utf-8", page::STYLE),
            "/page.js" => |_| Page::ok("text/javascript; charset=utf-8", page::SCRIPT),
            "/icon.svg" => |_| Page::ok("image/svg+xml", page::ICON),
            _ => |_| Page { status: StatusCode::NOT_FOUND, ..Page::ok(TEXT, "no such page\n") },
        };
        if *method == Method::GET || *method == Method::HEAD {
            let page = page(self);
            let is_saved = [OPEN_METRICS, TOML].contains(&page.content_type);
            let shown = if is_browser && is_saved { TEXT } else { page.content_type };
            return Page { content_type: shown, ..page }.into_response();
        }
        let refused = Page::ok(TEXT, "only GET and HEAD\n");
        let refused = Page { status: StatusCode::METHOD_NOT_ALLOWED, ..refused };
        let mut response = refused.into_response();
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        response
    }

    /// The answer to a visit under a name that is not ours.
    pub(super) fn host_unknown() -> Response<OutboundBody> {
        let reason = Reason::HostUnknown;
        let text = format!(
            "{} {}: ask by an IP address, as localhost, or under a name of admin.hosts\n",
            reason.code(),
            reason.as_str()
        );
        Page { status: reason.status(), ..Page::ok(TEXT, text) }.into_response()
    }

    fn readyz(&self) -> Page {
        #[derive(Serialize)]
        struct Answer {
            ready: bool,
            reasons: Vec<String>,
            notes: Vec<String>,
        }
        let reasons = self.readiness.reasons();
        let ready = reasons.is_empty();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let answer = Answer { ready, reasons, notes: (self.notes)() };
        Page { status, ..Page::ok(JSON, json(&answer)) }
    }

    fn refusals(&self) -> Page {
        #[derive(Serialize)]
        struct Row<'a> {
            time: String,
            traceid: &'a str,
            trace_id: &'a str,
            caller: Option<String>,
            method: &'a str,
            path: &'a str,
            status: u16,
            reason: &'a str,
            detail: &'a str,
        }
        let refusals = (self.refusals)();
        let rows = refusals.iter().map(|row| Row {
            time: time(row.time),
            traceid: &row.x_trace_id,
            trace_id: &row.trace,
            caller: row.caller.map(|caller| caller.to_string()),
            method: row.method.as_str(),
            path: &row.path,
            status: row.reason.status().as_u16(),
            reason: row.reason.as_str(),
            detail: &row.detail,
        });
        Page::ok(JSON, json(&rows.collect::<Vec<_>>()))
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("readiness", &self.readiness).finish_non_exhaustive()
    }
}

/// An answer before it has its headers.
struct Page {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
}

impl Page {
    fn ok(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, content_type, body: body.into() }
    }

    fn into_response(self) -> Response<OutboundBody> {
        let mut response = Response::new(OutboundBody::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        for (name, value) in [
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
            (REFERRER_POLICY, "no-referrer"),
            (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

fn json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).expect("these types have string keys only");
    text.push('\n');
    text
}

fn time(time: SystemTime) -> String {
    let mut text = String::with_capacity(24);
    push_rfc3339(&mut text, time);
    text
}

/// Between two reads of a visitor's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const TOML: &str = "application/toml; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The page needs its own files and the calls, and nothing else from anywhere.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
                              connect-src 'self'; img-src 'self'; base-uri 'none'; \
                              form-action 'none'; frame-ancestors 'none'";
