//! Lines on stdout, and the metrics as text.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::io::Write;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use http_body_util::Full;
use koodrive_gateway::accept::{KeyFetch, KeyFetchCause, KeyFetchOutcome, Skipped};
use koodrive_gateway::call::CallPlan;
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::{LogFormat, TelemetryConfig};
use koodrive_gateway::rejection::Reason;
use koodrive_gateway::telemetry;
use koodrive_gateway::telemetry::{LogWriter, Opened, Refused, ReloadOutcome, Stage};
use koodrive_gateway::token::{ExchangeOutcome, ExchangeReport};
use koodrive_gateway::trace_context::{SpanContext, SpanId, TraceId};
use serde_json::Value;

use crate::support::telemetry::{
    Exporting, PREVERIFY, X_TRACE_ID, attempt, opened, read_out, refused, walked,
};

/// What was written so far.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no holder panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn writer(&self) -> LogWriter {
        LogWriter::to(self.clone()).expect("a thread can be started")
    }

    fn text(&self, writer: &LogWriter) -> String {
        writer.flush(Duration::from_secs(5));
        let bytes = self.0.lock().expect("no holder panics").clone();
        String::from_utf8(bytes).expect("lines are UTF-8")
    }
}

fn known_span() -> SpanContext {
    SpanContext {
        trace_id: TraceId::parse(b"0123456789abcdef0123456789abcdef").expect("hex"),
        span_id: SpanId::parse(b"0123456789abcdef").expect("hex"),
        sampled: true,
        random: true,
    }
}

/// Replaces what differs from run to run: every number of milliseconds, and the time.
fn masked(line: &str) -> String {
    let mut masked = String::new();
    for (index, part) in line.split_inclusive([',', ' ', '}']).enumerate() {
        let key = part.split([':', '=']).next().unwrap_or_default().trim_matches('"');
        let end = part.trim_end_matches([',', ' ', '}']).len();
        let (body, after) = part.split_at(end);
        if key.ends_with("_ms") && !body.ends_with("null") {
            let separator = if body.contains(':') { ":" } else { "=" };
            let (name, number) = body.split_once(separator).expect("a field");
            let (whole, decimals) = number.split_once('.').expect("three decimals");
            assert!(whole.parse::<u64>().is_ok() && decimals.len() == 3, "{number}");
            masked.extend([name, separator, "#", after]);
        } else if index == 0 {
            masked.push_str(&part.replace(|c: char| c.is_ascii_digit(), "0"));
        } else {
            masked.push_str(part);
        }
    }
    masked
}

async fn two_lines(log_format: LogFormat) -> String {
    let written = Written::default();
    let writer = written.writer();
    let config = TelemetryConfig { log_format, ..TelemetryConfig::default() };
    let exporting = Exporting::logging_to(&config, writer.clone());
    let telemetry = &exporting.telemetry;
    let span = known_span();
    let mut record = walked(telemetry, Opened { span, ..opened(true) });
    record.bytes_in().fetch_add(124, std::sync::atomic::Ordering::Relaxed);
    let sent = attempt(&mut record, Some(200), false);
    record.attempt(sent);
    let answer = record.close_with(StatusCode::OK, Full::new(Bytes::from_static(b"hello")));
    read_out(answer).await;
    let odd = Opened { span, path: "/koodrive/\u{e9}\"\\\n\u{1b}".into(), ..opened(true) };
    let mut record = telemetry.open(odd);
    record.call(CallPlan::Passthrough);
    record.begin(Stage::Accept);
    record.rejected(Refused { reason: Reason::TokenMissing, ..refused(Stage::Accept) });
    drop(record.close_with(StatusCode::UNAUTHORIZED, Full::<Bytes>::default()));
    written.text(&writer)
}

