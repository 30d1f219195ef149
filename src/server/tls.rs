//! TLS towards callers. What is shown to them, and who of them is let in, can change while
//! connections are open.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::{ListenConfig, Roots, certified_key};

/// The certificate shown to callers and the roots theirs must come from; replaced on reload, for
/// new connections. A handshake sees one generation of both.
pub struct Tls(ArcSwap<ServerConfig>);

impl Tls {
    /// `None` when the listener has no TLS.
    pub fn new(config: &ListenConfig) -> Option<Self> {
        let shown = certified_key(&config.tls_certificate_file, &config.tls_key_file)?;
        Some(Self(ArcSwap::from_pointee(server_config(shown, config.client_ca_file.content()))))
    }

    /// From now on this one is what `fresh` is.
    pub fn replace(&self, fresh: Self) {
        self.0.store(fresh.0.into_inner());
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.load_full())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn server_config(shown: CertifiedKey, callers: Option<&Arc<Roots>>) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3");
    let builder = match callers {
        Some(roots) => {
            let roots = Arc::new(RootCertStore { roots: roots.anchors().to_vec() });
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let verifier = verifier.build().expect("there are roots, and no lists of revocations");
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    config.alpn_protocols = vec![ALPN_H2.to_vec(), b"http/1.1".to_vec()];
    config
}

pub(super) const ALPN_H2: &[u8] = b"h2";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
