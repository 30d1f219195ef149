//! A refusal that comes while the caller still sends can be read.

use std::time::Duration;

use http::Method;

use super::case::{closes, open, plan, raw, reason};
use crate::support::faults::Behaviour;
use crate::support::koodrive::PREVERIFY;
use crate::support::world::GOOD_BATCH;

const BIG: usize = 8 * 1024 * 1024;
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_refusal_of_a_large_body_is_read_and_the_connection_goes_on() {
    let world = plan().start().await;
    for (framing, body) in [
        (format!("Content-Length: {BIG}⏎"), vec![b'x'; BIG]),
        ("Transfer-Encoding: chunked⏎".to_owned(), chunked(&vec![b'x'; BIG])),
    ] {
        let mut connection = open(&world).await;
        let head = format!("POST /koodrive/test/echo HTTP/1.1⏎{{H}}{framing}⏎");
        connection.send(raw(&world, &head)).await.unwrap();
        // All of it, before anything is read.
        connection.send(&body).await.unwrap();
        let answer = connection.answer().await.unwrap();
        assert_eq!((answer.status, &*reason(&answer)), (401, "token_missing"));
        connection.send(raw(&world, "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎")).await.unwrap();
        assert_eq!(connection.answer().await.unwrap().status, 200);
    }
    assert_eq!(world.koodrive.received.total(), 2);
}

#[tokio::test]
async fn a_connection_that_carries_large_bodies_goes_on_also_when_one_is_refused() {
    // With memory to spare for what a connection reads at once, and without.
    for buffered in ["64MiB", "1MiB"] {
        let world = plan().config(&format!("[listen]\nmax_buffered = '{buffered}'")).start().await;
        let mut connection = open(&world).await;
        let head = |more: &str, bytes: usize| {
            let head = format!("POST /koodrive/test/echo HTTP/1.1⏎{{H}}{more}");
            raw(&world, &format!("{head}Content-Length: {bytes}⏎⏎"))
        };
        for bytes in [300_000, 100, 3 * 1024 * 1024, 100_000] {
            let whole = [&*head("{A}", bytes), &*vec![b'x'; bytes]].concat();
            connection.send(whole).await.unwrap();
            let answer = connection.answer().await.unwrap();
            assert_eq!(answer.status, 200, "{buffered} {bytes}");
            assert_eq!(answer.header("connection"), None, "{buffered} {bytes}");
        }
        // The first of them as long as it would be ready for another large one.
        for bytes in [50, 100_000, BIG] {
            connection.send(head("", bytes)).await.unwrap();
            connection.send(vec![b'x'; bytes]).await.unwrap();
            let answer = connection.answer().await.unwrap();
            assert_eq!((answer.status, &*reason(&answer)), (401, "token_missing"), "{buffered}");
            assert_eq!(answer.header("connection"), None, "{buffered} {bytes}");
        }
        connection.send([&*head("{A}", 200), &[b'x'; 200]].concat()).await.unwrap();
        assert_eq!(connection.answer().await.unwrap().status, 200, "{buffered}");
        let received = world.koodrive.received.all();
        let lengths: Vec<_> = received.iter().map(|call| call.body.bytes).collect();
        assert_eq!(lengths, [300_000, 100, 3 * 1024 * 1024, 100_000, 200], "{buffered}");
    }
}

#[tokio::test]
async fn a_body_too_large_is_refused_readably() {
    let world = plan().start().await;
    for framing in [format!("Content-Length: {BIG}⏎"), "Transfer-Encoding: chunked⏎".to_owned()]
    {
        let mut connection = open(&world).await;
        let head = format!("POST {PREVERIFY} HTTP/1.1⏎{{H}}{{A}}{framing}⏎");
        connection.send(raw(&world, &head)).await.unwrap();
        let body =
            if framing.starts_with('T') { chunked(&vec![b' '; BIG]) } else { vec![b' '; BIG] };
        connection.send(&body).await.unwrap();
        let answer = connection.answer().await.unwrap();
        assert_eq!((answer.status, &*reason(&answer)), (413, "body_too_large"));
        closes(&mut connection).await.unwrap();
    }
    assert_eq!(world.koodrive.received.total(), 0);
    assert_eq!(world.sso.granted(), 0);
}

