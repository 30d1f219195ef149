//! A signed SSO token taken apart: compact JWS (RFC 7515 section 3.1), nothing verified yet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::MalformedToken;
use super::json;

/// Longest key id, in bytes.
pub(super) const KID_BYTES_MAX: usize = 512;

/// The parts of a token. Header members other than `alg` and `kid` have been judged and dropped;
/// `jwk`, `jku`, `x5u` and `x5c` are never followed: keys come from the configuration alone.
#[derive(Debug)]
pub(super) struct Jws<'a> {
    /// What was signed: header and payload, as sent.
    pub(super) signing_input: &'a str,
    pub(super) signature: Vec<u8>,
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    payload: Vec<u8>,
}

impl<'a> Jws<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, MalformedToken> {
        let (signing_input, signature) =
            token.rsplit_once('.').ok_or(MalformedToken::NotThreeParts)?;
        let (header, payload) =
            signing_input.split_once('.').ok_or(MalformedToken::NotThreeParts)?;
        if payload.contains('.') {
            return Err(MalformedToken::NotThreeParts);
        }
        let header = decode(header, "header")?;
        let header = json::object(&header).ok_or(MalformedToken::NotJson("header"))?;
        let payload = decode(payload, "payload")?;
        let signature = decode(signature, "signature")?;
        let (alg, kid) = judge(header)?;
        Ok(Self { signing_input, signature, alg, kid, payload })
    }

    /// The payload as claims, unverified.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, MalformedToken> {
        json::object(&self.payload).ok_or(MalformedToken::NotJson("payload"))
    }

    /// The payload as JSON text; read it only after [`Jws::claims`] found it in order.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// The engine wants no padding and refuses bits that are not used.
fn decode(part: &str, name: &'static str) -> Result<Vec<u8>, MalformedToken> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| MalformedToken::NotBase64url(name))
}

fn judge(mut header: Map<String, Value>) -> Result<(String, Option<String>), MalformedToken> {
    // RFC 7515 section 4.1.11: an extension we do not understand makes the token invalid,
    // and we understand none. `b64`, `zip` and `enc` would change what the payload means.
    for name in ["crit", "b64", "zip", "enc"] {
        if header.contains_key(name) {
            return Err(MalformedToken::Extension(name));
        }
    }
    // RFC 8725 section 3.11: an ID, logout or refresh token of the same issuer is none of ours.
    match header.get("typ") {
        None => {}
        Some(Value::String(typ)) if TYPES.iter().any(|known| typ.eq_ignore_ascii_case(known)) => {}
        Some(_) => return Err(MalformedToken::Type),
    }
    let Some(Value::String(alg)) = header.remove("alg") else {
        return Err(MalformedToken::Member("alg"));
    };
    let kid = match header.remove("kid") {
        None => None,
        Some(Value::String(kid)) if kid.len() <= KID_BYTES_MAX => Some(kid),
        Some(_) => return Err(MalformedToken::Member("kid")),
    };
    Ok((alg, kid))
}

/// A media type's `application/` may be left out (RFC 7515 section 4.1.9).
const TYPES: [&str; 4] = ["JWT", "at+jwt", "application/jwt", "application/at+jwt"];
