//! One request's facts become spans and metrics.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};
use koodrive_gateway::accept::{
    CallerId, KeyFetch, KeyFetchCause, KeyFetchOutcome, SkipReason, Skipped,
};
use koodrive_gateway::call::CallPlan;
use koodrive_gateway::rejection::Reason;
use koodrive_gateway::telemetry::{Opened, Refused, Stage};
use koodrive_gateway::token::{ExchangeOutcome, ExchangeReport, TokenSource};
use koodrive_gateway::trace_context::SpanContext;
use serde_json::Value;

use crate::support::collector::{Kind, Span, Status};
use crate::support::telemetry::{
    Exporting, PREVERIFY, X_TRACE_ID, attempt, opened, read_out, refused, walked,
};

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name}"))
}

fn text(span: &Span, key: &str) -> String {
    match span.attribute(key) {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn tree(spans: &[Span]) -> Vec<String> {
    let name_of = |id: &String| spans.iter().find(|span| span.span_id == *id);
    let edge = |span: &Span| {
        let parent = span.parent.as_ref().and_then(name_of).map_or("-", |parent| &parent.name);
        format!("{} < {parent}", span.name)
    };
    spans.iter().map(edge).collect()
}

#[tokio::test]
async fn an_accepted_call_is_one_tree() {
    let exporting = Exporting::start();
    let telemetry = &exporting.telemetry;
    let opened = opened(true);
    let trace_id = opened.span.trace_id;
    let mut record = walked(telemetry, opened);
    let sent = attempt(&mut record, Some(200), false);
    record.attempt(sent);
    let answer = record.close_with(StatusCode::OK, Full::new(Bytes::from_static(b"hello")));
    read_out(answer).await;
    let spans = exporting.spans().await;
    let server = format!("POST {PREVERIFY}");
    let expected = [
        format!("{server} < -"),
        format!("accept < {server}"),
        format!("limit < {server}"),
        format!("validate < {server}"),
        format!("token < {server}"),
        format!("forward < {server}"),
        "forward.attempt < forward".to_owned(),
    ];
    assert_eq!(tree(&spans), expected);
    for span in &spans {
        assert_eq!(span.trace_id, trace_id.to_string());
        assert!(span.started <= span.ended, "{}", span.name);
    }
    let root = &spans[0];
    assert_eq!((root.kind, root.status), (Kind::Server, Status::Unset));
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", PREVERIFY),
        ("url.path", PREVERIFY),
        ("url.scheme", "http"),
        ("http.response.status_code", "200"),
        ("network.protocol.version", "1.1"),
        ("client.address", "127.0.0.1"),
        ("koodrive.traceid", X_TRACE_ID),
        ("gateway.call", "preverify"),
    ] {
        assert_eq!(text(root, key), value, "{key}");
    }
    assert_eq!(root.attribute("gateway.reason"), None);
    let sent = named(&spans, "forward.attempt");
    assert_eq!(sent.kind, Kind::Client);
    assert_eq!(text(sent, "server.address"), "koodrive.example");
    assert_eq!(text(sent, "server.port"), "443");
    assert_eq!(text(sent, "url.full"), format!("https://koodrive.example{PREVERIFY}"));
}

#[tokio::test]
async fn a_refusal_shows_its_reason_and_its_stage() {
    for (reason, failed) in [(Reason::LimitCalls, false), (Reason::Overloaded, true)] {
        let exporting = Exporting::start();
        let telemetry = &exporting.telemetry;
        let mut record = telemetry.open(opened(true));
        record.call(CallPlan::Preverify);
        record.begin(Stage::Limit);
        record.rejected(Refused { reason, ..refused(Stage::Limit) });
        drop(record.close_with(reason.status(), Full::<Bytes>::default()));
        let reason = reason.as_str();
        let spans = exporting.spans().await;
        assert_eq!(text(&spans[0], "gateway.reason"), reason);
        assert_eq!(text(&spans[0], "gateway.stage"), "limit");
        assert_eq!(spans[0].status != Status::Unset, failed, "only 5xx fails the SERVER span");
        assert_eq!(text(&spans[0], "error.type"), if failed { reason } else { "" });
        let limit = named(&spans, "limit");
        assert_eq!((limit.status, &*limit.status_message), (Status::Error, reason));
        assert_eq!(limit.ended, spans[0].ended, "a stage left open ends with the request");
    }
}

#[tokio::test]
async fn a_joined_waiter_links_to_the_leaders_exchange() {
    let exporting = Exporting::start();
    let telemetry = &exporting.telemetry;
    let leader = SpanContext::root(true);
    let mut record = walked(telemetry, opened(true));
    record.token(TokenSource::Joined, Some(leader));
    drop(record.close_with(StatusCode::OK, Full::<Bytes>::default()));
    let spans = exporting.spans().await;
    let links = &named(&spans, "token").links;
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].span_id, leader.span_id.to_string());
    assert_eq!(links[0].trace_id, leader.trace_id.to_string());
}

