//! Key sets (RFC 7517): which of the published keys can verify, and which one a token means.
//!
//! Each key is judged alone, so that one bad key never spoils the set.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::algorithms::Algorithms;
use super::token::KID_BYTES_MAX;
use super::{algorithms, json, weak_rsa};
use crate::config::SignatureAlgorithm;
use crate::digest;

/// What makes a key this key: its id, its algorithms, its material.
pub(super) type Fingerprint = [u8; 16];

/// One key that can verify signatures.
pub(super) struct VerifyKey {
    kid: Option<Box<str>>,
    /// By `alg` if the key says it, else by its type and curve.
    algorithms: Algorithms,
    pub(super) fingerprint: Fingerprint,
    key: DecodingKey,
}

impl VerifyKey {
    /// Whether `signature` (base64url) is this key's over `message`.
    pub(super) fn verifies(
        &self,
        algorithm: SignatureAlgorithm,
        message: &str,
        signature: &str,
    ) -> bool {
        let algorithm = algorithms::to_jwt(algorithm);
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, algorithm)
            .unwrap_or(false)
    }
}

impl fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyKey")
            .field("kid", &self.kid)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

/// Why a published key is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// Not a JSON object of the form RFC 7517 wants.
    Malformed,
    /// `kty` is `oct`: whoever can verify could sign.
    Symmetric,
    /// `use` is not `sig`, or `key_ops` lacks `verify`.
    NotForSignatures,
    /// The private half is published with it.
    Private,
    /// `kty` or `crv` is none that can be verified here.
    UnsupportedType,
    /// `alg` is none that can be verified here with such a key.
    UnsupportedAlgorithm,
    /// RSA below 2048 or above 8192 bits, an exponent of 1, or a modulus that can be factored.
    WeakOrOversized,
    /// Not a point of the curve, not a number of that form.
    BadMaterial,
    /// Several different keys share this `kid`.
    DuplicateKid,
}

/// How many keys were skipped, by reason.
pub type Skipped = BTreeMap<SkipReason, usize>;

/// The usable keys of one answer.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<Arc<VerifyKey>>,
}

/// Which key a token means.
#[derive(Debug)]
pub(super) enum Pick {
    Found(Arc<VerifyKey>),
    /// The key is there, but not for this algorithm.
    WrongAlgorithm,
    Unknown,
}

/// The text is not `{"keys": […]}`.
#[derive(Debug, thiserror::Error)]
#[error("not a key set")]
pub(super) struct NotAKeySet;

impl KeySet {
    /// Reads a key set; unusable keys are left out and counted.
    pub(super) fn parse(text: &[u8]) -> Result<(Self, Skipped), NotAKeySet> {
        let document: Document<'_> = serde_json::from_slice(text).map_err(|_| NotAKeySet)?;
        let mut skipped = Skipped::new();
        let mut keys: Vec<Arc<VerifyKey>> = Vec::new();
        for raw in document.keys {
            let read = json::object(raw.get().as_bytes()).ok_or(SkipReason::Malformed);
            match read.and_then(|jwk| read_key(&jwk)) {
                Ok(key) if keys.iter().any(|known| known.fingerprint == key.fingerprint) => {
                    *skipped.entry(SkipReason::DuplicateKid).or_default() += 1;
                }
                Ok(key) => keys.push(Arc::new(key)),
                Err(reason) => *skipped.entry(reason).or_default() += 1,
            }
        }
        // Different keys under one id: which is meant cannot be known, so none is used.
        let all = keys.clone();
        keys.retain(|key| {
            key.kid.is_none() || all.iter().filter(|other| other.kid == key.kid).count() == 1
        });
        if keys.len() < all.len() {
            *skipped.entry(SkipReason::DuplicateKid).or_default() += all.len() - keys.len();
        }
        Ok((Self { keys }, skipped))
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key a token's header means; without `kid` the only one that fits, if it is the only.
    pub(super) fn pick(&self, kid: Option<&str>, algorithm: SignatureAlgorithm) -> Pick {
        let fits = |key: &&Arc<VerifyKey>| key.algorithms.contains(algorithm);
        if kid.is_some() {
            return match self.keys.iter().find(|key| key.kid.as_deref() == kid) {
                Some(key) if fits(&key) => Pick::Found(Arc::clone(key)),
                Some(_) => Pick::WrongAlgorithm,
                None => Pick::Unknown,
            };
        }
        let mut fitting = self.keys.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Pick::Found(Arc::clone(key)),
            _ => Pick::Unknown,
        }
    }

