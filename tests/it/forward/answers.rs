//! Answers on their way back: whole, broken, early, odd.

use http::{Method, Version};

use super::upstream::Upstream;
use crate::support::caller::Reply;
use crate::support::koodrive::content::expected_sha256;
use crate::support::raw::RawConnection;
use crate::support::recording::sha256;
use crate::support::world::World;

const ECHO: &str = "/koodrive/test/echo";

/// What a caller gets when KooDrive answers these bytes and closes.
async fn answered(bytes: &str) -> Result<Reply, String> {
    answered_to(bytes, false).await
}

async fn answered_to(bytes: &str, http2: bool) -> Result<Reply, String> {
    let upstream = Upstream::start().await;
    let plan = upstream.plan();
    let world = if http2 { plan.http2() } else { plan }.start().await;
    let alice = world.caller("alice");
    let call = alice.call(Method::GET, ECHO).header("te", "trailers").try_send();
    let answering = async {
        let mut connection = upstream.accept().await;
        connection.request().await.expect("a request");
        connection.send(bytes).await;
    };
    let (reply, ()) = tokio::join!(call, answering);
    reply.map_err(|error| error.cause())
}

#[tokio::test]
async fn answers_pass_with_their_framing_made_anew() {
    for (name, bytes, status, body) in [
        ("a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"),
        (
            "chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n",
            200,
            "hello",
        ),
        ("until the end", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", 200, "hello"),
        ("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhello", 200, "hello"),
        (
            "length and chunks",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            200,
            "hello",
        ),
        (
            "chunks and length",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            200,
            "hello",
        ),
        (
            "early hints",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            200,
            "hello",
        ),
        (
            "100 unasked",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
            201,
            "",
        ),
        ("204", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        ("304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, ""),
        (
            "an error",
            "HTTP/1.1 500 Oops\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"code\":\"x\"} ",
            500,
            "{\"code\":\"x\"} ",
        ),
        ("an unknown status", "HTTP/1.1 599 Odd\r\nContent-Length: 0\r\n\r\n", 599, ""),
    ] {
        let reply = answered(bytes).await.unwrap_or_else(|cause| panic!("{name}: {cause}"));
        assert_eq!((reply.status, &*reply.text()), (status, body), "{name}");
        assert_eq!(reply.version, Version::HTTP_11, "{name}");
        assert!(reply.headers.get("link").is_none(), "{name}");
    }
}

#[tokio::test]
async fn answers_that_are_none_become_a_rejection() {
    for (name, bytes) in [
        ("nothing", ""),
        ("no HTTP", "SSH-2.0-x\r\n"),
        ("half a head", "HTTP/1.1 200 OK\r\nContent-"),
        ("a NUL", "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n"),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        (
            "another protocol",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
        ),
        (
            "a coding besides chunked",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "a coding on a line of its own",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
    ] {
        let reply = answered(bytes).await.unwrap_or_else(|cause| panic!("{name}: {cause}"));
        assert_eq!(
            (reply.status, reply.reason().as_deref()),
            (502, Some("upstream_broken")),
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_for_the_caller() {
    for (name, bytes) in [
        ("a length", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"),
        ("chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        ("within a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello"),
        ("a bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n"),
    ] {
        for http2 in [false, true] {
            let reply = answered_to(bytes, http2).await;
            assert!(reply.is_err(), "{name}: {reply:?}");
        }
    }
}

/// Its head is held until its envelope is read: nothing has gone out.
#[tokio::test]
async fn a_small_json_answer_that_breaks_off_is_a_rejection() {
    for (name, framing) in [
        ("a length", "Content-Length: 9\r\n\r\n{\"code"),
        ("chunks", "Transfer-Encoding: chunked\r\n\r\n6\r\n{\"code\r\n"),
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{framing}");
        let reply = answered(&bytes).await.unwrap_or_else(|cause| panic!("{name}: {cause}"));
        let rejected = (reply.status, reply.reason());
        assert_eq!(rejected, (502, Some("upstream_broken".to_owned())), "{name}");
        assert_eq!(reply.trace_id().len(), 58, "{name}");
    }
}

#[tokio::test]
async fn an_answer_that_stalls_is_not_waited_for() {
    for (content_type, status) in [("text/plain", None), ("application/json", Some(504))] {
        let upstream = Upstream::start().await;
        let world = upstream.plan().config("[forward]\nidle_timeout = '300ms'").start().await;
        let alice = world.caller("alice");
        let answering = async {
            let mut connection = upstream.accept().await;
            connection.request().await.expect("a request");
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n");
            connection.send(format!("{head}Content-Length: 9\r\n\r\nhello")).await;
            connection.rest().await
        };
        let (reply, _) = tokio::join!(alice.call(Method::GET, ECHO).try_send(), answering);
        assert_eq!(reply.as_ref().ok().map(|reply| reply.status), status, "{content_type}");
        let reason = reply.ok().and_then(|reply| reply.reason());
        assert_eq!(reason.as_deref(), status.map(|_| "upstream_timeout"), "{content_type}");
    }
}

#[tokio::test]
async fn an_answer_may_have_256_header_lines() {
    for (lines, status) in [(256, 200), (257, 502)] {
        let many = "X-Line: a\r\n".repeat(lines - 1);
        let bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{many}\r\n");
        // By HTTP/2, because the tests' own client takes 100 by HTTP/1.1.
        let reply = answered_to(&bytes, true).await.unwrap();
        assert_eq!(reply.status, status, "{lines}");
        if status == 200 {
            assert_eq!(reply.headers.get_all("x-line").iter().count(), lines - 1);
        }
    }
}

#[tokio::test]
async fn fields_of_the_connection_and_leaked_tokens_stay_behind() {
    let reply = answered(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\
         Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nAlt-Svc: h3=\":443\"\r\n\
         X-Traceid: theirs\r\nX-Traceid: twice\r\nSet-Cookie: Authorization=secret; Path=/\r\n\
         Set-Cookie: lang=en\r\nX-Kept: yes\r\nVary: a\r\nVary: b\r\n\r\n",
    )
    .await
    .unwrap();
    for gone in ["x-hop", "keep-alive", "proxy-authenticate", "upgrade", "alt-svc"] {
        assert!(reply.headers.get(gone).is_none(), "{gone}: {:?}", reply.headers);
    }
    assert_eq!(reply.header("x-traceid").map(str::len), Some(58));
    assert_eq!(reply.header("set-cookie"), Some("lang=en"));
    assert_eq!(reply.header("x-kept"), Some("yes"));
    assert_eq!(reply.headers.get_all("vary").iter().count(), 2);
}

#[tokio::test]
async fn trailers_of_an_answer_come_back() {
    let reply = answered(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum, x-traceid\r\n\r\n\
         5\r\nhello\r\n0\r\nx-sum: 42\r\nx-traceid: theirs\r\nset-cookie: a=b\r\n\r\n",
    )
    .await
    .unwrap();
    let trailers = reply.trailers.expect("trailers");
    assert_eq!(trailers["x-sum"], "42");
    assert_eq!(trailers.len(), 1, "{trailers:?}");

    let world = World::plan().http2().start().await;
    let call = world.caller("alice").call(Method::GET, "/koodrive/test/bytes/5?trailers");
    let reply = call.header("te", "trailers").send().await;
    assert_eq!(reply.trailers.unwrap()["x-checksum"], *expected_sha256(5));
}

#[tokio::test]
async fn large_bodies_stream_both_ways() {
    for http2 in [false, true] {
        let plan = World::plan().config("[listen]\nmax_buffered = '1MiB'");
        let world = if http2 { plan.http2() } else { plan }.start().await;
        let alice = world.caller("alice");
        let bytes = 20_000_000;
        for query in ["", "?chunked"] {
            let reply = alice.get(&format!("/koodrive/test/bytes/{bytes}{query}")).await;
            assert_eq!(sha256(&reply.body), expected_sha256(bytes));
        }
        let sent = vec![b'x'; 20_000_000];
        let reply = alice.call(Method::PUT, ECHO).body(sent.clone()).send().await;
        assert_eq!(reply.json()["sha256"], *sha256(&sent));
    }
}

#[tokio::test]
async fn a_head_answer_keeps_its_length_and_has_no_body() {
    let world = World::start().await;
    let token = world.sso.token_for("alice");
    let mut connection = RawConnection::open(world.gateway.address).await.unwrap();
    let request = format!(
        "HEAD /koodrive/test/bytes/12345 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\
         Connection: close\r\n\r\n"
    );
    connection.send(request).await.unwrap();
    let answer = String::from_utf8(connection.rest().await.unwrap()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-length: 12345\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}
