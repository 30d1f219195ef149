//! A closed record as finished spans: no span object lives while the request does.

use std::time::SystemTime;

use opentelemetry::trace::{SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, trace as otel};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::event::{Attempt, Peer, Stage};
use super::record::{Closed, Timing};
use super::{call_word, origin_word};
use crate::accept::{KeyFetch, KeyFetchOutcome};
use crate::call::CallPlan;
use crate::limit::Policy;
use crate::token::{ExchangeOutcome, ExchangeReport, TokenSource};
use crate::trace_context::SpanContext;

/// How many spans [`of_request`] makes.
pub(super) fn spans_of_request(closed: &Closed<'_>) -> usize {
    let stages = Stage::ALL.iter().filter(|stage| closed.facts.stage(**stage).is_some());
    1 + stages.count() + closed.facts.attempts.len()
}

/// The SERVER span and its children.
pub(super) fn of_request(closed: &Closed<'_>, scope: &InstrumentationScope) -> Vec<SpanData> {
    let mut spans = Vec::with_capacity(spans_of_request(closed));
    spans.push(server(closed, scope));
    let mut forward = closed.facts.opened.span;
    for stage in Stage::ALL {
        if let Some(timing) = closed.facts.stage(*stage) {
            let span = of_stage(*stage, timing, closed, scope);
            if *stage == Stage::Forward
                && let Some(context) = timing.span
            {
                forward = context;
            }
            spans.push(span);
        }
    }
    for (index, attempt) in closed.facts.attempts.iter().enumerate() {
        spans.push(of_attempt(index, attempt, forward, closed, scope));
    }
    spans
}

/// `token.exchange`.
pub(super) fn of_exchange(
    exchange: &ExchangeReport,
    server: Option<&Peer>,
    scope: &InstrumentationScope,
) -> SpanData {
    let mut span = start(exchange.span, Some(exchange.parent), SpanKind::Client, scope);
    span.name = "token.exchange".into();
    span.start_time = exchange.started;
    span.end_time = exchange.ended;
    client_attributes(&mut span, "POST", server, exchange.status);
    span.attributes.push(KeyValue::new("gateway.outcome", exchange.outcome.as_str()));
    span.attributes.push(KeyValue::new("gateway.background", exchange.background));
    if exchange.outcome != ExchangeOutcome::Issued {
        fail(&mut span, exchange.outcome.as_str());
    }
    span
}

/// `jwks.fetch`.
pub(super) fn of_key_fetch(
    context: SpanContext,
    fetch: &KeyFetch,
    server: Option<&Peer>,
    scope: &InstrumentationScope,
) -> SpanData {
    let mut span = start(context, None, SpanKind::Client, scope);
    span.name = "jwks.fetch".into();
    span.start_time = fetch.started;
    span.end_time = fetch.ended;
    client_attributes(&mut span, "GET", server, None);
    span.attributes.push(KeyValue::new("gateway.issuer", fetch.issuer.clone()));
    span.attributes.push(KeyValue::new("gateway.outcome", fetch.outcome.as_str()));
    span.attributes.push(KeyValue::new("gateway.cause", fetch.cause.as_str()));
    span.attributes.push(KeyValue::new("gateway.keys", count(fetch.keys)));
    let skipped = &fetch.skipped;
    span.attributes.push(KeyValue::new("gateway.keys_skipped", count(skipped.count())));
    if !skipped.is_empty() {
        span.attributes.push(KeyValue::new("gateway.keys_skipped.named", skipped.to_string()));
    }
    if fetch.outcome != KeyFetchOutcome::Fetched {
        fail(&mut span, fetch.outcome.as_str());
    }
    span
}

