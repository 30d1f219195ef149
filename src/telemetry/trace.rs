//! A closed record as finished spans: no span object lives while the request does, and none is made
//! then; what a collector is told goes straight into the bytes that travel.

use opentelemetry::trace::{SpanKind, Status};

use super::event::{Attempt, Peer, Stage};
use super::otlp::{Head, Span, Spans};
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
pub(super) fn of_request(closed: &Closed<'_>) -> Spans {
    let mut spans = Spans::with_room_for(spans_of_request(closed));
    server(&mut spans, closed);
    let mut forward = closed.facts.opened.span;
    for stage in Stage::ALL {
        if let Some(timing) = closed.facts.stage(*stage) {
            let context = timing.span.unwrap_or_else(|| closed.facts.opened.span.child());
            if *stage == Stage::Forward {
                forward = context;
            }
            of_stage(&mut spans, *stage, timing, context, closed);
        }
    }
    for (index, attempt) in closed.facts.attempts.iter().enumerate() {
        of_attempt(&mut spans, index, attempt, forward, closed);
    }
    spans
}

/// `token.exchange`.
pub(super) fn of_exchange(report: &ExchangeReport, server: Option<&Peer>) -> Spans {
    let mut spans = Spans::with_room_for(1);
    let head = Head {
        context: report.span,
        parent: Some(report.parent),
        parent_is_remote: false,
        kind: SpanKind::Client,
        name: &["token.exchange"],
        start: report.started,
        end: report.ended,
    };
    spans.add(&head, |span| {
        client_attributes(span, "POST", server, report.status);
        span.text("gateway.outcome", report.outcome.as_str());
        span.flag("gateway.background", report.background);
        if report.outcome != ExchangeOutcome::Issued {
            fail(span, report.outcome.as_str());
        }
    });
    spans
}

/// `jwks.fetch`.
pub(super) fn of_key_fetch(fetch: &KeyFetch, server: Option<&Peer>) -> Spans {
    let mut spans = Spans::with_room_for(1);
    let head = Head {
        context: SpanContext { sampled: true, ..fetch.span },
        parent: None,
        parent_is_remote: false,
        kind: SpanKind::Client,
        name: &["jwks.fetch"],
        start: fetch.started,
        end: fetch.ended,
    };
    spans.add(&head, |span| {
        client_attributes(span, "GET", server, None);
        span.text("gateway.issuer", &fetch.issuer);
        span.text("gateway.outcome", fetch.outcome.as_str());
        span.text("gateway.cause", fetch.cause.as_str());
        span.number("gateway.keys", fetch.keys);
        span.number("gateway.keys_skipped", fetch.skipped.count());
        if !fetch.skipped.is_empty() {
            span.text("gateway.keys_skipped.named", &fetch.skipped.to_string());
        }
        if fetch.outcome != KeyFetchOutcome::Fetched {
            if let Some(failure) = &fetch.failure {
                span.text("gateway.detail", &failure.to_string());
            }
            fail(span, fetch.outcome.as_str());
        }
    });
    spans
}

fn server(spans: &mut Spans, closed: &Closed<'_>) {
    let opened = &closed.facts.opened;
    let method = known_method(&opened.method);
    let route = closed.facts.call.map(CallPlan::route);
    let parts = [method.unwrap_or("HTTP"), " ", route.unwrap_or_default()];
    let head = Head {
        context: opened.span,
        parent: opened.parent,
        parent_is_remote: opened.parent.is_some(),
        kind: SpanKind::Server,
        name: if route.is_some() { &parts } else { &parts[..1] },
        start: opened.started,
        end: opened.started + closed.duration,
    };
    spans.add(&head, |span| {
        span.text("http.request.method", method.unwrap_or("_OTHER"));
        if method.is_none() {
            span.text("http.request.method_original", opened.method.as_str());
        }
        if let Some(route) = route {
            span.text("http.route", route);
        }
        span.text("url.path", &opened.path);
        span.text("url.scheme", opened.scheme);
        span.number("http.response.status_code", closed.status);
        if let Some(version) = protocol_version(opened.version) {
            span.text("network.protocol.version", version);
        }
        if let Some(peer) = opened.peer {
            span.text("client.address", &peer.to_string());
        }
        gateway_attributes(span, closed);
        if 500 <= closed.status {
            error_type(span, closed.reason, closed.status);
            span.status = Status::error(closed.reason.unwrap_or_default());
        }
    });
}

