//! Tokens that were verified before.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use koodrive_gateway::accept::Acceptor;
use koodrive_gateway::config::AcceptConfig;
use serde_json::json;

use super::mint::{P256, RSA, p256};
use super::sso::{Gate, identities};
use super::{
    HOUR, bearer, gate_with, header, merged, published, sound_claims, sound_token, unix, verdict,
};

#[tokio::test]
async fn a_token_is_verified_once() {
    let (_sso, gate) = gate_with(|_| {}).await;
    let token = sound_token(gate.clock.now());
    let first = gate.present(&token).await.unwrap();
    let second = gate.present(&token).await.unwrap();
    assert_eq!((first.cached, second.cached), (false, true));
    assert!(Arc::ptr_eq(&first.identity, &second.identity));
    assert!(Arc::ptr_eq(&first.sso_token, &second.sso_token));
}

#[tokio::test]
async fn only_this_very_token_is_remembered() {
    let (_sso, gate) = gate_with(|_| {}).await;
    let token = sound_token(gate.clock.now());
    assert_eq!(verdict(&gate.present(&token).await), "accepted");
    let (input, _) = token.rsplit_once('.').unwrap();
    let result = gate.present(&format!("{input}.AAAA")).await;
    assert_eq!(verdict(&result), "token_signature_invalid");
}

#[tokio::test]
async fn remembering_ends_with_exp_and_leaves_the_leeway_to_the_rules() {
    let (_sso, gate) = gate_with(|_| {}).await;
    let token = sound_token(gate.clock.now());
    let start = gate.clock.now();
    gate.present(&token).await.unwrap();
    for (after, expected) in [(298, Some(true)), (310, Some(false)), (331, None)] {
        let now = start + Duration::from_secs(after);
        let result = gate.acceptor.accept(&bearer(&token), now, None).await;
        let cached = result.as_ref().ok().map(|accepted| accepted.cached);
        assert_eq!(cached, expected, "after {after} s: {result:?}");
    }
}

#[tokio::test]
async fn a_fetch_that_brings_the_same_keys_forgets_nothing() {
    let (_sso, gate) = gate_with(|_| {}).await;
    let claims =
        merged(sound_claims(gate.clock.now()), &json!({"exp": unix(gate.clock.now()) + 7200}));
    let token = RSA.token(&header("RS256", "rsa-1"), &claims);
    gate.present(&token).await.unwrap();
    gate.clock.advance(Duration::from_mins(11));
    assert!(gate.present(&token).await.unwrap().cached);
    gate.fetched(2).await;
    assert!(gate.present(&token).await.unwrap().cached);
}

#[tokio::test]
async fn a_key_that_goes_takes_its_tokens_along_and_no_others() {
    let (sso, gate) = gate_with(|_| {}).await;
    let claims =
        merged(sound_claims(gate.clock.now()), &json!({"exp": unix(gate.clock.now()) + 7200}));
    let gone = P256.token(&header("ES256", "ec-1"), &claims);
    let stays = RSA.token(&header("RS256", "rsa-1"), &claims);
    for token in [&gone, &stays] {
        gate.present(token).await.unwrap();
        assert!(gate.present(token).await.unwrap().cached);
    }
    // The id stays, the key behind it changes.
    let mut keys = published();
    keys[2] = p256().jwk("ec-1");
    sso.publish(&keys);
    gate.clock.advance(Duration::from_mins(11));
    gate.present(&stays).await.unwrap();
    gate.fetched(2).await;
    let result = gate.present(&gone).await;
    assert_eq!(verdict(&result), "token_signature_invalid", "{result:?}");
    assert!(gate.present(&stays).await.unwrap().cached);
}

#[tokio::test]
async fn stale_keys_vouch_for_no_remembered_token_either() {
    let (sso, gate) = gate_with(|issuer| {
        issuer.jwks_max_stale = HOUR;
        issuer.max_lifetime = 24 * HOUR;
    })
    .await;
    let claims =
        merged(sound_claims(gate.clock.now()), &json!({"exp": unix(gate.clock.now()) + 7200}));
    let token = RSA.token(&header("RS256", "rsa-1"), &claims);
    gate.present(&token).await.unwrap();
    sso.set_down(true);
    gate.clock.advance(HOUR + Duration::from_secs(1));
    assert_eq!(verdict(&gate.present(&token).await), "keys_unavailable");
}

