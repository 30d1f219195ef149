//! What operators see: access log, metrics, traces, the last refusals.
//!
//! Facts come in as plain values in the stages' own words, from the pipeline through a
//! [`RequestRecord`] and from background work through [`Telemetry::key_fetch`] and
//! [`Telemetry::exchange`]; nothing here changes what happens to a call. The only room that knows OpenTelemetry. No span object lives while a request
//! does: when its response body has ended, the record becomes one log line, some counters, and, if
//! the trace is sampled and there is a collector, the bytes of finished spans with ids that were
//! ours all along. `record` → `trace` → `otlp` → `export` → `collector` is their whole way.

mod access_log;
mod apig;
mod background;
mod body;
mod clock_skew;
mod collector;
mod event;
mod export;
mod feed;
mod keep;
mod log_line;
mod logs;
mod metrics;
mod neighbours;
mod otel_env;
mod otlp;
mod process;
mod record;
mod refusals;
mod trace;
mod traffic;
mod writer;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use self::access_log::AccessLog;
pub use self::apig::ApigLimit;
use self::apig::ApigLimits;
use self::background::Peers;
pub use self::body::RecordedBody;
use self::clock_skew::Skews;
use self::collector::Collector;
pub use self::event::{Attempt, Opened, Peer, Refused, ReloadOutcome, Stage};
use self::export::Export;
use self::feed::Feed;
pub use self::feed::{CallFeed, FeedItem};
use self::keep::Keep;
pub use self::logs::{LogSetupError, LogWriter, install, subscriber, within};
pub use self::metrics::Metrics;
use self::neighbours::Neighbours;
pub use self::neighbours::{Neighbour, NeighbourKind, NeighbourState};
pub use self::otel_env::{CollectorAddress, Environment};
use self::otel_env::{ExportSettings, Sampler};
pub use self::process::host_name;
use self::record::Closed;
pub use self::record::RequestRecord;
use self::refusals::Refusals;
pub use self::refusals::{Refusal, RefusalGroup};
use self::traffic::Recent;
pub use self::traffic::{Latency, Outcome, Timed, Traffic};
use crate::call::CallPlan;
use crate::client;
use crate::client::Client;
use crate::clock::Clock;
use crate::config::TelemetryConfig;
use crate::lifecycle::Tasks;
use crate::rejection::{Origin, Reason};
use crate::trace_context::{SpanContext, TraceId};

/// Where facts become visible. Clones share everything.
#[derive(Clone, Debug)]
pub struct Telemetry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sampler: Sampler,
    keep: Keep,
    export: Option<Export>,
    metrics: Arc<Metrics>,
    access_log: Option<AccessLog>,
    refusals: Refusals,
    recent: Recent,
    feed: Feed,
    skews: Skews,
    apig: ApigLimits,
    neighbours: Arc<Neighbours>,
    peers: Peers,
}

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetrySetupError {
    #[error("environment variable {name}: {expected}")]
    Variable { name: &'static str, expected: &'static str },
}

impl Telemetry {
    /// Most bytes of spans held, while a collector is away for example.
    pub const SPAN_BYTES_MAX: usize = Export::BYTES_MAX;

    /// With the collector that the configuration or the environment names, if any: `client` carries
    /// the spans, one of `tasks` sends them. Must be called within a tokio runtime.
    pub fn new(
        config: &TelemetryConfig,
        environment: Environment<'_>,
        client: Client,
        clock: Clock,
        logs: LogWriter,
        tasks: &Tasks,
    ) -> Result<Self, TelemetrySetupError> {
        let metrics = Arc::new(Metrics::new(clock.started()));
        let endpoint = otel_env::endpoint(config, environment)?;
        let address = endpoint.as_ref().map(otel_env::base_of);
        let neighbours = Arc::new(Neighbours::new(clock.clone(), address));
        let export = match endpoint {
            None => None,
            Some(endpoint) => {
                let settings = ExportSettings::read(environment)?;
                let collector = Collector::new(&settings, endpoint, client, clock, metrics.clone());
                let told = Arc::clone(&neighbours);
                Some(Export::start(&settings, collector, metrics.clone(), told, tasks))
            }
        };
        Ok(Self(Arc::new(Inner {
            sampler: Sampler::read(config, environment),
            keep: Keep::new(config),
            export,
            metrics,
            access_log: config.access_log.then(|| AccessLog::new(logs, config.log_format)),
            refusals: Refusals::default(),
            recent: Recent::default(),
            feed: Feed::default(),
            skews: Skews::default(),
            apig: ApigLimits::default(),
            neighbours,
            peers: Peers::default(),
        })))
    }

