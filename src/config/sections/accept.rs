//! `[accept]`: whose SSO tokens are accepted.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderName;
use http::header::AUTHORIZATION;

use super::section::{kind, section};
use crate::config::document::Node;
use crate::config::keys::{Key, Shape};
use crate::config::reader::{Reader, joined};
use crate::config::values::{
    Claim, ClaimValue, File, HttpUrl, Issuer, KeySetDocument, Kind, KooDriveUsers, List, Map,
    OneOf, OptionalUrl, Period, PeriodOrZero, Roots, TokenHeader, choice,
};

section! {
    /// Which SSO tokens are accepted.
    pub struct AcceptConfig {
        /// Header that carries `Bearer <jwt>`; it never goes upstream.
        header: HeaderName as TokenHeader = AUTHORIZATION,
        /// PEM roots besides the system's, for the SSO.
        ca_file: File<Roots> = File::default(),
        /// Leave to fetch keys over `http://` from hosts other than loopback.
        allow_plain_http: bool = false,
        /// One or more.
        issuers: Vec<IssuerConfig> as List<IssuerConfig> = Vec::new(),
    }
}

choice! {
    /// Signature algorithms of RFC 7518 and RFC 8037 that can be verified here.
    pub enum SignatureAlgorithm {
        RS256 = "RS256",
        RS384 = "RS384",
        RS512 = "RS512",
        PS256 = "PS256",
        PS384 = "PS384",
        PS512 = "PS512",
        ES256 = "ES256",
        ES384 = "ES384",
        EdDSA = "EdDSA",
    }
}

section! {
    /// One SSO whose tokens are accepted.
    pub struct IssuerConfig {
        /// Exactly the `iss` claim. Required.
        issuer: Issuer = Issuer::default(),
        /// One of these must be in `aud`. Required.
        audiences: Vec<String> as List<String> = Vec::new(),
        /// Where the key set is; empty, and no `jwks_file`: OpenID discovery at the issuer.
        jwks_url: Option<HttpUrl> as OptionalUrl = None,
        /// A key set on disk, watched.
        jwks_file: File<KeySetDocument> = File::default(),
        algorithms: Vec<SignatureAlgorithm> as List<SignatureAlgorithm> =
            vec![SignatureAlgorithm::RS256, SignatureAlgorithm::ES256],
        /// Tolerated difference of clocks.
        leeway: Duration as PeriodOrZero = Duration::from_secs(30),
        /// Longest `exp - iat`.
        max_lifetime: Duration as Period = Duration::from_hours(24),
        /// Claim that names the caller.
        subject_claim: String as Claim = "sub".to_owned(),
        /// Claim, or JSON Pointer into one → what it must be or contain; of several one will do.
        required_claims: BTreeMap<String, Vec<ClaimValue>> as Map<OneOf> = BTreeMap::new(),
        /// Whether tokens bound to a key or certificate (`cnf`) are accepted.
        accept_bound_tokens: bool = false,
        /// Claim that becomes X-User-Id, where calls are signed.
        koodrive_user_claim: String = String::new(),
        /// Or a TOML file: subject = "KooDrive user id".
        koodrive_users_file: File<KooDriveUsers> = File::default(),
        jwks_refresh: Duration as Period = Duration::from_mins(10),
        /// How long a key set may be used after it was last fetched.
        jwks_max_stale: Duration as Period = Duration::from_hours(24),
        /// Shortest time between two fetches caused by unknown key ids.
        unknown_kid_cooldown: Duration as Period = Duration::from_secs(10),
    }
}

impl IssuerConfig {
    /// Where its keys come from.
    pub fn key_source(&self) -> KeySource {
        if let Some(url) = &self.jwks_url {
            return KeySource::Url(url.clone());
        }
        if self.jwks_file.is_set() {
            return KeySource::File(self.jwks_file.clone());
        }
        let url = self.issuer.url().cloned();
        KeySource::Discovery(url.expect("an issuer whose keys are nowhere is refused"))
    }
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq)]
pub enum KeySource {
    Url(HttpUrl),
    /// Read anew by the reload of the configuration.
    File(File<KeySetDocument>),
    /// OpenID discovery at this issuer.
    Discovery(HttpUrl),
}

impl KeySource {
    /// The server that is asked; `None` where it is a file.
    pub fn url(&self) -> Option<&HttpUrl> {
        match self {
            Self::Url(url) | Self::Discovery(url) => Some(url),
            Self::File(_) => None,
        }
    }
}
