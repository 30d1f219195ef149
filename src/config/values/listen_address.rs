//! Where to listen.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde_json::json;

use super::url::PORT_BEYOND_PATTERN;
use super::{Fault, Scalar, text};
use crate::config::keys::Shape;

/// Where a listener listens: an IP address or `localhost` with a port, or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl ListenAddress {
    pub const fn loopback(port: u16) -> Self {
        Self::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }
}

const EXPECTED_LISTENER: &str = "expected an IP address with a port such as \"127.0.0.1:8080\", \
                                 \"localhost:8080\" or \"[::1]:8080\", or \"unix:/path\"";

impl Scalar for ListenAddress {
    type Value = Self;

    fn shape() -> Shape {
        let host = r"([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]+(%[0-9]+)?\]|[Ll][Oo][Cc][Aa][Ll][Hh][Oo][Ss][Tt])";
        let pattern = format!("^(unix:/|{host}:[0-9]+$)");
        let beyond = format!("^[^u].*:{PORT_BEYOND_PATTERN}$");
        Shape::form(EXPECTED_LISTENER, json!({"pattern": pattern, "not": {"pattern": beyond}}))
    }

    fn read(written: &toml::Value) -> Result<Self, Fault> {
        Ok(text(written)?.parse::<Self>()?)
    }

    fn write(value: &Self) -> toml::Value {
        value.to_string().into()
    }
}

impl FromStr for ListenAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(PathBuf::from(path))),
            Some(_) => Err("expected an absolute path after \"unix:\""),
            None => socket_address(text).map(Self::Tcp),
        }
    }
}

/// `localhost` is 127.0.0.1: what a resolver says of it may change between two starts.
fn socket_address(text: &str) -> Result<SocketAddr, &'static str> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').ok_or(EXPECTED_LISTENER)?;
    if host.eq_ignore_ascii_case("localhost")
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(port) = port.parse()
    {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    let is_ipv6 = text.parse::<Ipv6Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok();
    Err(if is_ipv6 {
        "expected brackets around an IPv6 address, and a port, such as \"[::1]:8080\""
    } else {
        EXPECTED_LISTENER
    })
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