    /// Whether a trace is kept: the caller's decision where it is trusted, else the ratio. Without
    /// a collector nothing is kept, and a trusted caller's flag is only passed on.
    pub fn sample(&self, parent: Option<&SpanContext>, trace_id: TraceId) -> bool {
        match &self.0.export {
            Some(_) => self.0.sampler.keeps(parent, trace_id),
            None => self.0.sampler.passes_on(parent),
        }
    }

    /// A request begins.
    pub fn open(&self, opened: Opened) -> RequestRecord {
        self.0.metrics.opened();
        RequestRecord::new(self.clone(), opened)
    }

    /// Something that was answered but could not be read as a request.
    pub fn unreadable(&self, time: SystemTime, reason: Reason, detail: Option<&'static str>) {
        let origin = Some(reason.origin());
        self.0.metrics.count_request(None, reason.status().as_u16(), origin);
        self.0.metrics.count_rejection(reason);
        self.0.recent.unreadable(time, reason);
        if let Some(log) = &self.0.access_log {
            log.write_unreadable(time, reason, detail);
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
    pub fn refusals(&self) -> Vec<Arc<Refusal>> {
        self.0.refusals.newest_first()
    }

    /// The last refusals by reason and caller, whatever was refused last first.
    pub fn refusal_groups(&self) -> Vec<RefusalGroup> {
        self.0.refusals.groups()
    }

    /// What the ten minutes until `now` were like.
    pub fn traffic(&self, now: SystemTime) -> Traffic {
        self.0.recent.until(now)
    }

    /// The calls that end from now on; none while too many watch.
    pub fn watch(&self) -> Option<CallFeed> {
        self.0.feed.watch()
    }

    /// Sends the spans of all closed records, at most `within`, and no span afterwards. The tasks
    /// must not have been stopped.
    pub async fn flush(&self, within: Duration) {
        if let Some(export) = &self.0.export {
            export.flush(within).await;
        }
    }

    /// Tells a finished request to everyone who wants to know.
    fn close(&self, closed: &Closed<'_>) {
        let facts = closed.facts;
        let export = self.exporting(facts.opened.span.sampled, |keep| keep.call(closed));
        self.0.metrics.closed(closed, export.is_some());
        self.0.recent.closed(closed);
        if let Some(log) = &self.0.access_log {
            log.write(closed);
        }
        self.0.feed.tell(|| access_log::json_line(closed));
        if let Some(refused) = &facts.refused {
            self.0.refusals.add(Refusal {
                time: facts.opened.started + closed.duration,
                x_trace_id: facts.x_trace_id().unwrap_or_default().to_owned(),
                trace: facts.opened.span.trace_id.to_string(),
                caller: facts.caller,
                reason: refused.reason,
                method: facts.opened.method.clone(),
                path: refusals::cut_path(&facts.opened.path).to_owned(),
                detail: cut(&refused.detail).to_owned(),
            });
        }
        if let Some(export) = export {
            let spans = trace::spans_of_request(closed);
            export.offer(spans, || trace::of_request(closed));
        }
    }

    /// Where to, if the trace is sampled or worth keeping all the same.
    fn exporting(&self, sampled: bool, keep: impl FnOnce(&Keep) -> bool) -> Option<&Export> {
        self.0.export.as_ref().filter(|_| sampled || keep(&self.0.keep))
    }
}

/// The word of a call; requests that are none have one too.
fn call_word(plan: Option<CallPlan>) -> &'static str {
    plan.map_or("none", CallPlan::as_str)
}

/// The word for who must act; nobody when the answer is the upstream's own.
fn origin_word(origin: Option<Origin>) -> &'static str {
    origin.map_or("none", Origin::as_str)
}

/// An error with its causes, each once, for a log line.
pub fn chain(error: &dyn std::error::Error) -> String {
    client::told(error)
}

/// A text as long as attributes and log fields may be.
fn cut(text: &str) -> &str {
    text.split_at(text.floor_char_boundary(TEXT_BYTES_MAX)).0
}

/// A caller chooses how long a path is; whoever reads it must not pay for that.
const TEXT_BYTES_MAX: usize = 1024;
