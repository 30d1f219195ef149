//! Where keys come from, what is believed, and what is told of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use koodrive_gateway::accept::{AcceptError, KeyFetchCause, KeyFetchOutcome, SkipReason};
use koodrive_gateway::config::{AcceptConfig, IssuerConfig};
use serde_json::{Value, json};

use super::mint::{ED25519, P256, P384, RSA, RSA_OTHER, SigningKey, base64, p256};
use super::sso::{Answer, Gate, ISSUER, Sso};
use super::{gate_with, header, merged, published, sound_claims, sound_token, verdict};

const DISCOVERY: &str = "/realms/tools/.well-known/openid-configuration";

/// An issuer found by discovery at this SSO.
fn discovered(sso: &Sso, slash: &str) -> IssuerConfig {
    let issuer = format!("{}{slash}", sso.url("/realms/tools"));
    IssuerConfig { issuer: issuer.into(), jwks_url: None, ..sso.issuer() }
}

#[tokio::test]
async fn discovery_finds_the_keys() {
    for slash in ["", "/"] {
        let sso = Sso::publishing(&published()).await;
        let issuer = discovered(&sso, slash);
        let document =
            json!({"issuer": issuer.issuer.as_str(), "jwks_uri": sso.url("/jwks"), "x": [1]});
        sso.answer(DISCOVERY, Answer::json(&document));
        let gate = Gate::ready(issuer.clone()).await;
        let claims =
            merged(sound_claims(gate.clock.now()), &json!({"iss": issuer.issuer.as_str()}));
        let token = RSA.token(&header("RS256", "rsa-1"), &claims);
        assert_eq!(verdict(&gate.present(&token).await), "accepted", "{slash:?}");
        // Somebody waits for a new key: the address is known, only the keys are asked for.
        let new = p256();
        sso.publish(&[new.jwk("new")]);
        let token = new.token(&header("ES256", "new"), &claims);
        assert_eq!(verdict(&gate.present(&token).await), "accepted");
        assert_eq!((sso.count(DISCOVERY), sso.count("/jwks")), (1, 2));
    }
}

#[tokio::test]
async fn discovery_that_is_not_the_issuers_is_not_believed() {
    let sso = Sso::publishing(&published()).await;
    let issuer = discovered(&sso, "").issuer.to_string();
    let keys = sso.url("/jwks");
    let rows = [
        (json!({"issuer": format!("{issuer}/"), "jwks_uri": keys}), KeyFetchOutcome::Discovery),
        (
            json!({"issuer": "https://evil.example.com", "jwks_uri": keys}),
            KeyFetchOutcome::Discovery,
        ),
        (json!({"issuer": [issuer], "jwks_uri": keys}), KeyFetchOutcome::Discovery),
        (json!({"jwks_uri": keys}), KeyFetchOutcome::Discovery),
        (json!({"issuer": issuer}), KeyFetchOutcome::Discovery),
        (json!({"issuer": issuer, "jwks_uri": "/jwks"}), KeyFetchOutcome::Discovery),
        (json!({"issuer": issuer, "jwks_uri": "file:///etc/passwd"}), KeyFetchOutcome::Discovery),
        (
            json!({"issuer": issuer, "jwks_uri": "http://a:b@127.0.0.1/"}),
            KeyFetchOutcome::Discovery,
        ),
        (
            json!({"issuer": issuer, "jwks_uri": "http://192.0.2.1/jwks"}),
            KeyFetchOutcome::PlainHttp,
        ),
    ];
    for (document, expected) in rows {
        sso.answer(DISCOVERY, Answer::json(&document));
        let gate = Gate::of(discovered(&sso, ""));
        assert_eq!(gate.fetched(1).await.outcome, expected, "{document}");
    }
    assert_eq!(sso.count("/jwks"), 0);
}