#[tokio::test]
async fn changed_rules_judge_remembered_tokens_anew() {
    let (sso, gate) = gate_with(|_| {}).await;
    let token = sound_token(gate.clock.now());
    gate.present(&token).await.unwrap();
    let under = |issuer| {
        let config = AcceptConfig { issuers: vec![issuer], ..AcceptConfig::default() };
        gate.stores.apply(&config);
        Acceptor::new(&config, &gate.stores, &gate.verified, identities())
    };
    let mut issuer = sso.issuer();
    issuer.audiences = vec!["another".to_owned()];
    let result = under(issuer).accept(&bearer(&token), gate.clock.now(), None).await;
    assert_eq!(verdict(&result), "token_audience_mismatch");
    // Back under the old rules the old verdict holds.
    let result = under(sso.issuer()).accept(&bearer(&token), gate.clock.now(), None).await;
    assert!(result.unwrap().cached);
}

#[tokio::test]
async fn refusals_are_never_remembered() {
    let (sso, gate) = gate_with(|_| {}).await;
    let new = p256();
    let token = new.token(&header("ES256", "new"), &sound_claims(gate.clock.now()));
    assert_eq!(verdict(&gate.present(&token).await), "token_key_unknown");
    sso.publish(&[new.jwk("new")]);
    gate.clock.advance(Duration::from_secs(11));
    assert_eq!(verdict(&gate.present(&token).await), "accepted");
    assert!(gate.present(&token).await.unwrap().cached);
}

#[tokio::test]
async fn a_gate_without_its_issuer_forgets_its_tokens() {
    let (sso, gate) = gate_with(|_| {}).await;
    let token = sound_token(gate.clock.now());
    gate.present(&token).await.unwrap();
    let mut other = sso.issuer();
    other.issuer = "https://other.example.com".to_owned().into();
    let config = AcceptConfig { issuers: vec![other], ..AcceptConfig::default() };
    gate.stores.apply(&config);
    let acceptor = Acceptor::new(&config, &gate.stores, &gate.verified, identities());
    let result = acceptor.accept(&bearer(&token), gate.clock.now(), None).await;
    assert_eq!(verdict(&result), "token_issuer_unknown");
    let Gate { stores, .. } = gate;
    assert_eq!(&*stores.missing()[0], "https://other.example.com");
}

#[tokio::test]
async fn a_bound_token_is_refused_unless_that_is_allowed_and_then_held_to_the_callers_certificate()
{
    let digest = [7; 32];
    let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(digest);
    for (allowed, cnf, presented, expected) in [
        (false, json!({ "x5t#S256": thumbprint }), Some(digest), "token_claim_refused"),
        (false, json!({ "jkt": "x" }), None, "token_claim_refused"),
        (true, json!({ "x5t#S256": thumbprint }), Some(digest), "accepted"),
        (true, json!({ "x5t#S256": thumbprint }), Some([8; 32]), "token_claim_refused"),
        // Where callers present no certificates there is nothing to compare.
        (true, json!({ "x5t#S256": thumbprint }), None, "accepted"),
        (true, json!({ "jkt": "x" }), Some(digest), "accepted"),
        (true, json!({ "x5t#S256": "short" }), Some(digest), "token_claim_refused"),
        (true, json!("x"), Some(digest), "token_claim_refused"),
    ] {
        let (_sso, gate) = gate_with(|issuer| issuer.accept_bound_tokens = allowed).await;
        let now = gate.clock.now();
        let claims = merged(sound_claims(now), &json!({ "cnf": cnf }));
        let headers = bearer(&RSA.token(&header("RS256", "rsa-1"), &claims));
        // Twice: the second time the verdict is a kept one.
        for _ in 0..2 {
            let result = gate.acceptor.accept(&headers, now, presented.as_ref()).await;
            assert_eq!(verdict(&result), expected, "{allowed} {cnf} {presented:?}");
        }
    }
}
