//! Keys through rotation, attack and outage.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::join_all;
use koodrive_gateway::accept::{AcceptError, KeyFetchOutcome};
use serde_json::{Value, json};

use super::mint::{P256, SigningKey, base64, p256};
use super::sso::ISSUER;
use super::{HOUR, gate_with, header, merged, published, sound_claims, verdict};

/// A token of a key that was not published when the gate opened.
fn token_of(key: &SigningKey, kid: &str, subject: usize, now: SystemTime) -> String {
    let claims = merged(sound_claims(now), &json!({"sub": format!("caller-{subject}")}));
    key.token(&header("ES256", kid), &claims)
}

/// Well-formed, unsigned, with a key id of one's own: all an attacker needs.
fn forged(kid: &str, now: SystemTime) -> String {
    let (header, claims) = (header("ES256", kid).to_string(), sound_claims(now).to_string());
    format!("{}.{}.{}", base64(header), base64(claims), base64([1; 64]))
}

fn published_and(key: &SigningKey, kid: &str) -> Vec<Value> {
    [published(), vec![key.jwk(kid)]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_calls_with_a_brand_new_key_cost_one_fetch() {
    let (sso, gate) = gate_with(|_| {}).await;
    let new = p256();
    sso.publish(&published_and(&new, "brand-new"));
    let now = gate.clock.now();
    let tokens: Vec<_> = (0..1000).map(|at| token_of(&new, "brand-new", at, now)).collect();
    let results = join_all(tokens.iter().map(|token| gate.present(token))).await;
    for result in results {
        assert_eq!(verdict(&result), "accepted", "{result:?}");
    }
    assert_eq!(sso.count("/jwks"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_random_key_ids_in_a_minute_cost_seven_fetches() {
    let (sso, gate) = gate_with(|_| {}).await;
    let start = gate.clock.monotonic();
    for at in 0..10_000 {
        let now = gate.clock.now();
        let result = gate.present(&forged(&format!("random-{at}"), now)).await;
        assert_eq!(verdict(&result), "token_key_unknown", "{at}: {result:?}");
        if at % 100 == 0 {
            // Both: a caller who was here before, and one whose token must be verified.
            for subject in [0, at] {
                let token = token_of(&P256, "ec-1", subject, now);
                assert_eq!(verdict(&gate.present(&token).await), "accepted");
            }
        }
        let over = gate.clock.monotonic().saturating_sub(start);
        gate.clock.advance(Duration::from_millis(6 * (at + 1) as u64).saturating_sub(over));
    }
    assert!(Duration::from_millis(59_990) <= gate.clock.monotonic().saturating_sub(start));
    let fetches = sso.count("/jwks") - 1;
    assert!((2..=7).contains(&fetches), "{fetches} fetches");
}

#[tokio::test]
async fn known_keys_outlive_an_hour_without_the_sso_but_not_max_stale() {
    let (sso, gate) = gate_with(|_| {}).await;
    sso.set_down(true);
    for minute in 0..60 {
        gate.clock.advance(HOUR / 60);
        let token = token_of(&P256, "ec-1", minute, gate.clock.now());
        assert_eq!(verdict(&gate.present(&token).await), "accepted", "after {minute} min");
    }
    assert_eq!(gate.stores.missing(), Vec::<Arc<str>>::new());
    let (issuer, age) = gate.stores.ages().remove(0);
    assert!(&*issuer == ISSUER && HOUR <= age && age < 2 * HOUR, "{issuer} {age:?}");
    // A key that cannot be looked up now is no fault of the caller.
    let result = gate.present(&forged("unheard-of", gate.clock.now())).await;
    assert_eq!(verdict(&result), "keys_unavailable", "{result:?}");

    gate.clock.advance(23 * HOUR);
    let result = gate.present(&token_of(&P256, "ec-1", 0, gate.clock.now())).await;
    let Err(AcceptError::KeysUnavailable { issuer, retry_after, .. }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(&*issuer, ISSUER);
    assert!((1..=38).contains(&retry_after.as_secs()), "{retry_after:?}");
    assert_eq!(gate.stores.missing(), [issuer]);

    sso.set_down(false);
    gate.clock.advance(Duration::from_mins(1));
    while gate.stores.missing() != Vec::<Arc<str>>::new() {
        gate.fetched_once_more().await;
    }
    let token = token_of(&P256, "ec-1", 0, gate.clock.now());
    assert_eq!(verdict(&gate.present(&token).await), "accepted");
}

#[tokio::test]
async fn failed_fetches_use_up_the_cooldown_too() {
    let (sso, gate) = gate_with(|_| {}).await;
    sso.set_down(true);
    for at in 0..90 {
        let result = gate.present(&forged(&format!("random-{at}"), gate.clock.now())).await;
        assert_eq!(verdict(&result), "keys_unavailable", "{at}: {result:?}");
        gate.clock.advance(Duration::from_millis(100));
    }
    assert_eq!(gate.fetches_asked_for(), 1);
}

#[tokio::test]
async fn a_slow_sso_delays_who_asks_by_two_seconds_and_serves_the_next() {
    let (sso, gate) = gate_with(|_| {}).await;
    let new = p256();
    sso.publish(&published_and(&new, "new"));
    sso.hold(true);
    let token = token_of(&new, "new", 1, gate.clock.now());
    let began = gate.clock.monotonic();
    let result = gate.present(&token).await;
    let waited = gate.clock.monotonic().saturating_sub(began);
    assert_eq!(verdict(&result), "keys_unavailable", "{result:?}");
    assert!((1900..4000).contains(&waited.as_millis()), "{waited:?}");
    sso.hold(false);
    gate.fetched(2).await;
    assert_eq!(verdict(&gate.present(&token).await), "accepted");
}

#[tokio::test]
async fn a_slow_sso_makes_only_so_many_callers_wait() {
    let (sso, gate) = gate_with(|_| {}).await;
    sso.hold(true);
    let now = gate.clock.now();
    let tokens: Vec<_> = (0..1500).map(|at| forged(&format!("random-{at}"), now)).collect();
    let mut calls: Vec<_> = tokens.iter().map(|token| Box::pin(gate.present(token))).collect();
    let first_looks = calls.iter_mut().map(FutureExt::now_or_never);
    let verdicts: Vec<_> = first_looks.map(|answer| answer.as_ref().map(verdict)).collect();
    let waiting = verdicts.iter().filter(|verdict| verdict.is_none()).count();
    assert_eq!(waiting, 1024);
    assert_eq!(verdicts.last(), Some(&Some("keys_unavailable")));
    // Those whose token needs no look notice nothing.
    let known = token_of(&P256, "ec-1", 1, now);
    assert_eq!(verdict(&gate.present(&known).now_or_never().unwrap()), "accepted");
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_take_the_fetch_along() {
    let (sso, gate) = gate_with(|_| {}).await;
    let new = p256();
    sso.publish(&published_and(&new, "new"));
    let token = token_of(&new, "new", 1, gate.clock.now());
    assert!(gate.present(&token).now_or_never().is_none(), "it waits for the fetch");
    assert_eq!(gate.fetched(2).await.outcome, KeyFetchOutcome::Fetched);
    assert_eq!(verdict(&gate.present(&token).now_or_never().unwrap()), "accepted");
}

#[tokio::test]
async fn a_key_published_after_its_first_token_is_found_after_one_cooldown() {
    let (sso, gate) = gate_with(|_| {}).await;
    let new = p256();
    let present = async |expected| {
        let result = gate.present(&token_of(&new, "late", 1, gate.clock.now())).await;
        assert_eq!(verdict(&result), expected, "{result:?}");
    };
    present("token_key_unknown").await;
    sso.publish(&published_and(&new, "late"));
    gate.clock.advance(Duration::from_secs(5));
    present("token_key_unknown").await;
    gate.clock.advance(Duration::from_secs(6));
    present("accepted").await;
    assert_eq!(sso.count("/jwks"), 3);
}

#[tokio::test]
async fn a_stale_client_does_not_spend_the_cooldown_of_a_new_key() {
    let (sso, gate) = gate_with(|_| {}).await;
    for _ in 0..2 {
        let result = gate.present(&forged("retired", gate.clock.now())).await;
        assert_eq!(verdict(&result), "token_key_unknown");
        gate.clock.advance(Duration::from_secs(11));
    }
    assert_eq!(gate.fetches_asked_for(), 2);
    // The cooldown is over, but nobody need ask for that one again so soon.
    let result = gate.present(&forged("retired", gate.clock.now())).await;
    assert_eq!(verdict(&result), "token_key_unknown");
    assert_eq!(gate.fetches_asked_for(), 2);
    let new = p256();
    sso.publish(&published_and(&new, "new"));
    let result = gate.present(&token_of(&new, "new", 1, gate.clock.now())).await;
    assert_eq!(verdict(&result), "accepted");
}

#[tokio::test]
async fn a_refresh_takes_a_retired_key_away() {
    let (sso, gate) = gate_with(|_| {}).await;
    let token = token_of(&P256, "ec-1", 1, gate.clock.now());
    assert_eq!(verdict(&gate.present(&token).await), "accepted");
    assert!(gate.present(&token).await.unwrap().cached);
    let new = p256();
    sso.publish(&[new.jwk("new")]);
    // The overdue refresh begins with whoever notices, and nobody waits for it.
    gate.clock.advance(Duration::from_mins(11));
    let other = token_of(&P256, "ec-1", 2, gate.clock.now());
    assert_eq!(verdict(&gate.present(&other).now_or_never().unwrap()), "accepted");
    gate.fetched(2).await;
    let result = gate.present(&other).await;
    assert_eq!(verdict(&result), "token_key_unknown", "{result:?}");
    let result = gate.present(&token_of(&new, "new", 1, gate.clock.now())).await;
    assert_eq!(verdict(&result), "accepted");
}
