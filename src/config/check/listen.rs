//! `[listen]` and `[admin]`.

use serde_json::json;

use super::rules::{Rule, together, wants};
use super::{Findings, pem};
use crate::config::addresses::ListenAddress;
use crate::config::sections::Config;

/// hyper does not work with less.
const HEADER_BYTES_MIN: usize = 8 * 1024;

pub(super) fn check(config: &Config, to: &mut Findings<'_>) {
    let listen = &config.listen;
    if clash(&listen.address, &config.admin.address) {
        to.say(
            &["admin.address", "listen.address"],
            "listen.address and admin.address are the same; give each its own port",
        );
    }
    to.together(
        ("listen.tls_certificate_file", listen.tls_certificate_file.is_set()),
        ("listen.tls_key_file", listen.tls_key_file.is_set()),
    );
    if listen.client_ca_file.is_set() && !listen.tls_certificate_file.is_set() {
        to.say(
            &["listen.client_ca_file"],
            "client certificates need TLS: set `listen.tls_certificate_file` and \
             `listen.tls_key_file`",
        );
    }
    pem::pair(
        to,
        ("listen.tls_certificate_file", &listen.tls_certificate_file),
        ("listen.tls_key_file", &listen.tls_key_file),
    );
    pem::roots(to, "listen.client_ca_file", &listen.client_ca_file);
    if listen.max_header_bytes < HEADER_BYTES_MIN {
        to.say(&["listen.max_header_bytes"], "expected 8KiB or more");
    }
    if listen.max_buffered < config.validate.max_body {
        to.say(
            &["listen.max_buffered", "validate.max_body"],
            "listen.max_buffered is below validate.max_body, so the largest batches could never \
             pass; raise the one or lower the other",
        );
    }
}

pub(super) fn rules() -> Vec<Rule> {
    // Written out: a pattern cannot count.
    let enough = r"^\s*0*((819[2-9]|8[2-9][0-9]{2}|9[0-9]{3}|[1-9][0-9]{4,})B|([89]|[1-9][0-9]+)KiB|[1-9][0-9]*(MiB|GiB))\s*$";
    vec![
        ("listen", together("tls_certificate_file", "tls_key_file")),
        ("listen", wants("client_ca_file", "tls_certificate_file")),
        ("listen.max_header_bytes", json!({"pattern": enough})),
    ]
}

fn clash(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) => {
            one.port() != 0
                && one.port() == other.port()
                && (one.ip() == other.ip()
                    || one.ip().is_unspecified()
                    || other.ip().is_unspecified())
        }
        (one, other) => one == other,
    }
}
