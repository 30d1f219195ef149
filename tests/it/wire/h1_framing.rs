//! HTTP/1.1: where a request begins and ends.

use super::case::Expected::{Bare, Closed, Crosses, Refused};
use super::case::{Case, check_all, closes, correct, open, plan, raw, reason};

const ILLEGAL: super::case::Expected = Closed(400, "framing_illegal");
const ECHO: &str = "/koodrive/test/echo";
const POSTED: super::case::Expected = Crosses("POST", ECHO, "hello");

#[tokio::test]
async fn lengths_and_codings() {
    let world = plan().start().await;
    let cases: &[Case<'_>] = &[
        ("length", "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: 5⏎⏎hello", POSTED),
        (
            "length with zeros",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: 00005⏎⏎hello",
            POSTED,
        ),
        (
            "chunked",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎⏎5⏎hello⏎0⏎⏎",
            POSTED,
        ),
        (
            "chunked in other case",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}tRANSFER-eNCODING: ChUnKeD⏎⏎5⏎hello⏎0⏎⏎",
            POSTED,
        ),
        (
            "chunked with blanks around",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding:␉ chunked ␉⏎⏎5⏎hello⏎0⏎⏎",
            POSTED,
        ),
        (
            "several chunks",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎⏎1⏎h⏎04⏎ello⏎000⏎⏎",
            POSTED,
        ),
        (
            "chunk extensions",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎⏎5;a=b;c=\"d\"⏎hello⏎0;e⏎⏎",
            POSTED,
        ),
        (
            "chunked GET keeps its body",
            "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎⏎5⏎hello⏎0⏎⏎",
            Crosses("GET", ECHO, "hello"),
        ),
        (
            "sized GET keeps its body",
            "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: 5⏎⏎hello",
            Crosses("GET", ECHO, "hello"),
        ),
        (
            "chunked DELETE keeps its body",
            "DELETE /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎⏎5⏎hello⏎0⏎⏎",
            Crosses("DELETE", ECHO, "hello"),
        ),
        ("no body", "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎", Crosses("POST", ECHO, "")),
        (
            "empty chunked body",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎⏎0⏎⏎",
            Crosses("POST", ECHO, ""),
        ),
        (
            "trailers that would be headers",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎Trailer: authorization, x-traceid⏎⏎5⏎hello⏎0⏎Authorization: Bearer SMUGGLED⏎X-Traceid: SMUGGLED⏎Content-Length: 3⏎⏎",
            POSTED,
        ),
        (
            "length, then coding",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: 5⏎Transfer-Encoding: chunked⏎⏎5⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "coding, then length",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎Content-Length: 15⏎⏎5⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "coding, then a length of nonsense",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎Content-Length: x⏎⏎5⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "chunked twice in a list",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked, chunked⏎⏎5⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "chunked twice in lines",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎Transfer-Encoding: chunked⏎⏎5⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "gzip, chunked",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: gzip, chunked⏎⏎5⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "identity, then chunked",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: identity⏎Transfer-Encoding: chunked⏎⏎5⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "leading comma",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: , chunked⏎⏎5⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "chunked, then identity",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎Transfer-Encoding: identity⏎⏎5⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "trailing comma",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked,⏎⏎5⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "xchunked",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: xchunked⏎⏎5⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "chunked with a parameter",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked;a=b⏎⏎5⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "chunked in quotes",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: \"chunked\"⏎⏎5⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "empty coding",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding:⏎⏎5⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "identity",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: identity⏎⏎hello",
            ILLEGAL,
        ),
        (
            "coding behind a fold",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding:⏎ chunked⏎⏎5⏎hello⏎0⏎⏎",
            Bare(&[400]),
        ),
        (
            "coding on a folded line of another field",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}X: y⏎ Transfer-Encoding: chunked⏎Content-Length: 5⏎⏎hello",
            Bare(&[400]),
        ),
        (
            "blank before the colon",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding : chunked⏎⏎5⏎hello⏎0⏎⏎",
            Bare(&[400]),
        ),
        (
            "tab before the colon",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length␉: 5⏎⏎hello",
            Bare(&[400]),
        ),
        (
            "vertical tab in the coding",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: \u{b}chunked⏎⏎5⏎hello⏎0⏎⏎",
            Bare(&[400]),
        ),
        (
            "coding in HTTP/1.0",
            "POST /koodrive/test/echo HTTP/1.0⏎{H}{A}Transfer-Encoding: chunked⏎⏎5⏎hello⏎0⏎⏎",
            Bare(&[400]),
        ),
        (
            "coding spelled with an underscore is only a field",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer_Encoding: chunked⏎Content-Length: 5⏎⏎hello",
            POSTED,
        ),
        (
            "length spelled with an underscore is only a field",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content_Length: 50⏎Content-Length: 5⏎⏎hello",
            POSTED,
        ),
        (
            "two equal lengths",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: 5⏎Content-Length: 5⏎⏎hello",
            ILLEGAL,
        ),
        (
            "two lengths",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: 5⏎Content-Length: 6⏎⏎hello",
            Bare(&[400]),
        ),
        (
            "a list of lengths",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: 5, 5⏎⏎hello",
            Bare(&[400]),
        ),
        (
            "length with a plus",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: +5⏎⏎hello",
            Bare(&[400]),
        ),
        (
            "length with a minus",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: -5⏎⏎hello",
            Bare(&[400]),
        ),
        (
            "length in hexadecimal",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: 0x5⏎⏎hello",
            Bare(&[400]),
        ),
        (
            "length with a point",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: 5.0⏎⏎hello",
            Bare(&[400]),
        ),
        (
            "empty length",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length:⏎⏎hello",
            Bare(&[400]),
        ),
        (
            "length beyond 64 bits",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: 18446744073709551621⏎⏎hello",
            Bare(&[400]),
        ),
        (
            "length with a blank within",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: 5 5⏎⏎hello",
            Bare(&[400]),
        ),
        (
            "length behind a thousand zeros",
            &format!(
                "POST /koodrive/test/echo HTTP/1.1⏎{{H}}{{A}}Content-Length: {}5⏎⏎hello",
                "0".repeat(2000)
            ),
            ILLEGAL,
        ),
        (
            "chunk size with 0x",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎⏎0x5⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "chunk size with a sign",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎⏎+5⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "no chunk size",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎⏎⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "blank before the chunk size",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎⏎ 5⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "chunk size beyond 64 bits",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎⏎10000000000000005⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
        (
            "chunk longer than its size",
            "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎⏎4⏎hello⏎0⏎⏎",
            ILLEGAL,
        ),
    ];
    // A refusal of a body that streams may find its request on the way already; so these bodies
    // are not among the cases that count what arrives.
    let (heads, bodies): (Vec<_>, Vec<_>) = cases
        .iter()
        .copied()
        .partition(|(name, ..)| !name.contains("chunk size") && !name.contains("chunk longer"));
    check_all(&world, &heads).await;
    for (name, text, _) in bodies {
        assert_broken(&world, name, text).await;
    }
}

