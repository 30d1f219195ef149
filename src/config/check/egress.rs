//! `[egress]`.

use serde_json::json;

use super::rules::{Rule, together, written};
use crate::config::reader::Reader;
use crate::config::sections::EgressConfig;
use crate::config::values::EgressProxy;

pub(super) fn check(egress: &EgressConfig, to: &mut Reader<'_>) {
    to.together(
        ("egress.username", !egress.username.is_empty()),
        ("egress.password_file", egress.password_file.is_set()),
    );
    if egress.username.contains(':') {
        to.say(&["egress.username"], "expected a name without a colon (RFC 7617 section 2)");
    }
    if egress.proxy == EgressProxy::Direct && !egress.username.is_empty() {
        to.say(&["egress.username", "egress.proxy"], "of no use with egress.proxy = \"none\"");
    }
}

pub(super) fn rules() -> Vec<Rule> {
    let direct = json!({"required": ["proxy"], "properties": {"proxy": {"const": "none"}}});
    vec![
        ("egress", together("username", "password_file")),
        ("egress", json!({"if": direct, "then": {"not": written("username")}})),
        ("egress.username", json!({"not": {"pattern": ":"}})),
    ]
}
