//! SSO tokens: good ones, and ones with exactly one thing wrong.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::support::canary::Canaries;
use crate::support::sso::keys::{SigningKey, decode, encode};

/// A token about to be signed. Starts as one every gateway should accept.
#[derive(Clone)]
pub struct Mint {
    pub header: Map<String, Value>,
    pub claims: Map<String, Value>,
    key: Arc<SigningKey>,
    now: i64,
    canaries: Canaries,
}

impl Mint {
    pub(super) fn new(
        key: Arc<SigningKey>,
        claims: Map<String, Value>,
        now: i64,
        canaries: &Canaries,
    ) -> Self {
        Self { header: header_for(&key), claims, key, now, canaries: canaries.clone() }
    }

    /// Sets a claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    #[must_use]
    pub fn without_claim(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets a header parameter.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// `exp`, in seconds from now; negative: expired.
    #[must_use]
    pub fn expires_in(self, seconds: i64) -> Self {
        let at = self.now + seconds;
        self.claim("exp", at)
    }

    /// `iat`, in seconds before now.
    #[must_use]
    pub fn issued_ago(self, seconds: i64) -> Self {
        let at = self.now - seconds;
        self.claim("iat", at)
    }

    /// `nbf`, in seconds from now.
    #[must_use]
    pub fn not_before_in(self, seconds: i64) -> Self {
        let at = self.now + seconds;
        self.claim("nbf", at)
    }

    /// Another key, its key id and its usual algorithm.
    #[must_use]
    pub fn key(mut self, key: &Arc<SigningKey>) -> Self {
        for (name, value) in header_for(key) {
            self.header.insert(name, value);
        }
        self.key = key.clone();
        self
    }

    /// Another algorithm of the same key, such as PS256.
    #[must_use]
    pub fn algorithm(self, algorithm: &str) -> Self {
        self.header("alg", algorithm)
    }

    /// The compact serialisation (RFC 7515 section 7.1), signed as its header says.
    pub fn sign(&self) -> String {
        let algorithm = self.header.get("alg").and_then(Value::as_str).expect("`alg` is there");
        self.signed_as(algorithm)
    }

    /// Signed with an algorithm other than the header's `alg`.
    pub fn signed_as(&self, algorithm: &str) -> String {
        self.signed_over(&Value::Object(self.claims.clone()).to_string(), algorithm)
    }

    /// With a payload that need not be JSON.
    pub fn signed_over(&self, payload: &str, algorithm: &str) -> String {
        let header = Value::Object(self.header.clone()).to_string();
        let input = format!("{}.{}", encode(header), encode(payload));
        let signature = self.key.sign(algorithm, input.as_bytes());
        self.noted(format!("{input}.{}", encode(signature)))
    }

    /// `alg` none, without a signature.
    pub fn unsigned(&self) -> String {
        let mut header = self.header.clone();
        header.insert("alg".to_owned(), json!("none"));
        let claims = Value::Object(self.claims.clone()).to_string();
        self.noted(format!("{}.{}.", encode(Value::Object(header).to_string()), encode(claims)))
    }

    fn noted(&self, token: String) -> String {
        self.canaries.note_token("an SSO token", &token);
        token
    }
}

/// The same token with another claim and the old signature.
///
/// # Panics
/// When `token` is not a token.
pub fn forged(token: &str, claim: &str, value: impl Into<Value>) -> String {
    let parts: Vec<_> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("a token has three parts") };
    let payload = decode(payload).expect("base64url");
    let mut claims: Map<String, Value> = serde_json::from_slice(&payload).expect("claims");
    claims.insert(claim.to_owned(), value.into());
    format!("{header}.{}.{signature}", encode(Value::Object(claims).to_string()))
}

fn header_for(key: &SigningKey) -> Map<String, Value> {
    let header = json!({ "alg": key.algorithm(), "typ": "JWT", "kid": key.kid() });
    let Value::Object(header) = header else { unreachable!("the literal above is an object") };
    header
}