#[tokio::test]
async fn bad_answers_are_told_apart_and_leave_the_old_keys() {
    let sso = Sso::publishing(&published()).await;
    let gate = Gate::ready(sso.issuer()).await;
    let good = Answer::json(&json!({"keys": published()}));
    let status = |status| Answer { status, ..good.clone() };
    let body = |body: &str| Answer { body: body.as_bytes().to_vec(), ..good.clone() };
    sso.publish(&[json!({"kty": "oct", "kid": "a", "k": "AA"})]);
    let none_usable = Answer::json(&json!({"keys": [{"kty": "oct", "k": "AA"}]}));
    let rows = [
        (status(404), KeyFetchOutcome::Status),
        (status(500), KeyFetchOutcome::Status),
        (status(204), KeyFetchOutcome::Status),
        (status(302).with(&format!("location: {}", sso.url("/other"))), KeyFetchOutcome::Status),
        (body("<html>down for maintenance</html>"), KeyFetchOutcome::NotAKeySet),
        (body(""), KeyFetchOutcome::NotAKeySet),
        (body("[]"), KeyFetchOutcome::NotAKeySet),
        (body(r#"{"keys":{}}"#), KeyFetchOutcome::NotAKeySet),
        (body(r#"{"keys":[],"keys":[]}"#), KeyFetchOutcome::NotAKeySet),
        (body(r#"{"keys":[]}"#), KeyFetchOutcome::NoUsableKeys),
        (none_usable, KeyFetchOutcome::NoUsableKeys),
        (body(&" ".repeat(1024 * 1024 + 1)), KeyFetchOutcome::TooLarge),
    ];
    sso.answer("/other", good.clone());
    for (at, (answer, expected)) in rows.into_iter().enumerate() {
        sso.answer("/jwks", answer);
        gate.clock.advance(Duration::from_mins(10));
        let token = sound_token(gate.clock.now());
        assert_eq!(verdict(&gate.present(&token).await), "accepted", "row {at}");
        let fetch = gate.fetched(at + 2).await;
        assert_eq!((fetch.outcome, fetch.keys), (expected, 0), "row {at}");
    }
    assert_eq!(sso.count("/other"), 0, "no redirect is followed");
}

#[tokio::test]
async fn without_keys_a_call_is_answered_at_once_and_not_with_401() {
    let sso = Sso::start().await;
    sso.hold(true);
    let gate = Gate::of(sso.issuer());
    let result = gate.present(&sound_token(gate.clock.now())).await;
    let Err(AcceptError::KeysUnavailable { issuer, .. }) = result else { panic!("{result:?}") };
    assert_eq!(gate.stores.missing(), [issuer]);
    assert_eq!(gate.stores.ages(), []);
    // Whoever is not even of a configured issuer is told so all the same.
    let claims = merged(sound_claims(gate.clock.now()), &json!({"iss": "x"}));
    let result = gate.present(&RSA.token(&header("RS256", "rsa-1"), &claims)).await;
    assert_eq!(verdict(&result), "token_issuer_unknown");
}

#[tokio::test]
async fn one_bad_key_never_spoils_the_set() {
    let edit = |key: &SigningKey, kid: &str, changes: Value| merged(key.jwk(kid), &changes);
    let small = base64([&[0x80][..], &[1; 127]].concat());
    let huge = base64([&[0x80][..], &[1; 1024]].concat());
    let (roca, even) = (base64(roca_modulus()), base64([&[0x80][..], &[0; 255]].concat()));
    let x = P384.jwk("")["x"].clone();
    #[rustfmt::skip]
    let bad = [
        (json!("no object"), SkipReason::Malformed),
        (json!({}), SkipReason::Malformed),
        (edit(&P256, "b1", json!({"kid": 7})), SkipReason::Malformed),
        (edit(&P256, "b2", json!({"kty": 7})), SkipReason::Malformed),
        (edit(&P256, "b3", json!({"x": null})), SkipReason::Malformed),
        (edit(&P256, "b4", json!({"y": "?"})), SkipReason::Malformed),
        (edit(&P256, "b5", json!({"use": ["sig"]})), SkipReason::Malformed),
        (edit(&P256, "b6", json!({"key_ops": "verify"})), SkipReason::Malformed),
        (edit(&RSA_OTHER, "b7", json!({"e": "=AQAB"})), SkipReason::Malformed),
        (json!({"kty": "oct", "kid": "b8", "k": "c2VjcmV0"}), SkipReason::Symmetric),
        (edit(&P256, "b9", json!({"use": "enc"})), SkipReason::NotForSignatures),
        (edit(&P256, "b10", json!({"key_ops": ["deriveKey"]})), SkipReason::NotForSignatures),
        (edit(&P256, "b12", json!({"d": "AA"})), SkipReason::Private),
        (edit(&P256, "b13", json!({"kty": "MYSTERY"})), SkipReason::UnsupportedType),
        (edit(&P256, "b14", json!({"crv": "P-521"})), SkipReason::UnsupportedType),
        (edit(&P256, "b15", json!({"crv": "secp256k1"})), SkipReason::UnsupportedType),
        (edit(&ED25519, "b16", json!({"crv": "X25519"})), SkipReason::UnsupportedType),
        (edit(&P256, "b17", json!({"alg": "RS256"})), SkipReason::UnsupportedAlgorithm),
        (edit(&P256, "b18", json!({"alg": "ES384"})), SkipReason::UnsupportedAlgorithm),
        (edit(&RSA_OTHER, "b19", json!({"alg": "RSA-OAEP"})), SkipReason::UnsupportedAlgorithm),
        (edit(&RSA_OTHER, "b20", json!({"alg": "HS256"})), SkipReason::UnsupportedAlgorithm),
        (edit(&RSA_OTHER, "b21", json!({"n": small})), SkipReason::WeakOrOversized),
        (edit(&RSA_OTHER, "b22", json!({"n": huge})), SkipReason::WeakOrOversized),
        (edit(&RSA_OTHER, "b23", json!({"e": "AQ"})), SkipReason::WeakOrOversized),
        (edit(&RSA_OTHER, "b24", json!({"e": "AAE"})), SkipReason::WeakOrOversized),
        (edit(&RSA_OTHER, "b25", json!({"n": roca})), SkipReason::WeakOrOversized),
        (edit(&RSA_OTHER, "b26", json!({"n": ""})), SkipReason::WeakOrOversized),
        (edit(&RSA_OTHER, "b27", json!({"n": even})), SkipReason::BadMaterial),
        (edit(&RSA_OTHER, "b28", json!({"e": "Ag"})), SkipReason::BadMaterial),
        (edit(&P256, "b29", json!({"crv": "P-384"})), SkipReason::BadMaterial),
        (edit(&P256, "b30", json!({"y": P256.jwk("")["x"]})), SkipReason::BadMaterial),
        (edit(&P256, "b31", json!({"x": x})), SkipReason::BadMaterial),
        (edit(&ED25519, "b32", json!({"x": "AAAA"})), SkipReason::BadMaterial),
        (RSA.jwk("rsa-1"), SkipReason::Repeated),
    ];
    let mut keys = vec![RSA.jwk("rsa-1")];
    keys.extend(bad.iter().map(|(key, _)| key.clone()));
    keys.push(merged(ED25519.jwk("ed-1"), &json!({"use": "sig", "key_ops": ["verify", "sign"]})));
    let mut expected = BTreeMap::new();
    for (_, reason) in &bad {
        *expected.entry(*reason).or_default() += 1;
    }
    let sso = Sso::publishing(&keys).await;
    let gate = Gate::of(sso.issuer());
    let fetch = gate.fetched(1).await;
    assert_eq!((fetch.outcome, fetch.keys), (KeyFetchOutcome::Fetched, 2));
    assert_eq!(fetch.skipped.counts, expected);
    // By id where they have one, else by place; not all of a long list.
    let told = fetch.skipped.to_string();
    assert!(
        told.starts_with("key 2 of the set (malformed), key 3 of the set (malformed)"),
        "{told}"
    );
    assert!(told.contains("\"b9\" (not_for_signatures)"), "{told}");
    assert!(told.ends_with(&format!(", {} more", bad.len() - 16)), "{told}");
    let claims = sound_claims(gate.clock.now());
    assert_eq!(
        verdict(&gate.present(&RSA.token(&header("RS256", "rsa-1"), &claims)).await),
        "accepted"
    );
}

/// A number with the fingerprint of CVE-2017-15361: 65537^k modulo a product of small primes,
/// made 2048 bits long by adding multiples of the product.
fn roca_modulus() -> Vec<u8> {
    // 1 is 65537^0 modulo every prime; adding 2^2040 times their product keeps that.
    let primes = [11_u128, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
    let product: u128 = primes.iter().product();
    let mut modulus = vec![0; 256];
    let shifted = (product << product.leading_zeros()).to_be_bytes();
    modulus[..16].copy_from_slice(&shifted);
    modulus[255] = 1;
    modulus
}

#[tokio::test]
async fn a_leading_zero_in_the_modulus_is_forgiven() {
    let mut key = RSA.jwk("rsa-1");
    let n = base64::Engine::decode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        key["n"].as_str().unwrap(),
    );
    key["n"] = json!(base64([vec![0], n.unwrap()].concat()));
    let sso = Sso::publishing(&[key]).await;
    let gate = Gate::ready(sso.issuer()).await;
    assert_eq!(verdict(&gate.present(&sound_token(gate.clock.now())).await), "accepted");
}

#[tokio::test]
async fn a_fetch_reports_how_far_the_clocks_are_apart() {
    let (sso, gate) = gate_with(|_| {}).await;
    assert_eq!(gate.fetched(1).await.skew_seconds, None, "the answer had no Date");
    let answer = |date: &str| Answer::json(&json!({"keys": published()})).with(date);
    let ahead = gate.clock.now() + Duration::from_mins(15);
    let date = httpdate::fmt_http_date(ahead);
    sso.answer("/jwks", answer(&format!("date: {date}")));
    gate.clock.advance(Duration::from_mins(10));
    gate.present(&sound_token(gate.clock.now())).await.unwrap();
    let fetch = gate.fetched(2).await;
    assert_eq!(fetch.cause, KeyFetchCause::Schedule);
    assert!(fetch.started <= fetch.ended && fetch.span.sampled);
    let skew = fetch.skew_seconds.unwrap();
    assert!((298..=302).contains(&skew), "{skew}");
    // Who is refused because of it is told.
    let claims = sound_claims(gate.clock.now() + Duration::from_mins(5));
    let result = gate.present(&RSA.token(&header("RS256", "rsa-1"), &claims)).await;
    let error = result.unwrap_err().to_string();
    let hint =
        format!("claim \"iat\" lies in the future; the issuer's clock is {skew} s ahead of ours");
    assert_eq!(error, hint);
}

#[tokio::test]
async fn max_age_brings_the_next_fetch_nearer() {
    let sso = Sso::start().await;
    let keys = json!({"keys": published()});
    sso.answer("/jwks", Answer::json(&keys).with("cache-control: public, max-age=120"));
    let gate = Gate::ready(sso.issuer()).await;
    gate.clock.advance(Duration::from_secs(121));
    gate.present(&sound_token(gate.clock.now())).await.unwrap();
    assert_eq!(gate.fetched(2).await.cause, KeyFetchCause::Schedule);
}

#[tokio::test]
async fn a_reload_keeps_drops_and_moves_issuers() {
    let (one, two) =
        (Sso::publishing(&[RSA.jwk("k")]).await, Sso::publishing(&[P256.jwk("k")]).await);
    let gate = Gate::ready(one.issuer()).await;
    let named =
        |sso: &Sso, name: &str| IssuerConfig { issuer: name.to_owned().into(), ..sso.issuer() };
    let config = |issuers| AcceptConfig { issuers, ..AcceptConfig::default() };
    gate.stores.apply(&config(vec![one.issuer(), named(&two, "two")]));
    assert_eq!(gate.stores.missing(), [Arc::from("two")]);
    gate.fetched(2).await;
    assert!(gate.stores.missing().is_empty());
    assert_eq!(one.count("/jwks"), 1, "what did not change is not fetched again");
    // The first issuer's keys move; until the new ones are here the old ones serve.
    two.hold(true);
    let moved = config(vec![named(&two, ISSUER)]);
    gate.stores.apply(&moved);
    assert!(gate.stores.missing().is_empty());
    two.hold(false);
    gate.fetched(3).await;
    let claims = sound_claims(gate.clock.now());
    let result = gate.present(&P256.token(&header("ES256", "k"), &claims)).await;
    assert_eq!(verdict(&result), "accepted", "{result:?}");
    let ages: Vec<_> = gate.stores.ages().into_iter().map(|(issuer, _)| issuer).collect();
    assert_eq!(ages, [Arc::from(ISSUER)]);
}
