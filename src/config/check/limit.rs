//! `[limit]`.

use serde_json::json;

use super::rules::{Rule, together, written};
use crate::config::reader::Reader;
use crate::config::sections::{LimitConfig, ValidateConfig};

/// Of use over TLS only.
const OF_TLS: [&str; 3] =
    ["limit.store_ca_file", "limit.store_certificate_file", "limit.store_key_file"];

pub(super) fn check(limit: &LimitConfig, validate: &ValidateConfig, to: &mut Reader<'_>) {
    if usize::try_from(limit.users_burst.get()).is_ok_and(|burst| burst < validate.max_users) {
        to.say(
            &["limit.users_burst", "validate.max_users"],
            format!(
                "users_burst ({}) is below validate.max_users ({}), so the largest batches could \
                 never pass; raise the one or lower the other",
                limit.users_burst, validate.max_users
            ),
        );
    }
    password(limit, to);
    let set = [
        limit.store_ca_file.is_set(),
        limit.store_certificate_file.is_set(),
        limit.store_key_file.is_set(),
    ];
    if !limit.store.is_tls() {
        for (key, _) in OF_TLS.iter().zip(set).filter(|(_, set)| *set) {
            to.say(
                &[key, "limit.store"],
                "applies only to a store over TLS; set store = \"rediss://…\"",
            );
        }
        return;
    }
    to.together((OF_TLS[1], set[1]), (OF_TLS[2], set[2]));
    to.pair((OF_TLS[1], &limit.store_certificate_file), (OF_TLS[2], &limit.store_key_file));
}

fn password(limit: &LimitConfig, to: &mut Reader<'_>) {
    const KEY: &str = "limit.store_password_file";
    if !limit.store_password_file.is_set() {
        return;
    }
    match limit.store.address() {
        None => to.say(
            &[KEY, "limit.store"],
            "applies only to a shared store; set store = \"redis://…\"",
        ),
        Some(address) if address.has_password() => to.say(
            &[KEY, "limit.store"],
            "limit.store has a password too; keep this file and take it out of the address",
        ),
        Some(_) => {}
    }
}

pub(super) fn rules() -> Vec<Rule> {
    let store = |pattern: &str| json!({"required": ["store"], "properties": {"store": {"pattern": pattern}}});
    let of_use = |key: &str, pattern: &str| json!({"if": written(key), "then": store(pattern)});
    vec![
        ("limit", together("store_certificate_file", "store_key_file")),
        ("limit", of_use("store_ca_file", "^rediss:")),
        ("limit", of_use("store_certificate_file", "^rediss:")),
        ("limit", of_use("store_password_file", "^rediss?:")),
    ]
}
