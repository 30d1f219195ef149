//! A world stands up, and a call crosses it.

use std::time::Duration;

use serde_json::json;

use crate::support::recording::sha256;
use crate::support::tests::SOON;
use crate::support::tls::TlsServer;
use crate::support::world::{GOOD_BATCH, World};

async fn a_batch_crosses(world: &World) {
    let alice = world.caller("alice");
    let reply = alice.preverify(GOOD_BATCH).await;
    assert_eq!(reply.status, 200, "{}\n{}", reply.text(), world.gateway.logs.lines().join("\n"));
    assert_eq!(reply.json()["code"], json!(0));
    let arrived = world.koodrive.received.all();
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].body.sha256, sha256(GOOD_BATCH.as_bytes()));
    assert_eq!(arrived[0].header("x-traceid"), Some(&*reply.trace_id()));
    assert!(!arrived[0].contains(alice.token().unwrap().as_bytes()));
    let spans = world.collector.trace_of(&reply.trace_id(), SOON).await.expect("a trace");
    assert!(spans.iter().any(|span| span.name == "forward.attempt"), "{spans:#?}");
    let line = world.gateway.logs.of_call(&reply.trace_id(), SOON).await.expect("a log line");
    assert_eq!(line["status"], json!(200));
}

#[tokio::test]
async fn in_this_process() {
    a_batch_crosses(&World::start().await).await;
}

#[tokio::test]
async fn with_the_real_binary() {
    let world = World::plan().child().start().await;
    a_batch_crosses(&world).await;
    assert!(world.gateway.stop().await);
}

#[tokio::test]
async fn over_tls_and_http2() {
    for http2 in [false, true] {
        let tls = TlsServer { http2, client_certificates: false };
        let listen =
            "[listen]\ntls_certificate_file = 'server.pem'\ntls_key_file = 'server-key.pem'";
        let plan = World::plan().koodrive_tls(tls).config(listen);
        let plan = if http2 { plan.http2() } else { plan };
        a_batch_crosses(&plan.start().await).await;
    }
}

#[tokio::test]
async fn time_and_configuration_change_under_it() {
    let mut world = World::plan().config("[limit]\ncalls_burst = 1").start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
    let limited = alice.preverify(GOOD_BATCH).await;
    assert_eq!((limited.status, limited.reason().as_deref()), (429, Some("limit_calls")));
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
    assert!(!world.reconfigure("[limit]\nmode = 'sometimes'").await);
    assert!(world.reconfigure("[limit]\nmode = 'off'").await);
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
    assert_eq!(world.sso.granted(), 1);
}
