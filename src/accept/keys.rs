//! Key sets (RFC 7517): which of the published keys can verify, and which one a token means.
//!
//! Each key is judged alone, so that one bad key never spoils the set, and read with the tolerance
//! that published sets need: members that are null or an empty list are absent, base64 may be
//! padded, several keys may share an id.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::JwtVerifier as _;
use jsonwebtoken::signature::Verifier as _;
use serde_json::{Map, Value};

use super::algorithms::Algorithms;
use super::error::Shown;
use super::token::KID_BYTES_MAX;
use super::verifier::{Material, ParsedVerifier};
use super::{algorithms, json, weak_rsa};
use crate::config::{KeySetDocument, SignatureAlgorithm};
use crate::digest;
use crate::words::words;

/// What makes a key this key: its id, its algorithms, its material.
pub(super) type Fingerprint = [u8; 16];

/// One key that can verify signatures.
pub(super) struct VerifyKey {
    kid: Option<Box<str>>,
    /// By `alg` if the key says it, else by its type and curve.
    algorithms: Algorithms,
    pub(super) fingerprint: Fingerprint,
    /// The public half alone.
    material: Fingerprint,
    /// One for each of its algorithms.
    verifiers: Box<[ParsedVerifier]>,
}

impl VerifyKey {
    /// Whether `signature` is this key's over `message`.
    pub(super) fn verifies(
        &self,
        algorithm: SignatureAlgorithm,
        message: &str,
        signature: &Vec<u8>,
    ) -> bool {
        let algorithm = algorithms::to_jwt(algorithm);
        let mut verifiers = self.verifiers.iter();
        verifiers
            .find(|verifier| verifier.algorithm() == algorithm)
            .is_some_and(|verifier| verifier.verify(message.as_bytes(), signature).is_ok())
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

words! {
    /// Why a published key is not used.
    pub enum SkipReason {
        /// Not a JSON object of the form RFC 7517 wants.
        Malformed = "malformed",
        /// `kty` is `oct`: whoever can verify could sign.
        Symmetric = "symmetric",
        /// `use` is not `sig`, or `key_ops` lacks `verify`.
        NotForSignatures = "not_for_signatures",
        /// The private half is published with it.
        Private = "private",
        /// `kty` or `crv` is none that can be verified here.
        UnsupportedType = "unsupported_type",
        /// `alg` is none that can be verified here with such a key.
        UnsupportedAlgorithm = "unsupported_algorithm",
        /// RSA below 2048 or above 8192 bits, an exponent of 1, or a modulus that can be factored.
        WeakOrOversized = "weak_or_oversized",
        /// Not a point of the curve, not a number of that form.
        BadMaterial = "bad_material",
        /// The very same key stands further up.
        Repeated = "repeated",
        /// The set is longer than is read.
        TooMany = "too_many",
    }
}

/// Most keys of a set that are looked at: each costs some arithmetic.
const KEYS_MAX: usize = 512;

/// Most skipped keys that are named; the others are only counted.
const NAMED_MAX: usize = 16;

/// The published keys that are not used: how many for each reason, and the first by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Never zero.
    pub counts: BTreeMap<SkipReason, usize>,
    /// The first of them, by `kid`, or by place in the set where there is none.
    pub named: Vec<(Shown, SkipReason)>,
}

impl Skipped {
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub fn count(&self) -> usize {
        self.counts.values().sum()
    }

    fn add(&mut self, place: usize, kid: Option<&str>, reason: SkipReason) {
        *self.counts.entry(reason).or_default() += 1;
        if self.named.len() < NAMED_MAX {
            let place = || Shown::plain(&format!("key {} of the set", place + 1));
            self.named.push((kid.map_or_else(place, Shown::new), reason));
        }
    }
}

/// `"k1" (weak_or_oversized), key 3 of the set (malformed), 2 more`.
impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (key, reason)) in self.named.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{key} ({})", reason.as_str())?;
        }
        let separator = if self.named.is_empty() { "" } else { ", " };
        match self.count().saturating_sub(self.named.len()) {
            0 => Ok(()),
            more => write!(f, "{separator}{more} more"),
        }
    }
}

/// The usable keys of one answer.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<Arc<VerifyKey>>,
}

/// The keys that a token may have been signed with; at least one, at most [`CANDIDATES_MAX`].
pub(super) type Candidates = Vec<Arc<VerifyKey>>;

/// Each costs a verification.
const CANDIDATES_MAX: usize = 4;

/// Which key a token means.
#[derive(Debug)]
pub(super) enum Pick {
    Found(Candidates),
    /// The key is there, but not for this algorithm.
    WrongAlgorithm,
    Unknown,
}

impl KeySet {
    /// Reads a key set; unusable keys are left out and named.
    pub(super) fn read(document: &KeySetDocument) -> (Self, Skipped) {
        let mut skipped = Skipped::default();
        let mut keys: Vec<Arc<VerifyKey>> = Vec::new();
        for (place, raw) in document.keys.iter().enumerate() {
            if KEYS_MAX <= place {
                skipped.add(place, None, SkipReason::TooMany);
                continue;
            }
            let Some(jwk) = json::object(raw.get().as_bytes()) else {
                skipped.add(place, None, SkipReason::Malformed);
                continue;
            };
            let kid = text_of(&jwk, "kid").ok().flatten();
            match read_key(&jwk) {
                Ok(key) if keys.iter().any(|known| known.fingerprint == key.fingerprint) => {
                    skipped.add(place, kid, SkipReason::Repeated);
                }
                Ok(key) => keys.push(Arc::new(key)),
                Err(reason) => skipped.add(place, kid, reason),
            }
        }
        (Self { keys }, skipped)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The kids; a key without one has none to go by.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let kid = |key: &Arc<VerifyKey>| key.kid.as_deref().unwrap_or("(none)").to_owned();
        self.keys.iter().map(kid).collect()
    }

