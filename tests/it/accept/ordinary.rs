//! Tokens that must pass.

use std::time::{Duration, UNIX_EPOCH};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use koodrive_gateway::accept::{CallerId, Claim};
use koodrive_gateway::config::{AcceptConfig, ClaimValue};
use serde_json::{Value, json};

use super::mint::{ED25519, P256, P384, RSA, RSA_OTHER, SigningKey};
use super::sso::{AUDIENCE, Gate, ISSUER, Sso};
use super::{gate_with, header, merged, published, sound_claims, sound_token, unix, verdict};

#[tokio::test]
async fn every_algorithm_with_its_key_passes() {
    let (_sso, gate) = gate_with(|_| {}).await;
    let rows: [(&SigningKey, &str, &str); 11] = [
        (&RSA, "RS256", "rsa-1"),
        (&RSA, "RS384", "rsa-1"),
        (&RSA, "RS512", "rsa-1"),
        (&RSA, "PS256", "rsa-1"),
        (&RSA, "PS384", "rsa-1"),
        (&RSA, "PS512", "rsa-1"),
        (&RSA_OTHER, "PS256", "ps-1"),
        (&P256, "ES256", "ec-1"),
        (&P384, "ES384", "ec-2"),
        (&ED25519, "EdDSA", "ed-1"),
        // RFC 9864 gives the curve a name of its own.
        (&ED25519, "Ed25519", "ed-1"),
    ];
    for (key, alg, kid) in rows {
        let token = key.token(&header(alg, kid), &sound_claims(gate.clock.now()));
        let accepted = gate.present(&token).await;
        assert_eq!(verdict(&accepted), "accepted", "{alg} {kid}: {accepted:?}");
    }
}

#[tokio::test]
async fn every_sound_form_of_header_and_claims_passes() {
    let (_sso, gate) = gate_with(|issuer| {
        issuer.required_claims =
            [("groups".to_owned(), vec![ClaimValue::Text("koodrive-users".to_owned())])].into();
    })
    .await;
    let now = unix(gate.clock.now());
    let seconds = now_in_seconds(&gate);
    let none = json!({});
    #[rustfmt::skip]
    let rows: [(&str, Value, Value); 29] = [
        ("as it is", none.clone(), none.clone()),
        ("typ absent", json!({"typ": null}), none.clone()),
        ("typ at+jwt", json!({"typ": "at+jwt"}), none.clone()),
        ("typ AT+JWT", json!({"typ": "AT+JWT"}), none.clone()),
        ("typ jwt", json!({"typ": "jwt"}), none.clone()),
        ("typ application/jwt", json!({"typ": "application/jwt"}), none.clone()),
        ("typ Application/JWT", json!({"typ": "Application/JWT"}), none.clone()),
        ("typ application/at+jwt", json!({"typ": "application/at+jwt"}), none.clone()),
        ("kid absent, one RS256 key", json!({"kid": null}), none.clone()),
        ("unknown header member", json!({"x-note": {"a": [1]}}), none.clone()),
        ("a key of its own, not looked at", json!({"jwk": {"kty": "oct", "k": "AA"}}), none.clone()),
        ("jku, not followed", json!({"jku": "http://127.0.0.1:1/"}), none.clone()),
        ("aud list of one", none.clone(), json!({"aud": [AUDIENCE]})),
        ("aud list of several", none.clone(), json!({"aud": ["a", AUDIENCE, "b"]})),
        ("exp with a fraction", none.clone(), json!({"exp": seconds + 60.5})),
        ("exp in exponent form", none.clone(), json!({"exp": seconds + 60.0})),
        ("exp past, within the leeway", none.clone(), json!({"exp": now - 20})),
        ("nbf past", none.clone(), json!({"nbf": now - 100})),
        ("nbf ahead, within the leeway", none.clone(), json!({"nbf": now + 20})),
        ("iat ahead, within the leeway", none.clone(), json!({"iat": now + 20})),
        ("iat absent", none.clone(), json!({"iat": null})),
        ("longest life", none.clone(), json!({"iat": now - 60, "exp": now - 60 + 86_400})),
        ("required claim as a string", none.clone(), json!({"groups": "koodrive-users"})),
        ("required claim among others", none.clone(), json!({"groups": [1, null, "koodrive-users"]})),
        ("subject in another script", none.clone(), json!({"sub": "王小明"})),
        ("subject of 512 bytes", none.clone(), json!({"sub": "s".repeat(512)})),
        ("nested claims", none.clone(), json!({"realm_access": {"roles": [["a"], {"b": {}}]}})),
        ("numbers of every kind", none.clone(), json!({"n": [0, -1, 1.5, 1e300, u64::MAX, i64::MIN]})),
        ("a long token", none.clone(), json!({"pad": "x".repeat(10_000)})),
    ];
    for (name, header_changes, claim_changes) in rows {
        let header = merged(header("RS256", "rsa-1"), &header_changes);
        let claims = merged(sound_claims(gate.clock.now()), &claim_changes);
        let accepted = gate.present(&RSA.token(&header, &claims)).await;
        assert_eq!(verdict(&accepted), "accepted", "{name}: {accepted:?}");
    }
}

