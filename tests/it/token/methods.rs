//! What each method sends.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use koodrive_gateway::accept::Accepted;
use koodrive_gateway::config::{Config, TokenConfig};
use koodrive_gateway::token::{
    Credential, Denial, Said, TokenError, TokenSource, Tokens, Unusable,
};
use koodrive_gateway::trace_context::SpanContext;
use serde_json::json;

use super::endpoint::{Answer, Asked};
use super::{World, caller, caller_of, client, config_in, text_of};
use crate::support::scratch::Scratch;

/// `[token]` with files.
fn read_config(world: &World, scratch: &Scratch, lines: &str) -> TokenConfig {
    let endpoint = format!("http://{}/auth/login", world.endpoint.address);
    config_in(scratch.path(), &endpoint, lines)
}

async fn ask_as(world: &World, lines: &str, caller: &Accepted) -> Result<String, TokenError> {
    ask_with(world, lines, "", caller).await
}

async fn ask_with(
    world: &World,
    lines: &str,
    key: &str,
    caller: &Accepted,
) -> Result<String, TokenError> {
    let scratch = Scratch::new().unwrap();
    scratch.write("secret", "s3cr+t &=ü:\n").unwrap();
    scratch.write("key.pem", key).unwrap();
    let config = read_config(world, &scratch, lines);
    let tokens = Tokens::new(&config, &[], &world.store, client());
    let span = SpanContext::root(true);
    let issued = tokens.token_for(caller, &span).await?;
    Ok(text_of(&issued))
}

async fn sent_by(lines: &str) -> Asked {
    sent_with(lines, "").await
}

async fn sent_with(lines: &str, key: &str) -> Asked {
    let world = World::start().await;
    world.endpoint.always(Answer::token("t-1", 1200));
    let claims = json!({ "tenant": "T 1", "level": 7, "groups": ["a", "b"], "nothing": null });
    let alice = caller_of("https://sso", "alice", claims);
    ask_with(&world, lines, key, &alice).await.unwrap();
    let sent = world.endpoint.asked();
    assert_eq!(sent.len(), 1);
    sent[0].clone()
}

#[tokio::test]
async fn token_exchange_sends_the_fields_of_rfc_8693() {
    let sent = sent_by("client_id = \"gw\"\nclient_secret_file = \"secret\"\nscope = \"a b\"\naudience = \"koodrive\"\nresource = \"https://koodrive.example.com\"").await;
    assert_eq!((sent.method.as_str(), sent.path.as_str()), ("POST", "/auth/login"));
    assert_eq!(sent.header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(sent.header("accept"), "application/json");
    let form = sent.form();
    for (name, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", "sso.https://sso.alice"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("scope", "a b"),
        ("audience", "koodrive"),
        ("resource", "https://koodrive.example.com"),
    ] {
        assert_eq!(form[name], value, "{name}");
    }
    assert_eq!(form.len(), 6);
    // RFC 6749 section 2.3.1: both halves form-encoded, then joined.
    let pair = sent.header("authorization").strip_prefix("Basic ").unwrap();
    let pair = String::from_utf8(BASE64_STANDARD.decode(pair).unwrap()).unwrap();
    assert_eq!(pair, "gw:s3cr%2Bt+%26%3D%C3%BC%3A");
}

#[tokio::test]
async fn jwt_bearer_sends_the_sso_token_as_assertion() {
    let lines = "method = \"jwt_bearer\"\nclient_id = \"gw\"\nclient_secret_file = \"secret\"\nclient_auth = \"post\"";
    let sent = sent_by(lines).await;
    let form = sent.form();
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!(form["assertion"], "sso.https://sso.alice");
    assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), ("gw", "s3cr+t &=ü:"));
    assert_eq!(sent.header("authorization"), "");
}

/// Algorithm, private and public key, and what verifies its signatures.
type Kind<'a> = (&'a str, Vec<u8>, &'a [u8], &'static dyn VerificationAlgorithm);

