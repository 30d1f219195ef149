//! `[forward]`.

use serde_json::json;

use super::rules::{Rule, safe_url, together, unless_plain_http};
use crate::config::reader::Reader;
use crate::config::sections::ForwardConfig;

pub(super) fn check(forward: &ForwardConfig, to: &mut Reader<'_>) {
    if forward.upstream.written().is_none() {
        to.say(
            &["forward.upstream"],
            "required; KooDrive's address, such as \"https://cn.myhuaweicloud-koodrive.com\"",
        );
    }
    let upstream = forward.upstream.written();
    to.plain_http(
        "forward.upstream",
        upstream,
        (forward.allow_plain_http, "forward.allow_plain_http"),
    );
    to.together(
        ("forward.client_certificate_file", forward.client_certificate_file.is_set()),
        ("forward.client_key_file", forward.client_key_file.is_set()),
    );
    to.pair(
        ("forward.client_certificate_file", &forward.client_certificate_file),
        ("forward.client_key_file", &forward.client_key_file),
    );
}

pub(super) fn rules() -> Vec<Rule> {
    let safe = json!({"properties": {"upstream": safe_url()}});
    vec![
        ("forward", unless_plain_http(&safe)),
        ("forward", together("client_certificate_file", "client_key_file")),
    ]
}
