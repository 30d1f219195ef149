//! HTTP/2 with prior knowledge: the same promises, frame by frame.

use serde_json::Value;

use super::case::{correct, plan};
use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Outcome, RST_STREAM, SETTINGS,
};
use crate::support::world::World;

const ECHO: &str = "/koodrive/test/echo";

/// What must become of a request.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Crosses(&'static str, &'static str),
    Refused(u16, &'static str),
    /// The protocol itself forbids it: the stream or the connection ends.
    Malformed,
}
use Expected::{Crosses, Malformed, Refused};

type Fields<'a> = Vec<(&'a str, &'a str)>;

async fn check(
    world: &World,
    name: &str,
    fields: &Fields<'_>,
    body: Option<&[u8]>,
    expected: Expected,
) -> Result<(), String> {
    world.koodrive.received.clear();
    let mut frames = Frames::open(world.gateway.address).await;
    frames.request(1, fields, body).await;
    let outcome = frames.outcome(1).await;
    let arrived = world.koodrive.received.all();
    match (expected, outcome) {
        (Crosses(method, target), Outcome::Answer { status: 200, .. }) => {
            let [one] = &arrived[..] else {
                return Err(format!("{name}: {} requests upstream", arrived.len()));
            };
            let body = String::from_utf8_lossy(body.unwrap_or_default()).into_owned();
            return correct(world, one, method, target, &body)
                .map_err(|why| format!("{name}: {why}"));
        }
        (Refused(status, reason), Outcome::Answer { status: given, body }) => {
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            if (status, reason) != (given, body["reason"].as_str().unwrap_or_default()) {
                return Err(format!("{name}: {given} {body}"));
            }
        }
        (Malformed, Outcome::Reset(code) | Outcome::Farewell(code)) if code != 0 => {}
        (Malformed, Outcome::Answer { status: 400 | 431, body }) if body.is_empty() => {}
        (_, outcome) => return Err(format!("{name}: {outcome:?}")),
    }
    if arrived.is_empty() { Ok(()) } else { Err(format!("{name}: {arrived:?}")) }
}

