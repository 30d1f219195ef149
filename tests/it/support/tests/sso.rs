//! The SSO keeps its own promises.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::caller::Caller;
use crate::support::sso::grants::{CLIENT_ASSERTION, JWT_BEARER, TOKEN_EXCHANGE};
use crate::support::sso::keys::{KeyKind, SigningKey};
use crate::support::sso::mint::forged;
use crate::support::tests::{GOOD, Town};

#[tokio::test]
async fn an_sso_token_buys_a_koodrive_token_that_koodrive_takes() {
    let town = Town::start();
    for kind in [KeyKind::Rsa, KeyKind::P256, KeyKind::Ed25519] {
        let token = town.sso.mint("alice").key(&town.sso.key(kind)).sign();
        let answer = town.exchange(&token).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let access = answer.json()["access_token"].as_str().unwrap().to_owned();
        let reply = town.holder(&access).preverify(GOOD).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["data"].as_array().unwrap().len(), 2);
    }
    assert_eq!((town.sso.granted(), town.koodrive.verified()), (3, 3));
}

#[tokio::test]
async fn subject_tokens_are_verified() {
    let town = Town::start();
    let sso = &town.sso;
    let good = sso.token_for("alice");
    let stranger = SigningKey::fresh(KeyKind::P256);
    let cases = [
        ("expired", sso.mint("alice").expires_in(-1).sign()),
        ("forged", forged(&good, "sub", "bob")),
        ("unsigned", sso.mint("alice").unsigned()),
        ("another issuer", sso.mint("alice").claim("iss", "https://elsewhere").sign()),
        ("another key", sso.mint("alice").key(&stranger).sign()),
        ("no subject", sso.mint("alice").without_claim("sub").sign()),
        ("no token", "a.b".to_owned()),
    ];
    for (what, token) in cases {
        let answer = town.exchange(&token).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (400, &json!("invalid_request")),
            "{what}"
        );
    }
    assert_eq!(town.exchange(&good).await.status, 200);
    sso.rotate(KeyKind::P256);
    assert_eq!(town.exchange(&good).await.status, 400, "its key has left the key set");
    assert_eq!(town.exchange(&sso.token_for("alice")).await.status, 200);
}

#[tokio::test]
async fn clients_of_the_token_endpoint_are_verified() {
    let town = Town::start();
    let form = [("grant_type", "client_credentials")];
    let id = ("client_id", town.sso.client_id());
    let secret = ("client_secret", town.sso.client_secret());
    let wrong = format!("Basic {}", STANDARD.encode("koodrive-gateway:wrong"));
    let unescaped = format!("Basic {}", STANDARD.encode(format!("{}:{}", id.1, secret.1)));
    let assertion = |audience: &str, subject: &str| {
        let key = SigningKey::fresh(KeyKind::P256);
        let mint = town.sso.mint(subject).claim("iss", subject).claim("aud", audience);
        (mint.clone().key(&key).sign(), mint.key(town.sso.client_key()).sign())
    };
    let (strange, good) = assertion(&town.sso.token_endpoint(), id.1);
    let (_, for_others) = assertion("https://elsewhere", id.1);
    let kind = ("client_assertion_type", CLIENT_ASSERTION);
    let no_secret = ("client_secret", "no");
    let (good, strange) = (("client_assertion", &*good), ("client_assertion", &*strange));
    let for_others = ("client_assertion", &*for_others);
    let basic = town.basic();
    let cases: [(_, Option<&str>, &[_], _); 10] = [
        ("nobody", None, &[], 401),
        ("basic", Some(&basic), &[], 200),
        ("basic, wrong", Some(&wrong), &[], 401),
        ("basic, not escaped", Some(&unescaped), &[], 401),
        ("post", None, &[id, secret], 200),
        ("post, wrong", None, &[id, no_secret], 401),
        ("both", Some(&basic), &[id, secret], 400),
        ("assertion", None, &[kind, good], 200),
        ("assertion of a stranger", None, &[kind, strange], 401),
        ("assertion for another audience", None, &[kind, for_others], 401),
    ];
    for (what, authorization, more, status) in cases {
        let call = town.ask(&[&form, more].concat());
        let call = match authorization {
            Some(value) => call.header("authorization", value),
            None => call,
        };
        let answer = call.send().await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
    }
}