fn server(closed: &Closed<'_>, scope: &InstrumentationScope) -> SpanData {
    let facts = closed.facts;
    let opened = &facts.opened;
    let method = known_method(&opened.method);
    let mut span = start(opened.span, opened.parent, SpanKind::Server, scope);
    span.parent_span_is_remote = opened.parent.is_some();
    let named = method.unwrap_or("HTTP");
    let route = facts.call.map(CallPlan::route);
    span.name = match route {
        None => named.into(),
        Some(route) => format!("{named} {route}").into(),
    };
    span.start_time = opened.started;
    span.end_time = opened.started + closed.duration;
    let to = &mut span.attributes;
    to.reserve_exact(16);
    to.push(KeyValue::new("http.request.method", method.unwrap_or("_OTHER")));
    if method.is_none() {
        to.push(KeyValue::new("http.request.method_original", opened.method.to_string()));
    }
    if let Some(route) = route {
        to.push(KeyValue::new("http.route", route));
    }
    to.push(KeyValue::new("url.path", opened.path.to_string()));
    to.push(KeyValue::new("url.scheme", opened.scheme));
    to.push(KeyValue::new("http.response.status_code", i64::from(closed.status)));
    if let Some(version) = protocol_version(opened.version) {
        to.push(KeyValue::new("network.protocol.version", version));
    }
    if let Some(peer) = opened.peer {
        to.push(KeyValue::new("client.address", peer.to_string()));
    }
    if let Some(x_trace_id) = facts.x_trace_id() {
        to.push(KeyValue::new("koodrive.traceid", x_trace_id.to_owned()));
    }
    to.push(KeyValue::new("gateway.call", call_word(facts.call)));
    if let Some(caller) = &facts.caller {
        to.push(KeyValue::new("gateway.caller", caller.clone()));
    }
    if let Some(users) = facts.batch_users {
        to.push(KeyValue::new("gateway.batch_users", i64::from(users)));
    }
    if let Some(reason) = closed.reason {
        to.push(KeyValue::new("gateway.reason", reason));
        to.push(KeyValue::new("gateway.origin", origin_word(closed.origin)));
    }
    if let Some(refused) = &facts.refused {
        if let Some(stage) = refused.stage {
            to.push(KeyValue::new("gateway.stage", stage.as_str()));
        }
        to.push(KeyValue::new("gateway.detail", refused.detail.clone()));
    }
    if 500 <= closed.status {
        let reason = closed.reason;
        to.push(error_type(reason, closed.status));
        span.status = Status::error(reason.unwrap_or_default());
    }
    span
}

fn of_stage(
    stage: Stage,
    timing: &Timing,
    closed: &Closed<'_>,
    scope: &InstrumentationScope,
) -> SpanData {
    let facts = closed.facts;
    let server = facts.opened.span;
    let context = timing.span.unwrap_or_else(|| server.child());
    let mut span = start(context, Some(server), SpanKind::Internal, scope);
    span.name = stage.as_str().into();
    span.start_time = facts.opened.started + timing.first.unwrap_or_default();
    span.end_time = facts.opened.started + timing.last(closed.duration);
    match stage {
        Stage::Limit => {
            for (policy, decision) in facts.decisions.iter() {
                let key = match policy {
                    Policy::Calls => "gateway.limit.calls",
                    Policy::Total => "gateway.limit.total",
                    Policy::Concurrent => "gateway.limit.concurrent",
                    Policy::Users => "gateway.limit.users",
                };
                span.attributes.push(KeyValue::new(key, decision.as_str()));
            }
        }
        Stage::Token => {
            if let Some(source) = facts.token_source {
                span.attributes.push(KeyValue::new("gateway.token_source", source.as_str()));
            }
            if facts.token_source == Some(TokenSource::Joined)
                && let Some(leader) = facts.leader
            {
                let link = otel::Link::with_context(otel_context(leader));
                span.links.links.push(link);
            }
        }
        Stage::Accept => {
            if let Some(cached) = facts.verdict_cached {
                span.attributes.push(KeyValue::new("gateway.verdict_cached", cached));
            }
        }
        Stage::Validate | Stage::Forward => {}
    }
    if let Some(refused) = facts.refused.as_ref().filter(|refused| refused.stage == Some(stage)) {
        span.attributes.push(KeyValue::new("gateway.reason", refused.reason.as_str()));
        fail(&mut span, refused.reason.as_str());
    }
    span
}

