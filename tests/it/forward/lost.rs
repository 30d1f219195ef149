//! Calls that are lost on a connection KooDrive was closing.

use http::Method;

use super::upstream::{Connection, Upstream};
use crate::support::caller::Reply;
use crate::support::koodrive::PREVERIFY;
use crate::support::world::{GOOD_BATCH, World};

const ECHO: &str = "/koodrive/test/echo";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A world, and a connection that has served one call.
async fn warm(upstream: &Upstream) -> (World, Connection) {
    let world = upstream.plan().start().await;
    let alice = world.caller("alice");
    let serving = async {
        let mut connection = upstream.accept().await;
        connection.request().await.expect("a request");
        connection.send(OK).await;
        connection
    };
    let (reply, connection) = tokio::join!(alice.get(ECHO), serving);
    assert_eq!(reply.status, 200);
    (world, connection)
}

fn rejected(reply: &Reply) -> (u16, Option<String>) {
    (reply.status, reply.reason())
}

#[tokio::test]
async fn a_harmless_call_is_sent_once_more_on_a_new_connection() {
    for method in [Method::GET, Method::HEAD, Method::DELETE, Method::PUT] {
        let upstream = Upstream::start().await;
        let (world, mut old) = warm(&upstream).await;
        let alice = world.caller("alice");
        let serving = async {
            let first = old.request().await.expect("on the old connection");
            drop(old);
            let mut new = upstream.accept().await;
            let second = new.request().await.expect("on a new connection");
            let body = if method == Method::HEAD { "" } else { "ok" };
            new.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{body}")).await;
            (first, second)
        };
        let (reply, (first, second)) =
            tokio::join!(alice.call(method.clone(), ECHO).send(), serving);
        assert_eq!(reply.status, 200, "{method}");
        let without_span = |text: &str| -> Vec<String> {
            text.lines()
                .filter(|line| !line.starts_with("traceparent"))
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(without_span(&first), without_span(&second), "{method}");
    }
}

#[tokio::test]
async fn a_call_that_is_lost_twice_is_not_sent_a_third_time() {
    let upstream = Upstream::start().await;
    let (world, mut old) = warm(&upstream).await;
    let alice = world.caller("alice");
    let serving = async {
        old.request().await.expect("on the old connection");
        drop(old);
        upstream.accept().await.request().await.expect("on a new connection");
    };
    let (reply, ()) = tokio::join!(alice.get(ECHO), serving);
    assert_eq!(rejected(&reply), (502, Some("upstream_broken".to_owned())));
    assert!(upstream.stays_alone().await);
}

#[tokio::test]
async fn a_post_is_never_sent_again() {
    for (path, body) in [(ECHO, "hello"), (PREVERIFY, GOOD_BATCH)] {
        let upstream = Upstream::start().await;
        let (world, mut old) = warm(&upstream).await;
        let alice = world.caller("alice");
        let serving = async {
            old.request().await.expect("on the old connection");
            drop(old);
        };
        let (reply, ()) = tokio::join!(alice.post(path, body), serving);
        assert_eq!(rejected(&reply), (502, Some("upstream_broken".to_owned())), "{path}");
        assert!(upstream.stays_alone().await, "{path}");
    }
}

#[tokio::test]
async fn a_call_is_not_sent_again_once_an_answer_began_or_when_its_body_streamed() {
    let upstream = Upstream::start().await;
    let (world, mut old) = warm(&upstream).await;
    let alice = world.caller("alice");
    let serving = async {
        old.request().await.expect("on the old connection");
        old.send("HTTP/1.1 999999 what\r\n\r\n").await;
        drop(old);
    };
    let (reply, ()) = tokio::join!(alice.get(ECHO), serving);
    assert_eq!(rejected(&reply), (502, Some("upstream_broken".to_owned())));

    let upstream = Upstream::start().await;
    let (world, mut old) = warm(&upstream).await;
    let alice = world.caller("alice");
    let serving = async {
        old.request().await.expect("on the old connection");
        drop(old);
    };
    let (reply, ()) = tokio::join!(alice.call(Method::PUT, ECHO).body("hello").send(), serving);
    assert_eq!(rejected(&reply), (502, Some("upstream_broken".to_owned())));
    assert!(upstream.stays_alone().await);
}

#[tokio::test]
async fn a_first_call_on_a_new_connection_is_not_sent_again() {
    let upstream = Upstream::start().await;
    let world = upstream.plan().start().await;
    let alice = world.caller("alice");
    let serving = async { upstream.accept().await.request().await };
    let (reply, _) = tokio::join!(alice.get(ECHO), serving);
    assert_eq!(rejected(&reply), (502, Some("upstream_broken".to_owned())));
    assert!(upstream.stays_alone().await);
}
