//! What matters is traced whatever the ratio says; the rest is not even built.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{SOON, WHO_AM_I, metric_becomes};
use crate::support::collector::Kind;
use crate::support::faults::Behaviour;
use crate::support::world::World;

const NONE: &str = "[telemetry]\nsample_ratio = 0.0\n";

#[tokio::test]
async fn refused_and_failed_calls_are_traced_and_others_are_not() {
    let world = World::plan().config(NONE).start().await;
    let alice = world.caller("alice");
    let fine = alice.get(WHO_AM_I).await;
    assert_eq!(fine.status, 200);
    let refused = alice.preverify("{}".to_owned()).await;
    assert_eq!(refused.status, 400);
    world.koodrive.switch.set(Behaviour::status(503));
    let failed = alice.get(WHO_AM_I).await;
    assert_eq!(failed.status, 503);
    let spans = world.collector.trace_of(&failed.trace_id(), SOON).await.expect("it failed");
    let named = |name: &str| spans.iter().filter(|span| span.name == name).count();
    assert_eq!((named("forward.attempt"), named("token")), (1, 1), "{spans:#?}");
    assert!(world.collector.trace_of(&refused.trace_id(), SOON).await.is_some());
    // Those of the first call would have come before them.
    let spans = world.collector.spans();
    let of_fine = |traceid: Option<&str>| traceid == Some(&*fine.trace_id());
    assert!(!spans.iter().any(|span| of_fine(span.text("koodrive.traceid"))), "{spans:#?}");
    // Nor had they been built and dropped.
    assert_eq!(world.metric("koodrive_gateway_spans_dropped_total").await, Some(0.0));
}

#[tokio::test]
async fn an_exchange_that_failed_stands_in_the_trace_of_its_call() {
    let world = World::plan().config(NONE).start().await;
    world.sso.token.set(Behaviour::status(500));
    let refused = world.caller("alice").get(WHO_AM_I).await;
    assert_eq!(refused.status, 503);
    let trace_id = refused.trace_id().get(..32).unwrap().to_owned();
    let spans = world.collector.wait_for(SOON, |all| {
        let names = all.iter().filter(|span| span.trace_id == trace_id).map(|span| &*span.name);
        let names: Vec<_> = names.collect();
        names.contains(&"token.exchange") && names.contains(&"token")
    });
    assert!(spans.await.is_some(), "{:#?}", world.collector.spans());
}

#[tokio::test]
async fn slow_calls_are_traced_if_so_configured_and_a_flood_of_refusals_is_not() {
    let slow = format!("{NONE}keep_refused = false\nkeep_slower_than = '1ms'");
    let world = World::plan().config(&slow).start().await;
    world.koodrive.switch.set(Behaviour::slow(Duration::from_millis(20)));
    let reply = world.caller("alice").get(WHO_AM_I).await;
    assert!(world.collector.trace_of(&reply.trace_id(), SOON).await.is_some());

    let never = format!("{NONE}keep_refused = false\nkeep_slower_than = '0s'");
    let world = World::plan().config(&never).start().await;
    world.koodrive.switch.set(Behaviour::slow(Duration::from_millis(20)));
    assert_eq!(world.caller("alice").get(WHO_AM_I).await.status, 200);
    world.koodrive.switch.set(Behaviour::status(500));
    assert_eq!(world.caller("alice").get(WHO_AM_I).await.status, 500);
    metric_becomes(&world, "koodrive_gateway_inflight_requests", 0.0).await;
    assert!(world.gateway.stop().await);
    assert_eq!(world.collector.spans(), [], "the last spans are flushed at the stop");

    let world = World::plan().config(NONE).start().await;
    let nobody = world.caller_with(None);
    // More than fit into any two seconds, if they come one after the other in less.
    for _ in 0..300 {
        assert_eq!(nobody.get(WHO_AM_I).await.status, 401);
    }
    metric_becomes(&world, "koodrive_gateway_inflight_requests", 0.0).await;
    world.gateway.stop().await;
    let spans = world.collector.spans();
    let mut seconds: BTreeMap<u64, usize> = BTreeMap::new();
    for span in spans.iter().filter(|span| span.kind == Kind::Server) {
        *seconds.entry(span.ended / 1_000_000_000).or_default() += 1;
    }
    assert!(!seconds.is_empty() && seconds.values().all(|calls| *calls <= 10), "{seconds:?}");
}
