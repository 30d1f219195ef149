//! What operators see: access log, metrics, traces, the last refusals.
//!
//! Facts come in as plain values, from the pipeline through a [`RequestRecord`] and from background
//! work through [`Telemetry::key_fetch`] and [`Telemetry::exchange`]; nothing here changes what
//! happens to a call. The only room that knows OpenTelemetry. No span object lives while a request
//! does: when its response body has ended, the record becomes one log line, some counters, and, if
//! the trace is sampled and there is a collector, finished spans with ids that were ours all along.

mod access_log;
mod collector;
mod export;
mod facts;
mod line;
mod logs;
mod metrics;
mod otel_env;
mod otlp;
mod record;
mod recorded;
mod refusals;
mod skew;
mod trace;
mod writer;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::trace::SpanExporter;

use crate::client::Client;
use crate::config::TelemetryConfig;
use crate::trace_context::{SpanContext, TraceId};

pub use facts::{
    Attempt, CallName, Decision, Exchange, KeyFetch, Opened, Origin, Peer, Policy, Refused,
    ReloadOutcome, Stage, TokenSource,
};
pub use logs::{LogSetupError, LogWriter, install, subscriber, within};
pub use metrics::Metrics;
pub use otel_env::Environment;
pub use record::RequestRecord;
pub use recorded::Recorded;
pub use refusals::Refusal;
pub use skew::SkewedPeer;

use access_log::AccessLog;
use export::Export;
use otel_env::{ExportSettings, Sampler};
use record::Closed;
use refusals::Refusals;
use skew::Skews;

/// Where facts become visible. Clones share everything.
#[derive(Clone, Debug)]
pub struct Telemetry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sampler: Sampler,
    scope: InstrumentationScope,
    export: Option<Export>,
    metrics: Arc<Metrics>,
    access_log: Option<AccessLog>,
    refusals: Refusals,
    skews: Skews,
}

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetrySetupError {
    #[error("environment variable {name}: {expected}")]
    Variable { name: &'static str, expected: &'static str },
}

impl Telemetry {
    /// With the collector that the configuration or the environment names, if any. Must be called
    /// within a tokio runtime; `client` carries the spans.
    pub fn new(
        config: &TelemetryConfig,
        environment: Environment<'_>,
        client: Client,
        logs: LogWriter,
    ) -> Result<Self, TelemetrySetupError> {
        let metrics = Arc::new(Metrics::new());
        let export = match otel_env::endpoint(config, environment)? {
            None => None,
            Some(endpoint) => {
                let settings = ExportSettings::read(environment)?;
                Some(Export::otlp(&settings, endpoint, client, metrics.clone()))
            }
        };
        Ok(Self::assemble(config, environment, export, metrics, logs))
    }

    /// With an exporter of one's own.
    pub fn with_exporter(
        config: &TelemetryConfig,
        environment: Environment<'_>,
        exporter: impl SpanExporter + 'static,
        logs: LogWriter,
    ) -> Result<Self, TelemetrySetupError> {
        let metrics = Arc::new(Metrics::new());
        let settings = ExportSettings::read(environment)?;
        let export = Export::to(exporter, &settings, metrics.clone());
        Ok(Self::assemble(config, environment, Some(export), metrics, logs))
    }

    fn assemble(
        config: &TelemetryConfig,
        environment: Environment<'_>,
        export: Option<Export>,
        metrics: Arc<Metrics>,
        logs: LogWriter,
    ) -> Self {
        let scope = InstrumentationScope::builder("koodrive_gateway")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        Self(Arc::new(Inner {
            sampler: Sampler::read(config, environment),
            scope,
            export,
            metrics,
            access_log: config.access_log.then(|| AccessLog::new(logs, config.log_format)),
            refusals: Refusals::default(),
            skews: Skews::default(),
        }))
    }