#[tokio::test]
async fn replays_are_attempts_of_their_own() {
    let exporting = Exporting::start();
    let telemetry = &exporting.telemetry;
    let mut record = walked(telemetry, opened(true));
    for (status, replay) in [(Some(401), false), (None, true), (Some(200), true)] {
        let sent = attempt(&mut record, status, replay);
        record.attempt(sent);
    }
    drop(record.close_with(StatusCode::OK, Full::<Bytes>::default()));
    let spans = exporting.spans().await;
    let sent: Vec<_> = spans.iter().filter(|span| span.name == "forward.attempt").collect();
    let seen: Vec<_> = sent
        .iter()
        .map(|span| (text(span, "http.request.resend_count"), text(span, "error.type")))
        .collect();
    let expected = [("", "401"), ("1", "connection_lost"), ("2", "")];
    assert_eq!(seen, expected.map(|(count, error)| (count.to_owned(), error.to_owned())));
    let metrics = telemetry.encode_metrics();
    assert!(metrics.contains("koodrive_gateway_upstream_replays_total 2\n"), "{metrics}");
}

#[tokio::test]
async fn an_exchange_hangs_under_its_call_and_a_key_fetch_begins_a_trace() {
    let exporting = Exporting::start();
    let telemetry = &exporting.telemetry;
    let mut record = walked(telemetry, opened(true));
    let token = record.stage_span(Stage::Token);
    let (started, ended) = (SystemTime::UNIX_EPOCH, UNIX_EPOCH + Duration::from_millis(5));
    telemetry.exchange(&ExchangeReport {
        span: token.child(),
        parent: token,
        started,
        ended,
        outcome: ExchangeOutcome::Unavailable,
        error: None,
        status: Some(503),
        skew_seconds: None,
        background: false,
    });
    let fetch = KeyFetch {
        issuer: "https://sso.example".into(),
        cause: KeyFetchCause::UnknownKid,
        outcome: KeyFetchOutcome::Fetched,
        started,
        ended,
        keys: 2,
        skipped: Skipped {
            counts: [(SkipReason::Symmetric, 1), (SkipReason::Malformed, 3)].into(),
            named: Vec::new(),
        },
        failure: None,
        skew_seconds: None,
        span: SpanContext::root(false),
    };
    telemetry.key_fetch(&fetch);
    telemetry.key_fetch(&KeyFetch { cause: KeyFetchCause::File, ..fetch.clone() });
    drop(record.close_with(StatusCode::OK, Full::<Bytes>::default()));
    let spans = exporting.spans().await;
    let edges = tree(&spans);
    assert_eq!(edges[..2], ["token.exchange < token", "jwks.fetch < -"]);
    assert!(!edges[2..].iter().any(|edge| edge.starts_with("jwks")), "a file has no span");
    assert_eq!(spans[1].span_id, fetch.span.span_id.to_string());
    assert_eq!(text(&spans[1], "gateway.cause"), "unknown_kid");
    assert_eq!(text(&spans[1], "gateway.keys"), "2");
    assert_eq!(text(&spans[1], "gateway.keys_skipped"), "4");
    assert_eq!(text(&spans[1], "gateway.keys_skipped.named"), "4 more");
    assert_eq!((spans[0].status, &*spans[0].status_message), (Status::Error, "unavailable"));
    assert_eq!(text(&spans[0], "error.type"), "503");
    let metrics = telemetry.encode_metrics();
    for line in [
        "koodrive_gateway_token_exchanges_total{outcome=\"unavailable\"} 1\n",
        "koodrive_gateway_jwks_fetches_total{issuer=\"https://sso.example\",outcome=\"fetched\"} 2\n",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn an_unsampled_call_exports_nothing_but_is_counted() {
    let exporting = Exporting::start();
    let telemetry = &exporting.telemetry;
    let record = walked(telemetry, opened(false));
    drop(record.close_with(StatusCode::OK, Full::<Bytes>::default()));
    assert!(exporting.spans().await.is_empty());
    let metrics = telemetry.encode_metrics();
    let counted =
        "koodrive_gateway_requests_total{call=\"preverify\",status=\"200\",origin=\"none\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
    assert!(!metrics.contains("trace_id="), "exemplars are for sampled calls");
}

/// Gives more and more, or breaks off.
enum Odd {
    Endless,
    Broken,
}

impl Body for Odd {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(Some(match *self {
            Self::Endless => Ok(Frame::data(Bytes::from_static(b"more"))),
            Self::Broken => Err(io::ErrorKind::ConnectionReset.into()),
        }))
    }
}

#[tokio::test]
async fn an_answer_that_does_not_reach_its_end_is_seen() {
    let exporting = Exporting::start();
    let telemetry = &exporting.telemetry;
    let mut answer = walked(telemetry, opened(true)).close_with(StatusCode::OK, Odd::Endless);
    answer.frame().await.unwrap().unwrap();
    drop(answer);
    drop(walked(telemetry, opened(true)));
    let head = Opened { method: Method::HEAD, ..opened(true) };
    drop(walked(telemetry, head).close_with(StatusCode::OK, Odd::Endless));
    let mut answer = walked(telemetry, opened(true)).close_with(StatusCode::OK, Odd::Broken);
    answer.frame().await.unwrap().unwrap_err();
    drop(answer);
    let spans = exporting.spans().await;
    let servers: Vec<_> = spans.iter().filter(|span| span.kind == Kind::Server).collect();
    let ends: Vec<_> = servers
        .iter()
        .map(|span| (text(span, "http.response.status_code"), text(span, "gateway.reason")))
        .collect();
    let expected =
        [("200", "caller_gone"), ("499", "caller_gone"), ("200", ""), ("200", "body_broken")];
    assert_eq!(ends, expected.map(|(status, reason)| (status.to_owned(), reason.to_owned())));
    assert_eq!(telemetry.metrics().inflight(), 0);
}

#[tokio::test]
async fn the_ring_keeps_the_last_hundred_refusals() {
    let exporting = Exporting::start();
    let telemetry = &exporting.telemetry;
    for number in 0..130 {
        let mut record = telemetry.open(opened(false));
        record.rejected(Refused { detail: number.to_string(), ..refused(Stage::Limit) });
        drop(record.close_with(StatusCode::TOO_MANY_REQUESTS, Full::<Bytes>::default()));
    }
    let kept = telemetry.refusals();
    assert_eq!(kept.len(), 100);
    assert_eq!((kept[0].detail.as_str(), kept[99].detail.as_str()), ("129", "30"));
    assert_eq!(kept[0].x_trace_id, X_TRACE_ID);
    let groups = telemetry.refusal_groups();
    assert_eq!((groups.len(), groups[0].count), (1, 130), "of one caller for one reason");
    let path = "/".repeat(300).into_boxed_str();
    let mut record = telemetry.open(Opened { path, ..opened(false) });
    record.rejected(refused(Stage::Limit));
    drop(record.close_with(StatusCode::TOO_MANY_REQUESTS, Full::<Bytes>::default()));
    assert_eq!(telemetry.refusals()[0].path.len(), 256);
}

#[tokio::test]
async fn refusals_are_told_apart_by_reason_and_caller_and_bounded() {
    let exporting = Exporting::start();
    let telemetry = &exporting.telemetry;
    let refuse = |subject: &str, reason| {
        let mut record = telemetry.open(opened(false));
        let caller = CallerId::of("https://sso.example.com", subject);
        record.identity(caller, "https://sso.example.com".into(), true);
        record.rejected(Refused { reason, ..refused(Stage::Limit) });
        drop(record.close_with(StatusCode::TOO_MANY_REQUESTS, Full::<Bytes>::default()));
        caller
    };
    refuse("alice", Reason::LimitCalls);
    refuse("alice", Reason::LimitUsers);
    refuse("bob", Reason::LimitCalls);
    let alice = refuse("alice", Reason::LimitCalls);
    let told: Vec<_> = telemetry
        .refusal_groups()
        .iter()
        .map(|group| (group.last.reason, group.last.caller == Some(alice), group.count))
        .collect();
    let expected = [
        (Reason::LimitCalls, true, 2),
        (Reason::LimitCalls, false, 1),
        (Reason::LimitUsers, true, 1),
    ];
    assert_eq!(told, expected);
    for number in 0..200 {
        refuse(&number.to_string(), Reason::LimitCalls);
    }
    let groups = telemetry.refusal_groups();
    assert_eq!(groups.len(), 100);
    assert!(groups.iter().all(|group| group.last.caller != Some(alice)), "the oldest made room");
}

#[tokio::test]
async fn what_a_caller_made_long_is_cut() {
    let exporting = Exporting::start();
    let path = format!("/koodrive/{}", "\u{e9}".repeat(15_000));
    let mut record = walked(&exporting.telemetry, Opened { path: path.into(), ..opened(true) });
    let sent = attempt(&mut record, Some(200), false);
    record.attempt(sent);
    let detail = "x".repeat(3000);
    record.rejected(Refused { detail, ..refused(Stage::Forward) });
    drop(record.close_with(StatusCode::OK, Full::<Bytes>::default()));
    let spans = exporting.spans().await;
    // A letter is never cut in two.
    assert_eq!(text(&spans[0], "url.path").len(), 1024);
    assert_eq!(text(&spans[0], "gateway.detail").len(), 1024);
    let sent = text(named(&spans, "forward.attempt"), "url.full");
    assert!(sent.starts_with("https://koodrive.example/koodrive/\u{e9}"));
    assert!((1023..=1024).contains(&sent.len()), "{}", sent.len());
}
