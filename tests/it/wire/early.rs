//! A refusal that comes while the caller still sends can be read.

use std::time::Duration;

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::case::{closes, open, plan, raw, reason};
use super::frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Outcome};
use crate::support::faults::Behaviour;
use crate::support::koodrive::PREVERIFY;
use crate::support::world::{GOOD_BATCH, World};

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

/// How a caller leaves.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    Finishes,
    Resets,
}

#[tokio::test]
async fn a_caller_that_hangs_up_in_its_body_is_gone_and_not_late() {
    let length = "Content-Length: 50⏎⏎{";
    let chunks = "Transfer-Encoding: chunked⏎⏎5⏎{";
    let cases = [
        (PREVERIFY, length, Leaves::Finishes),
        (PREVERIFY, chunks, Leaves::Finishes),
        (PREVERIFY, length, Leaves::Resets),
        ("/koodrive/test/echo", length, Leaves::Finishes),
        ("/koodrive/test/echo", length, Leaves::Resets),
    ];
    for (path, body, leaves) in cases {
        let world = plan().start().await;
        let name = format!("{path} {body} {leaves:?}");
        let mut stream = TcpStream::connect(world.gateway.address).await.unwrap();
        let head = raw(&world, &format!("POST {path} HTTP/1.1⏎{{H}}{{A}}{body}"));
        stream.write_all(&head).await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(100), stream.readable()).await;
        waiting.expect_err("the rest is waited for");
        match leaves {
            Leaves::Finishes => {
                stream.shutdown().await.unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).await.unwrap();
                assert_eq!(String::from_utf8_lossy(&answer), "", "{name}");
            }
            Leaves::Resets => {
                stream.set_zero_linger().unwrap();
                drop(stream);
            }
        }
        is_told_as_gone(&world, &name).await;
    }
}

#[tokio::test]
async fn a_body_over_http_2_that_is_not_as_long_as_it_says_is_no_late_one() {
    let world = plan().start().await;
    let bearer = format!("Bearer {}", world.sso.token_for("alice"));
    let mut frames = Frames::open(world.gateway.address).await;
    let head = Frames::block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "gateway"),
        (":path", PREVERIFY),
        ("authorization", &bearer),
        ("content-length", "50"),
    ]);
    frames.send(HEADERS, END_HEADERS, 1, &head).await.unwrap();
    frames.send(DATA, END_STREAM, 1, b"{").await.unwrap();
    // PROTOCOL_ERROR (RFC 9113 section 8.1.1).
    assert_eq!(frames.outcome(1).await, Outcome::Reset(1));
    is_told_as_gone(&world, "HTTP/2").await;
}

/// The only call in the log is of a caller who was gone before there was an answer.
async fn is_told_as_gone(world: &World, name: &str) {
    let line = world.gateway.logs.wait_for(SOON, |line| line["msg"] == "call").await;
    let line = line.unwrap_or_else(|| panic!("{name}: no line"));
    assert_eq!((&line["status"], &line["reason"]), (&499.into(), &"caller_gone".into()), "{name}");
    assert_eq!(line["origin"], "caller", "{name}");
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
