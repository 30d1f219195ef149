//! Keys and tokens: signed with aws-lc directly, not with the library that verifies them.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

pub(super) enum SigningKey {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// One key of each kind, made once per process.
pub(super) static RSA: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));
pub(super) static RSA_OTHER: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));
pub(super) static P256: LazyLock<SigningKey> = LazyLock::new(p256);
pub(super) static P384: LazyLock<SigningKey> = LazyLock::new(|| {
    SigningKey::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
});
pub(super) static ED25519: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::Ed25519(Ed25519KeyPair::generate().unwrap()));

pub(super) fn p256() -> SigningKey {
    SigningKey::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
}

impl SigningKey {
    /// The public half, with `kid` and nothing else that is optional.
    pub(super) fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "kid": kid, "n": base64(&public.n), "e": base64(&public.e)})
            }
            Self::P256(pair) => ec_jwk(kid, "P-256", pair.public_key().as_ref()),
            Self::P384(pair) => ec_jwk(kid, "P-384", pair.public_key().as_ref()),
            Self::Ed25519(pair) => {
                let x = base64(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
            }
        }
    }

    pub(super) fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding = match alg {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
            Self::P256(pair) | Self::P384(pair) => {
                pair.sign(&random, message).unwrap().as_ref().to_vec()
            }
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A token with exactly this header and these claims.
    pub(super) fn token(&self, header: &Value, claims: &Value) -> String {
        self.token_of(&header.to_string(), &claims.to_string())
    }

    /// A token of these very texts.
    pub(super) fn token_of(&self, header: &str, payload: &str) -> String {
        let alg = serde_json::from_str::<Value>(header).ok();
        let alg = alg.as_ref().and_then(|header| header["alg"].as_str()).unwrap_or("RS256");
        let input = format!("{}.{}", base64(header), base64(payload));
        let signature = self.sign(alg, input.as_bytes());
        format!("{input}.{}", base64(signature))
    }
}

fn ec_jwk(kid: &str, crv: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at(point.len() / 2);
    json!({"kty": "EC", "crv": crv, "kid": kid, "x": base64(x), "y": base64(y)})
}

pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
