//! An upstream that would speak HTTP/2: no call shares a connection with another's.

use std::collections::HashSet;

use futures_util::future::join_all;
use http::Version;

use crate::support::faults::Behaviour;
use crate::support::raw::RawConnection;
use crate::support::tls::TlsServer;
use crate::support::world::{GOOD_BATCH, Plan, World};

const ECHO: &str = "/koodrive/test/echo";
const DOWNLOADS: usize = 8;

/// KooDrive offers h2 before http/1.1.
fn plan() -> Plan {
    World::plan().koodrive_tls(TlsServer { http2: true, client_certificates: false })
}

#[tokio::test]
async fn downloads_that_a_caller_does_not_read_stop_only_that_caller() {
    let world = plan().config("[limit]\nmode = 'off'").start().await;
    let token = world.sso.token_for("alice");
    let request = format!(
        "GET /koodrive/test/bytes/30000000 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let mut unread = Vec::new();
    for _ in 0..DOWNLOADS {
        let mut connection = RawConnection::open(world.gateway.address).await.unwrap();
        connection.send(&request).await.unwrap();
        unread.push(connection);
    }
    while world.koodrive.received.total() < DOWNLOADS as u64 {
        tokio::task::yield_now().await;
    }
    let bob = world.caller("bob");
    for _ in 0..30 {
        assert_eq!(bob.preverify(GOOD_BATCH).await.status, 200);
    }
    let arrived = world.koodrive.received.all();
    assert!(arrived.iter().all(|received| received.version == Version::HTTP_11));
    let used: HashSet<_> = arrived.iter().map(|received| received.connection).collect();
    assert!(DOWNLOADS < used.len(), "{} connections", used.len());
    drop(unread);
}

#[tokio::test]
async fn nothing_is_sent_for_a_call_that_was_answered_with_504() {
    let config = "[forward]\nresponse_timeout = '200ms'\nmax_connections = 2";
    let world = plan().config(config).start().await;
    let alice = world.caller("alice");
    world.koodrive.switch.set(Behaviour::hang());
    // Those that wait for a connection have not begun to wait for an answer.
    for reply in join_all((0..6).map(|_| alice.get(ECHO))).await {
        assert_eq!((reply.status, reply.reason().as_deref()), (504, Some("upstream_timeout")));
    }
    assert_eq!(world.koodrive.received.total(), 6, "each was sent before it was given up");
    world.koodrive.switch.clear();
    assert_eq!(alice.get(ECHO).await.status, 200);
    assert_eq!(world.koodrive.received.total(), 7, "and none afterwards");
}
