//! Verifiers for `jsonwebtoken` that keep their key parsed.
//!
//! Those it brings parse the key again for every token, which takes a tenth of the time of an RSA
//! signature and a fifth of that of an ECDSA one.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, VerificationAlgorithm,
};
use jsonwebtoken::Algorithm;
use jsonwebtoken::crypto::JwtVerifier;
use jsonwebtoken::signature::{Error, Verifier};

use super::algorithms;
use crate::config::SignatureAlgorithm;

/// The public half of a key pair.
pub(super) enum Material {
    /// Both big-endian.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// An uncompressed point (SEC 1 section 2.3.3), or what RFC 8032 makes of one.
    Point(Vec<u8>),
}

/// One key for one algorithm.
pub(super) struct ParsedVerifier {
    algorithm: Algorithm,
    key: ParsedPublicKey,
}

impl Material {
    pub(super) fn parts(&self) -> [&[u8]; 2] {
        match self {
            Self::Rsa { n, e } => [n, e],
            Self::Point(point) => [point, &[]],
        }
    }

    /// None if it is no key for this algorithm.
    pub(super) fn verifier(&self, algorithm: SignatureAlgorithm) -> Option<ParsedVerifier> {
        let key = match self {
            Self::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(of_rsa(algorithm)?)
            }
            Self::Point(point) => ParsedPublicKey::new(of_curve(algorithm)?, point),
        };
        Some(ParsedVerifier { algorithm: algorithms::to_jwt(algorithm), key: key.ok()? })
    }
}

fn of_rsa(algorithm: SignatureAlgorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        SignatureAlgorithm::RS256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        SignatureAlgorithm::RS384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        SignatureAlgorithm::RS512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        SignatureAlgorithm::PS256 => Some(&RSA_PSS_2048_8192_SHA256),
        SignatureAlgorithm::PS384 => Some(&RSA_PSS_2048_8192_SHA384),
        SignatureAlgorithm::PS512 => Some(&RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

fn of_curve(algorithm: SignatureAlgorithm) -> Option<&'static dyn VerificationAlgorithm> {
    match algorithm {
        SignatureAlgorithm::ES256 => Some(&ECDSA_P256_SHA256_FIXED),
        SignatureAlgorithm::ES384 => Some(&ECDSA_P384_SHA384_FIXED),
        SignatureAlgorithm::EdDSA => Some(&ED25519),
        _ => None,
    }
}

impl Verifier<Vec<u8>> for ParsedVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        self.key.verify_sig(message, signature).map_err(Error::from_source)
    }
}

impl JwtVerifier for ParsedVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
