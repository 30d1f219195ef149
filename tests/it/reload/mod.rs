//! Changes of files while the gateway serves, seen from outside through the real binary.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

pub(crate) mod files;
mod refused;
mod under_load;

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::koodrive::PREVERIFY;
use crate::support::tls::PemPair;
use crate::support::world::{GOOD_BATCH, World};

pub(crate) const TLS: &str =
    "[listen]\ntls_certificate_file = 'server.pem'\ntls_key_file = 'server-key.pem'";

/// The certificate a new connection is shown.
async fn shown_certificate(world: &World) -> CertificateDer<'static> {
    shown_to(world, None).await.expect("the handshake succeeds")
}

/// The same, to a caller with a certificate of its own; an error when it is not let in.
async fn shown_to(
    world: &World,
    client: Option<&PemPair>,
) -> std::io::Result<CertificateDer<'static>> {
    let mut stream = connected(world, client).await?;
    // With TLS 1.3 a client learns only from the first answer whether it was let in.
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    let chain = stream.get_ref().1.peer_certificates().expect("a server shows one");
    Ok(chain[0].clone().into_owned())
}

/// A new connection, of a caller with this certificate, without ALPN: so of HTTP/1.
pub(crate) async fn connected(
    world: &World,
    client: Option<&PemPair>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(world.authority.root_pem().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let stream = TcpStream::connect(world.gateway.address).await?;
    let name = ServerName::from(world.gateway.address.ip());
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// `RateLimit-Policy` of a preverify call by a caller of this name.
async fn policy(world: &World, subject: &str) -> String {
    let reply = world.caller(subject).post(PREVERIFY, GOOD_BATCH).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.header("ratelimit-policy").expect("limits are on").to_owned()
}

/// `notes` of `/readyz`.
async fn notes(world: &World) -> Vec<String> {
    let reply = world.admin().get("/readyz").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_value(reply.json()["notes"].clone()).unwrap()
}
