//! What `explain` says, and what it keeps to itself.

use std::time::{Duration, UNIX_EPOCH};

use koodrive_gateway::accept::{ExplainLine, Verdict};
use koodrive_gateway::config::ClaimValue;
use serde_json::{Value, json};

use super::mint::{RSA, RSA_OTHER};
use super::sso::{Gate, Sso};
use super::{gate_with, header, merged, reason, sound_claims, unix};

/// The rules that refuse, in order, with the contract's reasons.
fn refusals(lines: &[ExplainLine]) -> Vec<(&'static str, &'static str)> {
    let refusals = lines.iter().filter_map(|line| match &line.verdict {
        Verdict::Refused(error) => Some((line.rule, reason(error))),
        Verdict::Passed | Verdict::NotChecked(_) => None,
    });
    refusals.collect()
}

#[tokio::test]
async fn explain_agrees_with_the_real_walk() {
    let (_sso, gate) = gate_with(|issuer| {
        issuer.required_claims =
            [("groups".to_owned(), vec![ClaimValue::Text("koodrive-users".to_owned())])].into();
    })
    .await;
    let (now, at) = (gate.clock.now(), unix(gate.clock.now()));
    #[rustfmt::skip]
    let rows: [(Value, Value); 14] = [
        (json!({}), json!({})),
        (json!({}), json!({"exp": at - 60})),
        (json!({}), json!({"nbf": at + 60})),
        (json!({}), json!({"iat": at + 60})),
        (json!({}), json!({"aud": "other"})),
        (json!({}), json!({"iss": "other"})),
        (json!({}), json!({"iss": null})),
        (json!({}), json!({"sub": null})),
        (json!({}), json!({"iat": at - 90_000})),
        (json!({}), json!({"groups": "none"})),
        (json!({"alg": "HS256"}), json!({})),
        (json!({"kid": "rsa-2"}), json!({})),
        (json!({"kid": "ec-1"}), json!({})),
        (json!({"crit": ["x"]}), json!({})),
    ];
    for (header_changes, claim_changes) in rows {
        let header = merged(header("RS256", "rsa-1"), &header_changes);
        let claims = merged(sound_claims(now), &claim_changes);
        let token = RSA.token(&header, &claims);
        let lines = gate.acceptor.explain(&token, now);
        let real = gate.acceptor.accept(&super::bearer(&token), now, None).await;
        let told = refusals(&lines).first().map(|(_, reason)| *reason);
        assert_eq!(told, real.as_ref().err().map(reason), "{header_changes} {claim_changes}");
        let shown: Vec<String> = lines.iter().map(ExplainLine::to_string).collect();
        let shown = shown.join("\n");
        for part in token.split('.') {
            assert!(!shown.contains(part) && !shown.contains("alice"), "{shown}");
        }
    }
}

#[tokio::test]
async fn explain_goes_on_after_a_refusal() {
    let (_sso, gate) = gate_with(|_| {}).await;
    let now = gate.clock.now();
    let wrong = json!({"exp": unix(now) - 100, "aud": "other", "sub": 7});
    let token = RSA_OTHER.token(&header("RS256", "rsa-1"), &merged(sound_claims(now), &wrong));
    let expected = [
        ("signature", "token_signature_invalid"),
        ("exp", "token_expired"),
        ("aud", "token_audience_mismatch"),
        ("subject", "token_claim_refused"),
    ];
    assert_eq!(refusals(&gate.acceptor.explain(&token, now)), expected);
}

#[tokio::test]
async fn explain_without_keys_says_that_the_signature_was_not_checked() {
    let sso = Sso::start().await;
    sso.set_down(true);
    let gate = Gate::of(sso.issuer());
    let now = gate.clock.now();
    let token = RSA.token(&header("RS256", "rsa-1"), &sound_claims(now));
    let lines = gate.acceptor.explain(&token, now);
    assert_eq!(refusals(&lines), []);
    let key = lines.iter().find(|line| line.rule == "key").unwrap();
    assert_eq!(
        key.to_string(),
        "skipped  key: \"rsa-1\": no keys available, the signature was not checked \
         (--online fetches them)"
    );
}

#[tokio::test]
async fn explain_calls_a_moment_ago_no_time_at_all() {
    let (_sso, gate) = gate_with(|_| {}).await;
    let now = gate.clock.now();
    let iat = unix(now);
    let claims = merged(sound_claims(now), &json!({"iat": iat}));
    let token = RSA.token(&header("RS256", "rsa-1"), &claims);
    let issued = UNIX_EPOCH + Duration::from_secs(u64::try_from(iat).unwrap());
    for millis in [0, 400] {
        let lines = gate.acceptor.explain(&token, issued + Duration::from_millis(millis));
        let iat = lines.iter().find(|line| line.rule == "iat").unwrap();
        assert_eq!(iat.to_string(), "ok       iat: 0s ahead", "{millis} ms");
    }
}

#[tokio::test]
async fn explain_tells_how_far_the_times_are() {
    let (_sso, gate) = gate_with(|_| {}).await;
    let now = gate.clock.now();
    let token = RSA.token(&header("RS256", "rsa-1"), &sound_claims(now));
    let later = now + Duration::from_secs(400);
    let lines = gate.acceptor.explain(&token, later);
    let exp = lines.iter().find(|line| line.rule == "exp").unwrap();
    let expected = "REFUSED  exp: expected in the future, or at most 30s ago, found 1m40s ago: \
                    the token expired 100 s ago";
    // `exp` was cut to whole seconds when the token was made.
    let shown = exp.to_string().replace("1m41s", "1m40s").replace("101 s", "100 s");
    assert!(shown.starts_with(expected), "{shown}");
}