    /// The usable keys: name and the algorithms of each.
    pub(super) fn describe(&self) -> Vec<UsableKey> {
        let describe = |key: &Arc<VerifyKey>| UsableKey {
            kid: Shown::kid(key.kid.as_deref()),
            algorithms: algorithms::names(key.algorithms),
        };
        self.keys.iter().map(describe).collect()
    }

    /// The keys a token's header can mean: those of its `kid` that fit its algorithm (RFC 7517
    /// section 4.5 lets several share one); without `kid` the only one that fits.
    pub(super) fn pick(&self, kid: Option<&str>, algorithm: SignatureAlgorithm) -> Pick {
        let mut is_known = false;
        let mut found = Candidates::new();
        for key in self.keys.iter().filter(|key| kid.is_none() || key.kid.as_deref() == kid) {
            is_known = true;
            let fits = key.algorithms.contains(algorithm);
            // Published with `alg` and without: one verification will do.
            if fits && !found.iter().any(|other| other.material == key.material) {
                found.push(Arc::clone(key));
            }
        }
        match (kid, found.len()) {
            (Some(_), 0) if is_known => Pick::WrongAlgorithm,
            (_, 0) | (None, 2..) => Pick::Unknown,
            _ => {
                found.truncate(CANDIDATES_MAX);
                Pick::Found(found)
            }
        }
    }

    pub(super) fn holds(&self, fingerprint: &Fingerprint) -> bool {
        self.keys.iter().any(|key| key.fingerprint == *fingerprint)
    }
}

/// A key that can verify, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsableKey {
    pub kid: Shown,
    pub algorithms: Vec<&'static str>,
}

type Jwk = Map<String, Value>;

fn read_key(jwk: &Jwk) -> Result<VerifyKey, SkipReason> {
    let kty = text_of(jwk, "kty")?.ok_or(SkipReason::Malformed)?;
    let kid = text_of(jwk, "kid")?;
    if kid.is_some_and(|kid| KID_BYTES_MAX < kid.len()) {
        return Err(SkipReason::Malformed);
    }
    if kty == "oct" {
        return Err(SkipReason::Symmetric);
    }
    if !is_for_signatures(jwk)? {
        return Err(SkipReason::NotForSignatures);
    }
    if member(jwk, "d").is_some() {
        return Err(SkipReason::Private);
    }
    let (algorithms, material) = match (kty, text_of(jwk, "crv")?) {
        ("RSA", _) => (Algorithms::RSA, rsa(jwk)?),
        ("EC", Some("P-256")) => (Algorithms::P256, ec(jwk, 32)?),
        ("EC", Some("P-384")) => (Algorithms::P384, ec(jwk, 48)?),
        ("OKP", Some("Ed25519")) => (Algorithms::ED25519, Material::Point(bytes(jwk, "x")?)),
        _ => return Err(SkipReason::UnsupportedType),
    };
    let algorithms = match text_of(jwk, "alg")? {
        None => algorithms,
        Some(alg) => algorithms::named(alg)
            .and_then(|algorithm| algorithms.only(algorithm))
            .ok_or(SkipReason::UnsupportedAlgorithm)?,
    };
    let verifiers: Option<_> =
        algorithms.iter().map(|algorithm| material.verifier(algorithm)).collect();
    let verifiers = verifiers.ok_or(SkipReason::BadMaterial)?;
    let id = kid.unwrap_or_default();
    let bits = algorithms.bits().to_be_bytes();
    let material = digest::half_of(material.parts());
    let fingerprint = digest::half_of([id.as_bytes(), &bits, &material]);
    Ok(VerifyKey { kid: kid.map(Box::from), algorithms, fingerprint, material, verifiers })
}

fn is_for_signatures(jwk: &Jwk) -> Result<bool, SkipReason> {
    let use_fits = text_of(jwk, "use")?.is_none_or(|purpose| purpose == "sig");
    let operations_fit = match member(jwk, "key_ops") {
        None => true,
        Some(Value::Array(operations)) => operations.iter().any(|operation| operation == "verify"),
        Some(_) => return Err(SkipReason::Malformed),
    };
    Ok(use_fits && operations_fit)
}

fn rsa(jwk: &Jwk) -> Result<Material, SkipReason> {
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
    Ok(Material::Rsa { n, e })
}

fn ec(jwk: &Jwk, coordinate_bytes: usize) -> Result<Material, SkipReason> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != coordinate_bytes || y.len() != coordinate_bytes {
        return Err(SkipReason::BadMaterial);
    }
    Ok(Material::Point([&[4], x.as_slice(), y.as_slice()].concat()))
}

fn bytes(jwk: &Jwk, name: &str) -> Result<Vec<u8>, SkipReason> {
    let text = text_of(jwk, name)?.ok_or(SkipReason::Malformed)?;
    // RFC 7515 section 2 has no padding; some publish it all the same.
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| SkipReason::Malformed)
}

/// Some products publish every member they know, as null or an empty list where there is none.
fn member<'a>(jwk: &'a Jwk, name: &str) -> Option<&'a Value> {
    jwk.get(name).filter(|value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        _ => true,
    })
}

fn text_of<'a>(jwk: &'a Jwk, name: &str) -> Result<Option<&'a str>, SkipReason> {
    match member(jwk, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(SkipReason::Malformed),
    }
}