#[tokio::test]
async fn white_space_in_header_and_claims_is_json() {
    let (_sso, gate) = gate_with(|_| {}).await;
    let claims = serde_json::to_string_pretty(&sound_claims(gate.clock.now())).unwrap();
    for header in [" {\"alg\" : \"RS256\",\r\n\t\"kid\":\"rsa-1\"}\n", r#"{"\u0061lg":"RS256"}"#] {
        let accepted = gate.present(&RSA.token_of(header, &claims)).await;
        assert_eq!(verdict(&accepted), "accepted", "{header}: {accepted:?}");
    }
}

fn now_in_seconds(gate: &Gate) -> f64 {
    gate.clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64().floor()
}

#[tokio::test]
async fn the_scheme_is_read_as_rfc_9110_wants() {
    let (_sso, gate) = gate_with(|_| {}).await;
    let token = sound_token(gate.clock.now());
    for scheme in ["Bearer ", "bearer ", "BEARER ", "Bearer    "] {
        let value = HeaderValue::from_str(&format!("{scheme}{token}")).unwrap();
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        let accepted = gate.acceptor.accept(&headers, gate.clock.now(), None).await;
        assert_eq!(verdict(&accepted), "accepted", "{scheme:?}");
    }
}

#[tokio::test]
async fn an_accepted_call_carries_what_the_token_proves() {
    let (_sso, gate) = gate_with(|_| {}).await;
    let token = sound_token(gate.clock.now());
    let accepted = gate.present(&token).await.unwrap();
    let identity = &accepted.identity;
    assert_eq!((&*identity.issuer, &*identity.subject), (ISSUER, "alice"));
    assert_eq!(
        identity.claims.get("groups").map(Claim::value),
        Some(json!(["koodrive-users", "staff"]))
    );
    assert!(identity.claims.get("role").is_none());
    assert_eq!(unix(identity.expires_at), unix(gate.clock.now()) + 300);
    assert_eq!(identity.caller, CallerId::of(ISSUER, "alice"));
    assert_eq!(accepted.sso_token.expose(), token);
    let shown = format!("{accepted:?}");
    for secret in ["alice", "staff", token.rsplit('.').next().unwrap()] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[tokio::test]
async fn the_subject_may_be_another_claim() {
    let (_sso, gate) = gate_with(|issuer| issuer.subject_claim = "email".to_owned()).await;
    let claims = merged(sound_claims(gate.clock.now()), &json!({"email": "a@example.com"}));
    let token = RSA.token(&header("RS256", "rsa-1"), &claims);
    assert_eq!(&*gate.present(&token).await.unwrap().identity.subject, "a@example.com");
}

#[tokio::test]
async fn another_header_may_carry_the_token() {
    let sso = Sso::publishing(&published()).await;
    let config = AcceptConfig {
        header: "x-sso-token".parse().unwrap(),
        issuers: vec![sso.issuer()],
        ..AcceptConfig::default()
    };
    let gate = Gate::open(&config);
    gate.fetched(1).await;
    let token = sound_token(gate.clock.now());
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("x-sso-token", value);
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic YTpi"));
    let accepted = gate.acceptor.accept(&headers, gate.clock.now(), None).await;
    assert_eq!(verdict(&accepted), "accepted");
    // The usual header is then nobody's business.
    assert_eq!(verdict(&gate.present(&token).await), "token_missing");
}

#[tokio::test]
async fn two_issuers_with_the_same_kid_keep_their_keys_apart() {
    let (one, two) =
        (Sso::publishing(&[RSA.jwk("k")]).await, Sso::publishing(&[RSA_OTHER.jwk("k")]).await);
    let mut other = two.issuer();
    other.issuer = "https://other.example.com".to_owned().into();
    let config = AcceptConfig { issuers: vec![one.issuer(), other], ..AcceptConfig::default() };
    let gate = Gate::open(&config);
    gate.fetched(2).await;
    let mine = sound_claims(gate.clock.now());
    let theirs = merged(mine.clone(), &json!({"iss": "https://other.example.com"}));
    let rows = [
        (&RSA, &mine, "accepted"),
        (&RSA_OTHER, &theirs, "accepted"),
        (&RSA, &theirs, "token_signature_invalid"),
        (&RSA_OTHER, &mine, "token_signature_invalid"),
    ];
    let mut callers = Vec::new();
    for (key, claims, expected) in rows {
        let accepted = gate.present(&key.token(&header("RS256", "k"), claims)).await;
        assert_eq!(verdict(&accepted), expected, "{claims}");
        callers.extend(accepted.map(|accepted| accepted.identity.caller));
    }
    // The same subject of another issuer is another caller.
    assert_ne!(callers[0], callers[1]);
}

#[tokio::test]
async fn time_moves_a_token_from_not_yet_valid_over_accepted_to_expired() {
    let (_sso, gate) = gate_with(|_| {}).await;
    let start = gate.clock.now();
    let times = json!({"iat": unix(start), "nbf": unix(start) + 100, "exp": unix(start) + 200});
    let token = RSA.token(&header("RS256", "rsa-1"), &merged(sound_claims(start), &times));
    let rows = [
        (0, "token_not_yet_valid"),
        (60, "token_not_yet_valid"),
        (75, "accepted"),
        (150, "accepted"),
        (215, "accepted"),
        (235, "token_expired"),
        (10_000, "token_expired"),
    ];
    for (after, expected) in rows {
        let now = start + Duration::from_secs(after);
        let result = gate.acceptor.accept(&super::bearer(&token), now, None).await;
        assert_eq!(verdict(&result), expected, "after {after} s: {result:?}");
    }
}
