//! X-Traceid and the W3C trace context, as callers, KooDrive and Jaeger see them.

use http::Method;

use crate::gateway::{SOON, WHO_AM_I, span_of, trace_of};
use crate::support::caller::{Call, Caller};
use crate::support::collector::{Kind, Span};
use crate::support::faults::Behaviour;
use crate::support::world::World;

/// 58 legal characters, not of the gateway's own form.
const LEGAL: &str = "Tool_2026-11-24_batch-0000000000000000000000000000-run-017";
/// Of the gateway's own form.
const OWN: &str = "0af7651916cd43dd8448eb211c80319cb7ad6b71692033311764000000";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

const PARENT_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn who(caller: &Caller) -> Call {
    caller.call(Method::GET, WHO_AM_I)
}

async fn server_span(world: &World, x_traceid: &str) -> Span {
    let spans = world.collector.trace_of(x_traceid, SOON).await.expect("a trace");
    spans.into_iter().find(|span| span.kind == Kind::Server).expect("a SERVER span")
}

#[tokio::test]
async fn a_legal_one_is_kept_byte_for_byte() {
    let world = World::start().await;
    let alice = world.caller("alice");
    let dashes = "-".repeat(58);
    for id in [LEGAL, OWN, &dashes] {
        world.koodrive.received.clear();
        let reply = who(&alice).header("x-traceid", id).send().await;
        assert_eq!((reply.status, reply.trace_id()), (200, id.to_owned()));
        assert_eq!(world.koodrive.received.all()[0].header("x-traceid"), Some(id));
        assert_eq!(server_span(&world, id).await.text("koodrive.traceid"), Some(id));
        let line = world.gateway.logs.of_call(id, SOON).await.expect("a log line");
        assert_eq!(line["traceid"], id);
    }
}

#[tokio::test]
async fn an_illegal_one_is_replaced_by_one_that_finds_the_trace() {
    let world = World::start().await;
    let alice = world.caller("alice");
    let (short, long) = (LEGAL.trim_start_matches('T'), LEGAL.to_owned() + "x");
    let (dot, space) = (LEGAL.replace('_', "."), LEGAL.replace('_', " "));
    for illegal in [&[short][..], &[&long], &[&dot], &[&space], &[""], &[LEGAL, LEGAL]] {
        world.koodrive.received.clear();
        let call = illegal.iter().fold(who(&alice), |call, id| call.header("x-traceid", id));
        let reply = call.send().await;
        let id = reply.trace_id();
        assert_eq!((reply.status, id.len()), (200, 58), "{illegal:?}");
        assert!(!illegal.contains(&id.as_str()));
        assert_eq!(world.koodrive.received.all()[0].header("x-traceid"), Some(&*id));
        let span = server_span(&world, &id).await;
        assert_eq!((trace_of(&id), span_of(&id)), (&*span.trace_id, &*span.span_id));
        let seconds: u64 = id.chars().skip(48).collect::<String>().parse().expect("ten digits");
        assert!(seconds.abs_diff(span.started / 1_000_000_000) <= 1, "{seconds}");
    }
}

#[tokio::test]
async fn an_illegal_one_is_refused_where_that_is_configured() {
    let world = World::plan().config("[trace_id]\non_illegal = 'reject'").start().await;
    let alice = world.caller("alice");
    for illegal in [&["short"][..], &[LEGAL, LEGAL], &[""]] {
        let call = illegal.iter().fold(who(&alice), |call, id| call.header("x-traceid", id));
        let reply = call.send().await;
        assert_eq!((reply.status, reply.reason().as_deref()), (400, Some("trace_id_illegal")));
        assert_eq!(reply.trace_id().len(), 58, "the refusal itself can be found");
    }
    assert_eq!(who(&alice).header("x-traceid", LEGAL).send().await.trace_id(), LEGAL);
    assert_eq!(who(&alice).send().await.status, 200);
    assert_eq!(world.koodrive.received.total(), 2);
}

