//! What is easier to see from inside: parsers under random input, small tables.

use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::fetch::fresh_for;
use super::keys::{KeySet, Pick};
use super::token::Jws;
use super::unknown_kids::UnknownKids;
use super::{algorithms, bearer, json, verified_by, weak_rsa};
use crate::config::KeySetDocument;

proptest! {
    #[test]
    fn no_text_panics_the_token_parser(token in "[A-Za-z0-9_.-]{0,200}|\\PC{0,100}") {
        if let Ok(jws) = Jws::parse(&token) {
            // Its own claims may be anything, but nothing panics on the way there.
            drop(jws.claims());
        }
    }

    #[test]
    fn no_header_and_payload_panic_the_token_parser(header in json_like(), payload in json_like()) {
        let token = format!("{}.{}.AA", base64(&header), base64(&payload));
        if let Ok(jws) = Jws::parse(&token) {
            prop_assert!(header.contains("alg"));
            drop(jws.claims());
        }
    }

    #[test]
    fn no_header_value_panics(value in proptest::collection::vec(any::<u8>(), 0..60), scheme in any::<bool>()) {
        let value = if scheme { [b"Bearer ", value.as_slice()].concat() } else { value };
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
            let credentials = bearer::credentials(&headers, &AUTHORIZATION);
            if let Ok(token) = credentials.map(bearer::token) {
                prop_assert!(scheme);
                prop_assert!(token.is_err() || token.is_ok_and(|token| !token.is_empty()));
            }
        }
    }

    #[test]
    fn no_bytes_panic_the_key_set_parser(bytes in proptest::collection::vec(any::<u8>(), 0..200), key in json_like()) {
        let one_key = format!("{{\"keys\":[{key}]}}");
        for text in [&bytes, one_key.as_bytes()] {
            drop(KeySetDocument::read(text).map(|document| KeySet::read(&document)));
        }
    }

    /// Strict means: nothing passes that serde_json refuses, and what passes is read alike.
    #[test]
    fn strict_json_is_a_part_of_json(text in json_like()) {
        if let Some(members) = json::object(text.as_bytes()) {
            let theirs: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(serde_json::Value::Object(members), theirs);
        }
    }
}