/// What no convention has a name for.
fn gateway_attributes(span: &mut Span<'_>, closed: &Closed<'_>) {
    let facts = closed.facts;
    if let Some(x_trace_id) = facts.x_trace_id() {
        span.text("koodrive.traceid", x_trace_id);
    }
    if let Some(replaced) = &facts.opened.x_trace_id_replaced {
        span.text("koodrive.traceid.replaced", replaced);
    }
    span.text("gateway.call", call_word(facts.call));
    if let Some(caller) = &facts.caller {
        span.text("gateway.caller", &caller.to_string());
    }
    if let Some(users) = facts.batch_users {
        span.number("gateway.batch_users", users);
    }
    if let Some(reason) = closed.reason {
        span.text("gateway.reason", reason);
        span.text("gateway.origin", origin_word(closed.origin));
    }
    if let Some(refused) = &facts.refused {
        if let Some(stage) = refused.stage {
            span.text("gateway.stage", stage.as_str());
        }
        span.text("gateway.detail", &refused.detail);
    }
}

fn of_stage(
    spans: &mut Spans,
    stage: Stage,
    timing: &Timing,
    context: SpanContext,
    closed: &Closed<'_>,
) {
    let facts = closed.facts;
    let head = Head {
        context,
        parent: Some(facts.opened.span),
        parent_is_remote: false,
        kind: SpanKind::Internal,
        name: &[stage.as_str()],
        start: facts.opened.started + timing.first.unwrap_or_default(),
        end: facts.opened.started + timing.last(closed.duration),
    };
    spans.add(&head, |span| {
        match stage {
            Stage::Accept => {
                if let Some(cached) = facts.verdict_cached {
                    span.flag("gateway.verdict_cached", cached);
                }
            }
            Stage::Authorize => {
                if let Some((rule, verdict)) = &facts.authorized {
                    span.text("gateway.rule", &rule.0);
                    span.text("gateway.verdict", verdict.as_str());
                }
            }
            Stage::Limit => {
                for (policy, decision) in facts.decisions.iter() {
                    span.text(limit_key(policy), decision.as_str());
                }
            }
            Stage::Token => {
                if let Some(source) = facts.token_source {
                    span.text("gateway.token_source", source.as_str());
                }
                if let (Some(TokenSource::Joined), Some(exchange)) =
                    (facts.token_source, facts.exchange)
                {
                    span.link(exchange);
                }
            }
            Stage::Validate | Stage::Forward => {}
        }
        if let Some(refused) = facts.refused.as_ref().filter(|refused| refused.stage == Some(stage))
        {
            span.text("gateway.reason", refused.reason.as_str());
            // Where the failure is shown, the cause is looked for.
            span.text("gateway.detail", &refused.detail);
            fail(span, refused.reason.as_str());
        }
    });
}

fn of_attempt(
    spans: &mut Spans,
    index: usize,
    attempt: &Attempt,
    parent: SpanContext,
    closed: &Closed<'_>,
) {
    let opened = &closed.facts.opened;
    let head = Head {
        context: attempt.span,
        parent: Some(parent),
        parent_is_remote: false,
        kind: SpanKind::Client,
        name: &["forward.attempt"],
        start: attempt.started,
        end: attempt.ended,
    };
    spans.add(&head, |span| {
        let method = known_method(&opened.method).unwrap_or("_OTHER");
        client_attributes(span, method, Some(&attempt.server), attempt.status);
        span.texts("url.full", &[&attempt.server.base, &opened.path]);
        if index != 0 {
            span.number("http.request.resend_count", index);
        }
        if attempt.replay {
            span.flag("gateway.replay", true);
        }
        if let Some(verdict) = attempt.verdict {
            span.text("gateway.token_verdict", verdict.as_str());
        }
        if let Some(error) = attempt.error {
            fail(span, error);
        }
    });
}

/// What HTTP client spans have in common; a status from 400 on is an error of a CLIENT span.
fn client_attributes(
    span: &mut Span<'_>,
    method: &str,
    server: Option<&Peer>,
    status: Option<u16>,
) {
    span.text("http.request.method", method);
    if let Some(server) = server {
        span.text("server.address", &server.host);
        span.number("server.port", server.port);
    }
    if let Some(status) = status {
        span.number("http.response.status_code", status);
        if 400 <= status {
            error_type(span, None, status);
            span.status = Status::error("");
        }
    }
}

/// Marks the span as failed; what the answer's status said already stays.
fn fail(span: &mut Span<'_>, reason: &'static str) {
    if span.status == Status::Unset {
        span.text("error.type", reason);
    }
    span.status = Status::error(reason);
}

fn error_type(span: &mut Span<'_>, reason: Option<&str>, status: u16) {
    match reason {
        Some(reason) => span.text("error.type", reason),
        None => span.text("error.type", &status.to_string()),
    }
}

fn limit_key(policy: Policy) -> &'static str {
    match policy {
        Policy::Upstream => "gateway.limit.upstream",
        Policy::Calls => "gateway.limit.calls",
        Policy::Total => "gateway.limit.total",
        Policy::Concurrent => "gateway.limit.concurrent",
        Policy::Users => "gateway.limit.users",
    }
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