#[tokio::test]
async fn one_of_our_own_form_continues_its_trace() {
    let world = World::start().await;
    let alice = world.caller("alice");
    who(&alice).header("x-traceid", OWN).send().await;
    let span = server_span(&world, OWN).await;
    assert_eq!((&*span.trace_id, span.parent.as_deref()), (trace_of(OWN), Some(span_of(OWN))));
    who(&alice).header("x-traceid", LEGAL).send().await;
    let span = server_span(&world, LEGAL).await;
    assert_eq!(span.parent, None, "any other form begins a trace");

    // Two tools in a row: the second call hangs below the first one's SERVER span.
    let first = who(&alice).send().await.trace_id();
    who(&alice).header("x-traceid", &first).send().await;
    let both = world.collector.wait_for(SOON, |spans| {
        let of_trace = spans.iter().filter(|span| span.trace_id == trace_of(&first));
        of_trace.filter(|span| span.kind == Kind::Server).count() == 2
    });
    let both = both.await.expect("both SERVER spans in one trace");
    assert!(both.iter().any(|span| {
        span.kind == Kind::Server && span.parent.as_deref() == Some(span_of(&first))
    }));
}

#[tokio::test]
async fn a_valid_traceparent_wins_for_the_trace_and_the_header_stays() {
    let world = World::start().await;
    let alice = world.caller("alice");
    let call = who(&alice).header("x-traceid", OWN).header("traceparent", PARENT);
    assert_eq!(call.send().await.trace_id(), OWN);
    let span = server_span(&world, OWN).await;
    let expected = (PARENT_TRACE, Some("00f067aa0ba902b7"));
    assert_eq!((&*span.trace_id, span.parent.as_deref()), expected);
    let made = who(&alice).header("traceparent", PARENT).send().await.trace_id();
    assert_eq!(trace_of(&made), PARENT_TRACE, "one that is made leads to the caller's trace");
    for illegal in ["00-0-0-01", &PARENT.to_uppercase(), &PARENT.replace("00-4", "ff-4")] {
        let id = who(&alice).header("traceparent", illegal).send().await.trace_id();
        assert_ne!(trace_of(&id), PARENT_TRACE, "{illegal}");
    }
    let twice = who(&alice).header("traceparent", PARENT).header("traceparent", PARENT);
    assert_ne!(trace_of(&twice.send().await.trace_id()), PARENT_TRACE);
}

#[tokio::test]
async fn koodrive_sees_of_the_trace_what_propagate_says() {
    for propagate in ["none", "traceparent", "full"] {
        let config = format!("[forward]\npropagate = '{propagate}'");
        let world = World::plan().config(&config).start().await;
        let call = who(&world.caller("alice"))
            .header("traceparent", PARENT)
            .header("tracestate", "one=1,two=2")
            .header("tracestate", "three=3")
            .header("baggage", "tenant=a");
        let id = call.send().await.trace_id();
        let arrived = world.koodrive.received.all()[0].clone();
        let spans = world.collector.trace_of(&id, SOON).await.expect("a trace");
        let attempt = spans.iter().find(|span| span.name == "forward.attempt").expect("one");
        let of_attempt = format!("00-{}-{}-01", attempt.trace_id, attempt.span_id);
        let sent = (propagate != "none").then_some(&*of_attempt);
        assert_eq!(arrived.header("traceparent"), sent, "{propagate}");
        let full = propagate == "full";
        let state = arrived.header("tracestate").map(|state| state.replace(", ", ","));
        assert_eq!(state.as_deref(), full.then_some("one=1,two=2,three=3"), "{propagate}");
        assert_eq!(arrived.header("baggage"), full.then_some("tenant=a"), "{propagate}");
        assert_eq!(arrived.header("x-traceid"), Some(&*id));
    }
}

#[tokio::test]
async fn koodrives_own_trace_id_does_not_reach_the_caller() {
    let world = World::start().await;
    let theirs = Behaviour::json(200, &serde_json::json!({ "code": 0 })).header("x-traceid", OWN);
    world.koodrive.switch.next(1, theirs);
    let reply = who(&world.caller("alice")).header("x-traceid", LEGAL).send().await;
    assert_eq!(reply.trace_id(), LEGAL);
}
