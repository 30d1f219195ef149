//! The value types of the configuration: durations, sizes, addresses, names.
//!
//! Each is read from, and printed in, the form an operator writes.

use std::fmt;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;

use http::HeaderName;
use http::Uri;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::Error as _;

pub(super) const KIB: usize = 1024;
pub(super) const MIB: usize = 1024 * KIB;

pub(super) const fn non_zero(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).expect("the defaults are not zero")
}

/// Durations such as `"250ms"`, `"20m"`, `"1h30m"`; zero is refused.
pub(super) mod duration {
    use std::time::Duration;

    use serde::Deserializer;
    use serde::Serializer;
    use serde::de::Error as _;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let duration = super::duration_or_zero::deserialize(from)?;
        if duration.is_zero() {
            return Err(D::Error::custom("expected a duration longer than zero"));
        }
        Ok(duration)
    }

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        super::duration_or_zero::serialize(duration, to)
    }
}

/// Durations of which zero has a meaning ("0s": none).
pub(super) mod duration_or_zero {
    use std::time::Duration;

    use serde::Deserialize;
    use serde::Deserializer;
    use serde::Serializer;
    use serde::de::Error as _;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        super::parse_duration(&text).ok_or_else(|| {
            D::Error::custom("expected a duration such as \"250ms\", \"30s\", \"20m\" or \"12h\"")
        })
    }

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::print_duration(*duration))
    }
}

/// Sizes such as `"64KiB"` and `"1MiB"`; zero is refused.
pub(super) mod size {
    use serde::Deserialize;
    use serde::Deserializer;
    use serde::Serializer;
    use serde::de::Error as _;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
        let text = String::deserialize(from)?;
        super::parse_size(&text).filter(|bytes| *bytes != 0).ok_or_else(|| {
            D::Error::custom("expected a size such as \"512B\", \"64KiB\" or \"1MiB\"")
        })
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
    pub(crate) fn serialize<S: Serializer>(bytes: &usize, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::print_size(*bytes))
    }
}

/// An address that may be left empty.
pub(super) mod optional_url {
    use serde::Deserialize;
    use serde::Deserializer;
    use serde::Serializer;
    use serde::de::Error as _;

    use super::HttpUrl;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<HttpUrl>, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(D::Error::custom)
    }

    #[expect(clippy::ref_option, reason = "serde hands out references")]
    pub(crate) fn serialize<S: Serializer>(
        url: &Option<HttpUrl>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(url.as_ref().map_or("", HttpUrl::as_str))
    }
}

const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

fn parse_duration(text: &str) -> Option<std::time::Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let (_, unit_ms) = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?;
        total_ms = total_ms.checked_add(number.checked_mul(*unit_ms)?)?;
        rest = after;
    }
    // A hundred years: far beyond any use, far below what clocks can add.
    (total_ms <= 36_500 * 86_400_000).then(|| std::time::Duration::from_millis(total_ms))
}

fn print_duration(duration: std::time::Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (unit, unit_ms) = [("h", 3_600_000), ("m", 60_000), ("s", 1000)]
        .into_iter()
        .find(|(_, unit_ms)| ms != 0 && ms.is_multiple_of(*unit_ms))
        .unwrap_or(if ms == 0 { ("s", 1000) } else { ("ms", 1) });
    format!("{}{unit}", ms / unit_ms)
}

const SIZE_UNITS: [(&str, usize); 4] = [("GiB", 1024 * MIB), ("MiB", MIB), ("KiB", KIB), ("B", 1)];

fn parse_size(text: &str) -> Option<usize> {
    let (number, unit) = split_number(text.trim())?;
    let (_, scale) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    usize::try_from(number).ok()?.checked_mul(*scale)
}

fn print_size(bytes: usize) -> String {
    let (unit, scale) = SIZE_UNITS
        .into_iter()
        .find(|(_, scale)| bytes != 0 && bytes.is_multiple_of(*scale))
        .unwrap_or(("B", 1));
    format!("{}{unit}", bytes / scale)
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

/// Where a listener listens: `host:port` or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl ListenAddress {
    pub const fn loopback(port: u16) -> Self {
        Self::Tcp(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }
}

impl FromStr for ListenAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str =
            "expected an IP address with a port such as \"127.0.0.1:8080\", or \"unix:/path\"";
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(PathBuf::from(path))),
            Some(_) => Err("expected an absolute path after \"unix:\""),
            None => text.parse().map(Self::Tcp).map_err(|_| EXPECTED),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An `http://` or `https://` address without credentials, query or fragment.
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
        let host = self.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    }

    /// The path without a trailing slash; empty for the root.
    pub fn base_path(&self) -> &str {
        self.uri.path().trim_end_matches('/')
    }
}

impl FromStr for HttpUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected an address such as \"https://host/path\"";
        let uri: Uri = text.parse().map_err(|_| EXPECTED)?;
        let known_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority().ok_or(EXPECTED)?;
        if !known_scheme || authority.host().is_empty() {
            return Err(EXPECTED);
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

/// The name of a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderField(HeaderName);

impl HeaderField {
    pub const fn authorization() -> Self {
        Self(AUTHORIZATION)
    }

    pub fn name(&self) -> &HeaderName {
        &self.0
    }
}

impl FromStr for HeaderField {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| "expected a header name such as \"authorization\"")
    }
}

impl fmt::Display for HeaderField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// Where limiter state lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LimitStore {
    /// In this process.
    #[default]
    Local,
    /// Shared by all replicas that use the same Redis or Valkey: `redis://host:port/db`.
    Redis(String),
}

impl FromStr for LimitStore {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "local" => Ok(Self::Local),
            _ if text.starts_with("redis://") => Ok(Self::Redis(text.to_owned())),
            _ => Err("expected \"local\" or an address such as \"redis://host:6379\""),
        }
    }
}

impl fmt::Display for LimitStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Redis(address) => f.write_str(address),
        }
    }
}

macro_rules! written_as_text {
    ($($name:ty),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(D::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
    )*};
}

written_as_text!(ListenAddress, HttpUrl, HeaderField, LimitStore);
