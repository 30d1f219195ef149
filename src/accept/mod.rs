//! Accept the SSO token: who calls, proved.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use secrecy::ExposeSecret as _;
use secrecy::SecretString;

/// Digest of length-prefixed issuer and subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallerId([u8; 16]);

impl CallerId {
    pub fn of(issuer: &str, subject: &str) -> Self {
        let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for field in [issuer, subject] {
            digest.update(&(field.len() as u64).to_be_bytes());
            digest.update(field.as_bytes());
        }
        let mut id = [0; 16];
        id.copy_from_slice(&digest.finish().as_ref()[..16]);
        Self(id)
    }
}

impl fmt::Display for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// What `accept` proves.
#[derive(Clone, Debug)]
pub struct Identity {
    pub issuer: Arc<str>,
    pub subject: Arc<str>,
    pub claims: Arc<serde_json::Map<String, serde_json::Value>>,
    pub expires_at: SystemTime,
    pub caller: CallerId,
}

/// The JWT the caller presented.
#[derive(Debug)]
pub struct SsoToken(SecretString);

impl SsoToken {
    pub fn new(token: impl Into<SecretString>) -> Self {
        Self(token.into())
    }

    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// An accepted caller.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub identity: Arc<Identity>,
    pub sso_token: Arc<SsoToken>,
    pub remembered: bool,
}