/// The caller learns of it, and upstream nobody took the body for a whole one.
async fn assert_broken(world: &crate::support::world::World, name: &str, text: &str) {
    world.koodrive.received.clear();
    let mut connection = open(world).await;
    connection.send(raw(world, text)).await.unwrap();
    let answer = connection.answer().await.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!((answer.status, &*reason(&answer)), (400, "framing_illegal"), "{name}");
    closes(&mut connection).await.unwrap_or_else(|why| panic!("{name}: {why}"));
    for received in world.koodrive.received.all() {
        assert!(!received.body.complete, "{name}: {received:?}");
    }
}

#[tokio::test]
async fn line_ends() {
    let world = plan().start().await;
    check_all(
        &world,
        &[
            ("LF after the request line", "GET /koodrive/test/echo HTTP/1.1␊{H}{A}⏎", ILLEGAL),
            ("LF after the Host", "GET /koodrive/test/echo HTTP/1.1⏎Host: gateway␊{A}⏎", ILLEGAL),
            ("LF after a field", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}X: y␊⏎", ILLEGAL),
            ("LF for the empty line", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}␊", ILLEGAL),
            ("LF everywhere", "GET /koodrive/test/echo HTTP/1.1␊Host: gateway␊␊", ILLEGAL),
            ("LF before the request", "␊GET /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎", ILLEGAL),
            (
                "CRLF before the request",
                "⏎GET /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎",
                Crosses("GET", ECHO, ""),
            ),
            (
                "several CRLF before the request",
                "⏎⏎⏎GET /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎",
                Crosses("GET", ECHO, ""),
            ),
            ("CR before the request", "␍GET /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎", Bare(&[400])),
            ("CR after the request line", "GET /koodrive/test/echo HTTP/1.1␍{H}{A}⏎", Bare(&[400])),
            ("CR in a value", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}X: a␍b⏎⏎", Bare(&[400])),
            (
                "CR before another field",
                "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}X: a␍Y: b⏎⏎",
                Bare(&[400]),
            ),
            ("CR CR LF", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}X: a␍⏎⏎", Bare(&[400])),
            ("NUL in a value", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}X: a␀b⏎⏎", Bare(&[400])),
            ("NUL in a name", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}X␀Y: a⏎⏎", Bare(&[400])),
            ("NUL in the target", "GET /koodrive/test/echo␀ HTTP/1.1⏎{H}{A}⏎", Bare(&[400])),
            (
                "a control character in a value",
                "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}X: a\u{1}b⏎⏎",
                Bare(&[400]),
            ),
            ("a fold", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}X: a⏎ b⏎⏎", Bare(&[400])),
            ("a fold with a tab", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}X: a⏎␉b⏎⏎", Bare(&[400])),
            (
                "a fold of the first field",
                "GET /koodrive/test/echo HTTP/1.1⏎ X: a⏎{H}{A}⏎",
                Bare(&[400]),
            ),
            ("no colon", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}X⏎⏎", Bare(&[400])),
            ("no name", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}: x⏎⏎", Bare(&[400])),
            ("a name in quotes", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}\"X\": x⏎⏎", Bare(&[400])),
        ],
    )
    .await;
    for (name, body) in [
        ("LF after the chunk size", "5␊hello⏎0⏎⏎"),
        ("LF after the chunk", "5⏎hello␊0⏎⏎"),
        ("LF in a chunk extension", "5;a=␊hello⏎0⏎⏎"),
        ("CR in a chunk extension", "5;a=\"␍\"⏎hello⏎0⏎⏎"),
        ("NUL in a chunk extension", "5;a=␀⏎hello⏎0⏎⏎"),
        ("a control character in a chunk extension", "5;a=\"\u{1}\"⏎hello⏎0⏎⏎"),
        ("DEL in a chunk extension", "5;\u{7f}=a⏎hello⏎0⏎⏎"),
        ("LF after the last chunk", "5⏎hello⏎0␊⏎"),
        ("LF at the very end", "5⏎hello⏎0⏎␊"),
        ("LF after a trailer", "5⏎hello⏎0⏎X: y␊⏎"),
        ("a request in the trailers", "5⏎hello⏎0⏎X: y␊␊GET /koodrive/SMUGGLED HTTP/1.1⏎{H}{A}⏎"),
    ] {
        let head = "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎⏎";
        assert_broken(&world, name, &format!("{head}{body}")).await;
    }
}

