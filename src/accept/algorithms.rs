//! Names and sets of signature algorithms.

use jsonwebtoken::Algorithm;

use crate::config::SignatureAlgorithm;

/// Everything that can be verified here.
const ALL: [SignatureAlgorithm; 9] = [
    SignatureAlgorithm::RS256,
    SignatureAlgorithm::RS384,
    SignatureAlgorithm::RS512,
    SignatureAlgorithm::PS256,
    SignatureAlgorithm::PS384,
    SignatureAlgorithm::PS512,
    SignatureAlgorithm::ES256,
    SignatureAlgorithm::ES384,
    SignatureAlgorithm::EdDSA,
];

/// The algorithm an `alg` member names. `Ed25519` (RFC 9864) is the only `EdDSA` there is here.
pub(super) fn named(alg: &str) -> Option<SignatureAlgorithm> {
    if alg == "Ed25519" {
        return Some(SignatureAlgorithm::EdDSA);
    }
    ALL.into_iter().find(|algorithm| name(*algorithm) == alg)
}

/// Its registered name (RFC 7518 section 3.1; RFC 8037).
pub(super) fn name(algorithm: SignatureAlgorithm) -> &'static str {
    match algorithm {
        SignatureAlgorithm::RS256 => "RS256",
        SignatureAlgorithm::RS384 => "RS384",
        SignatureAlgorithm::RS512 => "RS512",
        SignatureAlgorithm::PS256 => "PS256",
        SignatureAlgorithm::PS384 => "PS384",
        SignatureAlgorithm::PS512 => "PS512",
        SignatureAlgorithm::ES256 => "ES256",
        SignatureAlgorithm::ES384 => "ES384",
        SignatureAlgorithm::EdDSA => "EdDSA",
    }
}

pub(super) fn names(algorithms: Algorithms) -> Vec<&'static str> {
    algorithms.iter().map(name).collect()
}

pub(super) fn to_jwt(algorithm: SignatureAlgorithm) -> Algorithm {
    match algorithm {
        SignatureAlgorithm::RS256 => Algorithm::RS256,
        SignatureAlgorithm::RS384 => Algorithm::RS384,
        SignatureAlgorithm::RS512 => Algorithm::RS512,
        SignatureAlgorithm::PS256 => Algorithm::PS256,
        SignatureAlgorithm::PS384 => Algorithm::PS384,
        SignatureAlgorithm::PS512 => Algorithm::PS512,
        SignatureAlgorithm::ES256 => Algorithm::ES256,
        SignatureAlgorithm::ES384 => Algorithm::ES384,
        SignatureAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}

/// A set of algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Algorithms(u16);

impl Algorithms {
    pub(super) const RSA: Self = Self(0b0_0011_1111);
    pub(super) const P256: Self = Self(1 << SignatureAlgorithm::ES256 as u16);
    pub(super) const P384: Self = Self(1 << SignatureAlgorithm::ES384 as u16);
    pub(super) const ED25519: Self = Self(1 << SignatureAlgorithm::EdDSA as u16);

    pub(super) fn contains(self, algorithm: SignatureAlgorithm) -> bool {
        self.0 & (1 << algorithm as u16) != 0
    }

    /// This one alone, if it is in the set.
    pub(super) fn only(self, algorithm: SignatureAlgorithm) -> Option<Self> {
        self.contains(algorithm).then_some(Self(1 << algorithm as u16))
    }

    pub(super) fn iter(self) -> impl Iterator<Item = SignatureAlgorithm> {
        ALL.into_iter().filter(move |algorithm| self.contains(*algorithm))
    }

    pub(super) fn bits(self) -> u16 {
        self.0
    }
}

impl FromIterator<SignatureAlgorithm> for Algorithms {
    fn from_iter<I: IntoIterator<Item = SignatureAlgorithm>>(algorithms: I) -> Self {
        Self(algorithms.into_iter().fold(0, |bits, algorithm| bits | 1 << algorithm as u16))
    }
}
