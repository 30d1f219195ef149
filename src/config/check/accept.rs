//! `[accept]`.

use std::collections::HashSet;

use http::header;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::Findings;
use super::rules::{Rule, any_case, safe_url, unless_plain_http, written};
use crate::config::addresses::{HeaderField, HttpUrl};
use crate::config::sections::{AcceptConfig, IssuerConfig};

/// Headers that frame or route a message, or carry something else.
const TAKEN: [&str; 18] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-traceid",
];

pub(super) fn check(accept: &AcceptConfig, to: &mut Findings<'_>) {
    if is_taken(&accept.header) {
        to.say(
            &["accept.header"],
            "expected a header that has no other use, such as \"authorization\"",
        );
    }
    if accept.issuers.is_empty() {
        to.say(
            &["accept.issuers"],
            "required; name at least one SSO: [[accept.issuers]] with `issuer` and `audiences`",
        );
    }
    let mut known = HashSet::new();
    for (index, issuer) in accept.issuers.iter().enumerate() {
        let key = |name: &str| format!("accept.issuers[{index}].{name}");
        check_issuer(issuer, accept.allow_plain_http, &key, to);
        if !issuer.issuer.is_empty() && !known.insert(issuer.issuer.as_str()) {
            to.say(
                &[&key("issuer")],
                "names an issuer that stands further up already; join the two",
            );
        }
    }
}

pub(super) fn rules() -> Vec<Rule> {
    let taken = TAKEN.iter().map(|name| any_case(&[name]).replace('-', "[-_]"));
    let taken = format!("^({})$", taken.collect::<Vec<_>>().join("|"));
    let (url, file) = (written("jwks_url"), written("jwks_file"));
    let elsewhere = json!({"not": {"pattern": format!("^{}://", any_case(&["http"]))}});
    // Without a key set of its own, the issuer is where keys are discovered.
    let in_the_open = json!({"items": {
        "properties": {"jwks_url": safe_url()},
        "if": {"not": {"anyOf": [url, file]}},
        "then": {"properties": {"issuer": {"anyOf": [safe_url(), elsewhere]}}},
    }});
    vec![
        ("accept", unless_plain_http(&json!({"properties": {"issuers": in_the_open}}))),
        ("accept.header", json!({"not": {"pattern": taken}})),
        ("accept.issuers", json!({"minItems": 1})),
        ("accept.issuers[]", json!({"not": {"allOf": [url, file]}})),
        ("accept.issuers[].issuer", json!({"minLength": 1})),
        ("accept.issuers[].audiences", json!({"minItems": 1})),
        ("accept.issuers[].audiences[]", json!({"minLength": 1})),
        ("accept.issuers[].algorithms", json!({"minItems": 1})),
        ("accept.issuers[].subject_claim", json!({"minLength": 1})),
    ]
}

fn is_taken(field: &HeaderField) -> bool {
    let name = field.name().as_str();
    name != header::AUTHORIZATION && TAKEN.contains(&name.replace('_', "-").as_str())
}

fn check_issuer(
    issuer: &IssuerConfig,
    allow_plain_http: bool,
    key: &dyn Fn(&str) -> String,
    to: &mut Findings<'_>,
) {
    let leave = (allow_plain_http, "accept.allow_plain_http");
    let has_keys = issuer.jwks_url.is_some() || issuer.jwks_file.is_set();
    if issuer.issuer.is_empty() {
        to.say(&[&key("issuer")], "required; exactly the `iss` claim of its tokens");
    } else if !has_keys {
        match issuer.issuer.parse::<HttpUrl>() {
            Ok(url) => to.plain_http(&key("issuer"), Some(&url), leave),
            Err(_) => to.say(
                &[&key("issuer")],
                "is no address, so its keys cannot be discovered; set `jwks_url` or `jwks_file`",
            ),
        }
    }
    if issuer.audiences.is_empty() || issuer.audiences.iter().any(String::is_empty) {
        to.say(
            &[&key("audiences")],
            "required; at least one name that its tokens carry in `aud`, such as \
             \"koodrive-gateway\"",
        );
    }
    if issuer.jwks_url.is_some() && issuer.jwks_file.is_set() {
        to.say(
            &[&key("jwks_file"), &key("jwks_url")],
            "`jwks_url` and `jwks_file` exclude each other; keep one",
        );
    }
    to.plain_http(&key("jwks_url"), issuer.jwks_url.as_ref(), leave);
    if issuer.jwks_file.is_set() && !is_key_set(issuer.jwks_file.text()) {
        to.say(
            &[&key("jwks_file")],
            format!(
                "file {} is no key set: expected JSON such as {{\"keys\": […]}} with at least \
                 one key",
                issuer.jwks_file.path().display()
            ),
        );
    }
    if issuer.algorithms.is_empty() {
        to.say(&[&key("algorithms")], "expected at least one algorithm, such as \"RS256\"");
    }
    if issuer.subject_claim.is_empty() {
        to.say(&[&key("subject_claim")], "expected the name of a claim, such as \"sub\"");
    }
    if issuer.jwks_max_stale < issuer.jwks_refresh {
        to.say(
            &[&key("jwks_max_stale"), &key("jwks_refresh")],
            "jwks_max_stale is shorter than jwks_refresh, so keys would lapse between fetches",
        );
    }
}

/// Only as strict as the room that uses the keys: one bad key spoils no set.
fn is_key_set(text: &str) -> bool {
    serde_json::from_str::<KeySet<'_>>(text)
        .is_ok_and(|set| set.keys.iter().any(|key| key.get().starts_with('{')))
}

#[derive(Deserialize)]
struct KeySet<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}
