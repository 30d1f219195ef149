//! Tokens minted by JOSE libraries that are not ours: `tests/interop/jose_tokens.{py,mjs}`.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use super::sso::{Answer, Gate, Sso};
use super::{bearer, verdict};

async fn check(fixture: &str, accepted_least: usize) {
    let fixture: Value = serde_json::from_str(fixture).unwrap();
    let sso = Sso::start().await;
    sso.answer("/jwks", Answer::json(&fixture["jwks"]));
    let gate = Gate::ready(sso.issuer()).await;
    let now = UNIX_EPOCH + Duration::from_secs(fixture["now"].as_u64().unwrap());
    let mut algorithms = BTreeSet::new();
    for row in fixture["tokens"].as_array().unwrap() {
        let headers = bearer(row["token"].as_str().unwrap());
        let result = gate.acceptor.accept(&headers, now, None).await;
        let (library, name) = (&fixture["library"], &row["name"]);
        assert_eq!(verdict(&result), row["verdict"], "{library}, {name}: {result:?}");
        if result.is_ok() {
            algorithms.insert(name.as_str().unwrap());
        }
    }
    assert!(accepted_least <= algorithms.len(), "{algorithms:?}");
}

#[tokio::test]
async fn tokens_of_joserfc_are_judged_rightly() {
    check(include_str!("../../fixtures/jose/joserfc.json"), 14).await;
}

#[tokio::test]
async fn tokens_of_jose_are_judged_rightly() {
    check(include_str!("../../fixtures/jose/jose.json"), 12).await;
}
