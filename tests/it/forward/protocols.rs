//! HTTP/1.1 and HTTP/2, plain and over TLS, on either side.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{Method, Version};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;

use crate::support::caller::{Caller, Http};
use crate::support::raw::RawConnection;
use crate::support::recording::sha256;
use crate::support::tls::{Authority, TlsServer};
use crate::support::world::{GOOD_BATCH, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const ECHO: &str = "/koodrive/test/echo";
const TLS: &str = "[listen]\ntls_certificate_file = 'server.pem'\ntls_key_file = 'server-key.pem'";

#[tokio::test]
async fn every_protocol_on_either_side() {
    for inbound_h2 in [false, true] {
        for inbound_tls in [false, true] {
            for upstream in [None, Some(false), Some(true)] {
                let mut plan = World::plan();
                if inbound_h2 {
                    plan = plan.http2();
                }
                if inbound_tls {
                    plan = plan.config(TLS);
                }
                if let Some(http2) = upstream {
                    plan = plan.koodrive_tls(TlsServer { http2, client_certificates: false });
                }
                let world = plan.start().await;
                let alice = world.caller("alice");
                let name = format!(
                    "h2 in: {inbound_h2}, TLS in: {inbound_tls}, upstream h2: {upstream:?}"
                );
                let reply = alice.preverify(GOOD_BATCH).await;
                assert_eq!(reply.status, 200, "{name}: {}", reply.text());
                let version = if inbound_h2 { Version::HTTP_2 } else { Version::HTTP_11 };
                assert_eq!(reply.version, version, "{name}");
                let reply = alice.call(Method::GET, ECHO).body("hello").send().await;
                assert_eq!(reply.json()["sha256"], *sha256(b"hello"), "{name}");
                let chunked = futures_body("streamed");
                let reply = alice.call(Method::PUT, ECHO).streaming(chunked).send().await;
                assert_eq!(reply.json()["sha256"], *sha256(b"streamed"), "{name}");
                let arrived = world.koodrive.received.all();
                for received in arrived {
                    let host = world.koodrive.url().split("://").nth(1).unwrap();
                    assert_eq!(received.version, Version::HTTP_11, "{name}");
                    assert_eq!(received.header("host"), Some(host), "{name}");
                    assert_eq!(received.header("via"), Some("1.1 koodrive-gateway"), "{name}");
                }
            }
        }
    }
}

/// A body of unknown length.
fn futures_body(
    text: &'static str,
) -> impl http_body::Body<Data = bytes::Bytes, Error = crate::support::server::Cut> + Send + 'static
{
    use http_body_util::BodyExt as _;
    struct Unsized<B>(B);
    impl<B: http_body::Body + Unpin> http_body::Body for Unsized<B> {
        type Data = B::Data;
        type Error = B::Error;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
            std::pin::Pin::new(&mut self.0).poll_frame(cx)
        }
    }
    Unsized(http_body_util::Full::from(text).map_err(|never| match never {}))
}

#[tokio::test]
async fn koodrive_over_tls_must_be_known_and_may_ask_who_we_are() {
    let tls = TlsServer { http2: true, client_certificates: true };
    let world = World::plan().koodrive_tls(tls).start().await;
    let reply = world.caller("alice").get(ECHO).await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert_eq!(world.koodrive.received.total(), 0);

    let mut world = world;
    let ours = world.authority.client_pem("gateway").unwrap();
    world.scratch.write("client.pem", &ours.certificate).unwrap();
    world.scratch.write("client-key.pem", &ours.key).unwrap();
    world
        .reconfigure(
            "[forward]\nclient_certificate_file = 'client.pem'\nclient_key_file = 'client-key.pem'",
        )
        .await;
    applied(&world).await;
    assert_eq!(world.caller("alice").get(ECHO).await.status, 200);

    // A certificate of somebody else.
    let tls = TlsServer { http2: false, client_certificates: false };
    let stranger = Authority::new().unwrap();
    let plan = World::plan().koodrive_tls(tls).file("other.pem", &stranger.root_pem());
    let world = plan.config("[forward]\nca_file = 'other.pem'").start().await;
    let reply = world.caller("alice").get(ECHO).await;
    assert_eq!((reply.status, reply.reason().as_deref()), (502, Some("upstream_unreachable")));
}