#[tokio::test]
async fn the_token_endpoint_takes_the_grants_it_names_and_no_others() {
    let town = Town::start();
    let token = town.sso.token_for("alice");
    let kind = ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt");
    let cases: [(&[(&str, &str)], Value); 7] = [
        (&[("grant_type", JWT_BEARER), ("assertion", &token)], Value::Null),
        (&[("grant_type", JWT_BEARER), ("assertion", "x.y.z")], json!("invalid_grant")),
        (&[("grant_type", TOKEN_EXCHANGE), kind], json!("invalid_request")),
        (&[("grant_type", TOKEN_EXCHANGE), ("subject_token", &token)], json!("invalid_request")),
        (&[("grant_type", "password")], json!("unsupported_grant_type")),
        (&[("grant_type", JWT_BEARER), ("grant_type", JWT_BEARER)], json!("invalid_request")),
        (&[("grant_type", "refresh_token"), ("refresh_token", "x")], json!("invalid_grant")),
    ];
    for (form, error) in cases {
        let answer = town.ask(form).header("authorization", &town.basic()).send().await;
        assert_eq!(answer.json()["error"], error, "{form:?}");
    }
    town.sso.deny("alice");
    assert_eq!(town.exchange(&token).await.json()["error"], json!("access_denied"));
}

#[tokio::test]
async fn a_refresh_token_works_once() {
    let town = Town::start();
    town.sso.set_refresh_tokens(true);
    town.sso.set_expires_in(Some(1200));
    town.sso.set_prefix("Bearer+");
    let answer = town.exchange(&town.sso.token_for("alice")).await.json();
    assert_eq!(answer["expires_in"], json!(1200));
    assert!(answer["access_token"].as_str().unwrap().starts_with("Bearer+"));
    let refresh = answer["refresh_token"].as_str().unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    let basic = town.basic();
    let ask = || town.ask(&form).header("authorization", &basic).send();
    assert_eq!(ask().await.status, 200);
    assert_eq!(ask().await.status, 400);
}

#[tokio::test]
async fn discovery_leads_to_the_keys() {
    let town = Town::start();
    let anyone = Caller::new(&town.http, &town.sso.issuer(), None);
    town.sso.set_cache_control("max-age=60");
    let configuration = anyone.get("/.well-known/openid-configuration").await.json();
    assert_eq!(configuration["issuer"], json!(town.sso.issuer()));
    assert_eq!(configuration["jwks_uri"], json!(town.sso.jwks_url()));
    let answer = anyone.get("/jwks").await;
    assert_eq!(answer.header("cache-control"), Some("max-age=60"));
    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(keys.keys.len(), 3);
    for (kind, algorithm) in [
        (KeyKind::Rsa, "RS256"),
        (KeyKind::Rsa, "PS384"),
        (KeyKind::P256, "ES256"),
        (KeyKind::Ed25519, "EdDSA"),
    ] {
        let token = town.sso.mint("alice").key(&town.sso.key(kind)).algorithm(algorithm).sign();
        assert_eq!(verified_elsewhere(&keys, &token), Ok(json!("alice")), "{algorithm}");
        assert!(verified_elsewhere(&keys, &forged(&token, "sub", "bob")).is_err());
    }
    assert_eq!((town.sso.discovery.calls(), town.sso.jwks.calls()), (1, 1));
}

/// The subject, when jsonwebtoken agrees with the signature.
fn verified_elsewhere(
    keys: &jsonwebtoken::jwk::JwkSet,
    token: &str,
) -> Result<Value, jsonwebtoken::errors::Error> {
    // Another test may have been first.
    jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().unwrap_or_default();
    let header = jsonwebtoken::decode_header(token)?;
    let jwk = keys.find(header.kid.as_ref().unwrap()).unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(jwk)?;
    let mut validation = jsonwebtoken::Validation::new(header.alg);
    validation.set_audience(&["koodrive-gateway"]);
    let data = jsonwebtoken::decode::<Value>(token, &key, &validation)?;
    Ok(data.claims["sub"].clone())
}
