//! What connections keep of the memory for bodies between two calls.

use std::time::Duration;

use http::Method;

use super::case::{open, plan, raw};
use crate::support::raw::RawConnection;
use crate::support::world::World;

const SOON: Duration = Duration::from_secs(10);

/// A call with a body of so many bytes.
fn post(world: &World, bytes: usize) -> Vec<u8> {
    let head = format!("POST /koodrive/test/echo HTTP/1.1⏎{{H}}{{A}}Content-Length: {bytes}⏎⏎");
    [raw(world, &head), vec![b'x'; bytes]].concat()
}

async fn served(world: &World, connection: &mut RawConnection, bytes: usize) {
    connection.send(post(world, bytes)).await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 200, "{bytes}");
}

/// What the admin page says of `listen.max_buffered`.
async fn bodies_held(world: &World) -> String {
    let page = world.admin().call(Method::GET, "/").header("accept", "text/plain").send().await;
    let page = page.text();
    let row = page.lines().find_map(|line| line.trim().strip_prefix("bodies held"));
    row.unwrap_or_else(|| panic!("{page}")).trim().to_owned()
}

/// All of the memory for bodies is free, at once or before long.
async fn all_is_given_back(world: &World) {
    let mut last = String::new();
    let mut pause = tokio::time::interval(Duration::from_millis(20));
    let asking = async {
        while !last.starts_with("0 B of ") {
            pause.tick().await;
            last = bodies_held(world).await;
        }
    };
    let given_back = tokio::time::timeout(SOON, asking).await.is_ok();
    assert!(given_back, "{last}");
}

#[tokio::test]
async fn idle_connections_keep_nothing_for_bodies_however_many_they_are() {
    let world = plan().start().await;
    let mut idle = Vec::new();
    for _ in 0..60 {
        let mut connection = open(&world).await;
        served(&world, &mut connection, 80).await;
        idle.push(connection);
    }
    all_is_given_back(&world).await;
    for connection in &mut idle {
        served(&world, connection, 80).await;
    }
}

/// Part of an empty line is no part of a request: it does not keep the memory for a large body.
#[tokio::test]
async fn what_was_begun_of_an_empty_line_is_not_forgotten_with_the_rest() {
    let world = plan().start().await;
    for (line, status) in [("\r\n", 200), ("\r", 400), ("\n", 400)] {
        let mut connection = open(&world).await;
        served(&world, &mut connection, 100_000).await;
        connection.send(line).await.unwrap();
        all_is_given_back(&world).await;
        connection.send(post(&world, 80)).await.unwrap();
        assert_eq!(connection.answer().await.unwrap().status, status, "{line:?}");
    }
    let received = world.koodrive.received.all();
    assert_eq!(received.len(), 4, "{received:?}");
}

#[tokio::test]
async fn a_refused_body_that_was_taken_in_leaves_nothing_behind() {
    let world = plan().start().await;
    for refused in [50, 200_000] {
        let mut connection = open(&world).await;
        served(&world, &mut connection, 100_000).await;
        assert!(!bodies_held(&world).await.starts_with("0 B"), "it waits for the next one");
        let head = format!("POST /koodrive/test/echo HTTP/1.1⏎{{H}}Content-Length: {refused}⏎⏎");
        connection.send(raw(&world, &head)).await.unwrap();
        assert_eq!(connection.answer().await.unwrap().status, 401);
        connection.send(vec![b'x'; refused]).await.unwrap();
        all_is_given_back(&world).await;
        served(&world, &mut connection, 80).await;
    }
}
