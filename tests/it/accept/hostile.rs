//! Tokens that must not pass, each with the exact reason.

use std::time::SystemTime;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use koodrive_gateway::config::ClaimValue;
use serde_json::{Value, json};

use super::mint::{ED25519, P256, P384, RSA, RSA_OTHER, base64, p256};
use super::sso::ISSUER;
use super::{gate_with, header, merged, sound_claims, sound_token, unix, verdict};

type Row = (&'static str, String, &'static str);

fn parts(now: SystemTime) -> [String; 3] {
    let token = sound_token(now);
    let mut parts = token.split('.').map(str::to_owned);
    std::array::from_fn(|_| parts.next().unwrap())
}

/// A properly signed token whose header differs from a sound one's.
fn of_header(now: SystemTime, changes: &Value) -> String {
    RSA.token(&merged(header("RS256", "rsa-1"), changes), &sound_claims(now))
}

/// A properly signed token whose claims differ from a sound one's.
fn of_claims(now: SystemTime, changes: &Value) -> String {
    RSA.token(&header("RS256", "rsa-1"), &merged(sound_claims(now), changes))
}

fn of_texts(header: &str, payload: &str) -> String {
    RSA.token_of(header, payload)
}

fn forms(now: SystemTime) -> Vec<Row> {
    let [head, payload, signature] = parts(now);
    let good = sound_claims(now).to_string();
    let sound_header = header("RS256", "rsa-1").to_string();
    let deep = format!("{}{}", "[".repeat(15), "]".repeat(15));
    let deeper = format!("{}{}", "[".repeat(16), "]".repeat(16));
    let with = |extra: &str| good.replacen('{', &format!("{{{extra},"), 1);
    let headed = |extra: &str| sound_header.replacen('{', &format!("{{{extra},"), 1);
    let rows = [
        ("nothing", String::new()),
        ("one part", head.clone()),
        ("two parts", format!("{head}.{payload}")),
        ("four parts", format!("{head}.{payload}.{signature}.")),
        ("five parts, as if encrypted", format!("{head}.{payload}.{signature}.AA.AA")),
        ("only dots", "..".to_owned()),
        ("empty payload", format!("{head}..{signature}")),
        ("empty header", format!(".{payload}.{signature}")),
        ("padded header", format!("{head}==.{payload}.{signature}")),
        ("plus and slash", format!("{head}.{payload}.+/{signature}")),
        ("space inside", format!("{head}. {payload}.{signature}")),
        ("comma and a second token", format!("{head}.{payload}.{signature},Bearer x.y.z")),
        ("percent-encoded", format!("{head}%2E{payload}.{signature}")),
        ("unused bits set", format!("{head}.{payload}.AB")),
        ("length of no base64", format!("{head}.{payload}.AAAAA")),
        ("header is an array", of_texts(r#"["RS256"]"#, &good)),
        ("header is a string", of_texts(r#""RS256""#, &good)),
        ("header is not JSON", of_texts("{alg:RS256}", &good)),
        ("header with a BOM", of_texts(&format!("\u{feff}{sound_header}"), &good)),
        ("header twice", of_texts(&format!("{sound_header}{sound_header}"), &good)),
        ("alg twice", of_texts(&headed(r#""alg":"none""#), &good)),
        ("alg twice, escaped", of_texts(&headed(r#""\u0061lg":"none""#), &good)),
        ("kid twice", of_texts(&headed(r#""kid":"ec-1""#), &good)),
        ("alg absent", of_texts(r#"{"kid":"rsa-1"}"#, &good)),
        ("alg a number", of_header(now, &json!({"alg": 256}))),
        ("alg a list", of_header(now, &json!({"alg": ["RS256"]}))),
        ("kid a number", of_header(now, &json!({"kid": 1}))),
        ("kid too long", of_header(now, &json!({"kid": "k".repeat(513)}))),
        ("crit names an extension", of_header(now, &json!({"crit": ["exp"], "exp": 1}))),
        ("crit empty", of_header(now, &json!({"crit": []}))),
        ("b64 false", of_header(now, &json!({"b64": false}))),
        ("compressed", of_header(now, &json!({"zip": "DEF"}))),
        ("encrypted", of_header(now, &json!({"enc": "A256GCM"}))),
        ("an ID token by type", of_header(now, &json!({"typ": "id_token"}))),
        ("a logout token", of_header(now, &json!({"typ": "logout+jwt"}))),
        ("a DPoP proof", of_header(now, &json!({"typ": "dpop+jwt"}))),
        ("typ a number", of_header(now, &json!({"typ": 7}))),
        ("payload is text", of_texts(&sound_header, "foo")),
        ("payload is an array", of_texts(&sound_header, &format!("[{good}]"))),
        ("payload has a tail", of_texts(&sound_header, &format!("{good} x"))),
        ("payload cut off", of_texts(&sound_header, good.trim_end_matches('}'))),
        ("sub twice", of_texts(&sound_header, &with(r#""sub":"root""#))),
        ("exp twice", of_texts(&sound_header, &with(r#""exp":99999999999"#))),
        ("a member twice, deep inside", of_texts(&sound_header, &with(r#""a":[{"b":1,"b":2}]"#))),
        ("lone surrogate", of_texts(&sound_header, &with(r#""a":"\ud800""#))),
        ("control character in a string", of_texts(&sound_header, &with("\"a\":\"\u{1}\""))),
        ("number beyond all range", of_texts(&sound_header, &with(r#""a":1e400"#))),
        ("NaN", of_texts(&sound_header, &with(r#""a":NaN"#))),
        ("nested too deeply", of_texts(&sound_header, &with(&format!(r#""a":{deeper}"#)))),
        ("long, and not a token", "A".repeat(17_000)),
    ];
    let mut rows: Vec<Row> =
        rows.into_iter().map(|(name, token)| (name, token, "token_malformed")).collect();
    rows.push((
        "nested just not too deeply",
        of_texts(&sound_header, &with(&format!(r#""a":{deep}"#))),
        "accepted",
    ));
    rows
}

fn signatures(now: SystemTime) -> Vec<Row> {
    let [head, payload, signature] = parts(now);
    let claims = sound_claims(now);
    let none = base64(json!({"alg": "none"}).to_string());
    let none_kid = base64(json!({"alg": "none", "kid": "rsa-1"}).to_string());
    let es = P256.token(&header("ES256", "ec-1"), &claims);
    let es_input = es.rsplit_once('.').unwrap().0;
    let other_payload = base64(merged(claims.clone(), &json!({"sub": "root"})).to_string());
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&order[2 * at..2 * at + 2], 16).unwrap()).collect();
    let fixed = |r: &[u8], s: &[u8]| format!("{es_input}.{}", base64([r, s].concat()));
    let (zero, mut one) = ([0; 32], [0; 32]);
    one[31] = 1;
    let rows = [
        ("no signature", format!("{head}.{payload}.")),
        ("signature of another payload", format!("{head}.{other_payload}.{signature}")),
        ("signature cut", format!("{head}.{payload}.{}", &signature[..300])),
        ("signature prolonged", format!("{head}.{payload}.{signature}AAAA")),
        ("signature all zero", format!("{head}.{payload}.{}", base64([0; 256]))),
        ("another RSA key under this kid", RSA_OTHER.token(&header("RS256", "rsa-1"), &claims)),
        ("another EC key under this kid", p256().token(&header("ES256", "ec-1"), &claims)),
        ("the key in its own header", {
            let own = merged(header("ES256", "ec-1"), &json!({"jwk": p256().jwk("ec-1")}));
            p256().token(&own, &claims)
        }),
        ("PS256 said, RS256 made", {
            let input = format!("{}.{payload}", base64(header("PS256", "rsa-1").to_string()));
            format!("{input}.{}", base64(RSA.sign("RS256", input.as_bytes())))
        }),
        ("RS512 said, RS256 made", {
            let input = format!("{}.{payload}", base64(header("RS512", "rsa-1").to_string()));
            format!("{input}.{}", base64(RSA.sign("RS256", input.as_bytes())))
        }),
        ("ECDSA r and s zero", fixed(&zero, &zero)),
        ("ECDSA r and s one", fixed(&one, &one)),
        ("ECDSA r zero", fixed(&zero, &one)),
        ("ECDSA s zero", fixed(&one, &zero)),
        ("ECDSA r the order", fixed(&order, &one)),
        ("ECDSA r and s the order", fixed(&order, &order)),
        ("ECDSA in DER", format!("{es_input}.{}", base64([0x30, 6, 2, 1, 1, 2, 1, 1]))),
        ("ECDSA with zeros behind", format!("{es}AAAA")),
        ("Ed25519 all zero", {
            let token = ED25519.token(&header("EdDSA", "ed-1"), &claims);
            format!("{}.{}", token.rsplit_once('.').unwrap().0, base64([0; 64]))
        }),
    ];
    let mut rows: Vec<Row> =
        rows.into_iter().map(|(name, token)| (name, token, "token_signature_invalid")).collect();
    let alg = |alg: &str, kid: &str| RSA.token(&header(alg, kid), &claims);
    let refused = [
        ("none", format!("{none}.{payload}.")),
        ("none with a kid", format!("{none_kid}.{payload}.")),
        ("none with a signature", format!("{none}.{payload}.{signature}")),
        ("NONE", alg("NONE", "rsa-1")),
        ("HS256 with the public key as secret", alg("HS256", "rsa-1")),
        ("rs256 in lower case", alg("rs256", "rsa-1")),
        ("an algorithm nobody knows", alg("RS257", "rsa-1")),
        ("empty alg", alg("", "rsa-1")),
        ("ES512", alg("ES512", "ec-1")),
        ("RSA key, ES256 said", P256.token(&header("ES256", "rsa-1"), &claims)),
        ("EC key, RS256 said", alg("RS256", "ec-1")),
        ("P-256 key, ES384 said", P384.token(&header("ES384", "ec-1"), &claims)),
        ("key for PS256 alone, RS256 said", RSA_OTHER.token(&header("RS256", "ps-1"), &claims)),
        ("key for PS256 alone, PS384 said", RSA_OTHER.token(&header("PS384", "ps-1"), &claims)),
    ];
    let refused = refused.map(|(name, token)| (name, token, "token_algorithm_refused"));
    rows.extend(refused);
    let unknown = [
        ("unknown kid", alg("RS256", "rsa-2")),
        ("kid of another spelling", alg("RS256", "RSA-1")),
        ("empty kid", alg("RS256", "")),
        ("kid as a path", alg("RS256", "../../dev/null")),
        ("kid as SQL", alg("RS256", "' OR 1=1 --")),
        ("no kid, two keys fit", RSA.token(&json!({"alg": "PS256"}), &claims)),
    ];
    rows.extend(unknown.map(|(name, token)| (name, token, "token_key_unknown")));
    rows
}

fn claim_rows(now: SystemTime) -> Vec<Row> {
    let at = unix(now);
    #[rustfmt::skip]
    let rows = [
        ("expired", json!({"exp": at - 60}), "token_expired"),
        ("expired on the second, after the leeway", json!({"exp": at - 31}), "token_expired"),
        ("expired in 1970", json!({"exp": 0}), "token_expired"),
        ("expired before 1970", json!({"exp": -1}), "token_expired"),
        ("expired, and everything else wrong", json!({"exp": 1, "aud": "x", "sub": null}), "token_expired"),
        ("exp absent", json!({"exp": null}), "token_claim_refused"),
        ("exp a string", json!({"exp": (at + 60).to_string()}), "token_claim_refused"),
        ("exp a list", json!({"exp": [at + 60]}), "token_claim_refused"),
        ("exp for ever", json!({"exp": 1e300}), "token_claim_refused"),
        ("exp beyond the calendar", json!({"exp": u64::MAX, "iat": u64::MAX}), "token_claim_refused"),
        ("exp true", json!({"exp": true}), "token_claim_refused"),
        ("nbf ahead", json!({"nbf": at + 60}), "token_not_yet_valid"),
        ("nbf a string", json!({"nbf": "0"}), "token_claim_refused"),
        ("iat ahead", json!({"iat": at + 60}), "token_claim_refused"),
        ("iat a string", json!({"iat": "0"}), "token_claim_refused"),
        ("lives too long", json!({"iat": at, "exp": at + 86_401}), "token_claim_refused"),
        ("old, and lives too long", json!({"iat": at - 86_400, "exp": at + 60}), "token_claim_refused"),
        ("no iat, ends too late", json!({"iat": null, "exp": at + 86_500}), "token_claim_refused"),
        ("iss absent", json!({"iss": null}), "token_issuer_unknown"),
        ("iss of another", json!({"iss": "https://evil.example.com"}), "token_issuer_unknown"),
        ("iss with a slash behind", json!({"iss": format!("{ISSUER}/")}), "token_issuer_unknown"),
        ("iss in other case", json!({"iss": ISSUER.to_uppercase()}), "token_issuer_unknown"),
        ("iss a list that has ours", json!({"iss": ["evil", ISSUER]}), "token_issuer_unknown"),
        ("iss an object", json!({"iss": {"a": ISSUER}}), "token_issuer_unknown"),
        ("aud absent", json!({"aud": null}), "token_audience_mismatch"),
        ("aud of another", json!({"aud": "other"}), "token_audience_mismatch"),
        ("aud longer than ours", json!({"aud": "koodrive-gateway2"}), "token_audience_mismatch"),
        ("aud in other case", json!({"aud": "Koodrive-Gateway"}), "token_audience_mismatch"),
        ("aud an empty list", json!({"aud": []}), "token_audience_mismatch"),
        ("aud a number", json!({"aud": 123}), "token_audience_mismatch"),
        ("aud an object", json!({"aud": {"koodrive-gateway": 1}}), "token_audience_mismatch"),
        ("aud a list with a number", json!({"aud": ["koodrive-gateway", 5]}), "token_audience_mismatch"),
        ("aud a list in a list", json!({"aud": [["koodrive-gateway"]]}), "token_audience_mismatch"),
        ("sub absent", json!({"sub": null}), "token_claim_refused"),
        ("sub empty", json!({"sub": ""}), "token_claim_refused"),
        ("sub a number", json!({"sub": 1}), "token_claim_refused"),
        ("sub with a line end", json!({"sub": "alice\r\nx: y"}), "token_claim_refused"),
        ("sub with a zero", json!({"sub": "alice\u{0}"}), "token_claim_refused"),
        ("sub too long", json!({"sub": "s".repeat(513)}), "token_claim_refused"),
        ("required claim absent", json!({"groups": null}), "token_claim_refused"),
        ("required claim of another value", json!({"groups": "staff"}), "token_claim_refused"),
        ("required claim not in the list", json!({"groups": ["staff", "koodrive-users2"]}), "token_claim_refused"),
        ("required claim an object", json!({"groups": {"koodrive-users": true}}), "token_claim_refused"),
        ("required claim true", json!({"groups": true}), "token_claim_refused"),
    ];
    rows.into_iter()
        .map(|(name, changes, reason)| (name, of_claims(now, &changes), reason))
        .collect()
}

#[tokio::test]
async fn hostile_tokens_are_told_apart() {
    let (_sso, gate) = gate_with(|issuer| {
        issuer.required_claims =
            [("groups".to_owned(), vec![ClaimValue::Text("koodrive-users".to_owned())])].into();
    })
    .await;
    let now = gate.clock.now();
    let rows = [forms(now), signatures(now), claim_rows(now)].concat();
    assert!(130 <= rows.len(), "{} rows", rows.len());
    let mut wrong = Vec::new();
    for (name, token, expected) in &rows {
        let result = gate.acceptor.accept(&super::bearer(token), now, None).await;
        if verdict(&result) != *expected {
            wrong.push(format!("{name}: expected {expected}, got {result:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn credentials_that_are_none_are_told_from_malformed_ones() {
    let (_sso, gate) = gate_with(|_| {}).await;
    let token = sound_token(gate.clock.now());
    let bearer = format!("Bearer {token}");
    let rows: [(&[&str], &str); 14] = [
        (&[], "token_missing"),
        (&[""], "token_missing"),
        (&["Basic YTpi"], "token_missing"),
        (&["Bearerx y"], "token_missing"),
        (&[&token], "token_missing"),
        (&["Bearer"], "token_malformed"),
        (&["Bearer "], "token_malformed"),
        (&[&format!("Bearer\t{token}")], "token_malformed"),
        (&[&format!("Bearer {token} x")], "token_malformed"),
        (&[&format!("Bearer {token}, Bearer {token}")], "token_malformed"),
        (&[&format!("Bearer \"{token}\"")], "token_malformed"),
        (&[&bearer, &bearer], "token_malformed"),
        (&["Basic YTpi", &bearer], "token_malformed"),
        (&["Bearer tök.é.n"], "token_malformed"),
    ];
    for (lines, expected) in rows {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        let result = gate.acceptor.accept(&headers, gate.clock.now(), None).await;
        assert_eq!(verdict(&result), expected, "{lines:?}");
    }
}

#[tokio::test]
async fn an_algorithm_that_is_not_configured_is_refused_whatever_the_key() {
    use koodrive_gateway::config::SignatureAlgorithm::ES256;
    let (_sso, gate) = gate_with(|issuer| issuer.algorithms = vec![ES256]).await;
    let claims = sound_claims(gate.clock.now());
    let rows = [
        (RSA.token(&header("RS256", "rsa-1"), &claims), "token_algorithm_refused"),
        (ED25519.token(&header("EdDSA", "ed-1"), &claims), "token_algorithm_refused"),
        (P256.token(&header("ES256", "ec-1"), &claims), "accepted"),
    ];
    for (token, expected) in rows {
        assert_eq!(verdict(&gate.present(&token).await), expected);
    }
}

#[tokio::test]
async fn no_error_shows_more_of_a_token_than_it_must() {
    let (_sso, gate) = gate_with(|_| {}).await;
    let now = gate.clock.now();
    for (name, token, _) in [forms(now), signatures(now), claim_rows(now)].concat() {
        let Err(error) = gate.acceptor.accept(&super::bearer(&token), now, None).await else {
            continue;
        };
        let shown = format!("{error} {error:?}");
        for part in token.split('.').filter(|part| 12 < part.len()) {
            assert!(!shown.contains(part), "{name}: {shown}");
        }
        assert!(!shown.contains("alice"), "{name}: {shown}");
        assert!(shown.len() < 1200 && !shown.contains(char::is_control), "{name}: {shown}");
    }
}
