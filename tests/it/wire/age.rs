//! No connection lives for ever, and none is lost a call for its age.
//!
//! The gateway's clock is moved on by hand; the sockets are real.

use std::time::Duration;

use super::case::{open, plan, raw};
use super::frames::{Frames, GOAWAY, Outcome};
use crate::support::raw::RawConnection;
use crate::support::world::World;

const ECHO: &str = "/koodrive/test/echo";
const ALMOST_OLD: Duration = Duration::from_mins(59);
const A_LITTLE_LATER: Duration = Duration::from_mins(2);

async fn asked_to_leave(connection: &mut RawConnection, world: &World) -> bool {
    connection.send(raw(world, &format!("GET {ECHO} HTTP/1.1⏎{{H}}{{A}}⏎"))).await.unwrap();
    let answer = connection.answer().await.unwrap();
    assert_eq!(answer.status, 200);
    answer.header("connection") == Some("close")
}

#[tokio::test]
async fn an_old_http_1_connection_leaves_with_its_next_answer() {
    let world = plan().start().await;
    let mut old = open(&world).await;
    assert!(!asked_to_leave(&mut old, &world).await);
    world.clock.advance(ALMOST_OLD);
    assert!(!asked_to_leave(&mut old, &world).await, "it is not old yet");
    world.clock.advance(A_LITTLE_LATER);

    let waiting = tokio::time::timeout(Duration::from_millis(200), old.rest()).await;
    waiting.expect_err("between two calls it stays: the next may be under way");
    assert!(asked_to_leave(&mut old, &world).await);
    assert_eq!(old.rest().await.unwrap(), b"", "then it is closed");
    assert!(!asked_to_leave(&mut open(&world).await, &world).await, "a new one is as good as any");
    assert_eq!(world.koodrive.received.all().len(), 4);
}

fn call(bearer: &str) -> [(&str, &str); 5] {
    [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "gateway"),
        (":path", ECHO),
        ("authorization", bearer),
    ]
}

#[tokio::test]
async fn an_old_http_2_connection_says_farewell_and_finishes_its_calls() {
    let world = plan().start().await;
    let bearer = || format!("Bearer {}", world.sso.token_for("alice"));
    let mut old = Frames::open(world.gateway.address).await;
    let at_first = bearer();
    old.request(1, &call(&at_first), None).await;
    assert!(matches!(old.outcome(1).await, Outcome::Answer { status: 200, .. }));
    world.clock.advance(ALMOST_OLD);
    let later = bearer();
    old.request(3, &call(&later), None).await;
    assert!(matches!(old.outcome(3).await, Outcome::Answer { status: 200, .. }));

    world.koodrive.switch.gate.close();
    old.request(5, &call(&later), None).await;
    assert!(world.koodrive.switch.gate.wait_for(1, Duration::from_secs(10)).await);
    world.clock.advance(A_LITTLE_LATER);
    let farewell = old.next().await.expect("it is told, not cut off");
    assert_eq!((farewell.kind, farewell.code()), (GOAWAY, 0));
    world.koodrive.switch.gate.open();
    assert!(matches!(old.outcome(5).await, Outcome::Answer { status: 200, .. }));
    assert_eq!(old.outcome(7).await, Outcome::Closed);

    let mut new = Frames::open(world.gateway.address).await;
    new.request(1, &call(&bearer()), None).await;
    assert!(matches!(new.outcome(1).await, Outcome::Answer { status: 200, .. }));
    assert_eq!(world.koodrive.received.all().len(), 4);
}
