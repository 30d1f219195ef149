//! A closed record as finished spans: no span object lives while the request does.

use std::time::SystemTime;

use opentelemetry::trace::{SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, trace as otel};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::trace_context::SpanContext;

use super::facts::{Attempt, Exchange, KeyFetch, Peer, Stage, TokenSource};
use super::record::{Closed, Timing};

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
pub(super) fn of_exchange(exchange: &Exchange, scope: &InstrumentationScope) -> SpanData {
    let mut span = start(exchange.span, exchange.parent, SpanKind::Client, scope);
    span.name = "token.exchange".into();
    span.start_time = exchange.started;
    span.end_time = exchange.ended;
    client_attributes(&mut span, "POST", exchange.server.as_deref(), exchange.status);
    span.attributes.push(KeyValue::new("gateway.outcome", exchange.outcome));
    span.attributes.push(KeyValue::new("gateway.background", exchange.background));
    if exchange.failed {
        fail(&mut span, exchange.outcome);
    }
    span
}

/// `jwks.fetch`.
pub(super) fn of_key_fetch(
    context: SpanContext,
    fetch: &KeyFetch,
    scope: &InstrumentationScope,
) -> SpanData {
    let mut span = start(context, fetch.parent, SpanKind::Client, scope);
    span.name = "jwks.fetch".into();
    span.start_time = fetch.started;
    span.end_time = fetch.ended;
    client_attributes(&mut span, "GET", fetch.server.as_deref(), fetch.status);
    span.attributes.push(KeyValue::new("gateway.issuer", fetch.issuer.clone()));
    span.attributes.push(KeyValue::new("gateway.outcome", fetch.outcome));
    if fetch.failed {
        fail(&mut span, fetch.outcome);
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
    span.name = match facts.route {
        "" => named.into(),
        route => format!("{named} {route}").into(),
    };
    span.start_time = opened.started;
    span.end_time = opened.started + closed.duration;
    let to = &mut span.attributes;
    to.reserve_exact(16);
    to.push(KeyValue::new("http.request.method", method.unwrap_or("_OTHER")));
    if method.is_none() {
        to.push(KeyValue::new("http.request.method_original", opened.method.to_string()));
    }
    if !facts.route.is_empty() {
        to.push(KeyValue::new("http.route", facts.route));
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
    to.push(KeyValue::new("gateway.call", facts.call.as_str()));
    if let Some(caller) = &facts.caller {
        to.push(KeyValue::new("gateway.caller", caller.clone()));
    }
    if let Some(users) = facts.batch_users {
        to.push(KeyValue::new("gateway.batch_users", i64::from(users)));
    }
    if let Some(reason) = closed.reason {
        to.push(KeyValue::new("gateway.reason", reason));
        to.push(KeyValue::new("gateway.origin", closed.origin.as_str()));
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
            for (policy, decision) in facts.decisions() {
                let key = match policy {
                    super::Policy::Calls => "gateway.limit.calls",
                    super::Policy::Users => "gateway.limit.users",
                    super::Policy::Total => "gateway.limit.total",
                    super::Policy::Concurrent => "gateway.limit.concurrent",
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
        Stage::Accept | Stage::Validate | Stage::Forward => {}
    }
    if let Some(refused) = facts.refused.as_ref().filter(|refused| refused.stage == Some(stage)) {
        span.attributes.push(KeyValue::new("gateway.reason", refused.reason));
        fail(&mut span, refused.reason);
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
        let resent = i64::try_from(index).unwrap_or(i64::MAX);
        span.attributes.push(KeyValue::new("http.request.resend_count", resent));
    }
    if attempt.replay {
        span.attributes.push(KeyValue::new("gateway.replay", true));
    }
    if let Some(error) = attempt.error {
        fail(&mut span, error);
    }
    span
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