#[tokio::test]
async fn the_access_log_has_exactly_the_fields_of_the_contract() {
    let text = two_lines(LogFormat::Json).await;
    let lines: Vec<_> = text.lines().map(masked).collect();
    let time = r#"{"time":"0000-00-00T00:00:00.000Z","level":"info","msg":"call""#;
    let ids = format!(r#""traceid":"{X_TRACE_ID}","trace_id":"0123456789abcdef0123456789abcdef""#);
    let first = format!(
        r#"{time},{ids},"method":"POST","path":"{PREVERIFY}","call":"preverify","status":200,"origin":"none","reason":null,"caller":"839ff2bd280a2a8b01f607b65ed64b9a","issuer":"https://sso.example","bytes_in":124,"bytes_out":5,"duration_ms":#,"accept_ms":#,"authorize_ms":null,"limit_ms":#,"validate_ms":#,"token_ms":#,"forward_ms":#,"token_source":"cached","attempts":1,"observed":null,"detail":null,"traceid_replaced":null}}"#
    );
    let second = format!(
        r#"{time},{ids},"method":"POST","path":"/koodrive/é\"\\\n\u001b","call":"other","status":401,"origin":"caller","reason":"token_missing","caller":null,"issuer":null,"bytes_in":0,"bytes_out":0,"duration_ms":#,"accept_ms":#,"authorize_ms":null,"limit_ms":null,"validate_ms":null,"token_ms":null,"forward_ms":null,"token_source":null,"attempts":0,"observed":null,"detail":"calls_per_minute","traceid_replaced":null}}"#
    );
    assert_eq!(lines, [first, second]);
    for line in text.lines() {
        serde_json::from_str::<Value>(line).expect("each line is JSON");
    }
}

#[tokio::test]
async fn the_text_form_says_what_people_look_for_and_each_id_once() {
    let text = two_lines(LogFormat::Text).await;
    // A stage is told where it took a millisecond.
    let last = masked(text.lines().next_back().unwrap()).replace(" accept_ms=#", "");
    let expected = format!(
        "0000-00-00T00:00:00.000Z info  401 token_missing POST /koodrive/\u{e9}\"\\\u{fffd}\u{fffd} \
         duration_ms=# detail=calls_per_minute traceid={X_TRACE_ID}"
    );
    assert_eq!(last, expected);
}

#[derive(Debug, thiserror::Error)]
#[error("the outer one")]
struct Outer(#[source] io::Error);

#[tokio::test]
async fn events_are_lines_with_the_ids_of_their_request() {
    let written = Written::default();
    let writer = written.writer();
    let config = TelemetryConfig { log_level: "trace".to_owned(), ..TelemetryConfig::default() };
    let log = telemetry::subscriber(&config, Clock::system(), writer.clone());
    let guard = tracing::subscriber::set_default(log);
    let error = Outer(io::Error::other("the \"inner\" one"));
    let error: &(dyn std::error::Error + 'static) = &error;
    tracing::info!(target: "koodrive_gateway::app", address = %"127.0.0.1:1", port = 1, "listening");
    let in_call =
        async { tracing::debug!(target: "koodrive_gateway::token", error, "exchange failed") };
    telemetry::within(HeaderValue::from_static(X_TRACE_ID), known_span().trace_id, in_call).await;
    tracing::debug!(target: "hyper::proto", "authorization: Bearer canary");
    tracing::trace!(target: "koodrive_gateway_not", "canary");
    let long = "\u{e9}".repeat(600);
    tracing::info!(target: "koodrive_gateway::server", long, "cut");
    tracing::warn!(target: "rustls", "a warning of a library");
    drop(guard);
    let text = written.text(&writer);
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let messages: Vec<_> = lines.iter().map(|line| line["msg"].as_str().unwrap()).collect();
    assert_eq!(messages, ["listening", "exchange failed", "cut", "a warning of a library"]);
    assert_eq!((&lines[0]["address"], &lines[0]["port"]), (&"127.0.0.1:1".into(), &1.into()));
    assert_eq!(lines[0].get("traceid"), None);
    assert_eq!(lines[1]["traceid"], X_TRACE_ID);
    assert_eq!(lines[2]["long"], "\u{e9}".repeat(512), "1 KiB");
    assert_eq!(lines[1]["error"], "the outer one: the \"inner\" one");
}

/// Takes nothing until it is told to.
struct Stuck(mpsc::Receiver<()>, Written);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.recv().unwrap_or_default();
        self.1.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stuck_stdout_stalls_nobody_and_the_loss_is_told() {
    let (release, stuck) = mpsc::channel();
    let written = Written::default();
    let writer = LogWriter::to(Stuck(stuck, written.clone())).unwrap();
    let line = [b'x'; 1023].into_iter().chain([b'\n']).collect::<Vec<_>>();
    let started = Instant::now();
    for _ in 0..10_000 {
        writer.write(&line);
    }
    assert!(started.elapsed() < Duration::from_secs(5));
    drop(release);
    let text = written.text(&writer);
    let kept = text.lines().filter(|line| line.starts_with('x')).count();
    // In two notes, where the thread came to its first lines only when others had been dropped.
    let told = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let dropped: u64 = told.map(|told| told["lines"].as_u64().unwrap()).sum();
    assert_eq!(dropped + kept as u64, 10_000);
    assert!((4096..=8192).contains(&kept), "{kept} kept");
}

/// What the contract promises: name, type, labels.
const PROMISED: &[(&str, &str, &str)] = &[
    ("koodrive_gateway_requests", "counter", "call,origin,status"),
    ("koodrive_gateway_request_duration_seconds", "histogram", "call"),
    ("koodrive_gateway_rejections", "counter", "reason"),
    ("koodrive_gateway_observed", "counter", "reason"),
    ("koodrive_gateway_token_lookups", "counter", "source"),
    ("koodrive_gateway_token_verdicts", "counter", "verdict"),
    ("koodrive_gateway_token_exchanges", "counter", "outcome"),
    ("koodrive_gateway_token_exchange_duration_seconds", "histogram", ""),
    ("koodrive_gateway_token_entries", "gauge", ""),
    ("koodrive_gateway_jwks_fetches", "counter", "issuer,outcome"),
    ("koodrive_gateway_jwks_age_seconds", "gauge", "issuer"),
    ("koodrive_gateway_jwks_skipped_keys", "gauge", "issuer"),
    ("koodrive_gateway_authorize_decisions", "counter", "rule,verdict"),
    ("koodrive_gateway_limit_decisions", "counter", "decision,policy"),
    ("koodrive_gateway_limit_store_errors", "counter", ""),
    ("koodrive_gateway_batch_users", "histogram", ""),
    ("koodrive_gateway_upstream_duration_seconds", "histogram", ""),
    ("koodrive_gateway_upstream_replays", "counter", ""),
    ("koodrive_gateway_proxy_failures", "counter", "failure"),
    ("koodrive_gateway_connections", "gauge", ""),
    ("koodrive_gateway_inflight_requests", "gauge", ""),
    ("koodrive_gateway_clock_skew_seconds", "gauge", "peer"),
    ("koodrive_gateway_config_reloads", "counter", "outcome"),
    ("koodrive_gateway_spans_dropped", "counter", ""),
    ("koodrive_gateway_build", "info", "commit,version"),
    ("process_resident_memory_bytes", "gauge", ""),
    ("process_open_fds", "gauge", ""),
    ("process_max_fds", "gauge", ""),
    ("process_cpu_seconds", "counter", ""),
    ("process_start_time_seconds", "gauge", ""),
];

#[tokio::test]
async fn the_metrics_are_those_of_the_contract_in_open_metrics() {
    let config = TelemetryConfig::default();
    let writer = Written::default().writer();
    let exporting = Exporting::logging_to(&config, writer);
    let telemetry = &exporting.telemetry;
    let issuer: Arc<str> = "https://sso.example/\"a\"\\b".into();
    let span = known_span();
    telemetry.key_fetch(&KeyFetch {
        issuer: issuer.clone(),
        cause: KeyFetchCause::Schedule,
        outcome: KeyFetchOutcome::Fetched,
        started: UNIX_EPOCH,
        ended: UNIX_EPOCH,
        keys: 1,
        skipped: Skipped::default(),
        failure: None,
        skew_seconds: Some(-2),
        span,
    });
    telemetry.exchange(&ExchangeReport {
        span,
        parent: span,
        started: UNIX_EPOCH,
        ended: UNIX_EPOCH,
        outcome: ExchangeOutcome::Issued,
        error: None,
        status: Some(200),
        skew_seconds: None,
        background: true,
    });
    let metrics = telemetry.metrics();
    metrics.set_jwks_ages([("gone".into(), Duration::ZERO)]);
    metrics.set_jwks_ages([(issuer, Duration::from_secs(90))]);
    metrics.set_token_entries(7);
    metrics.set_connections(3);
    metrics.config_reloaded(ReloadOutcome::Refused);
    let mut record = walked(telemetry, Opened { span, ..opened(true) });
    let sent = attempt(&mut record, Some(200), false);
    record.attempt(sent);
    record.rejected(refused(Stage::Forward));
    drop(record.close_with(StatusCode::OK, Full::<Bytes>::default()));
    let text = telemetry.encode_metrics();
    let families = crate::open_metrics::parse(&text);
    let seen: BTreeMap<_, _> = families
        .iter()
        .map(|(name, family)| (name.as_str(), (family.kind.as_str(), family.labels.clone())))
        .collect();
    let promised: BTreeMap<_, _> = PROMISED
        .iter()
        .map(|(name, kind, labels)| {
            let labels = labels.split(',').filter(|label| !label.is_empty());
            (*name, (*kind, labels.map(str::to_owned).collect::<BTreeSet<_>>()))
        })
        .collect();
    assert_eq!(seen, promised);
    for line in [
        "koodrive_gateway_jwks_age_seconds{issuer=\"https://sso.example/\\\"a\\\"\\\\b\"} 90.0",
        "koodrive_gateway_clock_skew_seconds{peer=\"sso\"} -2.0",
        "koodrive_gateway_token_entries 7",
        "koodrive_gateway_connections 3",
        "koodrive_gateway_inflight_requests 0",
        "koodrive_gateway_config_reloads_total{outcome=\"refused\"} 1",
        "koodrive_gateway_config_reloads_total{outcome=\"applied\"} 0",
        "koodrive_gateway_rejections_total{reason=\"token_missing\"} 0",
        "koodrive_gateway_rejections_total{reason=\"limit_calls\"} 1",
        "koodrive_gateway_token_lookups_total{source=\"cached\"} 1",
        "koodrive_gateway_limit_decisions_total{policy=\"calls\",decision=\"allowed\"} 1",
        "koodrive_gateway_batch_users_bucket{le=\"5.0\"} 1",
        "koodrive_gateway_upstream_duration_seconds_bucket{le=\"0.025\"} 1",
    ] {
        assert!(text.lines().any(|seen| seen == line), "{line}\n{text}");
    }
    let exemplar = " # {trace_id=\"0123456789abcdef0123456789abcdef\"} ";
    assert_eq!(text.matches(exemplar).count(), 1, "{text}");
}
