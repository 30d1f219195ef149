//! `POST /forget`: drops what is remembered of a caller, or of all.
//!
//! The one visit that changes something. Only for who is on this machine, and only with a header
//! that no page in a browser can send to another origin without asking first.

use std::net::SocketAddr;

use http::{HeaderMap, Response, StatusCode};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use super::{JSON, Page, Pages, TEXT, json};
use crate::body::{InboundBody, OutboundBody, read_whole};

/// Whom to forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forget {
    All,
    /// By the digest that stands in logs, 32 hex digits.
    Caller(String),
}

/// What is asked, as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    caller: Option<String>,
    #[serde(default)]
    all: bool,
}

#[derive(Serialize)]
struct Answer {
    forgotten: usize,
}

pub(super) const PATH: &str = "/forget";
const HEADER: &str = "koodrive-gateway";
const HEADER_VALUE: &str = "forget";

/// `peer` is where the visitor comes from; none for a Unix socket.
pub(super) async fn answer(
    pages: &Pages,
    headers: &HeaderMap,
    body: Incoming,
    peer: Option<SocketAddr>,
) -> Response<OutboundBody> {
    let refused = |status, why: &'static str| Page { status, ..Page::ok(TEXT, why) };
    let marked = headers.get(HEADER).is_some_and(|value| value == HEADER_VALUE);
    let page = if !is_here(peer) {
        refused(StatusCode::FORBIDDEN, "only from this machine\n")
    } else if !marked {
        refused(StatusCode::FORBIDDEN, "only with the header Koodrive-Gateway: forget\n")
    } else {
        match wish(body).await {
            Some(wish) => match (pages.forget)(wish).await {
                Some(forgotten) => Page::ok(JSON, json(&Answer { forgotten })),
                None => refused(StatusCode::BAD_REQUEST, "a caller is 32 hex digits\n"),
            },
            None => refused(
                StatusCode::BAD_REQUEST,
                "expected {\"caller\":\"<digest>\"} or {\"all\":true}\n",
            ),
        }
    };
    page.into_response()
}

/// Whether a visitor is on this machine: by loopback, or by a socket of the file system.
fn is_here(peer: Option<SocketAddr>) -> bool {
    peer.is_none_or(|peer| peer.ip().to_canonical().is_loopback())
}

async fn wish(body: Incoming) -> Option<Forget> {
    let body =
        read_whole(InboundBody::new(body, super::BODY_TIMEOUT), BODY_BYTES_MAX).await.ok()?;
    match serde_json::from_slice(&body).ok()? {
        Wish { caller: Some(digest), all: false } => Some(Forget::Caller(digest)),
        Wish { caller: None, all: true } => Some(Forget::All),
        Wish { .. } => None,
    }
}

const BODY_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_unix_sockets_are_this_machine() {
        for (peer, expected) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("192.0.2.2:1", false),
            ("10.0.0.1:1", false),
            ("0.0.0.0:1", false),
            ("[::ffff:192.0.2.2]:1", false),
            ("[fe80::1]:1", false),
            ("[2001:db8::1]:1", false),
        ] {
            assert_eq!(is_here(Some(peer.parse().unwrap())), expected, "{peer}");
        }
        assert!(is_here(None));
    }
}
