//! Servers go down, close, hold and misbehave as told.

use std::time::Duration;

use http::{Method, Version};
use koodrive_gateway::clock::Clock;

use crate::support::caller::{Caller, Http};
use crate::support::canary::Canaries;
use crate::support::faults::Behaviour;
use crate::support::koodrive::KooDrive;
use crate::support::raw::RawConnection;
use crate::support::server::{Closing, Listen};
use crate::support::sessions::Sessions;
use crate::support::tests::{GOOD, SOON, Town};
use crate::support::time::http_date;
use crate::support::tls::{Authority, TlsServer};

#[tokio::test]
async fn endpoints_misbehave_as_told_and_only_so_often() {
    let town = Town::start();
    let alice = town.holder(&town.koodrive.sessions.issue("alice"));
    let switch = &town.koodrive.switch;
    let path = "/koodrive/test/bytes/1000";
    switch.next(1, Behaviour::status(429).retry_after(7));
    switch.next(1, Behaviour::garbage());
    switch.next(1, Behaviour::cut(10));
    switch.next(1, Behaviour::close());
    let limited = alice.get(path).await;
    assert_eq!((limited.status, limited.header("retry-after")), (429, Some("7")));
    assert!(alice.get(path).await.text().contains("<html>"));
    assert!(alice.call(Method::GET, path).try_send().await.is_err());
    assert!(alice.call(Method::GET, path).try_send().await.is_err());
    assert_eq!(alice.get(path).await.body.len(), 1000);
    assert_eq!(switch.calls(), 5);
}

#[tokio::test]
async fn the_gate_holds_calls_and_hang_ups_are_noticed() {
    let town = Town::start();
    let alice = town.holder(&town.koodrive.sessions.issue("alice"));
    town.koodrive.switch.gate.close();
    let calls = futures_util::future::join_all((0..8).map(|_| alice.get("/koodrive/test/echo")));
    let control = async {
        assert!(town.koodrive.switch.gate.wait_for(8, SOON).await);
        let mut raw = RawConnection::open(town.koodrive.server.address()).await.unwrap();
        raw.send("GET /koodrive/test/echo HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(town.koodrive.switch.gate.wait_for(9, SOON).await);
        drop(raw);
        assert!(town.koodrive.server.wait_abandoned(1, SOON).await);
        town.koodrive.switch.gate.open();
    };
    let (replies, ()) = tokio::join!(calls, control);
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert_eq!(town.koodrive.server.abandoned(), 1);
}

#[tokio::test]
async fn a_server_that_is_down_refuses_connections_and_comes_back_on_its_port() {
    let town = Town::start();
    let alice = town.holder(&town.koodrive.sessions.issue("alice"));
    let path = "/koodrive/test/status/204";
    for _ in 0..3 {
        assert_eq!(alice.get(path).await.status, 204);
        town.koodrive.server.down().await;
        let refused = RawConnection::open(town.koodrive.server.address()).await;
        let kind = refused.map(|_| ()).map_err(|error| error.kind());
        assert_eq!(kind, Err(std::io::ErrorKind::ConnectionRefused));
        town.koodrive.server.up().await;
    }
    assert_eq!(alice.get(path).await.status, 204);
}

#[tokio::test]
async fn connections_close_after_the_number_of_answers_they_are_told() {
    let town = Town::start();
    town.koodrive.server.set_closing(Closing::After(2));
    let request = "GET /koodrive/test/echo HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut raw = RawConnection::open(town.koodrive.server.address()).await.unwrap();
    for _ in 0..2 {
        raw.send(request).await.unwrap();
        let answer = raw.answer().await.unwrap();
        assert_eq!((answer.status, answer.header("connection")), (401, None));
    }
    assert_eq!(raw.rest().await.unwrap(), b"");
    town.koodrive.server.set_closing(Closing::AtRandom { probability: 1.0, within: SOON / 1000 });
    let mut raw = RawConnection::open(town.koodrive.server.address()).await.unwrap();
    raw.send(request).await.unwrap();
    raw.answer().await.unwrap();
    assert_eq!(raw.rest().await.unwrap(), b"");
}

#[tokio::test]
async fn tls_speaks_what_alpn_agreed_on() {
    let clock = Clock::system();
    let authority = Authority::new().unwrap();
    let sessions = Sessions::new(&clock, Canaries::keeping());
    for http2 in [false, true] {
        let tls = authority.server_config(TlsServer { http2, client_certificates: false }).unwrap();
        let listen = Listen { tls: Some(tls), ..Listen::loopback(&clock) };
        let koodrive = KooDrive::start(listen.bind().unwrap(), &sessions);
        let http = Http::new(&authority.root_pem(), http2);
        let alice = Caller::new(&http, koodrive.url(), Some(sessions.issue("alice")));
        let reply = alice.preverify(GOOD).await;
        let version = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
        assert_eq!((reply.status, reply.version), (200, version));
    }
}

#[tokio::test]
async fn servers_date_their_answers_by_the_shared_clock() {
    let town = Town::start();
    town.clock.advance(Duration::from_hours(1));
    town.koodrive.clock().set_ahead(-120);
    let alice = town.holder(&town.koodrive.sessions.issue("alice"));
    let before = town.koodrive.clock().now();
    let reply = alice.get("/koodrive/test/echo").await;
    let after = town.koodrive.clock().now();
    let date = reply.header("date").unwrap();
    assert!([before, after].iter().any(|time| http_date(*time) == date), "{date}");
}

#[test]
fn dates_are_written_as_http_wants_them() {
    for (seconds, text) in [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
        (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 GMT"),
    ] {
        let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(http_date(time), text);
    }
}
