//! HTTP/1.1: whom a request is for, which protocol it speaks, and which of its fields go on.

use super::case::Expected::{Bare, Closed, Crosses, Refused};
use super::case::{Case, Expected, check_all, open, plan, raw};

const ILLEGAL: Expected = Closed(400, "framing_illegal");
const ECHO: &str = "/koodrive/test/echo";
const GOT: Expected = Crosses("GET", ECHO, "");
const METHOD: Expected = Refused(405, "method_refused");

#[tokio::test]
async fn hosts_and_targets() {
    let world = plan().start().await;
    check_all(
        &world,
        &[
            ("one Host", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎", GOT),
            ("Host with a port", "GET /koodrive/test/echo HTTP/1.1⏎Host: gateway:8080⏎{A}⏎", GOT),
            ("Host with an address", "GET /koodrive/test/echo HTTP/1.1⏎Host: [::1]:8080⏎{A}⏎", GOT),
            ("Host in lower case", "GET /koodrive/test/echo HTTP/1.1⏎host: gateway⏎{A}⏎", GOT),
            ("no Host", "GET /koodrive/test/echo HTTP/1.1⏎{A}⏎", ILLEGAL),
            ("two equal Hosts", "GET /koodrive/test/echo HTTP/1.1⏎{H}{H}{A}⏎", ILLEGAL),
            ("two Hosts", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}Host: other⏎⏎", ILLEGAL),
            ("empty Host", "GET /koodrive/test/echo HTTP/1.1⏎Host:⏎{A}⏎", ILLEGAL),
            ("a list of Hosts", "GET /koodrive/test/echo HTTP/1.1⏎Host: a, b⏎{A}⏎", ILLEGAL),
            ("Host with a path", "GET /koodrive/test/echo HTTP/1.1⏎Host: a/b⏎{A}⏎", ILLEGAL),
            ("Host with credentials", "GET /koodrive/test/echo HTTP/1.1⏎Host: a@b⏎{A}⏎", ILLEGAL),
            (
                "Host that is only a port",
                "GET /koodrive/test/echo HTTP/1.1⏎Host: :80⏎{A}⏎",
                ILLEGAL,
            ),
            (
                "Host behind a blank",
                "GET /koodrive/test/echo HTTP/1.1⏎Host : gateway⏎{A}⏎",
                Bare(&[400]),
            ),
            (
                "X-Forwarded-Host does not count",
                "GET /koodrive/test/echo HTTP/1.1⏎X-Forwarded-Host: x⏎{A}⏎",
                ILLEGAL,
            ),
            (
                "absolute form, same host",
                "GET http://gateway/koodrive/test/echo HTTP/1.1⏎{H}{A}⏎",
                GOT,
            ),
            (
                "absolute form, other host",
                "GET http://other/koodrive/test/echo HTTP/1.1⏎{H}{A}⏎",
                ILLEGAL,
            ),
            (
                "absolute form, other port",
                "GET http://gateway:81/koodrive/test/echo HTTP/1.1⏎{H}{A}⏎",
                ILLEGAL,
            ),
            (
                "absolute form without Host",
                "GET http://gateway/koodrive/test/echo HTTP/1.1⏎{A}⏎",
                ILLEGAL,
            ),
            (
                "absolute form with credentials",
                "GET http://a@gateway/koodrive/test/echo HTTP/1.1⏎Host: a@gateway⏎{A}⏎",
                ILLEGAL,
            ),
            (
                "absolute form of another protocol",
                "GET ftp://gateway/koodrive/test/echo HTTP/1.1⏎{H}{A}⏎",
                ILLEGAL,
            ),
            ("authority form", "GET gateway:80 HTTP/1.1⏎Host: gateway:80⏎{A}⏎", ILLEGAL),
            ("asterisk form", "OPTIONS * HTTP/1.1⏎{H}{A}⏎", Refused(404, "route_unknown")),
            ("a fragment", "GET /koodrive/test/echo#x HTTP/1.1⏎{H}{A}⏎", ILLEGAL),
            (
                "a fragment in absolute form",
                "GET http://gateway/koodrive/test/echo#x HTTP/1.1⏎{H}{A}⏎",
                ILLEGAL,
            ),
            ("a fragment in the query", "GET /koodrive/test/echo?a#x HTTP/1.1⏎{H}{A}⏎", ILLEGAL),
            ("no slash", "GET koodrive/test/echo HTTP/1.1⏎{H}{A}⏎", Bare(&[400])),
            ("a blank in the target", "GET /koodrive/test/ echo HTTP/1.1⏎{H}{A}⏎", Bare(&[400])),
            (
                "two blanks before the target",
                "GET  /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎",
                Bare(&[400]),
            ),
            ("a tab before the target", "GET␉/koodrive/test/echo HTTP/1.1⏎{H}{A}⏎", Bare(&[400])),
            (
                "a blank before the method",
                " GET /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎",
                Bare(&[400]),
            ),
            (
                "a query stays as it is",
                "GET /koodrive/test/echo?a=%2F&b=%20+c&&d HTTP/1.1⏎{H}{A}⏎",
                Crosses("GET", "/koodrive/test/echo?a=%2F&b=%20+c&&d", ""),
            ),
            (
                "an empty query stays",
                "GET /koodrive/test/echo? HTTP/1.1⏎{H}{A}⏎",
                Crosses("GET", "/koodrive/test/echo?", ""),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn versions_and_methods() {
    let world = plan().start().await;
    check_all(
        &world,
        &[
            ("HTTP/1.0", "GET /koodrive/test/echo HTTP/1.0⏎{H}{A}⏎", GOT),
            ("HTTP/1.0 with a body", "POST /koodrive/test/echo HTTP/1.0⏎{H}{A}Content-Length: 5⏎⏎hello", Crosses("POST", ECHO, "hello")),
            ("HTTP/1.0 without Host", "GET /koodrive/test/echo HTTP/1.0⏎{A}⏎", ILLEGAL),
            ("HTTP/0.9", "GET /koodrive/test/echo⏎", Bare(&[400])),
            ("HTTP/1.2", "GET /koodrive/test/echo HTTP/1.2⏎{H}{A}⏎", Bare(&[400])),
            ("HTTP/2.0 in words", "GET /koodrive/test/echo HTTP/2.0⏎{H}{A}⏎", Bare(&[400])),
            ("HTTP/9.9", "GET /koodrive/test/echo HTTP/9.9⏎{H}{A}⏎", Bare(&[400])),
            ("http in lower case", "GET /koodrive/test/echo http/1.1⏎{H}{A}⏎", Bare(&[400])),
            ("another protocol", "GET /koodrive/test/echo ICAP/1.0⏎{H}{A}⏎", Bare(&[400])),
            ("a preface that is none", "PRI * HTTP/2.0⏎⏎XX⏎⏎", Bare(&[400])),
            ("TLS on a plain port", "\u{16}\u{3}\u{1}␀\u{5}hello⏎⏎", Bare(&[400])),
            ("an empty request line", "⏎ HTTP/1.1⏎{H}⏎", Bare(&[400])),
            ("CONNECT", "CONNECT gateway:443 HTTP/1.1⏎Host: gateway:443⏎{A}⏎", Closed(405, "method_refused")),
            ("CONNECT elsewhere", "CONNECT other:443 HTTP/1.1⏎{H}{A}⏎", Closed(405, "method_refused")),
            ("CONNECT with a body", "CONNECT other:443 HTTP/1.1⏎{H}{A}Content-Length: 3⏎⏎GET", Closed(405, "method_refused")),
            ("TRACE", "TRACE /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎", METHOD),
            ("PURGE", "PURGE /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎", METHOD),
            ("PROPFIND", "PROPFIND /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎", METHOD),
            ("get in lower case", "get /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎", METHOD),
            ("an invented method", "GETX /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎", METHOD),
            ("a method that is no token", "GE(T /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎", Bare(&[400])),
            ("HEAD", "HEAD /koodrive/test/status/200 HTTP/1.1⏎{H}{A}⏎", Crosses("HEAD", "/koodrive/test/status/200", "")),
            ("PUT", "PUT /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: 5⏎⏎hello", Crosses("PUT", ECHO, "hello")),
            ("PATCH", "PATCH /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: 5⏎⏎hello", Crosses("PATCH", ECHO, "hello")),
            ("DELETE", "DELETE /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎", Crosses("DELETE", ECHO, "")),
            ("OPTIONS", "OPTIONS /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎", Crosses("OPTIONS", ECHO, "")),
            ("method override", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}X-HTTP-Method-Override: DELETE⏎X_HTTP_METHOD: DELETE⏎X-Method-Override: DELETE⏎⏎", GOT),
            ("websocket", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}Connection: Upgrade⏎Upgrade: websocket⏎Sec-WebSocket-Key: eA==⏎⏎", GOT),
            ("h2c", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}Connection: Upgrade, HTTP2-Settings⏎Upgrade: h2c⏎HTTP2-Settings: AAMAAABkAAQAAP__⏎⏎", GOT),
        ],
    )
    .await;
}

#[tokio::test]
async fn fields_cannot_be_smuggled() {
    let world = plan().start().await;
    let fields: &[(&str, &str)] = &[
        ("a second Authorization in other spelling", "Authorization_: x⏎AUTHORIZATION_X: y⏎"),
        ("X_Traceid", "X_Traceid: SMUGGLED⏎x_traceid: SMUGGLED⏎"),
        ("X-Traceid of wrong length", "X-Traceid: SMUGGLED⏎"),
        ("two X-Traceid", "X-Traceid: SMUGGLED⏎X-Traceid: SMUGGLED⏎"),
        ("X-User-Id", "X-User-Id: SMUGGLED⏎X_User_Id: SMUGGLED⏎"),
        ("X-Date", "X-Date: SMUGGLED⏎x_date: SMUGGLED⏎"),
        ("x-session-id", "x-session-id: SMUGGLED⏎X_Session-Id: SMUGGLED⏎"),
        ("cookies", "Cookie: Authorization=SMUGGLED⏎Cookie: a=SMUGGLED⏎"),
        (
            "Forwarded",
            "Forwarded: for=SMUGGLED⏎X-Forwarded-For: SMUGGLED⏎X_Forwarded_Proto: SMUGGLED⏎X-Forwarded-Anything: SMUGGLED⏎X-Real-IP: SMUGGLED⏎",
        ),
        ("another path", "X-Original-URL: /SMUGGLED⏎X_Rewrite_Url: /SMUGGLED⏎"),
        ("trace context", "traceparent: SMUGGLED⏎tracestate: SMUGGLED=1⏎baggage: SMUGGLED=1⏎"),
        (
            "fields of the connection",
            "Connection: keep-alive⏎Keep-Alive: SMUGGLED⏎Proxy-Connection: SMUGGLED⏎Proxy-Authorization: SMUGGLED⏎",
        ),
        (
            "fields named in Connection",
            "Connection: x-hop, X-Two⏎Connection: x-three⏎X-Hop: SMUGGLED⏎x-two: SMUGGLED⏎X-Three: SMUGGLED⏎",
        ),
        ("our own fields named in Connection", "Connection: x-traceid, authorization, host, via⏎"),
        ("TE", "TE: trailers, SMUGGLED⏎"),
        ("a Trailer announcement", "Trailer: SMUGGLED⏎"),
        ("HTTP2-Settings alone", "HTTP2-Settings: SMUGGLED⏎"),
        ("Content_Length", "Content_Length: 3⏎CONTENT_LENGTH: 4⏎"),
    ];
    let texts: Vec<String> = fields
        .iter()
        .map(|(_, lines)| format!("GET /koodrive/test/echo HTTP/1.1⏎{{H}}{{A}}{lines}⏎"))
        .collect();
    let cases: Vec<Case<'_>> =
        fields.iter().zip(&texts).map(|((name, _), text)| (*name, &**text, GOT)).collect();
    check_all(&world, &cases).await;
    check_all(
        &world,
        &[
            ("two Authorization", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}{A}⏎", Refused(401, "token_malformed")),
            ("Authorization hidden by Connection still counts", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}Connection: authorization⏎⏎", GOT),
            ("a token in the query only", "GET /koodrive/test/echo?access_token={T} HTTP/1.1⏎{H}⏎", Refused(401, "token_missing")),
            ("a token in a cookie only", "GET /koodrive/test/echo HTTP/1.1⏎{H}Cookie: Authorization={T}⏎⏎", Refused(401, "token_missing")),
            ("a token in a trailer only", "POST /koodrive/test/echo HTTP/1.1⏎{H}Transfer-Encoding: chunked⏎⏎0⏎{A}⏎", Refused(401, "token_missing")),
            ("two Content-Types", "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Type: a/b⏎Content-Type: c/d⏎Content-Length: 5⏎⏎hello", ILLEGAL),
            ("two Ranges", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}Range: bytes=0-1⏎Range: bytes=2-3⏎⏎", ILLEGAL),
            ("two languages", "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}language: en_us⏎language: zh_cn⏎⏎", ILLEGAL),
            ("two Expect", "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Expect: 100-continue⏎Expect: x⏎Content-Length: 5⏎⏎", ILLEGAL),
        ],
    )
    .await;
}

#[tokio::test]
async fn heads_are_bounded() {
    let world = plan().config("[listen]\nmax_header_bytes = '128KiB'").start().await;
    let big = "x".repeat(140_000);
    let long = "x".repeat(70_000);
    let fits = "x".repeat(60_000);
    // Besides Host and Authorization, however short.
    let [most, many] = [254, 255].map(|lines| "X: y⏎".repeat(lines));
    check_all(
        &world,
        &[
            (
                "a large field that fits",
                &format!("GET /koodrive/test/echo HTTP/1.1⏎{{H}}{{A}}X: {fits}⏎⏎"),
                GOT,
            ),
            (
                "a field too large",
                &format!("GET /koodrive/test/echo HTTP/1.1⏎{{H}}{{A}}X: {big}⏎⏎"),
                Bare(&[431]),
            ),
            (
                "a name too long",
                &format!("GET /koodrive/test/echo HTTP/1.1⏎{{H}}{{A}}{big}: x⏎⏎"),
                Bare(&[431, 400]),
            ),
            (
                "a target too long",
                &format!("GET /koodrive/{long} HTTP/1.1⏎{{H}}{{A}}⏎"),
                Bare(&[414]),
            ),
            (
                "as many fields as may be",
                &format!("GET /koodrive/test/echo HTTP/1.1⏎{{H}}{{A}}{most}⏎"),
                GOT,
            ),
            (
                "too many fields",
                &format!("GET /koodrive/test/echo HTTP/1.1⏎{{H}}{{A}}{many}⏎"),
                Bare(&[431]),
            ),
        ],
    )
    .await;
    let rejected = "koodrive_gateway_rejections_total{reason=\"headers_too_large\"}";
    assert!(Some(3.0) <= world.metric(rejected).await);
}

#[tokio::test]
async fn the_gateway_adds_itself_to_via() {
    let world = plan().start().await;
    let mut connection = open(&world).await;
    let text = "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}Via: 1.0 fred⏎Via: 1.1 tool⏎⏎";
    connection.send(raw(&world, text)).await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 200);
    let [received] = &world.koodrive.received.all()[..] else { panic!("one call") };
    assert_eq!(received.header_values("via"), ["1.0 fred", "1.1 tool", "1.1 koodrive-gateway"]);
}
