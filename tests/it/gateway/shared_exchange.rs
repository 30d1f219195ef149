//! A hundred first calls of one caller cost one exchange, however it ends.

use std::time::Duration;

use futures_util::future::{join, join_all};

use crate::gateway::{SOON, WHO_AM_I, metric_becomes};
use crate::support::faults::Behaviour;
use crate::support::raw::RawConnection;
use crate::support::world::World;

const CALLS: usize = 100;
const IN_FLIGHT: &str = "koodrive_gateway_inflight_requests";

#[tokio::test]
async fn a_hundred_first_calls_cost_one_exchange() {
    let world = World::start().await;
    let alice = world.caller("alice");
    world.sso.token.gate.close();
    let calls = join_all((0..CALLS).map(|_| alice.get(WHO_AM_I)));
    let (replies, ()) = join(calls, open_when_all_wait(&world, 100.0)).await;
    for reply in &replies {
        assert_eq!((reply.status, &reply.json()["data"]["userName"]), (200, &"alice".into()));
    }
    assert_eq!((world.sso.token.calls(), world.sso.granted()), (1, 1));
    let authorizations = world.koodrive.received.all();
    let first = authorizations[0].header("authorization").map(str::to_owned);
    assert!(authorizations.iter().all(|call| call.header("authorization") == first.as_deref()));
    let joined = world.metric("koodrive_gateway_token_lookups_total{source=\"joined\"}").await;
    assert!(joined.is_some_and(|joined| 1.0 <= joined), "{joined:?}");
    let led = world.metric("koodrive_gateway_token_lookups_total{source=\"exchanged\"}").await;
    assert_eq!(led, Some(1.0));
}

#[tokio::test]
async fn a_hundred_first_calls_share_one_failure() {
    let deny = serde_json::json!({ "error": "access_denied" });
    for (behaviour, expected) in [
        (Behaviour::status(500), (503, "token_endpoint_unavailable")),
        (Behaviour::status(429).retry_after(7), (503, "token_endpoint_busy")),
        (Behaviour::json(400, &deny), (403, "caller_denied")),
        (Behaviour::garbage(), (502, "token_answer_unusable")),
    ] {
        let world = World::start().await;
        world.sso.token.set(behaviour);
        let alice = world.caller("alice");
        world.sso.token.gate.close();
        let calls = join_all((0..CALLS).map(|_| alice.get(WHO_AM_I)));
        let (replies, ()) = join(calls, open_when_all_wait(&world, 100.0)).await;
        for reply in &replies {
            assert_eq!((reply.status, reply.reason().as_deref()), (expected.0, Some(expected.1)));
        }
        assert_eq!((world.sso.token.calls(), world.koodrive.received.total()), (1, 0));
    }
}

#[tokio::test]
async fn the_exchange_goes_on_when_the_first_caller_hangs_up() {
    let world = World::start().await;
    let alice = world.caller("alice");
    world.sso.token.gate.close();
    let token = alice.token().unwrap();
    let request = format!(
        "GET {WHO_AM_I} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    let mut first = RawConnection::open(world.gateway.address).await.unwrap();
    first.send(request).await.unwrap();
    assert!(world.sso.token.gate.wait_for(1, SOON).await);
    let others = join_all((1..CALLS).map(|_| alice.get(WHO_AM_I)));
    let hang_up = async {
        metric_becomes(&world, IN_FLIGHT, 100.0).await;
        drop(first);
        open_when_all_wait(&world, 99.0).await;
    };
    let (replies, ()) = join(others, hang_up).await;
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert_eq!((world.sso.token.calls(), world.sso.granted()), (1, 1));
    assert_eq!(world.koodrive.received.total(), 99);
}

#[tokio::test]
async fn callers_do_not_wait_for_each_others_exchange() {
    let world = World::start().await;
    let (alice, bob) = (world.caller("alice"), world.caller("bob"));
    assert_eq!(bob.get(WHO_AM_I).await.status, 200);
    world.sso.token.gate.close();
    let slow = alice.get(WHO_AM_I);
    let fast = async {
        assert!(world.sso.token.gate.wait_for(1, SOON).await);
        let reply = tokio::time::timeout(Duration::from_secs(2), bob.get(WHO_AM_I)).await;
        assert_eq!(reply.expect("bob's token is cached").status, 200);
        world.sso.token.gate.open();
    };
    let (reply, ()) = join(slow, fast).await;
    assert_eq!((reply.status, world.sso.granted()), (200, 2));
}

/// Opens the token endpoint's gate once one exchange stands there and so many calls are inside.
async fn open_when_all_wait(world: &World, calls: f64) {
    assert!(world.sso.token.gate.wait_for(1, SOON).await);
    metric_becomes(world, IN_FLIGHT, calls).await;
    world.sso.token.gate.open();
}
