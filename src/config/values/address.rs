//! Addresses: where to listen, whom to call, which store.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use http::Uri;
use http::uri::Authority;
use redis::{ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo};
use serde_json::json;

use super::{Fault, REDACTED, Scalar, text};
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

/// An `http://` or `https://` address without credentials or fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl {
    text: String,
    uri: Uri,
}

impl HttpUrl {
    /// As the operator wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    pub fn host(&self) -> &str {
        self.uri.host().unwrap_or_default()
    }

    pub fn is_https(&self) -> bool {
        self.uri.scheme() == Some(&http::uri::Scheme::HTTPS)
    }

    /// Whether the host is this machine, so that plain HTTP never leaves it.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.host())
    }

    /// Whether this can be a forward proxy: `http://`, and nothing behind the port.
    pub fn is_proxy(&self) -> bool {
        !self.is_https() && self.uri.path() == "/" && self.uri.query().is_none()
    }

    /// The address of what is there under this one: `/path` behind it.
    #[must_use]
    pub fn below(&self, path: &str) -> Self {
        let longer = format!("{}{path}", self.text.trim_end_matches('/'));
        longer.parse().expect("an address with a longer path is an address")
    }

    /// The path without a trailing slash; empty for the root.
    pub fn base_path(&self) -> &str {
        self.uri.path().trim_end_matches('/')
    }
}

/// Whether a host, as it stands in an address, is this machine.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// A number above 65535, written out: a pattern cannot count.
pub(super) const PORT_BEYOND_PATTERN: &str =
    "0*(6553[6-9]|655[4-9][0-9]|65[6-9][0-9]{2}|6[6-9][0-9]{3}|[7-9][0-9]{4}|[1-9][0-9]{5,})";

/// `Uri` takes twice as much: there is room for a path behind it.
const URL_BYTES_MAX: usize = 32 * 1024;
const EXPECTED_URL: &str = "expected an address such as \"https://host/path\"";

/// An address that may be left empty.
pub(in crate::config) struct OptionalUrl;

impl Scalar for OptionalUrl {
    type Value = Option<HttpUrl>;

    fn shape() -> Shape {
        let pattern = r"^([Hh][Tt][Tt][Pp][Ss]?://[^ /?#@:][^ /?#@]*([/?][^ #]*)?)?$";
        let beyond = format!("^[^/]*//[^/?#]*:{PORT_BEYOND_PATTERN}([/?]|$)");
        Shape::form(EXPECTED_URL, json!({"pattern": pattern, "not": {"pattern": beyond}}))
    }

    fn read(written: &toml::Value) -> Result<Option<HttpUrl>, Fault> {
        match text(written)? {
            "" => Ok(None),
            text => Ok(Some(text.parse()?)),
        }
    }

    fn write(value: &Option<HttpUrl>) -> toml::Value {
        value.as_ref().map_or("", HttpUrl::as_str).into()
    }
}

/// An address, to which a path will be joined, that may be left empty.
pub(in crate::config) struct OptionalBase;

impl Scalar for OptionalBase {
    type Value = Option<HttpUrl>;

    fn shape() -> Shape {
        OptionalUrl::shape().with_rule(&json!({"not": {"pattern": r"\?"}}))
    }

    fn read(written: &toml::Value) -> Result<Option<HttpUrl>, Fault> {
        let base = OptionalUrl::read(written)?;
        if base.as_ref().is_some_and(|base| base.uri().query().is_some()) {
            return Err("expected an address without a query (`?…`)".into());
        }
        Ok(base)
    }

    fn write(value: &Option<HttpUrl>) -> toml::Value {
        OptionalUrl::write(value)
    }
}

/// Addresses of which nothing leaves this machine in the clear, as [`HttpUrl::is_loopback`] and
/// [`HttpUrl::is_https`] see them; no address, too.
pub(in crate::config) const SAFE_URL_PATTERN: &str = r"^($|[Hh][Tt][Tt][Pp]([Ss]://|://([Ll][Oo][Cc][Aa][Ll][Hh][Oo][Ss][Tt]|127(\.[0-9]{1,3}){3}|\[[0:.]*1\])(:[0-9]*)?([/?]|$)))";

impl FromStr for HttpUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if URL_BYTES_MAX < text.len() {
            return Err(EXPECTED_URL);
        }
        let uri: Uri = text.parse().map_err(|_| EXPECTED_URL)?;
        let known_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority().ok_or(EXPECTED_URL)?;
        if !known_scheme || authority.host().is_empty() {
            return Err(EXPECTED_URL);
        }
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let port = port.strip_prefix(':').unwrap_or_default();
        if !port.is_empty() && port.parse::<u16>().is_err() {
            return Err("expected an address with a port up to 65535");
        }
        if authority.as_str().contains('@') {
            return Err("expected an address without user name and password");
        }
        if text.contains('#') {
            return Err("expected an address without a fragment");
        }
        Ok(Self { text: text.to_owned(), uri })
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Where limiter state lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LimitStore {
    /// In this process.
    #[default]
    Local,
    /// Shared by all replicas that use the same Redis or Valkey.
    Redis(RedisAddress),
}

