//! `[token]`: what its method needs, and what it makes of it.

use std::sync::Arc;

use serde_json::json;

use super::custom;
use super::rules::{Rule, safe_url, unless_plain_http};
use crate::config::reader::Reader;
use crate::config::sections::{
    Actor, CarrierLogin, ClientAuth, ClientProof, Grant, Login, OAuthClient, SigningApp,
    TokenConfig, TokenExchange, TokenMethod,
};
use crate::config::values::{AssertionAlgorithm, AssertionKey, certified_key};

/// How tokens are obtained; None when something of it is wrong.
pub(super) fn check(token: &TokenConfig, to: &mut Reader<'_>) -> Option<Login> {
    if token.method != TokenMethod::AppSignature && token.endpoint.is_none() {
        to.say(
            &["token.endpoint"],
            "required by this `token.method`; the address that gives access tokens",
        );
    }
    to.plain_http(
        "token.endpoint",
        token.endpoint.as_ref(),
        (token.allow_plain_http, "token.allow_plain_http"),
    );
    let exchange = |grant: Option<Grant>| {
        Some(Login::Exchange { endpoint: token.endpoint.clone()?, grant: grant? })
    };
    let login = match token.method {
        TokenMethod::TokenExchange => exchange(token_exchange(token, to).map(Grant::TokenExchange)),
        TokenMethod::JwtBearer => exchange(client(token, to).map(Grant::JwtBearer)),
        TokenMethod::ClientCredentials => exchange(client(token, to).map(Grant::ClientCredentials)),
        TokenMethod::Custom => exchange(Some(Grant::Custom(custom::check(token, to)))),
        TokenMethod::CarrierLogin => exchange(carrier(token, to).map(Grant::CarrierLogin)),
        TokenMethod::AppSignature => app(token, to).map(Login::Signature),
    };
    to.pair(
        ("token.client_certificate_file", &token.client_certificate_file),
        ("token.client_key_file", &token.client_key_file),
    );
    algorithm(token, to);
    extra(token, to);
    lives(token, to);
    login
}

pub(super) fn rules() -> Vec<Rule> {
    let safe = json!({"properties": {"endpoint": safe_url()}});
    let further = json!({"not": {"enum": OWN_PARAMETERS}});
    let further = json!({"properties": {"extra": {"propertyNames": further}}});
    vec![("token", unless_plain_http(&safe)), ("token", further)]
}

/// A parameter that is sent twice is read differently by two servers (RFC 6749 section 3.2).
fn extra(token: &TokenConfig, to: &mut Reader<'_>) {
    let by_key = [
        ("actor_token", token.actor_token_file.is_set()),
        ("actor_token_type", token.actor_token_file.is_set()),
        ("audience", !token.audience.is_empty()),
        ("client_id", !token.client_id.is_empty()),
        ("requested_token_type", !token.requested_token_type.is_empty()),
        ("resource", !token.resource.is_empty()),
        ("scope", !token.scope.is_empty()),
    ];
    let by_key = by_key.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name);
    for name in OWN_PARAMETERS.into_iter().chain(by_key) {
        if token.extra.contains_key(name) {
            let key = format!("token.extra.{name}");
            to.say(
                &[&key],
                "the gateway sends this parameter itself, by the other keys of [token]",
            );
        }
    }
}

/// Whatever other keys say.
const OWN_PARAMETERS: [&str; 7] = [
    "assertion",
    "client_assertion",
    "client_assertion_type",
    "client_secret",
    "grant_type",
    "subject_token",
    "subject_token_type",
];

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

fn token_exchange(token: &TokenConfig, to: &mut Reader<'_>) -> Option<TokenExchange> {
    let client = client(token, to);
    if token.subject_token_type.is_empty() {
        to.say(
            &["token.subject_token_type"],
            "expected a token type (RFC 8693 section 3), such as \
             \"urn:ietf:params:oauth:token-type:access_token\"",
        );
    }
    let token_file = token.actor_token_file.clone();
    Some(TokenExchange {
        client: client?,
        subject_token_type: token.subject_token_type.clone(),
        requested_token_type: token.requested_token_type.clone(),
        actor: token_file
            .is_set()
            .then(|| Actor { token_file, token_type: token.actor_token_type.clone() }),
    })
}

