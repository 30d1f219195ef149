//! Certificates and keys: whether files hold what their keys promise.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, SignatureAlgorithm};
use secrecy::ExposeSecret as _;

use crate::config::reader::Reader;
use crate::config::values::{SecretFile, TextFile};

/// A certificate chain and its private key, if set.
pub(super) fn pair(
    to: &mut Reader<'_>,
    (chain_key, chain_file): (&str, &TextFile),
    (private_key, private_file): (&str, &SecretFile),
) {
    let chain = chain_file.is_set().then(|| certificates(to, chain_key, chain_file)).flatten();
    let private = private_file.is_set().then(|| key(to, private_key, private_file)).flatten();
    let (Some(chain), Some(private)) = (chain, private) else {
        return;
    };
    let pair = CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider());
    if pair.is_err() {
        to.say(
            &[private_key, chain_key],
            format!(
                "file {} is not the private key of the first certificate in {}",
                private_file.path().display(),
                chain_file.path().display()
            ),
        );
    }
}

/// Certificates to trust, if set.
pub(super) fn roots(to: &mut Reader<'_>, key: &str, file: &TextFile) {
    if !file.is_set() {
        return;
    }
    let Some(certificates) = certificates(to, key, file) else {
        return;
    };
    let mut store = RootCertStore::empty();
    if certificates.into_iter().any(|certificate| store.add(certificate).is_err()) {
        not_pem(to, key, file.path(), "certificates that can be trusted as roots");
    }
}

/// Whether a private key is an RSA key.
pub(super) fn is_rsa(file: &SecretFile) -> bool {
    let der = PrivateKeyDer::from_pem_slice(file.secret().expose_secret().as_bytes());
    let signing = der.ok().and_then(|der| aws_lc_rs::sign::any_supported_type(&der).ok());
    signing.is_some_and(|key| key.algorithm() == SignatureAlgorithm::RSA)
}

/// A private key, if set.
pub(super) fn private_key(to: &mut Reader<'_>, name: &str, file: &SecretFile) {
    if file.is_set()
        && let Some(private) = key(to, name, file)
        && aws_lc_rs::sign::any_supported_type(&private).is_err()
    {
        not_pem(to, name, file.path(), "an RSA, ECDSA or Ed25519 private key");
    }
}

fn certificates(
    to: &mut Reader<'_>,
    key: &str,
    file: &TextFile,
) -> Option<Vec<CertificateDer<'static>>> {
    let parsed: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(file.text().as_bytes()).collect();
    match parsed {
        Ok(certificates) if !certificates.is_empty() => Some(certificates),
        _ => {
            not_pem(to, key, file.path(), "a certificate in PEM form");
            None
        }
    }
}

fn key(to: &mut Reader<'_>, name: &str, file: &SecretFile) -> Option<PrivateKeyDer<'static>> {
    let parsed = PrivateKeyDer::from_pem_slice(file.secret().expose_secret().as_bytes());
    if parsed.is_err() {
        not_pem(to, name, file.path(), "a private key in PEM form");
    }
    parsed.ok()
}

fn not_pem(to: &mut Reader<'_>, key: &str, path: &std::path::Path, expected: &str) {
    to.say(&[key], format!("file {} does not hold {expected}", path.display()));
}
