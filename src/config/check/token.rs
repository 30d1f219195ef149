//! `[token]`.

use http::HeaderName;
use http::HeaderValue;

use super::Findings;
use super::pem;
use crate::config::read::joined;
use crate::config::sections::ClientAuth;
use crate::config::sections::CustomMethod;
use crate::config::sections::TokenConfig;
use crate::config::sections::TokenMethod;

/// What `token.custom` may fill in; `{claim:NAME}` besides.
const PLACEHOLDERS: [&str; 5] = ["sso_token", "subject", "issuer", "client_id", "client_secret"];

pub(super) fn check(token: &TokenConfig, to: &mut Findings<'_>) {
    let over_network = token.method != TokenMethod::AppSignature;
    if over_network && token.endpoint.is_none() {
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
    match token.method {
        TokenMethod::TokenExchange | TokenMethod::JwtBearer => client(token, false, to),
        TokenMethod::ClientCredentials => client(token, true, to),
        TokenMethod::Custom => custom(token, to),
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
    pem::private_key(to, "token.private_key_file", &token.private_key_file);
    user_map(token, to);
    if !is_token(&token.scheme) {
        to.say(&["token.scheme"], "expected one word such as \"Bearer\"");
    }
    lives(token, to);
}

fn lives(token: &TokenConfig, to: &mut Findings<'_>) {
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
    if !(0.0 < token.refresh_ahead && token.refresh_ahead < 1.0) {
        to.say(&["token.refresh_ahead"], "expected a number above 0 and below 1, such as 0.8");
    }
}

/// How the gateway proves itself, for the methods of OAuth.
fn client(token: &TokenConfig, required: bool, to: &mut Findings<'_>) {
    let (id, secret, key) = (
        !token.client_id.is_empty(),
        token.client_secret_file.is_set(),
        token.private_key_file.is_set(),
    );
    let missing = |to: &mut Findings<'_>, key: &str, whom: &str| {
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

fn custom(token: &TokenConfig, to: &mut Findings<'_>) {
    let custom = &token.custom;
    if custom.body.is_empty() && custom.method != CustomMethod::Get {
        to.say(
            &["token.custom.body"],
            "required by token.method = \"custom\"; what the login wants, such as \
             {token = \"{sso_token}\"}",
        );
    }
    let mut used = Vec::new();
    for (name, value) in &custom.headers {
        let key = joined("token.custom.headers", name);
        let framing = ["content-length", "host", "transfer-encoding", "connection"];
        let named = name.parse::<HeaderName>();
        if named.is_err() || named.is_ok_and(|name| framing.contains(&name.as_str())) {
            to.say(&[&key], "expected the name of a header that does not frame the message");
        } else if HeaderValue::from_str(value).is_err() {
            to.say(&[&key], "expected a header value: no line ends or control characters");
        }
        placeholders(&key, value, &mut used, to);
    }
    in_value("token.custom.body", &toml::Value::Table(custom.body.clone()), &mut used, to);
    let named = |name: &str| used.iter().any(|used| used == name);
    if named("client_id") && token.client_id.is_empty() {
        to.say(&["token.client_id"], "required by {client_id} in `token.custom`");
    }
    if named("client_secret") && !token.client_secret_file.is_set() {
        to.say(&["token.client_secret_file"], "required by {client_secret} in `token.custom`");
    }
    let of_caller =
        used.iter().any(|name| ["sso_token", "subject"].contains(&&**name) || name.contains(':'));
    if !of_caller {
        to.say(
            &["token.custom.body", "token.custom.headers"],
            "names nothing of the caller, so all callers would get one token; use {sso_token}, \
             {subject} or {claim:NAME}",
        );
    }
    pointer("token.custom.token", &custom.token, to);
    if !custom.expires_in.is_empty() {
        pointer("token.custom.expires_in", &custom.expires_in, to);
    }
    for (table, entries) in [("success", &custom.success), ("denied", &custom.denied)] {
        for (path, values) in entries {
            let key = joined(&format!("token.custom.{table}"), path);
            pointer(&key, path, to);
            if values.is_empty() {
                to.say(&[&key], "expected at least one value, such as [0, \"0\"]");
            }
        }
    }
}

/// RFC 6901 section 3.
fn pointer(key: &str, pointer: &str, to: &mut Findings<'_>) {
    let escapes = pointer.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    if !pointer.starts_with('/') || !escapes {
        to.say(
            &[key],
            "expected a JSON Pointer (RFC 6901): it begins with \"/\", such as \"/data/token\"",
        );
    }
}

fn in_value(key: &str, value: &toml::Value, used: &mut Vec<String>, to: &mut Findings<'_>) {
    match value {
        toml::Value::String(text) => placeholders(key, text, used, to),
        toml::Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                in_value(&format!("{key}[{index}]"), value, used, to);
            }
        }
        toml::Value::Table(entries) => {
            for (name, value) in entries {
                in_value(&joined(key, name), value, used, to);
            }
        }
        toml::Value::Datetime(_) => to.say(&[key], "JSON knows no dates; write it as text"),
        toml::Value::Float(number) if !number.is_finite() => {
            to.say(&[key], "JSON knows no such number; write it as text");
        }
        toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => {}
    }
}

/// Notes the placeholders of a template; a brace pair that only looks like one is refused.
fn placeholders(key: &str, text: &str, used: &mut Vec<String>, to: &mut Findings<'_>) {
    for part in text.split('{').skip(1) {
        let Some((name, _)) = part.split_once('}') else { continue };
        let claim = name.strip_prefix("claim:").is_some_and(|claim| !claim.is_empty());
        let word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        if claim || PLACEHOLDERS.contains(&name) {
            used.push(name.to_owned());
        } else if word && !name.is_empty() {
            to.say(
                &[key],
                "unknown placeholder; known are {sso_token}, {subject}, {issuer}, {claim:NAME}, \
                 {client_id}, {client_secret}",
            );
        }
    }
}

fn carrier(token: &TokenConfig, to: &mut Findings<'_>) {
    let whom = "required by token.method = \"carrier_login\"";
    if token.carrier.account.is_empty() {
        to.say(&["token.carrier.account"], whom);
    }
    if !token.carrier.password_file.is_set() {
        to.say(&["token.carrier.password_file"], whom);
    }
}

fn app(token: &TokenConfig, to: &mut Findings<'_>) {
    let whom = "required by token.method = \"app_signature\"";
    if token.app.app_id.is_empty() {
        to.say(&["token.app.app_id"], whom);
    }
    if !token.app.app_secret_file.is_set() {
        to.say(&["token.app.app_secret_file"], whom);
    }
    if token.app.user_claim.is_empty() && !token.app.user_map_file.is_set() {
        to.say(
            &["token.app.user_claim", "token.app.user_map_file"],
            "expected a claim that names the KooDrive user, or `user_map_file`",
        );
    }
}

fn user_map(token: &TokenConfig, to: &mut Findings<'_>) {
    if let Err((line, column)) = token.app.parse_users() {
        to.say(
            &["token.app.user_map_file"],
            format!(
                "file {}:{line}:{column}: expected lines such as \"subject\" = \"KooDrive user \
                 id\"",
                token.app.user_map_file.path().display()
            ),
        );
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(legal)
}
