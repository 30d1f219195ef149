//! What of an answer belongs to the connection on which it came, and what to the answer.

use super::upstream::Upstream;
use crate::support::raw::RawConnection;

const SEND: &str = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";
const UNCHANGED: &str = "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n";

/// The answer's head as the caller reads it, from a caller who asks `method`.
async fn head_of(method: &str, answer: &str) -> String {
    let upstream = Upstream::start().await;
    let world = upstream.plan().start().await;
    let token = world.sso.token_for("alice");
    let mut caller = RawConnection::open(world.gateway.address).await.unwrap();
    let call = format!(
        "{method} /koodrive/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    caller.send(call).await.unwrap();
    let mut connection = upstream.accept().await;
    connection.request().await.expect("the call");
    connection.send(answer).await;
    let read = caller.rest().await.unwrap();
    let read = String::from_utf8(read).unwrap().to_lowercase();
    read.split_once("\r\n\r\n").expect("a head").0.to_owned()
}

#[tokio::test]
async fn answers_are_given_in_the_version_of_the_gateway() {
    let head = head_of("GET", SEND).await;
    assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
}

#[tokio::test]
async fn the_length_that_a_body_would_have_had_is_passed_on() {
    let head = head_of("GET", UNCHANGED).await;
    assert!(head.starts_with("http/1.1 304") && head.contains("content-length: 5"), "{head}");
    let head = head_of("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n").await;
    assert!(head.contains("content-length: 7"), "{head}");
}