/// Objects near what a token or a key holds, broken now and then.
fn json_like() -> impl Strategy<Value = String> {
    let name =
        prop_oneof!["alg", "kid", "typ", "crit", "kty", "n", "e", "x", "y", "crv", "[a-z]{1,3}"];
    let value = prop_oneof![
        "\"(RS256|ES256|EdDSA|JWT|RSA|EC|OKP|P-256|Ed25519|[A-Za-z0-9_-]{0,50})\"",
        "-?[0-9]{1,20}(\\.[0-9]{1,3})?(e[0-9]{1,4})?",
        "true|false|null|\\[\\]|\\{\\}|\\[\\[1\\]\\]|\"\\\\ud800\"|\\{\"a\":1,\"a\":2\\}",
        "\\PC{0,6}",
    ];
    let members = proptest::collection::vec((name, value), 0..6);
    members.prop_map(|members| {
        let members: Vec<String> =
            members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

#[test]
fn depth_is_counted_from_the_object() {
    for (levels, accepted) in [(1, true), (16, true), (17, false), (200, false), (100_000, false)] {
        let inner = levels - 1;
        let text = format!("{{\"a\":{}1{}}}", "[".repeat(inner), "]".repeat(inner));
        assert_eq!(json::object(text.as_bytes()).is_some(), accepted, "{levels} levels");
    }
}

#[test]
fn answers_say_how_long_they_are_fresh() {
    type Line = (&'static str, &'static str);
    let rows: [(&[Line], Option<u64>); 12] = [
        (&[], None),
        (&[("cache-control", "max-age=300")], Some(300)),
        (&[("cache-control", "public, MAX-AGE=300, must-revalidate")], Some(300)),
        (&[("cache-control", "max-age=\"300\"")], Some(300)),
        (&[("cache-control", "public"), ("cache-control", "max-age=300")], Some(300)),
        (&[("cache-control", "max-age=300"), ("age", "100")], Some(200)),
        (&[("cache-control", "max-age=300"), ("age", "400")], Some(0)),
        (&[("cache-control", "no-store, max-age=300")], None),
        (&[("cache-control", "no-cache, no-store, max-age=0, must-revalidate")], None),
        (&[("cache-control", "max-age=0")], None),
        (&[("cache-control", "max-age=soon")], None),
        (&[("cache-control", "s-maxage=300")], None),
    ];
    for (lines, seconds) in rows {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        assert_eq!(fresh_for(&headers), seconds.map(Duration::from_secs), "{lines:?}");
    }
}

#[test]
fn a_missing_key_id_is_asked_for_less_and_less() {
    let cooldown = Duration::from_secs(10);
    let mut missing = UnknownKids::default();
    let mut now = Duration::ZERO;
    let mut waits = Vec::new();
    for _ in 0..8 {
        missing.add("retired", now, cooldown);
        let asked = now;
        while missing.is_known("retired", now) {
            now += Duration::from_secs(1);
        }
        waits.push((now.saturating_sub(asked)).as_secs());
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300, 300]);
}

#[test]
fn a_flood_of_missing_key_ids_is_bounded() {
    let (mut missing, cooldown) = (UnknownKids::default(), Duration::from_secs(10));
    for at in 0..10_000 {
        missing.add(&format!("random-{at}"), Duration::from_millis(at), cooldown);
    }
    let now = Duration::from_secs(10);
    let known = (0..10_000).filter(|at| missing.is_known(&format!("random-{at}"), now)).count();
    assert_eq!(known, 64);
}

#[test]
fn sound_moduli_have_no_fingerprint() {
    let mut modulus = [0; 256];
    for _ in 0..100 {
        aws_lc_rs::rand::fill(&mut modulus).unwrap();
        assert!(!weak_rsa::is_roca(&modulus));
    }
    // 65537 itself is a power of itself modulo everything.
    assert!(weak_rsa::is_roca(&[1, 0, 1]));
}

/// Whether the key signed it, as far as this room is concerned.
fn is_signed(keys: &KeySet, jws: &str) -> bool {
    let Ok(jws) = Jws::parse(jws) else { return false };
    let Some(algorithm) = algorithms::named(&jws.alg) else { return false };
    match keys.pick(jws.kid.as_deref(), algorithm) {
        Pick::Found(keys) => verified_by(&keys, algorithm, &jws).is_some(),
        Pick::WrongAlgorithm | Pick::Unknown => false,
    }
}

/// Nothing that should be refused passes; what should pass does, but for what is refused on
/// purpose.
#[test]
fn wycheproofs_signatures_are_judged_as_labelled() {
    /// The key says PS256 and the token PS384; P-521.
    const ON_PURPOSE: [u64; 4] = [346, 350, 347, 351];
    let text = include_str!("../../tests/fixtures/jose/wycheproof.json");
    let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
    let (mut judged, mut symmetric, mut otherwise) = (0, 0, Vec::new());
    for group in vectors["groups"].as_array().unwrap() {
        let key = &group["key"];
        let document = format!("{{\"keys\":[{key}]}}");
        let (keys, _) = KeySet::read(&KeySetDocument::read(document.as_bytes()).unwrap());
        let is_symmetric = key["kty"] == "oct";
        assert!(!is_symmetric || keys.len() == 0);
        for test in group["tests"].as_array().unwrap() {
            let (id, valid) = (test[0].as_u64().unwrap(), test[1].as_bool().unwrap());
            let expected = valid && !is_symmetric && !ON_PURPOSE.contains(&id);
            if is_signed(&keys, test[2].as_str().unwrap()) != expected {
                otherwise.push((id, valid));
            }
            judged += 1;
            symmetric += usize::from(is_symmetric);
        }
    }
    assert_eq!((judged, symmetric, otherwise), (401, 40, Vec::new()));
}
