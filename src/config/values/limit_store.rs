//! Where limits are counted.

use std::fmt;
use std::str::FromStr;

use http::uri::Authority;
use redis::{ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo};
use serde_json::json;

use super::{Fault, REDACTED, Scalar, text};
use crate::config::keys::Shape;

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