    /// Whether a trace is kept: the caller's decision where it is trusted, else the ratio. Without
    /// a collector nothing is kept, and a trusted caller's flag is only passed on.
    pub fn sample(&self, parent: Option<&SpanContext>, trace_id: TraceId) -> bool {
        match &self.0.export {
            Some(_) => self.0.sampler.keeps(parent, trace_id),
            None => self.0.sampler.passes_on(parent),
        }
    }

    /// The span of background work that no call caused.
    pub fn background_span(&self) -> SpanContext {
        let span = SpanContext::root(true);
        SpanContext { sampled: self.sample(None, span.trace_id), ..span }
    }

    /// A request begins.
    pub fn open(&self, opened: Opened) -> RequestRecord {
        self.0.metrics.opened();
        RequestRecord::new(self.clone(), opened)
    }

    /// Something that was answered but could not be read as a request.
    pub fn unreadable(&self, time: SystemTime, status: u16, reason: &'static str) {
        self.0.metrics.count_request(CallName::None, status, Origin::Caller);
        self.0.metrics.count_rejection(reason);
        if let Some(log) = &self.0.access_log {
            log.write_unreadable(time, status, reason);
        }
    }

    /// A key set was fetched, or was not.
    pub fn key_fetch(&self, fetch: &KeyFetch) {
        self.0.metrics.key_fetched(fetch);
        let parent = fetch.parent.as_ref();
        let span = parent.map_or_else(|| self.background_span(), SpanContext::child);
        if let Some(export) = self.exporting(span) {
            export.offer(1, || vec![trace::of_key_fetch(span, fetch, &self.0.scope)]);
        }
    }

    /// The token endpoint answered, or did not.
    pub fn exchange(&self, exchange: &Exchange) {
        self.0.metrics.exchanged(exchange);
        if let Some(export) = self.exporting(exchange.span) {
            export.offer(1, || vec![trace::of_exchange(exchange, &self.0.scope)]);
        }
    }

    /// How many seconds the clock of `peer` is ahead of ours.
    pub fn clock_skew(&self, peer: SkewedPeer, seconds: i64) {
        self.0.skews.note(peer, seconds, &self.0.metrics);
    }

    /// An answer of the upstream carried `date` and came at `now`.
    pub fn upstream_date(&self, date: &HeaderValue, now: SystemTime) {
        if let Some(seconds) = self.0.skews.of_upstream(date, now) {
            self.clock_skew(SkewedPeer::Upstream, seconds);
        }
    }

    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// `OpenMetrics` text, ending in `# EOF`.
    pub fn encode_metrics(&self) -> String {
        self.0.metrics.encode()
    }

    /// The last hundred refusals, newest first.
    pub fn refusals(&self) -> Vec<Refusal> {
        self.0.refusals.newest_first()
    }

    /// Exports the spans of all closed records, at most `within` (five seconds at the most).
    pub async fn flush(&self, within: Duration) {
        if let Some(export) = &self.0.export {
            export.flush(within).await;
        }
    }

    /// Tells a finished request to everyone who wants to know.
    fn close(&self, closed: &Closed<'_>) {
        let facts = closed.facts;
        let export = self.exporting(facts.opened.span);
        self.0.metrics.closed(closed, export.is_some());
        if let Some(log) = &self.0.access_log {
            log.write(closed);
        }
        if let Some(refused) = &facts.refused {
            self.0.refusals.add(Refusal {
                time: facts.opened.started + closed.duration,
                x_trace_id: facts.x_trace_id().unwrap_or_default().to_owned(),
                trace: facts.opened.span.trace_id.to_string(),
                caller: facts.caller.clone(),
                reason: refused.reason,
                status: closed.status,
                detail: refused.detail.clone(),
            });
        }
        if let Some(export) = export {
            let spans = trace::spans_of_request(closed);
            export.offer(spans, || trace::of_request(closed, &self.0.scope));
        }
    }

    fn exporting(&self, span: SpanContext) -> Option<&Export> {
        self.0.export.as_ref().filter(|_| span.sampled)
    }
}

/// An error with its causes, for a log line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
