//! The way out: which proxy, and what is reached without it.

use std::net::IpAddr;

use serde_json::json;

use super::url::PORT_BEYOND_PATTERN;
use super::{Fault, HttpUrl, Scalar, text};
use crate::config::keys::Shape;

/// Who passes our requests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EgressProxy {
    /// Whom `HTTPS_PROXY` and `HTTP_PROXY` name; nobody, if they name none.
    #[default]
    Environment,
    /// Nobody.
    Direct,
    Address(HttpUrl),
}

const EXPECTED_PROXY: &str =
    "expected a proxy such as \"http://proxy.example:3128\", \"none\", or \"\"";

impl Scalar for EgressProxy {
    type Value = Self;

    fn shape() -> Shape {
        let pattern = "^([Hh][Tt][Tt][Pp]://[^ /?#@:][^ /?#@]*/?|none|)$";
        let beyond = format!(":{PORT_BEYOND_PATTERN}/?$");
        Shape::form(EXPECTED_PROXY, json!({"pattern": pattern, "not": {"pattern": beyond}}))
    }

    fn read(written: &toml::Value) -> Result<Self, Fault> {
        match text(written)? {
            "" => Ok(Self::Environment),
            "none" => Ok(Self::Direct),
            text if text.contains('@') => {
                Err("expected a proxy without credentials; set egress.username and \
                     egress.password_file"
                    .into())
            }
            text => match text.parse::<HttpUrl>() {
                Ok(address) if address.is_proxy() => Ok(Self::Address(address)),
                _ => Err(Fault::Unlike),
            },
        }
    }

    fn write(value: &Self) -> toml::Value {
        match value {
            Self::Environment => "".into(),
            Self::Direct => "none".into(),
            Self::Address(address) => address.as_str().into(),
        }
    }
}

/// One destination, or many, that no proxy is asked for.
pub(in crate::config) struct NoProxy;

const EXPECTED_EXEMPT: &str = "expected a host, a domain such as \".example.com\", an address, a \
                               network such as \"10.0.0.0/8\", or \"*\"";

impl Scalar for NoProxy {
    type Value = String;

    fn shape() -> Shape {
        let name = r"(\*?\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?";
        let v4 = r"[0-9]{1,3}(\.[0-9]{1,3}){3}/(3[0-2]|[12]?[0-9])";
        let v6 = r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?";
        Shape::form(EXPECTED_EXEMPT, json!({"pattern": format!(r"^(\*|{name}|{v4}|{v6})$")}))
    }

    fn read(written: &toml::Value) -> Result<String, Fault> {
        let text = text(written)?;
        if text == "*" || is_network(text) || is_name(text) {
            Ok(text.to_owned())
        } else {
            Err(Fault::Unlike)
        }
    }

    fn write(value: &String) -> toml::Value {
        value.as_str().into()
    }
}

/// An address, or a network in CIDR notation.
fn is_network(text: &str) -> bool {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let is_length = |prefix: &str| {
        !prefix.starts_with('+') && prefix.parse::<u8>().is_ok_and(|length| length <= bits)
    };
    prefix.is_none_or(is_length)
}

/// A name, with or without a dot, or `*.`, before it; with or without one behind it.
fn is_name(text: &str) -> bool {
    let name = text.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(text);
    let name = name.strip_prefix('.').unwrap_or(name);
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    name.split('.').all(is_label)
}