#[tokio::test]
async fn requests_are_as_strict_as_in_http_1() {
    let world = plan().start().await;
    let bearer = format!("Bearer {}", world.sso.token_for("alice"));
    let good: Fields<'_> = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "gateway"),
        (":path", ECHO),
        ("authorization", &bearer),
    ];
    let with = |fields: &[(&'static str, &'static str)]| {
        let mut all = good.clone();
        all.extend(fields);
        all
    };
    let set = |name: &str, value: &'static str| {
        let mut all = good.clone();
        all.iter_mut().find(|(field, _)| *field == name).unwrap().1 = value;
        all
    };
    let without = |name: &str| {
        let mut all = good.clone();
        all.retain(|(field, _)| *field != name);
        all
    };
    let posted = |fields: &[(&'static str, &'static str)]| {
        let mut all = set(":method", "POST");
        all.extend(fields);
        all
    };
    let first = |field: (&'static str, &'static str)| {
        let mut all = good.clone();
        all.insert(0, field);
        all
    };
    let got = Crosses("GET", ECHO);
    let put = Crosses("POST", ECHO);
    let illegal = Refused(400, "framing_illegal");
    let hello = Some(&b"hello"[..]);
    let cases: Vec<(&str, Fields<'_>, Option<&[u8]>, Expected)> = vec![
        ("a plain call", good.clone(), None, got),
        ("a body without a length", posted(&[]), hello, put),
        ("a body with its length", posted(&[("content-length", "5")]), hello, put),
        ("a body longer than its length", posted(&[("content-length", "4")]), hello, Malformed),
        ("a body shorter than its length", posted(&[("content-length", "6")]), hello, Malformed),
        (
            "two lengths",
            posted(&[("content-length", "5"), ("content-length", "5")]),
            hello,
            illegal,
        ),
        ("a length of nonsense", posted(&[("content-length", "x")]), hello, Malformed),
        ("a GET with a body", good.clone(), hello, got),
        ("an equal host", with(&[("host", "gateway")]), None, got),
        ("another host", with(&[("host", "other")]), None, illegal),
        ("two hosts", with(&[("host", "gateway"), ("host", "gateway")]), None, illegal),
        (
            "host instead of authority",
            {
                let mut f = without(":authority");
                f.push(("host", "gateway"));
                f
            },
            None,
            got,
        ),
        ("no authority and no host", without(":authority"), None, illegal),
        ("empty authority", set(":authority", ""), None, Malformed),
        ("authority with credentials", set(":authority", "a@gateway"), None, illegal),
        ("no method", without(":method"), None, Malformed),
        ("no path", without(":path"), None, Malformed),
        ("no scheme", without(":scheme"), None, Malformed),
        ("empty path", set(":path", ""), None, Malformed),
        ("a path without slash", set(":path", "koodrive/test/echo"), None, Malformed),
        ("two methods", first((":method", "POST")), None, Malformed),
        ("two paths", first((":path", "/koodrive/SMUGGLED")), None, Malformed),
        ("an unknown pseudo field", first((":smuggled", "x")), None, Malformed),
        ("a pseudo field of answers", first((":status", "200")), None, Malformed),
        ("a pseudo field behind others", with(&[(":path", "/koodrive/SMUGGLED")]), None, Malformed),
        ("an extended CONNECT", first((":protocol", "websocket")), None, Malformed),
        ("another scheme", set(":scheme", "ftp"), None, illegal),
        ("connection", with(&[("connection", "close")]), None, Malformed),
        ("keep-alive", with(&[("keep-alive", "timeout=5")]), None, Malformed),
        ("proxy-connection", with(&[("proxy-connection", "close")]), None, Malformed),
        ("transfer-encoding", posted(&[("transfer-encoding", "chunked")]), hello, Malformed),
        ("upgrade", with(&[("upgrade", "h2c")]), None, Malformed),
        ("te: gzip", with(&[("te", "gzip")]), None, Malformed),
        ("te: trailers", with(&[("te", "trailers")]), None, got),
        ("a name in upper case", with(&[("X-Upper", "x")]), None, Malformed),
        ("a blank in a name", with(&[("x y", "x")]), None, Malformed),
        ("an empty name", with(&[("", "x")]), None, Malformed),
        ("CR LF in a value", with(&[("x", "a\r\nauthorization: SMUGGLED")]), None, Malformed),
        ("LF in a value", with(&[("x", "a\nb")]), None, Malformed),
        ("NUL in a value", with(&[("x", "a\0b")]), None, Malformed),
        (
            "CR LF in the path",
            set(":path", "/koodrive/test/echo HTTP/1.1\r\nSMUGGLED: x"),
            None,
            Malformed,
        ),
        ("a blank in the path", set(":path", "/koodrive/test/echo SMUGGLED"), None, Malformed),
        ("CR LF in the authority", set(":authority", "gateway\r\nx: SMUGGLED"), None, Malformed),
        ("CR LF in the method", set(":method", "GET / HTTP/1.1\r\nSMUGGLED"), None, Malformed),
        (
            "cookie crumbs",
            with(&[("cookie", "a=SMUGGLED"), ("cookie", "authorization=SMUGGLED")]),
            None,
            got,
        ),
        (
            "our own fields",
            with(&[
                ("x-traceid", "SMUGGLED"),
                ("x_traceid", "SMUGGLED"),
                ("x-user-id", "SMUGGLED"),
                ("x-original-url", "SMUGGLED"),
                ("expect", "100-continue"),
            ]),
            None,
            got,
        ),
        ("two languages", with(&[("language", "a"), ("language", "b")]), None, illegal),
        (
            "two tokens",
            with(&[("authorization", "Bearer x")]),
            None,
            Refused(401, "token_malformed"),
        ),
        ("no token", without("authorization"), None, Refused(401, "token_missing")),
        ("TRACE", set(":method", "TRACE"), None, Refused(405, "method_refused")),
        (
            "CONNECT",
            vec![(":method", "CONNECT"), (":authority", "other:443"), ("authorization", &bearer)],
            None,
            Refused(405, "method_refused"),
        ),
        ("CONNECT with a path", set(":method", "CONNECT"), None, Malformed),
        (
            "OPTIONS *",
            {
                let mut f = set(":method", "OPTIONS");
                f.iter_mut().find(|(n, _)| *n == ":path").unwrap().1 = "*";
                f
            },
            None,
            Refused(404, "route_unknown"),
        ),
        (
            "a path in absolute form",
            set(":path", "http://other/koodrive/test/echo"),
            None,
            Malformed,
        ),
    ];
    let mut wrong = Vec::new();
    for (name, fields, body, expected) in &cases {
        wrong.extend(check(&world, name, fields, *body, *expected).await.err());
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[tokio::test]
async fn trailers_do_not_go_upstream() {
    let world = plan().start().await;
    let bearer = format!("Bearer {}", world.sso.token_for("alice"));
    let mut frames = Frames::open(world.gateway.address).await;
    let head = Frames::block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "gateway"),
        (":path", ECHO),
        ("authorization", &bearer),
        ("trailer", "authorization"),
    ]);
    frames.send(HEADERS, END_HEADERS, 1, &head).await.unwrap();
    frames.send(DATA, 0, 1, b"hello").await.unwrap();
    let trailers =
        Frames::block(&[("authorization", "Bearer SMUGGLED"), ("x-traceid", "SMUGGLED")]);
    frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &trailers).await.unwrap();
    assert!(matches!(frames.outcome(1).await, Outcome::Answer { status: 200, .. }));
    let arrived = world.koodrive.received.all();
    correct(&world, &arrived[0], "POST", ECHO, "hello").unwrap();
}

