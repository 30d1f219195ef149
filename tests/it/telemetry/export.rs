//! Spans on the wire, and collectors that do not want them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use koodrive_gateway::body::{InboundBody, read_whole};
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::TelemetryConfig;
use koodrive_gateway::lifecycle::Tasks;
use koodrive_gateway::telemetry::Telemetry;
use koodrive_gateway::trace_context::{SpanContext, TraceId};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use tokio::net::TcpListener;

use crate::support::telemetry::{client, opened, quiet, walked};

type Received = Arc<Mutex<Vec<(http::request::Parts, Bytes)>>>;

/// A collector that keeps what it gets and answers with one status.
async fn collector(status: StatusCode) -> (SocketAddr, Received) {
    collector_with(move |_| (status, Bytes::new())).await
}

/// A collector that keeps what it gets; what it answers depends on how many came before.
async fn collector_with(
    answer: impl Fn(usize) -> (StatusCode, Bytes) + Clone + Send + Sync + 'static,
) -> (SocketAddr, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let received = Received::default();
    let keep = received.clone();
    let tasks = Tasks::default();
    let connections = tasks.clone();
    let serve = async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let (keep, answer) = (keep.clone(), answer.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (keep, answer) = (keep.clone(), answer.clone());
                async move {
                    let (head, body) = request.into_parts();
                    let body = InboundBody::new(body, Duration::from_secs(5));
                    let body = read_whole(body, 1 << 24).await.expect("a whole body");
                    let mut kept = keep.lock().expect("no holder panics");
                    let (status, said) = answer(kept.len());
                    kept.push((head, body));
                    let mut response = Response::new(Full::new(said));
                    *response.status_mut() = status;
                    Ok::<_, Infallible>(response)
                }
            });
            let http = hyper::server::conn::http1::Builder::new();
            let connection = http.serve_connection(TokioIo::new(stream), service);
            connections.spawn("collector-connection", async move {
                connection.await.unwrap_or_default();
            });
        }
    };
    tasks.spawn("collector", serve);
    (address, received)
}

fn exporting_to(
    address: SocketAddr,
    environment: impl Fn(&str) -> Option<&'static str>,
) -> Telemetry {
    let config = TelemetryConfig {
        otlp_endpoint: Some(format!("http://{address}/").parse().expect("an address")),
        ..TelemetryConfig::default()
    };
    let environment = |name: &str| environment(name).map(str::to_owned);
    let tasks = Tasks::default();
    Telemetry::new(&config, &environment, client(), Clock::system(), quiet(), &tasks)
        .expect("a collector is named")
}

fn dropped(telemetry: &Telemetry) -> u64 {
    let metrics = telemetry.encode_metrics();
    let line =
        metrics.lines().find(|line| line.starts_with("koodrive_gateway_spans_dropped_total "));
    let (_, value) = line.and_then(|line| line.split_once(' ')).expect("the series exists");
    value.parse().expect("a number")
}

