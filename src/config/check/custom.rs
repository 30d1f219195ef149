//! `[token.custom]`: what its templates need, and whose token it is.

use serde_json::{Value, json};

use super::rules::Rule;
use crate::config::reader::Reader;
use crate::config::sections::{CustomLogin, CustomMethod, TokenConfig};
use crate::config::values::{FRAMING, JsonPointer, PLACES, Part, TOKEN_PATTERN, any_case};

pub(super) fn check(token: &TokenConfig, to: &mut Reader<'_>) -> CustomLogin {
    let keys = token.custom.clone();
    to.require(
        !keys.body.is_empty() || keys.method == CustomMethod::Get,
        "token.custom.body",
        "token.method = \"custom\"; what the login wants, such as {token = \"{sso_token}\"}",
    );
    let parts = keys.parts();
    let names = |part| parts.contains(&part);
    to.require(
        !names(&Part::ClientId) || !token.client_id.is_empty(),
        "token.client_id",
        "{client_id} in `token.custom`",
    );
    to.require(
        !names(&Part::ClientSecret) || token.client_secret_file.is_set(),
        "token.client_secret_file",
        "{client_secret} in `token.custom`",
    );
    if !parts.iter().any(|part| part.is_of_caller()) {
        to.say(
            &["token.custom.body", "token.custom.headers"],
            "names nothing of the caller, so all callers would get one token; use {sso_token}, \
             {subject} or {claim:NAME}",
        );
    }
    let client_secret = token.client_secret_file.password().cloned().unwrap_or_default();
    CustomLogin { keys, client_id: token.client_id.clone(), client_secret }
}

pub(super) fn rules() -> Vec<Rule> {
    let custom = json!({"required": ["method"], "properties": {"method": {"const": "custom"}}});
    let verdicts = json!({
        "propertyNames": {"pattern": format!("^{}$", JsonPointer::PATTERN)},
        "additionalProperties": {"minItems": 1},
    });
    let name = json!({
        "pattern": TOKEN_PATTERN,
        "not": {"pattern": format!("^({})$", any_case(&FRAMING))},
    });
    let value =
        json!({"$ref": "#/$defs/template", "pattern": r"^[^\u0000-\u0008\u000a-\u001f\u007f]*$"});
    vec![
        ("", json!({"$defs": {"template": template(), "of_nobody": of_nobody()}})),
        ("token", json!({"if": custom, "then": {"properties": {"custom": of_caller()}}})),
        (
            "token.custom.headers",
            json!({"propertyNames": name, "allOf": [{"additionalProperties": value}]}),
        ),
        ("token.custom.body", json!({"$ref": "#/$defs/template"})),
        ("token.custom.success", verdicts.clone()),
        ("token.custom.denied", verdicts),
    ]
}

/// A login that says who the caller is.
fn of_caller() -> Value {
    let of_nobody = json!({"$ref": "#/$defs/of_nobody"});
    json!({"not": {
        "required": ["body"],
        "properties": {"body": {"minProperties": 1, "$ref": "#/$defs/of_nobody"}, "headers": of_nobody},
    }})
}

/// Any value in which every placeholder is known. Dates and numbers beyond JSON are no value.
fn template() -> Value {
    let known = format!("({}|claim:[^{{}}]+)", PLACES.map(|(name, _)| name).join("|"));
    // Without looking ahead, which not every validator can: a brace opens a known name, or none.
    let word = "[A-Za-z0-9_:]";
    let none = format!(r"\{{\}}|\{{{word}*([^A-Za-z0-9_:{{}}]|$)");
    json!({
        "type": ["object", "array", "string", "number", "boolean"],
        "pattern": format!(r"^([^{{]|(\{{{word}*)*(\{{{known}\}}|{none}))*$"),
        "items": {"$ref": "#/$defs/template"},
        "additionalProperties": {"$ref": "#/$defs/template"},
    })
}

/// Any value without a placeholder that differs from caller to caller.
fn of_nobody() -> Value {
    let of_caller = PLACES.iter().filter(|(_, part)| part.is_of_caller()).map(|(name, _)| *name);
    let of_caller: Vec<&str> = of_caller.chain(["claim:[^{}]+"]).collect();
    let of_caller = format!(r"\{{({})\}}", of_caller.join("|"));
    json!({
        "not": {"type": "string", "pattern": of_caller},
        "items": {"$ref": "#/$defs/of_nobody"},
        "additionalProperties": {"$ref": "#/$defs/of_nobody"},
    })
}
