//! `[listen]` and `[admin]`.

use super::rules::{Rule, together, wants};
use crate::config::reader::Reader;
use crate::config::sections::Config;
use crate::config::values::ListenAddress;

pub(super) fn check(config: &Config, to: &mut Reader<'_>) {
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
    to.pair(
        ("listen.tls_certificate_file", &listen.tls_certificate_file),
        ("listen.tls_key_file", &listen.tls_key_file),
    );
    if listen.max_buffered < config.validate.max_body {
        to.say(
            &["listen.max_buffered", "validate.max_body"],
            "listen.max_buffered is below validate.max_body, so the largest batches could never \
             pass; raise the one or lower the other",
        );
    }
}

pub(super) fn rules() -> Vec<Rule> {
    vec![
        ("listen", together("tls_certificate_file", "tls_key_file")),
        ("listen", wants("client_ca_file", "tls_certificate_file")),
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
