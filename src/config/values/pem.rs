//! Certificates and private keys in PEM form (RFC 7468), ready for TLS.

use std::borrow::Cow;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor};
use rustls::sign::{CertifiedKey, SigningKey};

use super::file::{Content, File};

/// A certificate and those that lead from it to a root; at least one.
pub struct CertificateChain(Vec<CertificateDer<'static>>);

/// Certificates to trust; at least one.
#[derive(Debug)]
pub struct Roots(Vec<TrustAnchor<'static>>);

/// The private key of a certificate.
pub struct TlsKey(Arc<dyn SigningKey>);

impl Content for CertificateChain {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        match parsed {
            Ok(certificates) if !certificates.is_empty() => Ok(Self(certificates)),
            _ => Err(" does not hold a certificate in PEM form".into()),
        }
    }
}

impl Content for Roots {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let mut store = RootCertStore::empty();
        for certificate in CertificateChain::parse(text)?.0 {
            if store.add(certificate).is_err() {
                return Err(" does not hold certificates that can be trusted as roots".into());
            }
        }
        Ok(Self(store.roots))
    }
}

impl Content for TlsKey {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        any_supported_type(&private_key(text)?).map(Self).map_err(|_| UNSUPPORTED_KEY.into())
    }
}

/// A private key of any kind, with what stands behind "file PATH" if there is none.
pub(super) fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, Cow<'static, str>> {
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| " does not hold a private key in PEM form".into())
}

pub(super) const UNSUPPORTED_KEY: &str = " does not hold an RSA, ECDSA or Ed25519 private key";

impl Roots {
    pub fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.0
    }
}

/// What is shown to a peer; `None` unless there are both.
pub fn certified_key(chain: &File<CertificateChain>, key: &File<TlsKey>) -> Option<CertifiedKey> {
    let (chain, key) = (chain.content()?, key.content()?);
    Some(CertifiedKey::new(chain.0.clone(), Arc::clone(&key.0)))
}
