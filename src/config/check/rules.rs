//! What of the checks a JSON Schema can say too, so that an editor refuses it while it is typed.
//!
//! Each check names its rules next to its own code. A rule sees the document alone: it may refuse
//! what is written, but not ask for a key that the environment may give, except where a key that
//! is written is of no use without the other.

use serde_json::{Value, json};

use crate::config::values::SAFE_URL_PATTERN;

/// A piece of schema, and the table or key it is about: `accept.issuers[].audiences`.
pub(in crate::config) type Rule = (&'static str, Value);

/// The key is written, and not empty.
pub(super) fn written(key: &str) -> Value {
    json!({"required": [key], "properties": {key: {"minLength": 1}}})
}

/// Two keys of which neither is of use without the other.
pub(super) fn together(one: &str, other: &str) -> Value {
    json!({"if": written(one), "then": written(other), "else": {"not": written(other)}})
}

/// A key that is of no use without another.
pub(super) fn wants(key: &str, other: &str) -> Value {
    json!({"if": written(key), "then": written(other)})
}

/// `rule` holds unless the table says `allow_plain_http = true`.
pub(super) fn unless_plain_http(rule: &Value) -> Value {
    let allowed = json!({"const": true});
    let leave =
        json!({"required": ["allow_plain_http"], "properties": {"allow_plain_http": allowed}});
    json!({"if": leave, "else": rule})
}

/// The address must not leave this machine in the clear.
pub(super) fn safe_url() -> Value {
    json!({"pattern": SAFE_URL_PATTERN})
}
