//! Whom to call, over HTTP.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;
use serde_json::json;

use super::{Fault, Scalar, text};
use crate::config::keys::Shape;

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
}