/// Who the gateway is, for the methods of OAuth.
fn client(token: &TokenConfig, to: &mut Reader<'_>) -> Option<OAuthClient> {
    let proof = proof(token, to)?;
    let lists = [("audience", &token.audience), ("resource", &token.resource)];
    let lists = lists.into_iter().flat_map(|(name, values)| {
        values.iter().map(move |value| (name.to_owned(), value.clone()))
    });
    let scope = Some(&token.scope).filter(|scope| !scope.is_empty());
    let scope = scope.map(|scope| ("scope".to_owned(), scope.clone()));
    let wishes = scope.into_iter().chain(lists).chain(token.extra.clone()).collect();
    Some(OAuthClient { id: token.client_id.clone(), proof, wishes })
}

/// How the gateway proves itself.
fn proof(token: &TokenConfig, to: &mut Reader<'_>) -> Option<ClientProof> {
    let has_id = !token.client_id.is_empty();
    let (secret, has_secret) =
        (token.client_secret_file.password().cloned(), token.client_secret_file.is_set());
    match token.client_auth {
        ClientAuth::PrivateKeyJwt => {
            let whom = "token.client_auth = \"private_key_jwt\"";
            to.require(has_id, "token.client_id", whom);
            to.require(token.private_key_file.is_set(), "token.private_key_file", whom);
            Some(ClientProof::Assertion {
                key: Arc::clone(token.private_key_file.content()?),
                algorithm: token.private_key_algorithm,
                key_id: token.private_key_id.clone(),
            })
        }
        ClientAuth::AssertionFile => {
            let whom = "token.client_auth = \"assertion_file\"";
            to.require(token.assertion_file.is_set(), "token.assertion_file", whom);
            Some(ClientProof::AssertionFile(token.assertion_file.clone()))
        }
        ClientAuth::Tls => {
            let whom = "token.client_auth = \"tls\"";
            let (chain, key) = (&token.client_certificate_file, &token.client_key_file);
            to.require(has_id, "token.client_id", whom);
            to.require(chain.is_set(), "token.client_certificate_file", whom);
            to.require(key.is_set(), "token.client_key_file", whom);
            if token.endpoint.as_ref().is_some_and(|endpoint| !endpoint.is_https()) {
                to.say(&["token.endpoint"], "a certificate is shown over https:// only");
            }
            certified_key(chain, key).map(ClientProof::Certificate)
        }
        ClientAuth::Basic | ClientAuth::Post if token.method == TokenMethod::ClientCredentials => {
            let whom = "token.method = \"client_credentials\"";
            to.require(has_id, "token.client_id", whom);
            to.require(has_secret, "token.client_secret_file", whom);
            secret.map(|secret| match token.client_auth {
                ClientAuth::Post => ClientProof::Post(secret),
                _ => ClientProof::Basic(secret),
            })
        }
        ClientAuth::Basic => {
            to.together(("token.client_id", has_id), ("token.client_secret_file", has_secret));
            Some(secret.map_or(ClientProof::Nothing, ClientProof::Basic))
        }
        ClientAuth::Post => {
            // A client without a secret (RFC 6749 section 2.1) still says who it is.
            if has_secret && !has_id {
                to.say(&["token.client_secret_file"], "wants `token.client_id` beside it");
            }
            Some(secret.map_or(ClientProof::Nothing, ClientProof::Post))
        }
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

fn carrier(token: &TokenConfig, to: &mut Reader<'_>) -> Option<CarrierLogin> {
    let (carrier, whom) = (&token.carrier, "token.method = \"carrier_login\"");
    to.require(!carrier.account.is_empty(), "token.carrier.account", whom);
    to.require(carrier.password_file.is_set(), "token.carrier.password_file", whom);
    Some(CarrierLogin {
        account: carrier.account.clone(),
        password: carrier.password_file.password()?.clone(),
        agent_name: carrier.agent_name.clone(),
    })
}

fn app(token: &TokenConfig, to: &mut Reader<'_>) -> Option<SigningApp> {
    let (app, whom) = (&token.app, "token.method = \"app_signature\"");
    to.require(!app.app_id.is_empty(), "token.app.app_id", whom);
    to.require(app.app_secret_file.is_set(), "token.app.app_secret_file", whom);
    let secret = app.app_secret_file.password()?.clone();
    Some(SigningApp { id: app.app_id.as_str().into(), secret: secret.into() })
}
