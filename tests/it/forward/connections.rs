//! Connections to KooDrive: how many, how long, and what happens when there is none.

use std::time::Duration;

use futures_util::future::join_all;
use http::Method;

use super::upstream::Upstream;
use crate::support::caller::Reply;
use crate::support::faults::Behaviour;
use crate::support::world::World;

const ECHO: &str = "/koodrive/test/echo";
const SOON: Duration = Duration::from_secs(10);

fn rejected(reply: &Reply) -> (u16, Option<String>) {
    (reply.status, reply.reason())
}

#[tokio::test]
async fn calls_beyond_the_connections_wait_and_then_pass() {
    let world = World::plan().config("[forward]\nmax_connections = 2").start().await;
    let alice = world.caller("alice");
    world.koodrive.switch.gate.close();
    let calls = join_all((0..6).map(|_| alice.get(ECHO)));
    let opening = async {
        assert!(world.koodrive.switch.gate.wait_for(2, SOON).await);
        let more = world.koodrive.switch.gate.wait_for(3, Duration::from_millis(200)).await;
        assert!(!more, "a third connection");
        world.koodrive.switch.gate.open();
    };
    let (replies, ()) = tokio::join!(calls, opening);
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert!(world.koodrive.server.connections() <= 2);
}

#[tokio::test]
async fn each_worker_serves_its_callers_over_connections_of_its_own() {
    let world = World::plan().config("[listen]\nworkers = 2").child().start().await;
    let alice = world.caller("alice");
    for _ in 0..4 {
        let call = alice.call(Method::GET, ECHO).header("connection", "close");
        assert_eq!(call.send().await.status, 200);
    }
    assert_eq!(world.koodrive.server.connections(), 2);
}

#[tokio::test]
async fn calls_that_find_no_connection_in_time_are_told_to_come_back() {
    let config = "[forward]\nmax_connections = 1\nconnect_timeout = '300ms'";
    let world = World::plan().config(config).start().await;
    let alice = world.caller("alice");
    world.koodrive.switch.gate.close();
    let late = async {
        assert!(world.koodrive.switch.gate.wait_for(1, SOON).await);
        let late = alice.get(ECHO).await;
        world.koodrive.switch.gate.open();
        late
    };
    let (first, late) = tokio::join!(alice.get(ECHO), late);
    assert_eq!(first.status, 200);
    assert_eq!(rejected(&late), (503, Some("overloaded".to_owned())));
    assert_eq!(late.header("retry-after"), Some("1"));
    assert_eq!(alice.get(ECHO).await.status, 200);
}

#[tokio::test]
async fn an_upstream_that_is_away_or_silent_is_named() {
    let world = World::plan().config("[forward]\nresponse_timeout = '300ms'").start().await;
    let alice = world.caller("alice");
    world.koodrive.switch.set(Behaviour::hang());
    assert_eq!(rejected(&alice.get(ECHO).await), (504, Some("upstream_timeout".to_owned())));
    world.koodrive.switch.clear();
    world.koodrive.server.down().await;
    assert_eq!(rejected(&alice.get(ECHO).await), (502, Some("upstream_unreachable".to_owned())));
    world.koodrive.server.up().await;
    assert_eq!(alice.get(ECHO).await.status, 200);
}

#[tokio::test]
async fn a_connection_of_which_an_answer_was_given_up_is_not_used_again() {
    let upstream = Upstream::start().await;
    let world = upstream.plan().config("[forward]\nresponse_timeout = '300ms'").start().await;
    let alice = world.caller("alice");
    let serving = async {
        let mut late = upstream.accept().await;
        late.request().await.expect("the first call");
        assert!(late.request().await.is_none(), "the gateway leaves");
        let mut next = upstream.accept().await;
        next.request().await.expect("the second call");
        next.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    };
    let calls = async {
        let first = alice.get(ECHO).await;
        assert_eq!(rejected(&first), (504, Some("upstream_timeout".to_owned())));
        alice.get(ECHO).await
    };
    let (second, ()) = tokio::join!(calls, serving);
    assert_eq!(second.text(), "ok");
}

#[tokio::test]
async fn an_answer_that_says_more_than_its_length_spoils_only_its_connection() {
    let upstream = Upstream::start().await;
    let world = upstream.plan().start().await;
    let alice = world.caller("alice");
    let serving = async {
        let mut split = upstream.accept().await;
        split.request().await.expect("the first call");
        split
            .send(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\
                 HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
            )
            .await;
        let mut next = upstream.accept().await;
        next.request().await.expect("the second call");
        next.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood").await;
    };
    let calls = async {
        assert_eq!(alice.get(ECHO).await.text(), "ok");
        alice.call(Method::GET, ECHO).send().await
    };
    let (second, ()) = tokio::join!(calls, serving);
    assert_eq!(second.text(), "good");
}

#[tokio::test]
async fn calls_one_after_another_take_the_connection_that_was_used_last() {
    let world = World::start().await;
    let alice = world.caller("alice");
    world.koodrive.switch.gate.close();
    let opening = async {
        assert!(world.koodrive.switch.gate.wait_for(3, SOON).await);
        world.koodrive.switch.gate.open();
    };
    tokio::join!(join_all((0..3).map(|_| alice.get(ECHO))), opening);
    assert_eq!(world.koodrive.server.connections(), 3);
    let mut used = Vec::new();
    for _ in 0..5 {
        used.push(alice.get(ECHO).await.json()["connection"].clone());
    }
    used.dedup();
    assert_eq!(used.len(), 1, "{used:?}");
    assert_eq!(world.koodrive.server.connections(), 3);
}

#[tokio::test]
async fn a_connection_that_nobody_needs_is_closed() {
    let upstream = Upstream::start().await;
    let world = upstream.plan().config("[forward]\npool_idle_timeout = '100ms'").start().await;
    let alice = world.caller("alice");
    let serving = async {
        let mut connection = upstream.accept().await;
        connection.request().await.expect("the call");
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        assert!(connection.request().await.is_none(), "the gateway leaves");
    };
    let (reply, ()) = tokio::join!(alice.get(ECHO), serving);
    assert_eq!(reply.status, 200);
}
