//! `[accept]`.

use std::collections::HashSet;

use serde_json::json;

use super::rules::{Rule, safe_url, unless_plain_http, written};
use crate::config::reader::Reader;
use crate::config::sections::{AcceptConfig, IssuerConfig, TokenMethod};
use crate::config::values::any_case;

pub(super) fn check(accept: &AcceptConfig, method: TokenMethod, to: &mut Reader<'_>) {
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
        koodrive_users(issuer, method, &key, to);
        if !issuer.issuer.is_empty() && !known.insert(issuer.issuer.as_str()) {
            to.say(
                &[&key("issuer")],
                "names an issuer that stands further up already; join the two",
            );
        }
    }
}

pub(super) fn rules() -> Vec<Rule> {
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
        ("accept.issuers", json!({"minItems": 1})),
        ("accept.issuers[]", json!({"not": {"allOf": [url, file]}})),
        ("accept.issuers[].issuer", json!({"minLength": 1})),
        ("accept.issuers[].audiences", json!({"minItems": 1})),
        ("accept.issuers[].audiences[]", json!({"minLength": 1})),
        ("accept.issuers[].algorithms", json!({"minItems": 1})),
    ]
}

/// A subject is unique within its issuer only, so each issuer says whose KooDrive users its
/// callers are.
fn koodrive_users(
    issuer: &IssuerConfig,
    method: TokenMethod,
    key: &dyn Fn(&str) -> String,
    to: &mut Reader<'_>,
) {
    let named = !issuer.koodrive_user_claim.is_empty() || issuer.koodrive_users_file.is_set();
    if method == TokenMethod::AppSignature && !named {
        to.say(
            &[&key("koodrive_user_claim"), &key("koodrive_users_file")],
            "required by token.method = \"app_signature\": the claim of this issuer that names the \
             KooDrive user, or `koodrive_users_file`",
        );
    }
}

fn check_issuer(
    issuer: &IssuerConfig,
    allow_plain_http: bool,
    key: &dyn Fn(&str) -> String,
    to: &mut Reader<'_>,
) {
    let leave = (allow_plain_http, "accept.allow_plain_http");
    if issuer.issuer.is_empty() {
        to.say(&[&key("issuer")], "required; exactly the `iss` claim of its tokens");
    } else if issuer.jwks_url.is_none() && !issuer.jwks_file.is_set() {
        match issuer.issuer.url() {
            Some(url) => to.plain_http(&key("issuer"), Some(url), leave),
            None => to.say(
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
    if issuer.algorithms.is_empty() {
        to.say(&[&key("algorithms")], "expected at least one algorithm, such as \"RS256\"");
    }
    if issuer.jwks_max_stale < issuer.jwks_refresh {
        to.say(
            &[&key("jwks_max_stale"), &key("jwks_refresh")],
            "jwks_max_stale is shorter than jwks_refresh, so keys would lapse between fetches",
        );
    }
}
