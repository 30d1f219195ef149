//! The private key that signs client assertions (RFC 7523 section 2.2).

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RsaKeyPair,
};
use rustls::pki_types::PrivateKeyDer;

use super::choice::choice;
use super::file::Content;
use super::pem::private_key;

choice! {
    /// How client assertions are signed.
    pub enum AssertionAlgorithm {
        /// By the kind of key: RS256, ES256, ES384, `EdDSA`.
        ByKey = "",
        PS256 = "PS256",
    }
}

/// A private key; its kind decides the algorithm.
pub enum AssertionKey {
    /// Of 2048 bits or more.
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
    P384(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl fmt::Debug for AssertionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AssertionKey")
    }
}

impl Content for AssertionKey {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let der = private_key(text)?;
        let bytes = der.secret_der();
        let rsa = match &der {
            PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(bytes),
            _ => RsaKeyPair::from_pkcs8(bytes),
        };
        if let Ok(key) = rsa {
            return Ok(Self::Rsa(Box::new(key)));
        }
        let ec = |algorithm| EcdsaKeyPair::from_private_key_der(algorithm, bytes).map(Box::new);
        if let Ok(key) = ec(&ECDSA_P256_SHA256_FIXED_SIGNING) {
            return Ok(Self::P256(key));
        }
        if let Ok(key) = ec(&ECDSA_P384_SHA384_FIXED_SIGNING) {
            return Ok(Self::P384(key));
        }
        match Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes) {
            Ok(key) => Ok(Self::Ed25519(Box::new(key))),
            Err(_) => Err(" does not hold a private key of kind RSA (2048 bits or more), P-256, \
                           P-384 or Ed25519"
                .into()),
        }
    }
}