async fn applied(world: &World) {
    let applied = "koodrive_gateway_config_reloads_total{outcome=\"applied\"}";
    while world.metric(applied).await != Some(1.0) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn callers_may_have_to_present_a_certificate() {
    let clients = Authority::new().unwrap();
    let world = World::plan()
        .config(TLS)
        .file("clients.pem", &clients.root_pem())
        .config("[listen]\nclient_ca_file = 'clients.pem'")
        .unready()
        .start()
        .await;
    let token = Some(world.sso.token_for("alice"));
    let call =
        |http: &Http| Caller::new(http, &world.base(), token.clone()).call(Method::GET, ECHO);
    call(&world.http).try_send().await.expect_err("nobody without a certificate");
    let strangers = world.authority.client_pem("tool").unwrap();
    let root = world.authority.root_pem();
    let http = Http::with_identity(&root, (&strangers.certificate, &strangers.key), false);
    call(&http).try_send().await.expect_err("nobody with a certificate of others");
    let ours = clients.client_pem("tool").unwrap();
    for http2 in [false, true] {
        let http = Http::with_identity(&root, (&ours.certificate, &ours.key), http2);
        assert_eq!(call(&http).send().await.status, 200);
    }
}

#[tokio::test]
async fn a_bound_sso_token_is_of_use_only_to_who_presents_its_certificate() {
    let clients = Authority::new().unwrap();
    let world = World::plan()
        .config(TLS)
        .file("clients.pem", &clients.root_pem())
        .config("[listen]\nclient_ca_file = 'clients.pem'")
        .config("[[accept.issuers]]\naccept_bound_tokens = true")
        .unready()
        .start()
        .await;
    let (tool, thief) = (clients.client_pem("tool").unwrap(), clients.client_pem("thief").unwrap());
    let der = CertificateDer::from_pem_slice(tool.certificate.as_bytes()).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    let bound = json!({ "x5t#S256": BASE64_URL_SAFE_NO_PAD.encode(digest) });
    let token = world.sso.mint("alice").claim("cnf", bound).sign();
    while world.admin().get("/readyz").await.status != 200 {
        tokio::task::yield_now().await;
    }
    for http2 in [false, true] {
        for (pair, expected) in [(&tool, 200), (&thief, 401)] {
            let identity = (pair.certificate.as_str(), pair.key.as_str());
            let http = Http::with_identity(&world.authority.root_pem(), identity, http2);
            let caller = Caller::new(&http, &world.base(), Some(token.clone()));
            let reply = caller.get(ECHO).await;
            assert_eq!(reply.status, expected, "{}", reply.text());
        }
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_old_ones_live_on() {
    let mut world = World::plan().config(TLS).start().await;
    let before = world.caller("alice");
    assert_eq!(before.get(ECHO).await.status, 200);
    let next = Authority::new().unwrap();
    let pair = next.server_pem().unwrap();
    let new = Http::new(&next.root_pem(), false);
    let after = Caller::new(&new, &world.base(), Some(world.sso.token_for("alice")));
    after.call(Method::GET, ECHO).try_send().await.expect_err("the old certificate");
    world.scratch.write("server.pem", &pair.certificate).unwrap();
    world.scratch.write("server-key.pem", &pair.key).unwrap();
    world.reconfigure("").await;
    applied(&world).await;
    assert_eq!(after.get(ECHO).await.status, 200);
    assert_eq!(before.get(ECHO).await.status, 200, "on its old connection");
}

#[tokio::test]
async fn plain_http_on_a_tls_port_gets_no_answer_and_harms_nobody() {
    let world = World::plan().config(TLS).start().await;
    let mut connection = RawConnection::open(world.gateway.address).await.unwrap();
    connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let rest = connection.rest().await.unwrap_or_default();
    assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    assert_eq!(world.caller("alice").get(ECHO).await.status, 200);
}

#[tokio::test]
async fn a_unix_socket_serves_both_protocols_and_leaves_no_file() {
    let directory = crate::support::scratch::Scratch::new().unwrap();
    let path = directory.path().join("gateway.sock");
    let listen = format!("[listen]\naddress = 'unix:{}'", path.display());
    // A file left behind by a process that was killed is in nobody's way.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let world = World::plan().config(&listen).start().await;
    let token = world.sso.token_for("alice");
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let request = format!(
        "GET {ECHO} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(world.gateway.stop().await);
    assert!(!path.exists());
}