    pub(super) fn holds(&self, fingerprint: &Fingerprint) -> bool {
        self.keys.iter().any(|key| key.fingerprint == *fingerprint)
    }
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

type Jwk = Map<String, Value>;

fn read_key(jwk: &Jwk) -> Result<VerifyKey, SkipReason> {
    let kty = text(jwk, "kty")?.ok_or(SkipReason::Malformed)?;
    let kid = text(jwk, "kid")?;
    if kid.is_some_and(|kid| KID_BYTES_MAX < kid.len()) {
        return Err(SkipReason::Malformed);
    }
    if kty == "oct" {
        return Err(SkipReason::Symmetric);
    }
    if !is_for_signatures(jwk)? {
        return Err(SkipReason::NotForSignatures);
    }
    if jwk.contains_key("d") {
        return Err(SkipReason::Private);
    }
    let (algorithms, material, key) = match (kty, text(jwk, "crv")?) {
        ("RSA", _) => rsa(jwk)?,
        ("EC", Some("P-256")) => ec(jwk, Algorithms::P256, 32, &ECDSA_P256_SHA256_FIXED)?,
        ("EC", Some("P-384")) => ec(jwk, Algorithms::P384, 48, &ECDSA_P384_SHA384_FIXED)?,
        ("OKP", Some("Ed25519")) => ed25519(jwk)?,
        _ => return Err(SkipReason::UnsupportedType),
    };
    let algorithms = match text(jwk, "alg")? {
        None => algorithms,
        Some(alg) => algorithms::named(alg)
            .and_then(|algorithm| algorithms.only(algorithm))
            .ok_or(SkipReason::UnsupportedAlgorithm)?,
    };
    let id = kid.unwrap_or_default();
    let bits = algorithms.bits().to_be_bytes();
    let fingerprint = digest::half_of([id.as_bytes(), &bits, &material]);
    Ok(VerifyKey { kid: kid.map(Box::from), algorithms, fingerprint, key })
}

fn is_for_signatures(jwk: &Jwk) -> Result<bool, SkipReason> {
    let use_fits = text(jwk, "use")?.is_none_or(|purpose| purpose == "sig");
    let operations_fit = match jwk.get("key_ops") {
        None => true,
        Some(Value::Array(operations)) => operations.iter().any(|operation| operation == "verify"),
        Some(_) => return Err(SkipReason::Malformed),
    };
    Ok(use_fits && operations_fit)
}

type Read = (Algorithms, Vec<u8>, DecodingKey);

fn rsa(jwk: &Jwk) -> Result<Read, SkipReason> {
    let mut n = bytes(jwk, "n")?;
    let e = bytes(jwk, "e")?;
    // Some publish a leading zero octet although RFC 7518 section 6.3.1.1 forbids it.
    let zeros = n.iter().take_while(|byte| **byte == 0).count();
    n.drain(..zeros);
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    let exponent_is_one = e.iter().rev().skip(1).all(|byte| *byte == 0) && e.last() == Some(&1);
    // Not looked at by the library until a signature is verified, and then only in part.
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
    if !(2048..=8192).contains(&bits) || exponent_is_one || weak_rsa::is_roca(&n) {
        return Err(SkipReason::WeakOrOversized);
    }
    if !odd(&n) || !odd(&e) {
        return Err(SkipReason::BadMaterial);
    }
    RsaPublicKeyComponents { n: &n, e: &e }
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .map_err(|_| SkipReason::BadMaterial)?;
    let key = DecodingKey::from_rsa_raw_components(&n, &e);
    let mut material = n;
    material.extend(e);
    Ok((Algorithms::RSA, material, key))
}

fn ec(
    jwk: &Jwk,
    algorithms: Algorithms,
    coordinate_bytes: usize,
    verification: &'static dyn VerificationAlgorithm,
) -> Result<Read, SkipReason> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != coordinate_bytes || y.len() != coordinate_bytes {
        return Err(SkipReason::BadMaterial);
    }
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    ParsedPublicKey::new(verification, &point).map_err(|_| SkipReason::BadMaterial)?;
    let key = DecodingKey::from_ec_der(&point);
    Ok((algorithms, point, key))
}

fn ed25519(jwk: &Jwk) -> Result<Read, SkipReason> {
    let x = bytes(jwk, "x")?;
    ParsedPublicKey::new(&ED25519, &x).map_err(|_| SkipReason::BadMaterial)?;
    let key = DecodingKey::from_ed_der(&x);
    Ok((Algorithms::ED25519, x, key))
}

fn bytes(jwk: &Jwk, name: &str) -> Result<Vec<u8>, SkipReason> {
    let text = text(jwk, name)?.ok_or(SkipReason::Malformed)?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| SkipReason::Malformed)
}

fn text<'a>(jwk: &'a Jwk, name: &str) -> Result<Option<&'a str>, SkipReason> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(SkipReason::Malformed),
    }
}
