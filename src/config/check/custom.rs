//! `[token.custom]`: templates, pointers, and whose token it is.

use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::rules::Rule;
use crate::config::reader::{Reader, joined};
use crate::config::sections::{CustomMethod, TokenConfig};
use crate::config::values::{TOKEN_PATTERN, any_case};

/// What `token.custom` may fill in; `{claim:NAME}` besides.
const PLACEHOLDERS: [&str; 5] = ["sso_token", "subject", "issuer", "client_id", "client_secret"];

/// Those of them that differ from caller to caller.
const OF_CALLER: [&str; 2] = ["sso_token", "subject"];

/// Headers that frame a message.
const FRAMING: [&str; 4] = ["content-length", "host", "transfer-encoding", "connection"];

pub(super) fn check(token: &TokenConfig, to: &mut Reader<'_>) {
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
        let named = name.parse::<HeaderName>();
        if named.is_err() || named.is_ok_and(|name| FRAMING.contains(&name.as_str())) {
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
    let of_caller = used.iter().any(|name| OF_CALLER.contains(&&**name) || name.contains(':'));
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

pub(super) fn rules() -> Vec<Rule> {
    let custom = json!({"required": ["method"], "properties": {"method": {"const": "custom"}}});
    let then = json!({"properties": {"custom": login()}});
    vec![
        ("", json!({"$defs": {"template": template(), "of_nobody": of_nobody()}})),
        ("token", json!({"if": custom, "then": then})),
    ]
}

/// `token.custom`, which nobody reads unless it is the method.
fn login() -> Value {
    let pointer = r"/([^~]|~[01])*";
    let verdicts = json!({
        "propertyNames": {"pattern": format!("^{pointer}$")},
        "additionalProperties": {"minItems": 1},
    });
    let name = json!({
        "pattern": TOKEN_PATTERN,
        "not": {"pattern": format!("^({})$", any_case(&FRAMING))},
    });
    let value =
        json!({"$ref": "#/$defs/template", "pattern": r"^[^\u0000-\u0008\u000a-\u001f\u007f]*$"});
    let of_nobody = json!({"$ref": "#/$defs/of_nobody"});
    json!({
        "properties": {
            "token": {"pattern": format!("^{pointer}$")},
            "expires_in": {"pattern": format!("^({pointer})?$")},
            "success": verdicts,
            "denied": verdicts,
            "headers": {"propertyNames": name, "additionalProperties": value},
            "body": {"$ref": "#/$defs/template"},
        },
        "not": {
            "required": ["body"],
            "properties": {"body": {"minProperties": 1, "$ref": "#/$defs/of_nobody"}, "headers": of_nobody},
        },
    })
}

/// Any value in which every placeholder is known. Dates and numbers beyond JSON are no value.
fn template() -> Value {
    let known = format!("({}|claim:[^{{}}]+)", PLACEHOLDERS.join("|"));
    let unknown = format!(r"\{{(?!{known}\}})[A-Za-z0-9_:]+\}}");
    json!({
        "type": ["object", "array", "string", "number", "boolean"],
        "not": {"type": "string", "pattern": unknown},
        "items": {"$ref": "#/$defs/template"},
        "additionalProperties": {"$ref": "#/$defs/template"},
    })
}

/// Any value without a placeholder that differs from caller to caller.
fn of_nobody() -> Value {
    let of_caller = format!(r"\{{({}|claim:[^{{}}]+)\}}", OF_CALLER.join("|"));
    json!({
        "not": {"type": "string", "pattern": of_caller},
        "items": {"$ref": "#/$defs/of_nobody"},
        "additionalProperties": {"$ref": "#/$defs/of_nobody"},
    })
}

/// RFC 6901 section 3.
fn pointer(key: &str, pointer: &str, to: &mut Reader<'_>) {
    let escapes = pointer.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    if !pointer.starts_with('/') || !escapes {
        to.say(
            &[key],
            "expected a JSON Pointer (RFC 6901): it begins with \"/\", such as \"/data/token\"",
        );
    }
}

fn in_value(key: &str, value: &toml::Value, used: &mut Vec<String>, to: &mut Reader<'_>) {
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

/// From where to where the first placeholder of a text goes.
pub(in crate::config) fn placeholder(text: &str) -> Option<(usize, usize)> {
    text.match_indices('{').find_map(|(start, _)| {
        let (name, _) = text.get(start + 1..)?.split_once('}')?;
        is_placeholder(name).then_some((start, start + name.len() + 2))
    })
}

fn is_placeholder(name: &str) -> bool {
    let claim = name.strip_prefix("claim:");
    claim.is_some_and(|claim| !claim.is_empty() && !claim.contains('{'))
        || PLACEHOLDERS.contains(&name)
}

/// Notes the placeholders of a template; a brace pair that only looks like one is refused.
fn placeholders(key: &str, text: &str, used: &mut Vec<String>, to: &mut Reader<'_>) {
    for part in text.split('{').skip(1) {
        let Some((name, _)) = part.split_once('}') else { continue };
        let word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        if is_placeholder(name) {
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
