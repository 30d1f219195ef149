//! `[forward]`.

use serde_json::json;

use super::rules::{Rule, no_query, safe_url, together, unless_plain_http};
use super::{Findings, pem};
use crate::config::sections::ForwardConfig;

pub(super) fn check(forward: &ForwardConfig, to: &mut Findings<'_>) {
    if forward.upstream.is_none() {
        to.say(
            &["forward.upstream"],
            "required; KooDrive's address, such as \"https://cn.myhuaweicloud-koodrive.com\"",
        );
    }
    let upstream = forward.upstream.as_ref();
    to.plain_http(
        "forward.upstream",
        upstream,
        (forward.allow_plain_http, "forward.allow_plain_http"),
    );
    to.no_query("forward.upstream", upstream);
    if !prefix_is_legal(&forward.prefix) {
        to.say(
            &["forward.prefix"],
            "expected a path that begins and ends with \"/\", such as \"/koodrive/\"",
        );
    }
    to.together(
        ("forward.client_certificate_file", forward.client_certificate_file.is_set()),
        ("forward.client_key_file", forward.client_key_file.is_set()),
    );
    pem::pair(
        to,
        ("forward.client_certificate_file", &forward.client_certificate_file),
        ("forward.client_key_file", &forward.client_key_file),
    );
    pem::roots(to, "forward.ca_file", &forward.ca_file);
    for (index, status) in forward.refused_statuses.iter().enumerate() {
        if !(100..=599).contains(status) {
            to.say(
                &[&format!("forward.refused_statuses[{index}]")],
                "expected a status from 100 to 599",
            );
        }
    }
    if let Some(index) = forward.refused_codes.iter().position(String::is_empty) {
        to.say(
            &[&format!("forward.refused_codes[{index}]")],
            "expected a code such as \"APIGW.0301\"",
        );
    }
}

pub(super) fn rules() -> Vec<Rule> {
    let segment = r"(\.?[A-Za-z0-9_~-][A-Za-z0-9._~-]*|\.\.[A-Za-z0-9._~-]+)";
    let safe = json!({"properties": {"upstream": safe_url()}});
    vec![
        ("forward", unless_plain_http(&safe)),
        ("forward", together("client_certificate_file", "client_key_file")),
        ("forward.upstream", no_query()),
        ("forward.prefix", json!({"pattern": format!("^/({segment}/)*$")})),
        ("forward.refused_statuses[]", json!({"minimum": 100, "maximum": 599})),
        ("forward.refused_codes[]", json!({"minLength": 1})),
    ]
}

fn prefix_is_legal(prefix: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
    prefix.starts_with('/')
        && prefix.ends_with('/')
        && prefix.chars().all(legal)
        && !prefix.contains("//")
        && !prefix.split('/').any(|segment| segment == "." || segment == "..")
}
