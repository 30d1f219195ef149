//! What `accept` proves: who calls, for how long.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use super::json;
use crate::digest;

/// Who calls, for logs and limits: a digest of issuer and subject, 32 hex digits when shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerId([u8; 16]);

impl CallerId {
    pub fn of(issuer: &str, subject: &str) -> Self {
        Self(digest::half_of([issuer.as_bytes(), subject.as_bytes()]))
    }

    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who calls. `Debug` shows neither subject nor claims.
#[derive(Clone)]
pub struct Identity {
    /// As configured.
    pub issuer: Arc<str>,
    /// The issuer's `subject_claim`: not empty, no control characters, at most 512 bytes.
    pub subject: Arc<str>,
    /// All claims of the verified token.
    pub claims: Claims,
    /// `exp`, without leeway.
    pub expires_at: SystemTime,
    pub caller: CallerId,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("issuer", &self.issuer)
            .field("caller", &self.caller)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// The claims of a verified token, read again when somebody asks for one: few do, and a parsed
/// claim set takes three times the memory of the token it came in.
#[derive(Clone)]
pub struct Claims {
    token: Option<Arc<SsoToken>>,
    read: OnceLock<Map<String, Value>>,
}

impl Claims {
    pub(super) fn of(token: &Arc<SsoToken>) -> Self {
        Self { token: Some(Arc::clone(token)), read: OnceLock::new() }
    }

    /// One claim, by its exact name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.read.get_or_init(|| self.read_again().unwrap_or_default()).get(name)
    }

    fn read_again(&self) -> Option<Map<String, Value>> {
        let payload = self.token.as_ref()?.expose().split('.').nth(1)?;
        json::object(&URL_SAFE_NO_PAD.decode(payload).ok()?)
    }
}

impl From<Map<String, Value>> for Claims {
    fn from(claims: Map<String, Value>) -> Self {
        Self { token: None, read: OnceLock::from(claims) }
    }
}

/// The token as the caller sent it, wiped from memory when the last holder lets go.
pub struct SsoToken(SecretString);

impl SsoToken {
    pub fn new(token: impl Into<SecretString>) -> Self {
        Self(token.into())
    }

    /// The token itself: for the token endpoint, and for nothing else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for SsoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SsoToken(…)")
    }
}

/// A call that may go on.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub identity: Arc<Identity>,
    pub sso_token: Arc<SsoToken>,
    /// Whether the verdict is an earlier one, kept for this very token.
    pub cached: bool,
}
