//! `[token]`.

use serde_json::json;

use super::custom;
use super::rules::{Rule, safe_url, unless_plain_http};
use crate::config::reader::Reader;
use crate::config::sections::{AssertionAlgorithm, ClientAuth, TokenConfig, TokenMethod};
use crate::config::values::AssertionKey;

pub(super) fn check(token: &TokenConfig, to: &mut Reader<'_>) {
    let over_network = token.method != TokenMethod::AppSignature;
    if over_network && token.endpoint.written().is_none() {
        to.say(
            &["token.endpoint"],
            "required by this `token.method`; the address that gives access tokens",
        );
    }
    to.plain_http(
        "token.endpoint",
        token.endpoint.written(),
        (token.allow_plain_http, "token.allow_plain_http"),
    );
    match token.method {
        TokenMethod::TokenExchange | TokenMethod::JwtBearer => client(token, false, to),
        TokenMethod::ClientCredentials => client(token, true, to),
        TokenMethod::Custom => custom::check(token, to),
        TokenMethod::CarrierLogin => carrier(token, to),
        TokenMethod::AppSignature => app(token, to),
    }
    if token.method == TokenMethod::TokenExchange && token.subject_token_type.is_empty() {
        to.say(
            &["token.subject_token_type"],
            "expected a token type (RFC 8693 section 3), such as \
             \"urn:ietf:params:oauth:token-type:access_token\"",
        );
    }
    to.pair(
        ("token.client_certificate_file", &token.client_certificate_file),
        ("token.client_key_file", &token.client_key_file),
    );
    algorithm(token, to);
    lives(token, to);
}

pub(super) fn rules() -> Vec<Rule> {
    let safe = json!({"properties": {"endpoint": safe_url()}});
    vec![("token", unless_plain_http(&safe))]
}

fn lives(token: &TokenConfig, to: &mut Reader<'_>) {
    if token.absolute_lifetime < token.idle_lifetime {
        to.say(
            &["token.idle_lifetime", "token.absolute_lifetime"],
            "idle_lifetime is longer than absolute_lifetime; shorten the one or lengthen the other",
        );
    }
    if token.idle_lifetime <= token.freshness_margin {
        to.say(
            &["token.freshness_margin", "token.idle_lifetime"],
            "freshness_margin is not shorter than idle_lifetime, so no token would ever be fresh",
        );
    }
}

/// How the gateway proves itself, for the methods of OAuth.
fn client(token: &TokenConfig, required: bool, to: &mut Reader<'_>) {
    let (id, secret, key) = (
        !token.client_id.is_empty(),
        token.client_secret_file.is_set(),
        token.private_key_file.is_set(),
    );
    let missing = |to: &mut Reader<'_>, key: &str, whom: &str| {
        to.say(&[key], format!("required by {whom}"));
    };
    match token.client_auth {
        ClientAuth::PrivateKeyJwt => {
            let whom = "token.client_auth = \"private_key_jwt\"";
            if !id {
                missing(to, "token.client_id", whom);
            }
            if !key {
                missing(to, "token.private_key_file", whom);
            }
        }
        ClientAuth::AssertionFile => {
            if !token.assertion_file.is_set() {
                missing(to, "token.assertion_file", "token.client_auth = \"assertion_file\"");
            }
        }
        ClientAuth::Tls => {
            let whom = "token.client_auth = \"tls\"";
            if !id {
                missing(to, "token.client_id", whom);
            }
            if !token.client_certificate_file.is_set() {
                missing(to, "token.client_certificate_file", whom);
            }
            if !token.client_key_file.is_set() {
                missing(to, "token.client_key_file", whom);
            }
            if token.endpoint.written().is_some_and(|endpoint| !endpoint.is_https()) {
                to.say(&["token.endpoint"], "a certificate is shown over https:// only");
            }
        }
        ClientAuth::Basic | ClientAuth::Post if required => {
            let whom = "token.method = \"client_credentials\"";
            if !id {
                missing(to, "token.client_id", whom);
            }
            if !secret {
                missing(to, "token.client_secret_file", whom);
            }
        }
        ClientAuth::Basic => {
            to.together(("token.client_id", id), ("token.client_secret_file", secret));
        }
        // A client without a secret (RFC 6749 section 2.1) still says who it is.
        ClientAuth::Post if secret && !id => {
            to.say(&["token.client_secret_file"], "wants `token.client_id` beside it");
        }
        ClientAuth::Post => {}
    }
}

/// PS256 is signed with RSA keys.
fn algorithm(token: &TokenConfig, to: &mut Reader<'_>) {
    let of_another_kind =
        token.private_key_file.content().is_some_and(|key| !matches!(**key, AssertionKey::Rsa(_)));
    if token.private_key_algorithm == AssertionAlgorithm::PS256 && of_another_kind {
        to.say(
            &["token.private_key_algorithm", "token.private_key_file"],
            "PS256 is signed with an RSA key, and this one is of another kind",
        );
    }
}

fn carrier(token: &TokenConfig, to: &mut Reader<'_>) {
    let whom = "required by token.method = \"carrier_login\"";
    if token.carrier.account.is_empty() {
        to.say(&["token.carrier.account"], whom);
    }
    if !token.carrier.password_file.is_set() {
        to.say(&["token.carrier.password_file"], whom);
    }
}

fn app(token: &TokenConfig, to: &mut Reader<'_>) {
    let whom = "required by token.method = \"app_signature\"";
    if token.app.app_id.is_empty() {
        to.say(&["token.app.app_id"], whom);
    }
    if !token.app.app_secret_file.is_set() {
        to.say(&["token.app.app_secret_file"], whom);
    }
}
