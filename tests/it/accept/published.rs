//! Key sets and discovery documents in the shapes that products publish, rebuilt with own keys.

use std::io::Write as _;

use koodrive_gateway::accept::KeyFetchOutcome;
use serde_json::{Value, json};

use super::mint::{ED25519, P256, P384, RSA, RSA_OTHER, SigningKey};
use super::sso::{Answer, Gate, Sso};
use super::{header, merged, sound_claims, verdict};

/// A token that must be accepted: its key, `alg`, `kid`; without `kid` when that is empty.
type Usable = (&'static SigningKey, &'static str, &'static str);

/// A name, the keys, what must be usable, how many keys are skipped.
type Row = (&'static str, Vec<Value>, Vec<Usable>, usize);

fn with(key: &SigningKey, kid: &str, members: &Value) -> Value {
    let mut jwk = key.jwk(kid);
    jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    jwk
}

/// The same with base64 padded where it would be.
fn padded(mut jwk: Value) -> Value {
    for name in ["n", "e", "x", "y"] {
        if let Some(text) = jwk[name].as_str() {
            let padding = "=".repeat((4 - text.len() % 4) % 4);
            jwk[name] = json!(format!("{text}{padding}"));
        }
    }
    jwk
}

const CHAIN: &str = "MIIC/jCCAeagAwIBAgIJAKx+own+key=";

/// All that one .NET library writes, whether there is something or not.
fn every_member() -> Value {
    json!({
        "alg": null, "use": "sig", "key_ops": [], "oth": [], "x5c": [], "x5t": null, "x5u": null,
        "x5t#S256": null, "d": null, "dp": null, "dq": null, "p": null, "q": null, "qi": null,
        "k": null, "crv": null,
    })
}

fn of_products() -> Vec<Row> {
    let (rs, sig) = (json!({"use": "sig", "alg": "RS256"}), json!({"use": "sig"}));
    let chain = json!({"use": "sig", "alg": "RS256", "x5t": "abc", "x5c": [CHAIN]});
    let entra = json!({
        "use": "sig", "x5t": "nOo3", "x5c": [CHAIN], "cloud_instance_name": "microsoftonline.com",
        "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0",
    });
    let encryption = json!({"use": "enc", "alg": "RSA-OAEP", "x5c": [CHAIN], "x5t#S256": "y"});
    let one: Vec<Usable> = vec![(&RSA, "RS256", "a")];
    let two: Vec<Usable> = vec![(&RSA, "RS256", "a"), (&RSA_OTHER, "RS256", "b")];
    vec![
        ("Entra ID", vec![with(&RSA, "a", &entra), with(&RSA_OTHER, "b", &entra)], two.clone(), 0),
        ("Okta", vec![with(&RSA, "a", &rs)], one.clone(), 0),
        ("Okta, rotating", vec![with(&RSA, "a", &rs), with(&RSA_OTHER, "b", &rs)], two.clone(), 0),
        ("Auth0", vec![with(&RSA, "a", &chain), with(&RSA_OTHER, "b", &chain)], two.clone(), 0),
        (
            "Keycloak",
            vec![with(&RSA_OTHER, "e", &encryption), with(&RSA, "a", &chain)],
            one.clone(),
            1,
        ),
        (
            "Keycloak, ES256 and EdDSA",
            vec![
                with(&P256, "a", &json!({"use": "sig", "alg": "ES256"})),
                with(&ED25519, "b", &json!({"use": "sig", "alg": "EdDSA"})),
                json!({"kid": "h", "kty": "oct", "alg": "HS512"}),
            ],
            vec![(&P256, "ES256", "a"), (&ED25519, "EdDSA", "b")],
            1,
        ),
        ("Google", vec![with(&RSA, "a", &rs), with(&RSA_OTHER, "b", &rs)], two.clone(), 0),
        ("Cognito", vec![with(&RSA, "a", &rs), with(&RSA_OTHER, "b", &rs)], two.clone(), 0),
        ("ADFS", vec![with(&RSA, "a", &chain)], one.clone(), 0),
        (
            "ADFS, without alg",
            vec![with(&RSA, "a", &json!({"use": "sig", "x5t": "a", "x5c": [CHAIN]}))],
            one.clone(),
            0,
        ),
        (
            "PingFederate",
            vec![
                with(&P256, "a", &sig),
                with(&P384, "b", &sig),
                with(&RSA, "c", &sig),
                json!({"kty": "EC", "kid": "d", "use": "sig", "crv": "P-521", "x": "AA", "y": "AA"}),
            ],
            vec![(&P256, "ES256", "a"), (&P384, "ES384", "b"), (&RSA, "RS512", "c")],
            1,
        ),
        (
            "PingOne",
            vec![with(&RSA, "a", &json!({"use": "sig", "x5t": "a", "x5c": [CHAIN]}))],
            one.clone(),
            0,
        ),
        ("Huawei OneAccess", vec![with(&RSA, "a", &rs)], one.clone(), 0),
        (
            "Huawei OneAccess, RS512",
            vec![with(&RSA, "a", &json!({"alg": "RS512"}))],
            vec![(&RSA, "RS512", "a")],
            0,
        ),
        (
            "AWS IAM Identity Center",
            vec![with(&P384, "a", &json!({"use": "sig", "alg": "ES384"}))],
            vec![(&P384, "ES384", "a")],
            0,
        ),
        (
            "Duende IdentityServer",
            vec![with(&RSA, "a", &chain), with(&P256, "b", &json!({"use": "sig", "alg": "ES256"}))],
            vec![(&RSA, "RS256", "a"), (&P256, "ES256", "b")],
            0,
        ),
        ("OpenIddict, every member", vec![with(&RSA, "a", &every_member())], one.clone(), 0),
        ("Spring Authorization Server", vec![RSA.jwk("a")], one.clone(), 0),
        ("Dex", vec![with(&RSA, "a", &rs), with(&RSA_OTHER, "b", &rs)], two.clone(), 0),
        ("Ory Hydra", vec![with(&RSA, "public:a", &rs)], vec![(&RSA, "RS256", "public:a")], 0),
        ("ZITADEL", vec![with(&RSA, "a", &rs), with(&RSA_OTHER, "b", &rs)], two.clone(), 0),
        ("Kubernetes", vec![with(&RSA, "a", &rs)], one.clone(), 0),
        (
            "SPIFFE",
            vec![with(&P256, "a", &json!({"use": "jwt-svid"})), with(&RSA, "a", &sig)],
            one.clone(),
            1,
        ),
        ("WSO2", vec![with(&RSA, "a_RS256", &rs)], vec![(&RSA, "RS256", "a_RS256")], 0),
        (
            "ForgeRock",
            vec![with(&RSA, "a", &rs), with(&RSA, "b", &json!({"use": "sig", "alg": "RS384"}))],
            vec![(&RSA, "RS256", "a"), (&RSA, "RS384", "b")],
            0,
        ),
        ("Authentik", vec![with(&RSA, "a", &chain)], one, 0),
    ]
}

fn of_habits() -> Vec<Row> {
    let alg = |alg: &str| json!({"alg": alg});
    let nulls = |key: &SigningKey, name: &str| with(key, "a", &json!({name: null}));
    let one: Vec<Usable> = vec![(&RSA, "RS256", "a")];
    vec![
        ("key_ops empty", vec![with(&RSA, "a", &json!({"key_ops": []}))], one.clone(), 0),
        (
            "key_ops with verify",
            vec![with(&RSA, "a", &json!({"key_ops": ["verify"]}))],
            one.clone(),
            0,
        ),
        ("d null", vec![nulls(&RSA, "d")], one.clone(), 0),
        ("alg null", vec![nulls(&RSA, "alg")], one.clone(), 0),
        ("use null", vec![nulls(&RSA, "use")], one.clone(), 0),
        ("crv null", vec![nulls(&RSA, "crv")], one.clone(), 0),
        ("key_ops null", vec![nulls(&RSA, "key_ops")], one.clone(), 0),
        ("kid null", vec![with(&RSA, "a", &json!({"kid": null}))], vec![(&RSA, "RS256", "")], 0),
        (
            "kid absent, one key",
            vec![merged(RSA.jwk("a"), &json!({"kid": null}))],
            vec![(&RSA, "RS256", "")],
            0,
        ),
        ("padded RSA", vec![padded(RSA.jwk("a"))], one.clone(), 0),
        ("padded EC", vec![padded(P256.jwk("a"))], vec![(&P256, "ES256", "a")], 0),
        ("padded Ed25519", vec![padded(ED25519.jwk("a"))], vec![(&ED25519, "EdDSA", "a")], 0),
        (
            "one key as RS256 and RS512",
            vec![with(&RSA, "a", &alg("RS256")), with(&RSA, "a", &alg("RS512"))],
            vec![(&RSA, "RS256", "a"), (&RSA, "RS512", "a")],
            0,
        ),
        (
            "RSA and EC under one id",
            vec![RSA.jwk("a"), P256.jwk("a")],
            vec![(&RSA, "RS256", "a"), (&P256, "ES256", "a")],
            0,
        ),
        (
            "with alg and without",
            vec![with(&RSA, "a", &alg("RS256")), RSA.jwk("a")],
            one.clone(),
            0,
        ),
        (
            "with alg and without, no kid in the token",
            vec![with(&RSA, "a", &alg("RS256")), RSA.jwk("a")],
            vec![(&RSA, "RS256", "")],
            0,
        ),
        (
            "two RSA keys under one id",
            vec![RSA.jwk("a"), RSA_OTHER.jwk("a")],
            vec![(&RSA, "RS256", "a"), (&RSA_OTHER, "RS256", "a")],
            0,
        ),
        ("the same twice", vec![RSA.jwk("a"), RSA.jwk("a")], one.clone(), 1),
        (
            "members nobody knows",
            vec![with(&RSA, "a", &json!({"x": 1, "exp": 1_700_000_000, "iat": null, "y": [1]}))],
            one,
            0,
        ),
    ]
}

async fn accepts(gate: &Gate, usable: &[Usable], name: &str) {
    for (key, alg, kid) in usable {
        let head = match *kid {
            "" => json!({"alg": alg}),
            kid => header(alg, kid),
        };
        let token = key.token(&head, &sound_claims(gate.clock.now()));
        let result = gate.present(&token).await;
        assert_eq!(verdict(&result), "accepted", "{name}, {alg} {kid:?}: {result:?}");
    }
}

#[tokio::test]
async fn key_sets_as_products_publish_them_are_usable() {
    let rows = [of_products(), of_habits()].concat();
    assert!(40 <= rows.len(), "{}", rows.len());
    for (name, keys, usable, skipped) in rows {
        let sso = Sso::publishing(&keys).await;
        let gate = Gate::ready(sso.issuer()).await;
        assert_eq!(gate.fetched(1).await.skipped.count(), skipped, "{name}");
        accepts(&gate, &usable, name).await;
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn answers_are_read_as_products_send_them() {
    let document = json!({"keys": [RSA.jwk("a")]}).to_string();
    let plain = Answer { status: 200, headers: String::new(), body: document.clone().into() };
    let bom = [b"\xef\xbb\xbf", document.as_bytes()].concat();
    let large = json!({"keys": [RSA.jwk("a")], "x": "y".repeat(1_000_000)}).to_string();
    let rows = [
        ("as it is", plain.clone()),
        ("of its own type", plain.clone().with("content-type: application/jwk-set+json")),
        ("behind a BOM", Answer { body: bom.clone(), ..plain.clone() }),
        (
            "in gzip",
            Answer { body: gzip(document.as_bytes()), ..plain.clone() }
                .with("content-encoding: gzip"),
        ),
        (
            "in gzip behind a BOM",
            Answer { body: gzip(&bom), ..plain.clone() }.with("content-encoding: X-GZIP"),
        ),
        ("identity", plain.clone().with("content-encoding: identity")),
        ("nearly 1 MiB", Answer { body: large.into(), ..plain.clone() }),
    ];
    for (name, answer) in rows {
        let sso = Sso::start().await;
        sso.answer("/jwks", answer);
        let gate = Gate::ready(sso.issuer()).await;
        accepts(&gate, &[(&RSA, "RS256", "a")], name).await;
    }
    let bomb = gzip(&vec![b' '; 64 * 1024 * 1024]);
    let wrong = [
        (
            "a bomb",
            Answer { body: bomb, ..plain.clone() }.with("content-encoding: gzip"),
            KeyFetchOutcome::TooLarge,
            "more than 1048576 bytes behind gzip",
        ),
        (
            "not gzip",
            plain.clone().with("content-encoding: gzip"),
            KeyFetchOutcome::Status,
            "content coding \"gzip\"",
        ),
        (
            "brotli",
            plain.clone().with("content-encoding: br"),
            KeyFetchOutcome::Status,
            "content coding \"br\"; only gzip is read",
        ),
        (
            "a page",
            Answer { body: b"<html>".to_vec(), ..plain.clone() }.with("content-type: text/html"),
            KeyFetchOutcome::NotAKeySet,
            "not a key set (content type \"text/html\")",
        ),
        (
            "406",
            Answer { status: 406, ..plain.clone() }.with("content-type: text/plain"),
            KeyFetchOutcome::Status,
            "status 406, content type \"text/plain\"",
        ),
        (
            "a login page",
            Answer { status: 302, ..plain.clone() }
                .with("location: https://login.example.com/x?state=s3cr3t"),
            KeyFetchOutcome::Status,
            "redirects to \"https://login.example.com/x\" (status 302); redirects are not followed",
        ),
        (
            "nothing usable",
            Answer::json(&json!({"keys": [{"kty": "oct", "kid": "h", "k": "AA"}]})),
            KeyFetchOutcome::NoUsableKeys,
            "can be used: \"h\" (symmetric)",
        ),
    ];
    for (name, answer, outcome, told) in wrong {
        let sso = Sso::start().await;
        sso.answer("/jwks", answer);
        let gate = Gate::of(sso.issuer());
        let fetch = gate.fetched(1).await;
        let failure = fetch.failure.unwrap().to_string();
        assert_eq!(fetch.outcome, outcome, "{name}");
        assert!(failure.contains(told), "{name}: {failure}");
        assert!(!failure.contains("s3cr3t"), "{failure}");
        // The caller's refusal knows why, once.
        let token = RSA.token(&header("RS256", "a"), &sound_claims(gate.clock.now()));
        let error = gate.present(&token).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, failure, "{name}");
        assert!(!error.to_string().contains(told), "{error}");
    }
}

#[tokio::test]
async fn a_key_that_changes_under_its_id_is_found_within_the_cooldown() {
    let sso = Sso::publishing(&[RSA.jwk("a")]).await;
    let gate = Gate::ready(sso.issuer()).await;
    accepts(&gate, &[(&RSA, "RS256", "a")], "before").await;
    sso.publish(&[RSA_OTHER.jwk("a")]);
    accepts(&gate, &[(&RSA_OTHER, "RS256", "a")], "the first token of the new key").await;
    assert_eq!(sso.count("/jwks"), 2);
    // What is signed with the old key is refused, and costs no fetch before the cooldown is over.
    for _ in 0..10 {
        let token = RSA.token(&header("RS256", "a"), &sound_claims(gate.clock.now()));
        let result = gate.present(&token).await;
        assert_eq!(verdict(&result), "token_signature_invalid");
    }
    assert_eq!(sso.count("/jwks"), 2);
}

#[tokio::test]
async fn keys_are_fetched_when_the_operator_asks() {
    let sso = Sso::publishing(&[RSA.jwk("a")]).await;
    let gate = Gate::ready(sso.issuer()).await;
    gate.stores.refresh();
    let fetch = gate.fetched(2).await;
    assert_eq!(fetch.cause, koodrive_gateway::accept::KeyFetchCause::Requested);
    let overview = gate.stores.overview();
    assert_eq!((overview.len(), overview[0].keys.len()), (1, 1));
    assert_eq!(overview[0].keys[0].kid.to_string(), "\"a\"");
}