#[tokio::test]
async fn private_key_jwt_is_an_assertion_signed_as_its_key_can() {
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let keys: [Kind<'_>; 5] = [
        (
            "ES256",
            p256.to_pkcs8v1().unwrap().as_ref().to_vec(),
            p256.public_key().as_ref(),
            &ECDSA_P256_SHA256_FIXED,
        ),
        (
            "ES384",
            p384.to_pkcs8v1().unwrap().as_ref().to_vec(),
            p384.public_key().as_ref(),
            &ECDSA_P384_SHA384_FIXED,
        ),
        (
            "EdDSA",
            ed25519.to_pkcs8().unwrap().as_ref().to_vec(),
            ed25519.public_key().as_ref(),
            &ED25519,
        ),
        (
            "RS256",
            AsDer::<Pkcs8V1Der<'_>>::as_der(&rsa).unwrap().as_ref().to_vec(),
            rsa.public_key().as_ref(),
            &RSA_PKCS1_2048_8192_SHA256,
        ),
        (
            "PS256",
            AsDer::<Pkcs8V1Der<'_>>::as_der(&rsa).unwrap().as_ref().to_vec(),
            rsa.public_key().as_ref(),
            &RSA_PSS_2048_8192_SHA256,
        ),
    ];
    for (algorithm, pkcs8, public, verification) in keys {
        let base64 = BASE64_STANDARD.encode(pkcs8);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n");
        let lines = "client_id = \"gw\"\nclient_auth = \"private_key_jwt\"\nprivate_key_file = \"key.pem\"\nprivate_key_id = \"k1\"";
        let chosen = if algorithm == "PS256" { "PS256" } else { "" };
        let lines = format!("{lines}\nprivate_key_algorithm = \"{chosen}\"");
        let form = sent_with(&lines, &pem).await.form();
        assert_eq!(
            form["client_assertion_type"],
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        assert_eq!(form["client_id"], "gw");
        let parts: Vec<_> = form["client_assertion"].split('.').collect();
        let decode = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let (header, claims) = (decode(parts[0]), decode(parts[1]));
        assert_eq!(header, json!({ "alg": algorithm, "typ": "JWT", "kid": "k1" }));
        assert_eq!((claims["iss"].as_str(), claims["sub"].as_str()), (Some("gw"), Some("gw")));
        assert!(claims["aud"].as_str().unwrap().ends_with("/auth/login"));
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
        assert!(20 < claims["jti"].as_str().unwrap().len());
        let signed = format!("{}.{}", parts[0], parts[1]);
        let signature = BASE64_URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
        UnparsedPublicKey::new(verification, public).verify(signed.as_bytes(), &signature).unwrap();
    }
}

pub(super) const CLIENT_CREDENTIALS: &str = "method = \"client_credentials\"\nclient_id = \"gw\"\n\
    client_auth = \"post\"\nclient_secret_file = \"config/local.client-secret\"";

#[tokio::test]
async fn client_credentials_are_one_token_for_all_callers() {
    let world = World::with(CLIENT_CREDENTIALS).await;
    world.endpoint.always(Answer::token("t-1", 1200));
    assert_eq!(world.ask(&caller("alice")).await.unwrap().source, TokenSource::Exchanged);
    assert_eq!(world.ask(&caller("bob")).await.unwrap().source, TokenSource::Cached);
    let sent = world.endpoint.asked();
    assert_eq!(sent.len(), 1);
    let secret = "&client_id=gw&client_secret=demo-client-secret";
    assert_eq!(sent[0].body, format!("grant_type=client_credentials{secret}"));
}

#[tokio::test]
async fn a_refused_login_of_the_gateway_itself_is_not_blamed_on_the_caller() {
    let world = World::with(CLIENT_CREDENTIALS).await;
    world.endpoint.always(Answer::json(400, r#"{"error":"access_denied"}"#));
    let error = world.ask(&caller("alice")).await.unwrap_err();
    let unusable = TokenError::AnswerUnusable(Unusable::Refused(Said {
        status: 400,
        error: Some("access_denied"),
    }));
    assert_eq!(format!("{error:?}"), format!("{unusable:?}"));
}

#[tokio::test]
async fn custom_fills_its_template() {
    let json = sent_by(
        r#"
        method = "custom"
        client_id = "gw"
        client_secret_file = "secret"
        [token.custom]
        method = "PUT"
        headers = { "x-tenant" = "{claim:tenant}", "x-plain" = "{a b}{}{" }
        [token.custom.body]
        jwt = "{sso_token}"
        who = "{subject}@{issuer}"
        level = "{claim:level}"
        text = "level {claim:level} of {claim:groups}"
        groups = "{claim:groups}"
        fixed = { n = 1, f = 1.5, b = true, list = ["{client_id}", 2] }
        secret = "{client_secret}"
        "#,
    )
    .await;
    assert_eq!(json.method, "PUT");
    assert_eq!((json.header("x-tenant"), json.header("x-plain")), ("T 1", "{a b}{}{"));
    assert_eq!(json.header("content-type"), "application/json");
    let body: serde_json::Value = serde_json::from_str(&json.body).unwrap();
    let expected = json!({
        "jwt": "sso.https://sso.alice",
        "who": "alice@https://sso",
        "level": 7,
        "text": "level 7 of [\"a\",\"b\"]",
        "groups": ["a", "b"],
        "fixed": { "n": 1, "f": 1.5, "b": true, "list": ["gw", 2] },
        "secret": "s3cr+t &=ü:",
    });
    assert_eq!(body, expected);

    let form = sent_by("method = \"custom\"\n[token.custom]\nformat = \"form\"\nbody = { token = \"{sso_token}\", tenant = \"{claim:tenant}\" }").await;
    assert_eq!(form.header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(form.body, "tenant=T+1&token=sso.https%3A%2F%2Fsso.alice");

    let get = sent_by("method = \"custom\"\n[token.custom]\nmethod = \"GET\"\nbody = { tenant = \"{claim:tenant}\" }").await;
    assert_eq!((get.method.as_str(), get.body.as_str()), ("GET", ""));
    assert_eq!(get.path, "/auth/login?tenant=T+1");
}

#[tokio::test]
async fn custom_reads_the_answer_by_its_rules() {
    let lines = r#"
        method = "custom"
        unavailable_for = "0s"
        denied_for = "0s"
        [token.custom]
        body = { t = "{sso_token}" }
        token = "/result/ticket/value"
        expires_in = "/result/ticket/ttl"
        success = { "/code" = [0, "0"] }
        denied = { "/code" = [40301, "DENIED"], "/result/blocked" = [true] }
        "#;
    let world = World::start().await;
    let denied = TokenError::Denied(Denial::Endpoint(Said { status: 200, error: None }));
    let unusable = TokenError::AnswerUnusable;
    for (row, (body, expected)) in [
        (r#"{"code":0,"result":{"ticket":{"value":"Bearer t","ttl":"60"}}}"#, Ok("Bearer t")),
        (r#"{"code":"0","result":{"ticket":{"value":"t"}}}"#, Ok("Bearer t")),
        (r#"{"code":0.0,"result":{"ticket":{"value":"t"}}}"#, Ok("Bearer t")),
        (r#"{"code":1,"result":{"ticket":{"value":"t"}}}"#, Err(unusable(Unusable::NotSuccess))),
        (r#"{"result":{"ticket":{"value":"t"}}}"#, Err(unusable(Unusable::NotSuccess))),
        (r#"{"code":0,"access_token":"t"}"#, Err(unusable(Unusable::TokenAbsent))),
        (r#"{"code":40301}"#, Err(denied.clone())),
        (r#"{"code":"DENIED"}"#, Err(denied.clone())),
        (r#"{"code":"40301"}"#, Err(unusable(Unusable::NotSuccess))),
        (r#"{"code":0,"result":{"blocked":true,"ticket":{"value":"t"}}}"#, Err(denied.clone())),
    ]
    .into_iter()
    .enumerate()
    {
        world.endpoint.always(Answer::json(200, body));
        let had = ask_as(&world, lines, &caller(&row.to_string())).await;
        let expected = expected.map(str::to_owned);
        assert_eq!(format!("{had:?}"), format!("{expected:?}"), "{body}");
    }
}

#[tokio::test]
async fn a_caller_without_a_claim_of_the_template_is_denied_and_nothing_is_sent() {
    let world = World::start().await;
    let lines = "method = \"custom\"\n[token.custom]\nbody = { t = \"{claim:tenant}\" }";
    for claims in [json!({}), json!({ "tenant": null })] {
        let had = ask_as(&world, lines, &caller_of("i", "alice", claims)).await;
        assert!(matches!(had, Err(TokenError::Denied(Denial::ClaimMissing))), "{had:?}");
    }
    assert_eq!(world.endpoint.count(), 0);
}

#[tokio::test]
async fn carrier_login_logs_in_once_and_renews_its_session() {
    let world = World::start().await;
    let scratch = Scratch::new().unwrap();
    scratch.write("password", "p\u{e4}ss\n").unwrap();
    let lines = "method = \"carrier_login\"\n[token.carrier]\naccount = \"13800000000\"\npassword_file = \"password\"\nagent_name = \"standard\"";
    let config = read_config(&world, &scratch, lines);
    let tokens = Tokens::new(&config, &[], &world.store, client());
    let ask = async |subject: &str| {
        let span = SpanContext::root(true);
        tokens.token_for(&caller(subject), &span).await.unwrap()
    };
    let session = |token: &str| {
        json!({ "code": "0", "data": { "sessionInfo": { "accessToken": token, "expiresIn": 900,
            "issuedAt": "1772006999088", "refreshToken": "r1" } } })
        .to_string()
    };
    let (first, second, third) = (session("AT one"), session("AT two"), session("AT three"));
    world.endpoint.answers(move |asked| match (asked.path.as_str(), asked.number) {
        ("/auth/login", 1) => Answer::json(200, first.as_str()),
        ("/auth/refreshToken", 2) => Answer::json(200, second.as_str()),
        ("/auth/refreshToken", 3) => Answer::json(200, r#"{"code":"13000999"}"#),
        ("/auth/login", 4) => Answer::json(200, third.as_str()),
        other => panic!("{other:?}"),
    });
    assert_eq!(text_of(&ask("alice").await), "AT one");
    assert_eq!(text_of(&ask("bob").await), "AT one");
    // Renewed ahead of need, first by its session, then, when that has ended, by a new login.
    for expected in ["AT two", "AT three"] {
        world.advance(std::time::Duration::from_secs(800));
        ask("bob").await;
        while tokens.flights() != 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(text_of(&ask("alice").await), expected);
    }
    let sent = world.endpoint.asked();
    assert_eq!(sent.len(), 4);
    assert!(sent.iter().all(|asked| asked.header("x-hw-agentname") == "standard"));
    let login = json!({ "account": "13800000000", "authType": "1", "password": "p\u{e4}ss" });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&sent[0].body).unwrap(), login);
    assert_eq!(sent[1].header("authorization"), "AT one");
    assert_eq!(sent[1].body, r#"{"refreshToken":"r1"}"#);
    assert_eq!(sent[2].header("authorization"), "AT two");
}

/// A login that got no byte of an answer on a kept connection has failed at no account: the next
/// caller would send it a moment later anyway.
#[tokio::test]
async fn what_is_lost_on_a_kept_connection_is_sent_once_more_a_carrier_login_too() {
    let scratch = Scratch::new().unwrap();
    scratch.write("password", "pass\n").unwrap();
    let login = "method = \"carrier_login\"\n[token.carrier]\naccount = \"1\"\n\
        password_file = \"password\"\nagent_name = \"a\"";
    let session = r#"{"code":"0","data":{"sessionInfo":{"accessToken":"AT one"}}}"#;
    let exchange = r#"{"access_token":"one"}"#;
    for (lines, well) in [(login, session), ("", exchange)] {
        // How many requests are lost, and what comes of it.
        for (lost, asked) in [(1, 3), (2, 3)] {
            let world = World::start().await;
            let config = read_config(&world, &scratch, lines);
            let tokens = Tokens::new(&config, &[], &world.store, client());
            world.endpoint.answers(move |asked| match asked.number {
                number if (2..2 + lost).contains(&number) => Answer::Reset,
                _ => Answer::json(200, well),
            });
            let span = SpanContext::root(true);
            tokens.token_for(&caller("alice"), &span).await.unwrap();
            tokens.forget(None).await;
            let had = tokens.token_for(&caller("alice"), &span).await;
            assert_eq!(had.is_ok(), lost == 1, "{lines} {lost}: {had:?}");
            assert_eq!(world.endpoint.count(), asked, "{lines} {lost}");
        }
    }
}

#[tokio::test]
async fn a_carrier_login_that_was_answered_is_not_repeated_whatever_the_answer() {
    let scratch = Scratch::new().unwrap();
    scratch.write("password", "wrong\n").unwrap();
    let lines = "method = \"carrier_login\"\n[token.carrier]\naccount = \"1\"\n\
        password_file = \"password\"\nagent_name = \"a\"";
    for answer in [
        Answer::json(200, r#"{"code":"13000102","msg":"wrong password"}"#),
        Answer::json(401, "{}"),
        Answer::json(400, r#"{"error":"invalid_grant"}"#),
        Answer::json(500, ""),
    ] {
        let world = World::start().await;
        let config = read_config(&world, &scratch, lines);
        let tokens = Tokens::new(&config, &[], &world.store, client());
        world.endpoint.always(answer.clone());
        let span = SpanContext::root(true);
        let callers: Vec<_> = (0..20).map(|number| caller(&number.to_string())).collect();
        let asking = callers.iter().map(|caller| tokens.token_for(caller, &span));
        let had = futures_util::future::join_all(asking).await;
        assert!(had.iter().all(Result::is_err), "{answer:?}");
        assert_eq!(world.endpoint.count(), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn app_signature_signs_for_the_user_whom_the_callers_own_issuer_names() {
    let world = World::start().await;
    let scratch = Scratch::new().unwrap();
    scratch.write("app-secret", "hush\n").unwrap();
    scratch.write("users.toml", "alice = \"1001\"\n\"bob@x\" = \"1002\"\n").unwrap();
    let document = "[[accept.issuers]]\nissuer = \"https://a\"\naudiences = [\"g\"]\n\
        koodrive_user_claim = \"koodrive_user_id\"\nkoodrive_users_file = \"users.toml\"\n\
        [[accept.issuers]]\nissuer = \"https://b\"\naudiences = [\"g\"]\n\
        koodrive_user_claim = \"uid\"\n\
        [forward]\nupstream = \"https://koodrive.example.com\"\n\
        [token]\nmethod = \"app_signature\"\n\
        [token.app]\napp_id = \"app\"\napp_secret_file = \"app-secret\"";
    let loaded = Config::parse(document, "gateway.toml", scratch.path(), std::iter::empty());
    let config = loaded.unwrap().config;
    let issuers = &config.accept.issuers;
    let tokens = Tokens::new(&config.token, issuers, &world.store, client());
    let id = "1505084218764547200";
    for (issuer, subject, claims, expected) in [
        ("https://a", "alice", json!({}), Some("1001")),
        ("https://a", "alice", json!({ "koodrive_user_id": "9" }), Some("1001")),
        ("https://a", "bob@x", json!({}), Some("1002")),
        ("https://a", "carol", json!({ "koodrive_user_id": id }), Some(id)),
        (
            "https://a",
            "carol",
            json!({ "koodrive_user_id": 1_505_084_218_764_547_200_u64 }),
            Some(id),
        ),
        ("https://a", "carol", json!({}), None),
        ("https://a", "carol", json!({ "koodrive_user_id": "" }), None),
        ("https://a", "carol", json!({ "koodrive_user_id": "1\r\nx: y" }), None),
        ("https://a", "carol", json!({ "koodrive_user_id": -1 }), None),
        ("https://a", "carol", json!({ "koodrive_user_id": ["1"] }), None),
        // Another issuer's alice is somebody else, and its claims are not the first one's.
        ("https://b", "alice", json!({}), None),
        ("https://b", "alice", json!({ "koodrive_user_id": id }), None),
        ("https://b", "alice", json!({ "uid": "7" }), Some("7")),
        ("https://c", "alice", json!({ "uid": "7", "koodrive_user_id": id }), None),
    ] {
        let span = SpanContext::root(true);
        let issued = tokens.token_for(&caller_of(issuer, subject, claims.clone()), &span).await;
        match (issued, expected) {
            (Ok(issued), Some(expected)) => match issued.credential {
                Credential::Signature(app) => {
                    assert_eq!((&*app.app.id, app.user_id.to_str().unwrap()), ("app", expected));
                }
                Credential::Token(_) => panic!("a signature was expected"),
            },
            (Err(TokenError::Denied(Denial::UserUnknown)), None) => {}
            (other, _) => panic!("{issuer} {subject} {claims}: {other:?}"),
        }
    }
    assert_eq!(world.endpoint.count(), 0);
}

/// The form as pairs, in their order.
fn pairs(sent: &Asked) -> Vec<(String, String)> {
    form_urlencoded::parse(sent.body.as_bytes()).into_owned().collect()
}

#[tokio::test]
async fn lists_further_parameters_and_the_actors_token_go_into_the_form() {
    let world = World::start().await;
    let scratch = Scratch::new().unwrap();
    scratch.write("actor", "a.b.c\n").unwrap();
    let lines = "audience = [\"one\", \"two\"]\nresource = [\"https://r\"]\n\
        requested_token_type = \"urn:x:requested\"\nactor_token_file = \"actor\"\n\
        actor_token_type = \"urn:ietf:params:oauth:token-type:jwt\"\n\
        extra = { requested_token_use = \"on_behalf_of\" }";
    let config = read_config(&world, &scratch, lines);
    let tokens = Tokens::new(&config, &[], &world.store, client());
    let ask = async |subject: &str| {
        tokens.token_for(&caller(subject), &SpanContext::root(true)).await.map(drop)
    };
    ask("alice").await.unwrap();
    let sent = pairs(&world.endpoint.asked()[0]);
    for (name, value) in [
        ("audience", "one"),
        ("audience", "two"),
        ("resource", "https://r"),
        ("requested_token_type", "urn:x:requested"),
        ("actor_token", "a.b.c"),
        ("actor_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("requested_token_use", "on_behalf_of"),
    ] {
        assert!(sent.contains(&(name.to_owned(), value.to_owned())), "{name} {value}: {sent:?}");
    }
    // Whoever keeps the file fresh need not tell us.
    scratch.write("actor", "d.e.f").unwrap();
    ask("bob").await.unwrap();
    assert_eq!(world.endpoint.asked()[1].form()["actor_token"], "d.e.f");
    scratch.write("actor", "two words").unwrap();
    let error = ask("carol").await.unwrap_err();
    let own = matches!(error, TokenError::AnswerUnusable(Unusable::ActorTokenFile));
    assert!(own, "{error:?}");
    assert_eq!(world.endpoint.count(), 2);
    // That said nothing about the endpoint.
    scratch.write("actor", "d.e.f").unwrap();
    ask("dave").await.unwrap();
}

#[tokio::test]
async fn a_client_assertion_kept_fresh_by_others_is_read_at_each_exchange() {
    let world = World::start().await;
    let scratch = Scratch::new().unwrap();
    scratch.write("svid", "one.two.three\n").unwrap();
    let lines = "client_auth = \"assertion_file\"\nassertion_file = \"svid\"\nclient_id = \"gw\"";
    let config = read_config(&world, &scratch, lines);
    let tokens = Tokens::new(&config, &[], &world.store, client());
    for (subject, content) in [("alice", "one.two.three"), ("bob", "four.five.six")] {
        scratch.write("svid", content).unwrap();
        tokens.token_for(&caller(subject), &SpanContext::root(true)).await.unwrap();
        let form = world.endpoint.asked().pop().unwrap().form();
        assert_eq!(form["client_assertion"], content);
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        assert_eq!(
            (form["client_assertion_type"].as_str(), form["client_id"].as_str()),
            (kind, "gw")
        );
    }
}