#[tokio::test]
async fn a_head_in_pieces_is_one_head_and_a_large_one_is_refused() {
    let world = plan().start().await;
    let bearer = format!("Bearer {}", world.sso.token_for("alice"));
    let big = "x".repeat(40_000);
    for (field, status) in [("x", 200), (&*big, 431)] {
        let mut frames = Frames::open(world.gateway.address).await;
        let block = Frames::block(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "gateway"),
            (":path", ECHO),
            ("authorization", &bearer),
            ("x-large", field),
        ]);
        let mut pieces = block.chunks(10_000).peekable();
        frames.send(HEADERS, END_STREAM, 1, pieces.next().unwrap()).await.unwrap();
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            frames.send(CONTINUATION, flags, 1, piece).await.unwrap();
        }
        if block.len() <= 10_000 {
            frames.send(CONTINUATION, END_HEADERS, 1, &[]).await.unwrap();
        }
        let outcome = frames.outcome(1).await;
        assert!(
            matches!(outcome, Outcome::Answer { status: given, .. } if given == status),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn floods_end_the_connection_and_nobody_else_notices() {
    let world = plan().start().await;
    let bearer = format!("Bearer {}", world.sso.token_for("alice"));
    let block = Frames::block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "gateway"),
        (":path", ECHO),
        ("authorization", &bearer),
    ]);

    // CVE-2024-27316: a head that never ends.
    let mut frames = Frames::open(world.gateway.address).await;
    frames.send(HEADERS, END_STREAM, 1, &block).await.unwrap();
    let piece = Frames::block(&[("x", &"y".repeat(8_000))]);
    for _ in 0..10_000 {
        if frames.send(CONTINUATION, 0, 1, &piece).await.is_err() {
            break;
        }
    }
    let outcome = frames.outcome(1).await;
    assert!(!matches!(outcome, Outcome::Answer { status: 200, .. }), "{outcome:?}");

    // CVE-2023-44487: requests that are taken back at once.
    world.koodrive.switch.gate.close();
    let mut frames = Frames::open(world.gateway.address).await;
    for at in 0..20_000_u32 {
        let stream = 2 * at + 1;
        let sent = frames.send(HEADERS, END_HEADERS | END_STREAM, stream, &block).await;
        let reset = frames.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await;
        if sent.and(reset).is_err() {
            break;
        }
    }
    let outcome = frames.outcome(u32::MAX).await;
    assert!(matches!(outcome, Outcome::Farewell(11) | Outcome::Closed), "{outcome:?}");
    world.koodrive.switch.gate.open();
    assert_eq!(world.caller("bob").get(ECHO).await.status, 200);
}

/// A stream and its answer take memory until they are read; a stranger has no place that bounds it.
#[tokio::test]
async fn refusals_that_nobody_reads_go_without_a_body_beyond_a_few() {
    let world = plan().start().await;
    let block = Frames::block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "gateway"),
        (":path", ECHO),
    ]);
    let mut frames = Frames::open(world.gateway.address).await;
    // An initial window of nothing (RFC 9113 section 6.5.2).
    frames.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).await.unwrap();
    for at in 0..20_u32 {
        frames.send(HEADERS, END_HEADERS | END_STREAM, 2 * at + 1, &block).await.unwrap();
    }
    let (mut whole, mut waiting) = (0, 0);
    while whole + waiting < 20 {
        let frame = frames.next().await.expect("every one is answered");
        if frame.kind == HEADERS {
            if frame.flags & END_STREAM == 0 { waiting += 1 } else { whole += 1 }
        }
    }
    assert_eq!((whole, waiting), (16, 4));
}
