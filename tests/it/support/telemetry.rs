//! Records with known facts, and telemetry with a collector that keeps what it gets.

use std::io;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderValue, Method, Version};
use http_body_util::{BodyExt as _, Full};
use koodrive_gateway::accept::CallerId;
use koodrive_gateway::call::{CallPlan, PREVERIFY_PATH};
use koodrive_gateway::client::{
    Client, ClientOptions, Egress, ProxyFailures, ProxyVariables, SystemRoots,
};
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::{EgressConfig, TelemetryConfig};
use koodrive_gateway::lifecycle::Tasks;
use koodrive_gateway::limit::{Decision, Decisions, Policy};
use koodrive_gateway::rejection::Reason;
use koodrive_gateway::telemetry::{
    Attempt, LogWriter, Opened, Peer, RecordedBody, Refused, RequestRecord, Stage, Telemetry,
};
use koodrive_gateway::token::{TokenSource, TokenVerdict};
use koodrive_gateway::trace_context::SpanContext;

use crate::support::canary::Canaries;
use crate::support::collector::{Collector, Span};
use crate::support::server::Listen;

pub(crate) const PREVERIFY: &str = PREVERIFY_PATH;
pub(crate) const X_TRACE_ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef1700000000";

/// Telemetry with a collector of its own.
pub(crate) struct Exporting {
    pub(crate) telemetry: Telemetry,
    collector: Collector,
}

impl Exporting {
    pub(crate) fn start() -> Self {
        Self::logging_to(&TelemetryConfig::default(), quiet())
    }

    pub(crate) fn logging_to(config: &TelemetryConfig, logs: LogWriter) -> Self {
        let listener = Listen::loopback(&Clock::system()).bind().expect("a free port");
        let collector = Collector::start(listener, &Canaries::keeping());
        let otlp_endpoint = Some(collector.url().parse().expect("a URL"));
        let config = TelemetryConfig { otlp_endpoint, ..config.clone() };
        let telemetry =
            Telemetry::new(&config, &|_| None, client(), Clock::system(), logs, &Tasks::default());
        Self { telemetry: telemetry.expect("a collector is named"), collector }
    }

    /// The spans of all records that are closed; there are none afterwards.
    pub(crate) async fn spans(&self) -> Vec<Span> {
        self.telemetry.flush(Duration::from_secs(5)).await;
        self.collector.spans()
    }
}

/// A client as telemetry gets one.
pub(crate) fn client() -> Client {
    Client::new(&ClientOptions {
        connect_timeout: Duration::from_secs(1),
        pool_idle_timeout: Duration::from_secs(5),
        pool_max_idle: 1,
        connections_max: 16,
        roots: &SystemRoots::load(),
        extra_roots: None,
        identity: None,
        egress: &direct(),
    })
}

/// Everything without a proxy.
pub(crate) fn direct() -> Egress {
    let variables = ProxyVariables::read(&|_| None);
    Egress::new(&EgressConfig::default(), &variables, &ProxyFailures::default())
        .expect("nobody names a proxy")
}

pub(crate) fn quiet() -> LogWriter {
    LogWriter::to(io::sink()).expect("a thread can be started")
}

pub(crate) fn opened(sampled: bool) -> Opened {
    Opened {
        started: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        method: Method::POST,
        path: PREVERIFY.into(),
        version: Version::HTTP_11,
        scheme: "http",
        span: SpanContext::root(sampled),
        parent: None,
        x_trace_id: HeaderValue::from_static(X_TRACE_ID),
        x_trace_id_replaced: None,
        peer: Some([127, 0, 0, 1].into()),
    }
}

pub(crate) fn attempt(record: &mut RequestRecord, status: Option<u16>, replay: bool) -> Attempt {
    let started = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let url = "https://koodrive.example".parse().expect("an address");
    Attempt {
        span: record.stage_span(Stage::Forward).child(),
        started,
        ended: started + Duration::from_millis(20),
        status,
        verdict: status.map(|_| TokenVerdict::Accepted),
        error: status.is_none().then_some("connection_lost"),
        replay,
        server: Arc::new(Peer::of(&url)),
    }
}

/// Reads an answer as a connection would.
pub(crate) async fn read_out(mut answer: RecordedBody<Full<Bytes>>) {
    while let Some(frame) = answer.frame().await {
        frame.expect("a body in memory");
    }
}

/// A call that passed all stages, up to its answer.
pub(crate) fn walked(telemetry: &Telemetry, opened: Opened) -> RequestRecord {
    let mut record = telemetry.open(opened);
    record.call(CallPlan::Preverify);
    for stage in [Stage::Accept, Stage::Limit, Stage::Validate, Stage::Token] {
        record.begin(stage);
        record.end(stage);
    }
    let caller = CallerId::of("https://sso.example", "alice");
    record.identity(caller, "https://sso.example".into(), false);
    let mut decisions = Decisions::default();
    decisions.note(Policy::Calls, Decision::Allowed);
    record.limits(decisions);
    record.batch_users(3);
    record.token(TokenSource::Cached, None);
    record.begin(Stage::Forward);
    record
}

pub(crate) fn refused(stage: Stage) -> Refused {
    Refused {
        reason: Reason::LimitCalls,
        detail: "calls_per_minute".to_owned(),
        stage: Some(stage),
    }
}