/// However the bytes arrive, also when the name has passed before the value is known.
#[tokio::test]
async fn codings_are_refused_byte_by_byte_too() {
    let world = plan().start().await;
    let head = "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}";
    for lines in ["Transfer-Encoding: gzip⏎", "Transfer-Encoding: chunked⏎Transfer-Encoding: x⏎"]
    {
        let mut connection = open(&world).await;
        for byte in raw(&world, &format!("{head}{lines}⏎")) {
            connection.send([byte]).await.unwrap();
        }
        let answer = connection.answer().await.unwrap();
        assert_eq!((answer.status, &*reason(&answer)), (400, "framing_illegal"), "{lines}");
        closes(&mut connection).await.unwrap();
    }
    // What only begins like one passes as it is.
    let mut connection = open(&world).await;
    for byte in raw(&world, "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}Transfer-Encodings: a⏎Tr: b⏎⏎")
    {
        connection.send([byte]).await.unwrap();
    }
    let answer = connection.answer().await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer.status, 200, "{body}");
    for field in [["transfer-encodings", "a"], ["tr", "b"]] {
        assert!(body["headers"].as_array().unwrap().contains(&field.into()), "{body}");
    }
}

#[tokio::test]
async fn requests_in_a_row_keep_their_order_and_their_bodies() {
    let world = plan().start().await;
    let text = "POST /koodrive/test/echo?1 HTTP/1.1⏎{H}{A}Content-Length: 5⏎⏎hello\
                POST /koodrive/test/echo?2 HTTP/1.1⏎{H}{A}Transfer-Encoding: chunked⏎⏎3⏎abc⏎0⏎⏎\
                GET /koodrive/test/echo?3 HTTP/1.1⏎{H}{A}⏎";
    let mut connection = open(&world).await;
    connection.send(raw(&world, text)).await.unwrap();
    for at in 1..=3 {
        let answer = connection.answer().await.unwrap();
        assert_eq!(answer.status, 200);
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["target"], format!("{ECHO}?{at}"));
    }
    let arrived = world.koodrive.received.all();
    assert_eq!(arrived.len(), 3);
    let expected = [("POST", "?1", "hello"), ("POST", "?2", "abc"), ("GET", "?3", "")];
    for (received, (method, query, body)) in arrived.iter().zip(expected) {
        correct(&world, received, method, &format!("{ECHO}{query}"), body).unwrap();
    }
}