fn of_attempt(
    index: usize,
    attempt: &Attempt,
    parent: SpanContext,
    closed: &Closed<'_>,
    scope: &InstrumentationScope,
) -> SpanData {
    let opened = &closed.facts.opened;
    let mut span = start(attempt.span, Some(parent), SpanKind::Client, scope);
    span.name = "forward.attempt".into();
    span.start_time = attempt.started;
    span.end_time = attempt.ended;
    let method = known_method(&opened.method).unwrap_or("_OTHER");
    client_attributes(&mut span, method, Some(&attempt.server), attempt.status);
    let url = format!("{}{}", attempt.server.base, opened.path);
    span.attributes.push(KeyValue::new("url.full", url));
    if index != 0 {
        span.attributes.push(KeyValue::new("http.request.resend_count", count(index)));
    }
    if attempt.replay {
        span.attributes.push(KeyValue::new("gateway.replay", true));
    }
    if let Some(error) = attempt.error {
        fail(&mut span, error);
    }
    span
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What HTTP client spans have in common; a status from 400 on is an error of a CLIENT span.
fn client_attributes(
    span: &mut SpanData,
    method: &'static str,
    server: Option<&Peer>,
    status: Option<u16>,
) {
    let to = &mut span.attributes;
    to.reserve_exact(8);
    to.push(KeyValue::new("http.request.method", method));
    if let Some(server) = server {
        to.push(KeyValue::new("server.address", server.host.clone()));
        to.push(KeyValue::new("server.port", i64::from(server.port)));
    }
    if let Some(status) = status {
        to.push(KeyValue::new("http.response.status_code", i64::from(status)));
        if 400 <= status {
            to.push(error_type(None, status));
            span.status = Status::error("");
        }
    }
}

/// Marks the span as failed; what the answer's status said already stays.
fn fail(span: &mut SpanData, reason: &'static str) {
    if span.status == Status::Unset {
        span.attributes.push(KeyValue::new("error.type", reason));
    }
    span.status = Status::error(reason);
}

fn error_type(reason: Option<&'static str>, status: u16) -> KeyValue {
    match reason {
        Some(reason) => KeyValue::new("error.type", reason),
        None => KeyValue::new("error.type", status.to_string()),
    }
}

fn start(
    context: SpanContext,
    parent: Option<SpanContext>,
    kind: SpanKind,
    scope: &InstrumentationScope,
) -> SpanData {
    let parent = parent.map_or(otel::SpanId::INVALID, |parent| {
        otel::SpanId::from_bytes(parent.span_id.to_bytes())
    });
    SpanData {
        span_context: otel_context(context),
        parent_span_id: parent,
        parent_span_is_remote: false,
        span_kind: kind,
        name: "".into(),
        start_time: SystemTime::UNIX_EPOCH,
        end_time: SystemTime::UNIX_EPOCH,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope.clone(),
    }
}

fn otel_context(context: SpanContext) -> otel::SpanContext {
    otel::SpanContext::new(
        otel::TraceId::from_bytes(context.trace_id.to_bytes()),
        otel::SpanId::from_bytes(context.span_id.to_bytes()),
        otel::TraceFlags::new(context.flags()),
        false,
        otel::TraceState::NONE,
    )
}

/// The methods that pass the gateway; others are `_OTHER`, so that span names stay finite.
fn known_method(method: &http::Method) -> Option<&'static str> {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str())
}

fn protocol_version(version: http::Version) -> Option<&'static str> {
    match version {
        http::Version::HTTP_10 => Some("1.0"),
        http::Version::HTTP_11 => Some("1.1"),
        http::Version::HTTP_2 => Some("2"),
        _ => None,
    }
}
