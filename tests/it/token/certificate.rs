//! The gateway proves itself to the token endpoint by a certificate (RFC 8705 section 2).

use std::sync::Arc;
use std::time::Duration;

use koodrive_gateway::body::{InboundBody, read_whole};
use koodrive_gateway::clock::Clock;
use serde_json::json;

use crate::gateway::WHO_AM_I;
use crate::support::server::{Listen, Server, json_answer};
use crate::support::sessions::Sessions;
use crate::support::tls::{Authority, PemPair, TlsServer};
use crate::support::world::{Reread, World};

const PATIENCE: Duration = Duration::from_secs(20);

/// A token endpoint that speaks only to clients of its own authority, and gives whoever asks a
/// token of alice's; the forms it was sent.
struct Endpoint {
    server: Server,
    forms: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Endpoint {
    fn start(authority: &Authority, sessions: &Sessions) -> Self {
        let options = TlsServer { client_certificates: true, ..TlsServer::default() };
        let tls = authority.server_config(options).unwrap();
        let listen = Listen { tls: Some(tls), ..Listen::loopback(&Clock::system()) };
        let forms = Arc::<std::sync::Mutex<Vec<String>>>::default();
        let (kept, sessions) = (Arc::clone(&forms), sessions.clone());
        let server = listen.bind().unwrap().start(Arc::new(move |request, _| {
            let (kept, sessions) = (Arc::clone(&kept), sessions.clone());
            Box::pin(async move {
                let form = InboundBody::new(request.into_body(), PATIENCE);
                let form = read_whole(form, 1 << 16).await.expect("a form");
                kept.lock().unwrap().push(String::from_utf8(form.to_vec()).expect("a form"));
                Ok(json_answer(200, &json!({ "access_token": sessions.issue("alice") })))
            })
        }));
        Self { server, forms }
    }
}

#[tokio::test]
async fn the_certificate_proves_the_gateway_and_is_read_again_when_it_is_renewed() {
    let mut world = World::start().await;
    let (authority, stranger) = (Authority::new().unwrap(), Authority::new().unwrap());
    let endpoint = Endpoint::start(&authority, &world.koodrive.sessions);
    let show = |PemPair { certificate, key }: PemPair| {
        world.scratch.write("token.pem", certificate).unwrap();
        world.scratch.write("token-key.pem", key).unwrap();
    };
    show(stranger.client_pem("koodrive-gateway").unwrap());
    world.scratch.write("token-ca.pem", authority.root_pem()).unwrap();
    let config = format!(
        "[token]\nendpoint = 'https://{}/token'\nclient_auth = 'tls'\nclient_id = 'gateway'\n\
         client_secret_file = ''\nca_file = 'token-ca.pem'\n\
         client_certificate_file = 'token.pem'\nclient_key_file = 'token-key.pem'\n\
         unavailable_for = '0s'",
        endpoint.server.address()
    );
    assert!(world.reconfigure(&config).await);
    let alice = world.caller("alice");
    // Of an authority that the endpoint does not know.
    let reply = alice.get(WHO_AM_I).await;
    assert_eq!(reply.reason().as_deref(), Some("token_endpoint_unavailable"), "{}", reply.text());
    assert!(endpoint.forms.lock().unwrap().is_empty());

    // Renewed on disk: nothing but the files changes, and nothing is started anew.
    let renewed = authority.client_pem("koodrive-gateway").unwrap();
    world.canaries().note_file("the key of the certificate", &renewed.key);
    world.scratch.write("token.pem", renewed.certificate).unwrap();
    world.scratch.write("token-key.pem", renewed.key).unwrap();
    assert_eq!(world.reread().await, Reread::Applied);
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    let forms = endpoint.forms.lock().unwrap().clone();
    let [form] = &*forms else { panic!("{} exchanges", forms.len()) };
    assert!(form.contains("client_id=gateway"), "RFC 8705 section 2 wants it: {form}");
    assert!(!form.contains("client_secret") && !form.contains("client_assertion"), "{form}");

    // A key that does not go with the certificate is refused, and the pair in force stays.
    let other = authority.client_pem("koodrive-gateway").unwrap();
    world.scratch.write("token-key.pem", other.key).unwrap();
    assert_eq!(world.reread().await, Reread::Refused);
    assert_eq!(world.caller("bob").get(WHO_AM_I).await.status, 200);
}
