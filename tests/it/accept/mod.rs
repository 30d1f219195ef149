//! The promises of the room `accept`, against a key server on loopback and a clock that moves.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]
#![expect(clippy::string_slice, reason = "tokens and hex are ASCII")]

mod discovery;
mod explain;
mod fetching;
mod files;
mod hostile;
mod interop;
mod mint;
mod ordinary;
mod published;
mod rotation;
mod sso;
mod verified;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use koodrive_gateway::accept::{AcceptError, Accepted};
use koodrive_gateway::config::IssuerConfig;
use serde_json::{Value, json};

use self::mint::{ED25519, P256, P384, RSA, RSA_OTHER};
use self::sso::{AUDIENCE, Gate, ISSUER, Sso};

/// The contract's word for an error.
fn reason(error: &AcceptError) -> &'static str {
    match error {
        AcceptError::TokenMissing(_) => "token_missing",
        AcceptError::TokenMalformed(_) => "token_malformed",
        AcceptError::SignatureInvalid { .. } => "token_signature_invalid",
        AcceptError::Expired { .. } => "token_expired",
        AcceptError::NotYetValid { .. } => "token_not_yet_valid",
        AcceptError::IssuerUnknown { .. } => "token_issuer_unknown",
        AcceptError::AudienceMismatch { .. } => "token_audience_mismatch",
        AcceptError::AlgorithmRefused { .. } => "token_algorithm_refused",
        AcceptError::KeyUnknown { .. } => "token_key_unknown",
        AcceptError::ClaimRefused { .. } => "token_claim_refused",
        AcceptError::KeysUnavailable { .. } => "keys_unavailable",
    }
}

/// `accepted`, or the reason.
fn verdict(result: &Result<Accepted, AcceptError>) -> &'static str {
    result.as_ref().map_or_else(reason, |_| "accepted")
}

fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

impl Gate {
    async fn present(&self, token: &str) -> Result<Accepted, AcceptError> {
        self.acceptor.accept(&bearer(token), self.clock.now(), None).await
    }
}

/// Five keys: `rsa-1` for any RSA algorithm, `ps-1` for PS256 alone, `ec-1`, `ec-2`, `ed-1`.
fn published() -> Vec<Value> {
    let mut pinned = RSA_OTHER.jwk("ps-1");
    pinned["alg"] = json!("PS256");
    let (ec_1, ec_2) = (P256.jwk("ec-1"), P384.jwk("ec-2"));
    vec![RSA.jwk("rsa-1"), pinned, ec_1, ec_2, ED25519.jwk("ed-1")]
}

/// A gate with those keys, and with issuer rules of one's own.
async fn gate_with(edit: impl FnOnce(&mut IssuerConfig)) -> (Sso, Gate) {
    let sso = Sso::publishing(&published()).await;
    let mut issuer = sso.issuer();
    edit(&mut issuer);
    let gate = Gate::ready(issuer).await;
    (sso, gate)
}

fn unix(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// What a sound token says; valid for five minutes.
fn sound_claims(now: SystemTime) -> Value {
    let now = unix(now);
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now - 1, "exp": now + 300,
        "groups": ["koodrive-users", "staff"],
    })
}

fn header(alg: &str, kid: &str) -> Value {
    json!({"alg": alg, "kid": kid, "typ": "JWT"})
}

/// A sound token of key `rsa-1`.
fn sound_token(now: SystemTime) -> String {
    RSA.token(&header("RS256", "rsa-1"), &sound_claims(now))
}

/// Merges members into an object; `null` removes one.
fn merged(mut object: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        let members = object.as_object_mut().unwrap();
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    object
}

const HOUR: Duration = Duration::from_hours(1);