/// `redis[s]://[user][:password]@host[:port][/db]`; `rediss://` is TLS.
#[derive(Clone)]
pub struct RedisAddress {
    text: String,
    host: String,
    port: u16,
    login: RedisConnectionInfo,
}

const EXPECTED_STORE: &str = "expected \"local\" or an address such as \"redis://host:6379\"";

impl Scalar for LimitStore {
    type Value = Self;

    fn shape() -> Shape {
        let host = r"(\[[^/\]]*\]|[^/@:\[\]]+)";
        let pattern = format!(r"^(local|rediss?://([^/]*@)?{host}(:[0-9]*)?(/\+?[0-9]*)?)$");
        Shape::form(EXPECTED_STORE, json!({"pattern": pattern}))
    }

    fn read(written: &toml::Value) -> Result<Self, Fault> {
        Ok(text(written)?.parse::<Self>()?)
    }

    fn write(value: &Self) -> toml::Value {
        value.to_string().into()
    }
}

impl FromStr for LimitStore {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "local" {
            return Ok(Self::Local);
        }
        RedisAddress::parse(text).map(Self::Redis).ok_or_else(|| {
            if text.starts_with("redis://") || text.starts_with("rediss://") {
                "expected \"local\" or an address such as \"redis://host:6379/0\""
            } else {
                EXPECTED_STORE
            }
        })
    }
}

impl LimitStore {
    /// Where a shared store is.
    pub fn address(&self) -> Option<&RedisAddress> {
        match self {
            Self::Local => None,
            Self::Redis(address) => Some(address),
        }
    }

    /// Whether it is reached over TLS.
    pub fn is_tls(&self) -> bool {
        self.address().is_some_and(RedisAddress::is_tls)
    }
}

impl RedisAddress {
    fn parse(text: &str) -> Option<Self> {
        // TLS is laid over the connection and not Redis's business.
        let rest = text.strip_prefix("rediss://").or_else(|| text.strip_prefix("redis://"))?;
        let (authority, db) = rest.split_once('/').unwrap_or((rest, ""));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let authority: Authority = host.parse().ok()?;
        let port = host.strip_prefix(authority.host()).unwrap_or_default();
        let port_is_legal = port.is_empty()
            || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
        let db_is_legal = db.is_empty() || db.parse::<u16>().is_ok();
        if authority.host().is_empty() || !port_is_legal || !db_is_legal {
            return None;
        }
        let info = format!("redis://{rest}").into_connection_info().ok()?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else { return None };
        Some(Self {
            text: text.to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port: *port,
            login: info.redis_settings().clone(),
        })
    }

    /// Without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// User, password and database.
    pub fn login(&self) -> &RedisConnectionInfo {
        &self.login
    }

    pub fn has_password(&self) -> bool {
        self.login.password().is_some()
    }

    pub fn is_tls(&self) -> bool {
        self.text.starts_with("rediss://")
    }
}

impl PartialEq for RedisAddress {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for RedisAddress {}

/// With the password, if any, put out of sight.
impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.text.split_once("://"), self.text.rsplit_once('@')) {
            (Some((scheme, rest)), Some((_, host))) => {
                let user = rest.split([':', '@']).next().unwrap_or_default();
                write!(f, "{scheme}://{user}:{REDACTED}@{host}")
            }
            _ => f.write_str(&self.text),
        }
    }
}

/// As [`fmt::Display`].
impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisAddress({self})")
    }
}

impl fmt::Display for LimitStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Redis(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        let cases = [
            ("http://127.0.0.1:9400", true),
            ("http://127.9.9.9/", true),
            ("http://localhost/x", true),
            ("http://LOCALHOST", true),
            ("http://[::1]:80/", true),
            ("http://127.0.0.1.example.com", false),
            ("http://localhost.example.com", false),
            ("http://0.0.0.0", false),
            ("http://10.0.0.1", false),
        ];
        for (url, expected) in cases {
            assert_eq!(url.parse::<HttpUrl>().map(|url| url.is_loopback()), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "host",
            "/path",
            "ftp://host",
            "https://",
            "https:///path",
            "https://user@host",
            "https://user:password@host",
            "https://host/#fragment",
            "https://host/a b",
            "",
        ] {
            assert!(text.parse::<HttpUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_base_path_has_no_slash_at_its_end() {
        let cases = [
            ("https://host", ""),
            ("https://host/", ""),
            ("https://host/base", "/base"),
            ("https://host/base/", "/base"),
        ];
        for (url, expected) in cases {
            assert_eq!(url.parse::<HttpUrl>().unwrap().base_path(), expected, "{url}");
        }
    }

    #[test]
    fn the_password_of_a_store_is_not_shown() {
        let cases = [
            ("redis://host:6379/1", "redis://host:6379/1"),
            ("redis://:hunter2@host", "redis://:***@host"),
            ("redis://user:hunter2@host", "redis://user:***@host"),
            ("redis://user:hun@ter:2@host", "redis://user:***@host"),
        ];
        for (address, expected) in cases {
            let store: LimitStore = address.parse().unwrap();
            assert_eq!(store.to_string(), expected);
            assert_eq!(format!("{store:?}"), format!("Redis(RedisAddress({expected}))"));
        }
    }
}
