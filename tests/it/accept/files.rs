//! Key sets from files.

use std::sync::Arc;
use std::time::Duration;

use koodrive_gateway::accept::{
    Acceptor, IdentityRules, KeyFetchCause, KeyFetchOutcome, KeyStores, Verdict, VerifiedTokens,
};
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config;
use koodrive_gateway::config::AcceptConfig;
use serde_json::{Value, json};

use super::mint::{P256, RSA, SigningKey, base64};
use super::sso::{AUDIENCE, Gate, ISSUER};
use super::{HOUR, header, sound_claims, sound_token, verdict};
use crate::support::scratch::Scratch;

const SYMMETRIC: &str = r#"{"keys":[{"kty":"oct","k":"AA"}]}"#;

/// What the configuration says when the key set file has this content.
fn config_with(scratch: &Scratch, keys: &str) -> AcceptConfig {
    scratch.write("keys.json", keys).unwrap();
    let text = format!(
        "[[accept.issuers]]\nissuer = \"{ISSUER}\"\naudiences = [\"{AUDIENCE}\"]\n\
         jwks_file = \"keys.json\"\njwks_max_stale = \"1h\"\n\
         [token]\nendpoint = \"https://sso.example.com/token\"\n\
         [forward]\nupstream = \"https://koodrive.example.com\"\n"
    );
    let file = scratch.write("gateway.toml", text).unwrap();
    config::load(&file, std::iter::empty()).unwrap().config.accept.clone()
}

fn set_of(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

async fn judged(gate: &Gate, key: &SigningKey, alg: &str, kid: &str) -> &'static str {
    let claims = sound_claims(gate.clock.now());
    verdict(&gate.present(&key.token(&header(alg, kid), &claims)).await)
}

#[tokio::test]
async fn a_key_set_file_is_there_from_the_start_and_never_stale() {
    let scratch = Scratch::new().unwrap();
    let gate = Gate::open(&config_with(&scratch, &set_of(&[RSA.jwk("rsa-1")])));
    assert!(gate.stores.missing().is_empty());
    let read = gate.fetched(1).await;
    assert_eq!((read.cause, read.keys), (KeyFetchCause::File, 1));
    gate.clock.advance(48 * HOUR);
    assert_eq!(judged(&gate, &RSA, "RS256", "rsa-1").await, "accepted");
    assert_eq!(gate.stores.ages()[0].1, Duration::ZERO);
    // Nothing can be fetched, and nothing is waited for.
    assert_eq!(judged(&gate, &RSA, "RS256", "rsa-2").await, "token_key_unknown");
}

#[tokio::test]
async fn one_bad_key_never_spoils_a_file() {
    let scratch = Scratch::new().unwrap();
    let good = RSA.jwk("rsa-1").to_string();
    for bad in ["\"no key\"", "7", "null", r#"{"n":1e400}"#, r#"{"a":"\ud800"}"#, "[[[]]]"] {
        let set = format!(r#"{{"keys":[{bad},{good}]}}"#);
        let gate = Gate::open(&config_with(&scratch, &set));
        assert_eq!(judged(&gate, &RSA, "RS256", "rsa-1").await, "accepted", "{bad}");
    }
}

#[tokio::test]
async fn a_changed_file_takes_the_place_of_the_old_keys() {
    let scratch = Scratch::new().unwrap();
    let gate = Gate::open(&config_with(&scratch, &set_of(&[RSA.jwk("rsa-1")])));
    let token = sound_token(gate.clock.now());
    gate.present(&token).await.unwrap();
    gate.stores.apply(&config_with(&scratch, &set_of(&[P256.jwk("ec-1")])));
    assert_eq!(judged(&gate, &P256, "ES256", "ec-1").await, "accepted");
    // Verified before, but its key is gone.
    assert_eq!(verdict(&gate.present(&token).await), "token_key_unknown");
}

#[tokio::test]
async fn an_unusable_file_leaves_the_old_keys_until_they_are_stale() {
    let scratch = Scratch::new().unwrap();
    let good = set_of(&[RSA.jwk("rsa-1")]);
    let gate = Gate::open(&config_with(&scratch, &good));
    // What is not even a key set is refused by the configuration itself.
    let contents = [SYMMETRIC, r#"{"keys":[{"kty":"EC","use":"enc"}]}"#];
    for (at, content) in contents.into_iter().enumerate() {
        gate.stores.apply(&config_with(&scratch, content));
        assert_eq!(gate.fetched(at + 2).await.outcome, KeyFetchOutcome::NoUsableKeys);
        assert_eq!(judged(&gate, &RSA, "RS256", "rsa-1").await, "accepted");
        assert_eq!(judged(&gate, &RSA, "RS256", "rsa-2").await, "keys_unavailable");
    }
    gate.clock.advance(HOUR + Duration::from_secs(1));
    assert_eq!(judged(&gate, &RSA, "RS256", "rsa-1").await, "keys_unavailable");
    assert_eq!(&*gate.stores.missing()[0], ISSUER);
    gate.stores.apply(&config_with(&scratch, &good));
    assert_eq!(judged(&gate, &RSA, "RS256", "rsa-1").await, "accepted");
}

#[tokio::test]
async fn a_file_without_usable_keys_is_named_at_the_start() {
    let scratch = Scratch::new().unwrap();
    let gate = Gate::open(&config_with(&scratch, SYMMETRIC));
    assert_eq!(&*gate.stores.missing()[0], ISSUER);
    assert_eq!(judged(&gate, &RSA, "RS256", "rsa-1").await, "keys_unavailable");
}

/// No runtime: what must not use the network cannot.
#[test]
fn offline_stores_read_files_and_fetch_nothing() {
    let scratch = Scratch::new().unwrap();
    let mut config = config_with(&scratch, &set_of(&[RSA.jwk("rsa-1")]));
    let mut remote = config.issuers[0].clone();
    remote.issuer = "https://remote.example.com".to_owned().into();
    remote.jwks_file = config::File::default();
    config.issuers.push(remote);
    let (clock, verified) = (Clock::system(), VerifiedTokens::new());
    let stores = KeyStores::offline(clock.clone());
    stores.apply(&config);
    assert_eq!(stores.missing(), [Arc::<str>::from("https://remote.example.com")]);
    let acceptor = Acceptor::new(&config, &stores, &verified, IdentityRules::default());
    let token = sound_token(clock.now());
    let lines = acceptor.explain(&token, clock.now());
    assert!(lines.iter().all(|line| line.verdict == Verdict::Passed), "{lines:?}");
    let forged = format!("{}.{}", token.rsplit_once('.').unwrap().0, base64([1; 256]));
    let lines = acceptor.explain(&forged, clock.now());
    let signature = lines.iter().find(|line| line.rule == "signature").unwrap();
    assert!(matches!(signature.verdict, Verdict::Refused(_)), "{signature}");
}