#[tokio::test]
async fn an_answer_of_koodrive_before_the_body_ends_is_passed_on() {
    let world = plan().start().await;
    world.koodrive.switch.set(Behaviour::status(413).early());
    let mut connection = open(&world).await;
    let head = format!("PUT /koodrive/test/echo HTTP/1.1⏎{{H}}{{A}}Content-Length: {BIG}⏎⏎");
    connection.send(raw(&world, &head)).await.unwrap();
    connection.send(vec![b'x'; BIG]).await.unwrap();
    let answer = connection.answer().await.unwrap();
    assert_eq!((answer.status, &*reason(&answer)), (413, ""));
}

#[tokio::test]
async fn a_caller_that_waits_to_be_asked_is_asked_only_when_its_call_may_pass() {
    let world = plan().start().await;
    let refused = "POST /koodrive/test/echo HTTP/1.1⏎{H}Expect: 100-continue⏎Content-Length: 5⏎⏎";
    let mut connection = open(&world).await;
    connection.send(raw(&world, refused)).await.unwrap();
    let answer = connection.answer().await.unwrap();
    assert_eq!((answer.status, &*reason(&answer)), (401, "token_missing"));
    assert_eq!(answer.header("connection"), Some("close"));
    closes(&mut connection).await.unwrap();

    let length = GOOD_BATCH.len();
    for (path, body) in [("/koodrive/test/echo", "hello"), (PREVERIFY, GOOD_BATCH)] {
        let length = if body == "hello" { 5 } else { length };
        let head = format!(
            "POST {path} HTTP/1.1⏎{{H}}{{A}}Expect: 100-Continue⏎Content-Length: {length}⏎⏎"
        );
        let mut connection = open(&world).await;
        connection.send(raw(&world, &head)).await.unwrap();
        assert_eq!(connection.answer().await.unwrap().status, 100);
        connection.send(body).await.unwrap();
        assert_eq!(connection.answer().await.unwrap().status, 200, "{path}");
    }
    assert_eq!(world.koodrive.received.total(), 2);

    // The rate is asked before the body is.
    let world = plan().config("[limit]\nmode = 'enforce'\ncalls_burst = 1").start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
    let mut connection = open(&world).await;
    let head =
        format!("POST {PREVERIFY} HTTP/1.1⏎{{H}}{{A}}Expect: 100-continue⏎Content-Length: 5⏎⏎");
    connection.send(raw(&world, &head)).await.unwrap();
    let answer = connection.answer().await.unwrap();
    assert_eq!((answer.status, &*reason(&answer)), (429, "limit_calls"));
    closes(&mut connection).await.unwrap();
}

#[tokio::test]
async fn an_early_refusal_is_read_over_http_2() {
    let world = plan().http2().start().await;
    let call = world.caller_with(None).call(Method::POST, "/koodrive/test/echo");
    let reply = call.body(vec![b'x'; BIG]).send().await;
    assert_eq!((reply.status, reply.reason().as_deref()), (401, Some("token_missing")));
    assert_eq!(world.caller("alice").get("/koodrive/test/echo").await.status, 200);
}

#[tokio::test]
async fn a_caller_that_hangs_up_cancels_the_call_upstream() {
    let world = plan().start().await;
    world.koodrive.switch.set(Behaviour::hang());
    let call = "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: 5⏎⏎hello";
    let arrived = |count| move |all: &[_]| count <= all.len();

    let mut connection = open(&world).await;
    connection.send(raw(&world, call)).await.unwrap();
    world.koodrive.received.wait_for(SOON, arrived(1)).await.expect("the call arrives");
    drop(connection);
    assert!(world.koodrive.server.wait_abandoned(1, SOON).await, "closed");

    let mut connection = open(&world).await;
    connection.send(raw(&world, call)).await.unwrap();
    world.koodrive.received.wait_for(SOON, arrived(2)).await.expect("the call arrives");
    connection.finish().await.unwrap();
    assert!(world.koodrive.server.wait_abandoned(2, SOON).await, "half closed");
    assert_eq!(world.koodrive.received.total(), 2, "nothing is sent again");
}

fn chunked(bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    for piece in bytes.chunks(16 * 1024) {
        all.extend(format!("{:x}\r\n", piece.len()).bytes());
        all.extend(piece);
        all.extend(b"\r\n");
    }
    all.extend(b"0\r\n\r\n");
    all
}
