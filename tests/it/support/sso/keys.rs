//! Signing keys of the SSO, made and used without the library the gateway verifies with.

use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaEncoding, UnparsedPublicKey,
    VerificationAlgorithm,
};
use aws_lc_rs::{rsa, signature};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::recording::random_hex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// 2048 bits.
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// A private key with its key id.
pub struct SigningKey {
    kid: String,
    kind: KeyKind,
    private: Private,
}

enum Private {
    Rsa(rsa::KeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl SigningKey {
    pub fn generate(kind: KeyKind, kid: &str) -> Self {
        let private = match kind {
            KeyKind::Rsa => rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map(Private::Rsa),
            KeyKind::P256 => {
                EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).map(Private::Ec)
            }
            KeyKind::P384 => {
                EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).map(Private::Ec)
            }
            KeyKind::Ed25519 => Ed25519KeyPair::generate().map(Private::Ed),
        };
        let private = private.expect("keys of these kinds can be made");
        Self { kid: kid.to_owned(), kind, private }
    }

    /// A key nobody knows yet, with a key id of its own.
    pub fn fresh(kind: KeyKind) -> Arc<Self> {
        Arc::new(Self::generate(kind, &random_hex(8)))
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The algorithm this key signs with when nobody asks for another.
    pub fn algorithm(&self) -> &'static str {
        match self.kind {
            KeyKind::Rsa => "RS256",
            KeyKind::P256 => "ES256",
            KeyKind::P384 => "ES384",
            KeyKind::Ed25519 => "EdDSA",
        }
    }

    /// The public key as a JWK (RFC 7517), with `kid`, `use` and `alg`.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.private {
            Private::Rsa(key) => {
                let (modulus, exponent) = rsa_numbers(key.public_key().as_ref());
                json!({ "kty": "RSA", "n": encode(modulus), "e": encode(exponent) })
            }
            Private::Ec(key) => {
                let point = &key.public_key().as_ref()[1..]; // 04, then x and y
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if self.kind == KeyKind::P256 { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
            }
            Private::Ed(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().as_ref()) })
            }
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.algorithm());
        jwk
    }

    /// The private key, for parties that sign with it themselves.
    pub fn pkcs8_pem(&self) -> String {
        let der = match &self.private {
            Private::Rsa(key) => key.as_der().map(|der| der.as_ref().to_vec()),
            Private::Ec(key) => key.to_pkcs8v1().map(|der| der.as_ref().to_vec()),
            Private::Ed(key) => key.to_pkcs8v1().map(|der| der.as_ref().to_vec()),
        };
        let text = STANDARD.encode(der.expect("our own key can be written"));
        let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
        for line in text.as_bytes().chunks(64) {
            pem.extend(line.iter().map(|byte| char::from(*byte)));
            pem.push('\n');
        }
        pem + "-----END PRIVATE KEY-----\n"
    }

    /// A signature in the form of RFC 7518.
    ///
    /// # Panics
    /// When the key cannot sign with that algorithm.
    pub fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        match &self.private {
            Private::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let random = SystemRandom::new();
                let done = key.sign(rsa_encoding(algorithm), &random, message, &mut signature);
                done.expect("a key of 2048 bits can sign");
                signature
            }
            Private::Ec(key) => {
                assert_eq!(algorithm, self.algorithm(), "this curve signs with one algorithm");
                let signature = key.sign(&SystemRandom::new(), message);
                signature.expect("the curve can sign").as_ref().to_vec()
            }
            Private::Ed(key) => {
                assert_eq!(algorithm, self.algorithm(), "this curve signs with one algorithm");
                key.sign(message).as_ref().to_vec()
            }
        }
    }

    /// Whether this key made that signature with that algorithm.
    pub fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let verification: &'static dyn VerificationAlgorithm = match (self.kind, algorithm) {
            (KeyKind::Rsa, "RS256") => &signature::RSA_PKCS1_2048_8192_SHA256,
            (KeyKind::Rsa, "RS384") => &signature::RSA_PKCS1_2048_8192_SHA384,
            (KeyKind::Rsa, "RS512") => &signature::RSA_PKCS1_2048_8192_SHA512,
            (KeyKind::Rsa, "PS256") => &signature::RSA_PSS_2048_8192_SHA256,
            (KeyKind::Rsa, "PS384") => &signature::RSA_PSS_2048_8192_SHA384,
            (KeyKind::Rsa, "PS512") => &signature::RSA_PSS_2048_8192_SHA512,
            (KeyKind::P256, "ES256") => &signature::ECDSA_P256_SHA256_FIXED,
            (KeyKind::P384, "ES384") => &signature::ECDSA_P384_SHA384_FIXED,
            (KeyKind::Ed25519, "EdDSA") => &signature::ED25519,
            _ => return false,
        };
        let public = match &self.private {
            Private::Rsa(key) => key.public_key().as_ref(),
            Private::Ec(key) => key.public_key().as_ref(),
            Private::Ed(key) => key.public_key().as_ref(),
        };
        UnparsedPublicKey::new(verification, public).verify(message, signature).is_ok()
    }
}

/// base64url without padding (RFC 7515 section 2).
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn rsa_encoding(algorithm: &str) -> &'static dyn RsaEncoding {
    match algorithm {
        "RS256" => &signature::RSA_PKCS1_SHA256,
        "RS384" => &signature::RSA_PKCS1_SHA384,
        "RS512" => &signature::RSA_PKCS1_SHA512,
        "PS256" => &signature::RSA_PSS_SHA256,
        "PS384" => &signature::RSA_PSS_SHA384,
        "PS512" => &signature::RSA_PSS_SHA512,
        other => panic!("an RSA key cannot sign with {other}"),
    }
}

/// Modulus and exponent out of a DER `RSAPublicKey` (RFC 8017 appendix A.1.1).
fn rsa_numbers(der: &[u8]) -> (&[u8], &[u8]) {
    let (sequence, _) = der_value(der);
    let (modulus, rest) = der_value(sequence);
    let (exponent, _) = der_value(rest);
    let unsigned = |number: &'_ [u8]| usize::from(number.first() == Some(&0));
    (&modulus[unsigned(modulus)..], &exponent[unsigned(exponent)..])
}

/// The content of the first DER element, and what follows it.
fn der_value(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, content) = match der[1] {
        short @ 0..0x80 => (usize::from(short), &der[2..]),
        long => {
            let (digits, content) = der[2..].split_at(usize::from(long & 0x7f));
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), content)
        }
    };
    content.split_at(length)
}