#[tokio::test]
async fn a_good_request_is_answered_before_a_bad_one_ends_the_connection() {
    let world = plan().start().await;
    let good = "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: 5⏎⏎hello";
    for (name, bad, status, said) in [
        ("ambiguous", "GET /koodrive/SMUGGLED HTTP/1.1⏎{H}{H}{A}⏎", 400, "framing_illegal"),
        ("unparsable", "GET /koodrive/SMUGGLED⏎⏎", 400, ""),
        (
            "without a token",
            "GET /koodrive/SMUGGLED HTTP/1.1⏎{H}Connection: close⏎⏎",
            401,
            "token_missing",
        ),
    ] {
        world.koodrive.received.clear();
        let mut connection = open(&world).await;
        let after = "GET /koodrive/SMUGGLED/2 HTTP/1.1⏎{H}{A}⏎";
        connection.send(raw(&world, &format!("{good}{bad}{after}"))).await.unwrap();
        assert_eq!(connection.answer().await.unwrap().status, 200, "{name}");
        let answer = connection.answer().await.unwrap();
        assert_eq!((answer.status, &*reason(&answer)), (status, said), "{name}");
        closes(&mut connection).await.unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(world.koodrive.received.all().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_parsed_is_counted_and_logged() {
    let world = plan().start().await;
    check_all(
        &world,
        &[
            ("no version", "GET /koodrive/test/echo⏎⏎", Bare(&[400])),
            ("two Hosts", "GET /koodrive/test/echo HTTP/1.1⏎{H}{H}{A}⏎", ILLEGAL),
            ("no token", "GET /koodrive/test/echo HTTP/1.1⏎{H}⏎", Refused(401, "token_missing")),
        ],
    )
    .await;
    let rejected = "koodrive_gateway_rejections_total{reason=\"framing_illegal\"}";
    assert_eq!(world.metric(rejected).await, Some(2.0));
}