fn close_one(telemetry: &Telemetry) {
    let answer =
        walked(telemetry, opened(true)).close_with(StatusCode::OK, Full::<Bytes>::default());
    drop(answer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn spans_arrive_as_otlp_protobuf() {
    let (address, received) = collector(StatusCode::OK).await;
    let telemetry = exporting_to(address, |name| match name {
        "OTEL_EXPORTER_OTLP_HEADERS" => Some("x-tenant=tools, x-other=a%20b"),
        "OTEL_RESOURCE_ATTRIBUTES" => Some("deployment.environment.name=te%73t,service.name=no"),
        "OTEL_SERVICE_NAME" => Some("gateway-of-tools"),
        _ => None,
    });
    close_one(&telemetry);
    telemetry.flush(Duration::from_secs(5)).await;
    let received = received.lock().unwrap();
    let (head, body) = &received[0];
    assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/v1/traces"));
    assert_eq!(head.headers["content-type"], "application/x-protobuf");
    assert_eq!(head.headers["x-tenant"], "tools");
    assert_eq!(head.headers["x-other"], "a b");
    let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    let resource = request.resource_spans[0].resource.as_ref().unwrap();
    let attribute = |key: &str| {
        let pair = resource.attributes.iter().find(|pair| pair.key == key)?;
        match pair.value.as_ref()?.value.as_ref()? {
            Value::StringValue(text) => Some(text.as_str()),
            _ => None,
        }
    };
    assert_eq!(attribute("service.name"), Some("gateway-of-tools"));
    assert_eq!(attribute("deployment.environment.name"), Some("test"));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(attribute("host.name"), Some(host.trim()));
    let spans = &request.resource_spans[0].scope_spans[0].spans;
    assert_eq!(spans.len(), 6);
    assert_eq!(dropped(&telemetry), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_collector_that_refuses_costs_spans_only() {
    let (address, _) = collector(StatusCode::BAD_REQUEST).await;
    let telemetry = exporting_to(address, |_| None);
    close_one(&telemetry);
    telemetry.flush(Duration::from_secs(5)).await;
    assert_eq!(dropped(&telemetry), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_collector_that_is_away_costs_spans_only() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let telemetry = exporting_to(address, |_| None);
    close_one(&telemetry);
    telemetry.flush(Duration::from_secs(5)).await;
    assert_eq!(dropped(&telemetry), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_collector_that_is_busy_gets_the_same_batch_again() {
    let (address, received) = collector_with(|before| {
        (if before == 0 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, Bytes::new())
    })
    .await;
    let telemetry = exporting_to(address, |name| match name {
        "OTEL_BSP_SCHEDULE_DELAY" => Some("1"),
        _ => None,
    });
    close_one(&telemetry);
    let twice = async {
        while received.lock().unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), twice).await.expect("it is tried again");
    let received = received.lock().unwrap();
    assert!(received[0].1 == received[1].1, "the bytes are the same");
    assert_eq!(dropped(&telemetry), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_collector_that_stays_busy_costs_the_batch_when_its_time_is_over() {
    let (address, received) = collector(StatusCode::TOO_MANY_REQUESTS).await;
    let telemetry = exporting_to(address, |name| match name {
        "OTEL_BSP_SCHEDULE_DELAY" => Some("1"),
        "OTEL_EXPORTER_OTLP_TIMEOUT" => Some("400"),
        _ => None,
    });
    close_one(&telemetry);
    let given_up = async {
        while dropped(&telemetry) < 6 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), given_up).await.expect("it is given up");
    assert_eq!(received.lock().unwrap().len(), 1, "the next attempt would have come too late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_last_spans_are_not_tried_twice_so_that_a_stop_is_quick() {
    let (address, received) = collector(StatusCode::SERVICE_UNAVAILABLE).await;
    for _ in 0..3 {
        let telemetry = exporting_to(address, |name| match name {
            // So that one flush has several batches.
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" => Some("6"),
            _ => None,
        });
        for _ in 0..5 {
            close_one(&telemetry);
        }
        telemetry.flush(Duration::from_mins(1)).await;
        assert_eq!(dropped(&telemetry), 30);
    }
    assert_eq!(received.lock().unwrap().len(), 15, "each batch once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn spans_that_a_collector_did_not_take_are_counted() {
    let partial_success =
        Some(ExportTracePartialSuccess { rejected_spans: 2, error_message: "too old".to_owned() });
    let said = Bytes::from(ExportTraceServiceResponse { partial_success }.encode_to_vec());
    let (address, _) = collector_with(move |_| (StatusCode::OK, said.clone())).await;
    let telemetry = exporting_to(address, |_| None);
    close_one(&telemetry);
    telemetry.flush(Duration::from_secs(5)).await;
    assert_eq!(dropped(&telemetry), 2);
}

#[tokio::test]
async fn headers_that_are_none_are_told_by_their_variable_without_their_value() {
    let names = ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"];
    let wrong = ["a b=c", "authorization=Bearer%0Ahunter2", "=x"];
    for (own, headers) in names.into_iter().flat_map(|name| wrong.map(|headers| (name, headers))) {
        let config = TelemetryConfig {
            otlp_endpoint: Some("http://127.0.0.1:4318".parse().unwrap()),
            ..TelemetryConfig::default()
        };
        let environment = |name: &str| (name == own).then(|| headers.to_owned());
        let tasks = Tasks::default();
        let error =
            Telemetry::new(&config, &environment, client(), Clock::system(), quiet(), &tasks)
                .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("environment variable {own}: expected headers such as name=value,name=value"),
            "{headers}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_collector_that_hangs_blocks_nobody() {
    // Its backlog takes the connection, and nobody ever reads from it.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let telemetry = exporting_to(listener.local_addr().unwrap(), |name| match name {
        "OTEL_BSP_MAX_QUEUE_SIZE" => Some("60"),
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" => Some("6"),
        _ => None,
    });
    let started = Instant::now();
    for _ in 0..1000 {
        close_one(&telemetry);
    }
    telemetry.flush(Duration::from_millis(100)).await;
    assert!(started.elapsed() < Duration::from_secs(5), "nobody waited for the collector");
    let lost = dropped(&telemetry);
    // 60 fit the queue, and a batch may have left it.
    assert!((6000 - 60 - 6..=6000 - 60).contains(&lost), "{lost} of 6000 dropped");
    assert_eq!(lost % 6, 0, "a trace is kept whole or not at all");
}

#[tokio::test]
async fn the_callers_sampling_counts_where_it_is_trusted() {
    let caller = |sampled| Some(SpanContext::root(sampled));
    let low = TraceId::parse(b"ffffffffffffffff0000000000000001").unwrap();
    let high = TraceId::parse(b"0000000000000000ffffffffffffffff").unwrap();
    let middle = TraceId::parse(b"ffffffffffffffff7fffffffffffffff").unwrap();
    for (ratio, trust, sampler, parent, trace_id, expected) in [
        (1.0, true, None, None, high, true),
        (0.0, true, None, None, low, false),
        (0.5, true, None, None, middle, true),
        (0.5, true, None, None, high, false),
        (0.0, true, None, caller(true), high, true),
        (1.0, true, None, caller(false), low, false),
        (0.0, false, None, caller(true), low, false),
        (1.0, false, None, caller(false), high, true),
        (1.0, true, Some("always_off"), caller(true), low, false),
        (1.0, true, Some("parentbased_always_off"), caller(true), low, true),
        (1.0, true, Some("parentbased_traceidratio"), None, middle, true),
        (1.0, true, Some("traceidratio"), caller(true), high, false),
        (0.0, true, Some("always_on"), None, low, false),
        (1.0, true, Some("unheard_of"), None, high, true),
    ] {
        let config = TelemetryConfig {
            // Nothing is sent there; without a collector nothing would be kept.
            otlp_endpoint: Some("http://127.0.0.1:9".parse().unwrap()),
            sample_ratio: ratio,
            trust_caller_sampling: trust,
            ..TelemetryConfig::default()
        };
        let environment = |name: &str| match name {
            "OTEL_TRACES_SAMPLER" => sampler.map(str::to_owned),
            "OTEL_TRACES_SAMPLER_ARG" => Some("0.5".to_owned()),
            _ => None,
        };
        let tasks = Tasks::default();
        let telemetry =
            Telemetry::new(&config, &environment, client(), Clock::system(), quiet(), &tasks)
                .unwrap();
        let sampled = telemetry.sample(parent.as_ref(), trace_id);
        assert_eq!(sampled, expected, "{ratio} {trust} {sampler:?} {parent:?} {trace_id}");
    }
}

#[tokio::test]
async fn without_a_collector_the_callers_flag_is_passed_on() {
    let config = TelemetryConfig::default();
    let tasks = Tasks::default();
    let telemetry =
        Telemetry::new(&config, &|_| None, client(), Clock::system(), quiet(), &tasks).unwrap();
    let parent = SpanContext::root(true);
    assert!(telemetry.sample(Some(&parent), parent.trace_id));
    assert!(!telemetry.sample(None, parent.trace_id));
}
