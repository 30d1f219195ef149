//! TLS towards callers. What is shown to them, and who of them is let in, can change while
//! connections are open.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use secrecy::ExposeSecret as _;
use tokio_rustls::TlsAcceptor;

use crate::config::ListenConfig;

/// Why callers cannot be offered TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    #[error("listen.tls_certificate_file, tls_key_file or client_ca_file is not usable PEM")]
    Pem(#[source] pem::Error),
    #[error("the certificate does not go with its key")]
    Pair(#[source] rustls::Error),
    #[error("listen.client_ca_file holds no usable root certificate")]
    ClientRoots(#[source] rustls::Error),
    #[error("listen.client_ca_file cannot be used to verify callers")]
    ClientVerifier(#[source] rustls::server::VerifierBuilderError),
}

/// The certificate shown to callers and the roots theirs must come from; replaced on reload, for
/// new connections. A handshake sees one generation of both.
pub struct Tls(ArcSwap<ServerConfig>);

impl Tls {
    /// `None` when the listener has no TLS.
    pub fn load(config: &ListenConfig) -> Result<Option<Self>, TlsSetupError> {
        if !config.tls_certificate_file.is_set() {
            return Ok(None);
        }
        Ok(Some(Self(ArcSwap::from(server_config(config)?))))
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

fn server_config(config: &ListenConfig) -> Result<Arc<ServerConfig>, TlsSetupError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3");
    let builder = if config.client_ca_file.is_set() {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(config.client_ca_file.text().as_bytes()) {
            roots.add(root.map_err(TlsSetupError::Pem)?).map_err(TlsSetupError::ClientRoots)?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(TlsSetupError::ClientVerifier)?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let shown = SingleCertAndKey::from(certified_key(config)?);
    let mut config = builder.with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![ALPN_H2.to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

pub(super) const ALPN_H2: &[u8] = b"h2";

fn certified_key(config: &ListenConfig) -> Result<CertifiedKey, TlsSetupError> {
    let chain = CertificateDer::pem_slice_iter(config.tls_certificate_file.text().as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(TlsSetupError::Pem)?;
    let key = config.tls_key_file.secret().expose_secret();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(TlsSetupError::Pem)?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(TlsSetupError::Pair)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
