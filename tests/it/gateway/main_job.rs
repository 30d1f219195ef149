//! The one job: exactly the caller's batch, under exactly the caller's own KooDrive token.

use std::sync::Arc;

use crate::gateway::{SOON, WHO_AM_I};
use crate::support::recording::{Received, sha256};
use crate::support::world::{GOOD_BATCH, World};

#[tokio::test]
async fn koodrive_gets_the_very_bytes_under_the_callers_own_token_and_one_trace_id() {
    for workers in [1, 2] {
        let workers = format!("[listen]\nworkers = {workers}");
        does_its_job(&World::plan().config(&workers).child().start().await).await;
    }
}

async fn does_its_job(world: &World) {
    let (alice, bob) = (world.caller("alice"), world.caller("bob"));
    assert!(GOOD_BATCH.contains("\"curDeptId\" :1575416580416769793,\r\n\t"));
    for (caller, name) in [(&alice, "alice"), (&bob, "bob")] {
        world.koodrive.received.clear();
        let reply = caller.preverify(GOOD_BATCH).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let arrived = world.koodrive.received.all();
        assert_eq!(arrived.len(), 1);
        let arrived = &arrived[0];
        assert_eq!(arrived.body.sha256, sha256(GOOD_BATCH.as_bytes()));
        assert_eq!(arrived.body.prefix, GOOD_BATCH.as_bytes());
        assert!(arrived.body.complete);

        let authorization = arrived.header("authorization").expect("exactly one");
        let token = authorization.strip_prefix("Bearer ").expect("a Bearer token");
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        assert_eq!((token.len(), token.bytes().all(lower_hex)), (48, true), "{token}");
        assert_eq!(world.koodrive.sessions.tokens_of(name), [token]);

        let trace_id = arrived.header("x-traceid").expect("exactly one");
        assert_eq!((trace_id.len(), trace_id), (58, &*reply.trace_id()));
        let trace = world.collector.trace_of(trace_id, SOON).await.expect("a trace");
        assert!(trace_id.starts_with(&trace[0].trace_id), "{trace_id}");
        nothing_of(caller.token().expect("there is one"), arrived);
    }
    assert_eq!((world.sso.granted(), world.koodrive.verified()), (2, 2));
    assert!(world.gateway.stop().await);
}

#[tokio::test]
async fn no_part_of_an_sso_token_reaches_koodrive_wherever_the_caller_puts_it() {
    let world = World::plan().config("[accept]\nheader = 'x-sso-token'").start().await;
    let token = world.sso.token_for("alice");
    let caller = world.caller_with(None);
    let bearer = format!("Bearer {token}");
    let call = |headers: &[&str]| {
        let call = caller.call(http::Method::GET, WHO_AM_I).header("x-sso-token", &bearer);
        headers.iter().fold(call, |call, name| call.header(name, &bearer)).send()
    };
    for headers in [
        &[][..],
        &["authorization"],
        &["cookie"],
        &["proxy-authorization"],
        &["x-user-id", "x-date", "x-session-id", "x_traceid"],
        &["authorization", "cookie"],
    ] {
        let reply = call(headers).await;
        assert_eq!(reply.status, 200, "{headers:?}: {}", reply.text());
        assert_eq!(reply.json()["data"]["userName"], "alice");
    }
    let arrived = world.koodrive.received.all();
    assert_eq!(arrived.len(), 6);
    for arrived in arrived {
        nothing_of(&token, &arrived);
    }
    assert_eq!(world.sso.granted(), 1);
}

#[tokio::test]
async fn every_good_fixture_arrives_byte_for_byte() {
    let world = World::plan().config("[limit]\nmode = 'off'").child().start().await;
    let alice = world.caller("alice");
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/batches/good");
    let mut files = 0;
    for file in std::fs::read_dir(fixtures).unwrap() {
        let path = file.unwrap().path();
        let batch = std::fs::read(&path).unwrap();
        world.koodrive.received.clear();
        let reply = alice.preverify(batch.clone()).await;
        assert_eq!(reply.status, 200, "{}: {}", path.display(), reply.text());
        let arrived = &world.koodrive.received.all()[0];
        assert_eq!(arrived.body.sha256, sha256(&batch), "{}", path.display());
        files += 1;
    }
    assert!(20 < files, "{files} fixtures");
}

/// Neither the token nor one of its parts, in whatever came.
fn nothing_of(token: &str, arrived: &Arc<Received>) {
    assert!(!arrived.contains(token.as_bytes()));
    let parts = token.split('.');
    for part in parts {
        assert!(!arrived.contains(part.as_bytes()), "{:?}", arrived.headers);
    }
}
