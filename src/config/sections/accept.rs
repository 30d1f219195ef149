//! `[accept]`: whose SSO tokens are accepted.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::addresses::{HeaderField, HttpUrl};
use crate::config::files::TextFile;
use crate::config::units;

/// Which SSO tokens are accepted.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AcceptConfig {
    /// Header that carries `Bearer <jwt>`; it never goes upstream.
    pub header: HeaderField,
    /// Leave to fetch keys over `http://` from hosts other than loopback.
    pub allow_plain_http: bool,
    /// One or more.
    pub issuers: Vec<IssuerConfig>,
}

impl Default for AcceptConfig {
    fn default() -> Self {
        Self { header: HeaderField::authorization(), allow_plain_http: false, issuers: Vec::new() }
    }
}

/// Signature algorithms of RFC 7518 and RFC 8037 that can be verified here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
pub enum SignatureAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// One SSO whose tokens are accepted.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct IssuerConfig {
    /// Exactly the `iss` claim. Required.
    pub issuer: String,
    /// One of these must be in `aud`. Required.
    pub audiences: Vec<String>,
    /// Where the key set is; empty, and no `jwks_file`: OpenID discovery at the issuer.
    #[serde(with = "units::optional_url")]
    pub jwks_url: Option<HttpUrl>,
    /// A key set on disk, watched.
    pub jwks_file: TextFile,
    pub algorithms: Vec<SignatureAlgorithm>,
    /// Tolerated difference of clocks.
    #[serde(with = "units::duration_or_zero")]
    pub leeway: Duration,
    /// Longest `exp - iat`.
    #[serde(with = "units::duration")]
    pub max_lifetime: Duration,
    /// Claim that names the caller.
    pub subject_claim: String,
    /// Claim → value it must have, or contain when it is a list.
    pub required_claims: BTreeMap<String, String>,
    #[serde(with = "units::duration")]
    pub jwks_refresh: Duration,
    /// How long a key set may be used after it was last fetched.
    #[serde(with = "units::duration")]
    pub jwks_max_stale: Duration,
    /// Shortest time between two fetches caused by unknown key ids.
    #[serde(with = "units::duration")]
    pub unknown_kid_cooldown: Duration,
}

impl Default for IssuerConfig {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audiences: Vec::new(),
            jwks_url: None,
            jwks_file: TextFile::default(),
            algorithms: vec![SignatureAlgorithm::RS256, SignatureAlgorithm::ES256],
            leeway: Duration::from_secs(30),
            max_lifetime: Duration::from_hours(24),
            subject_claim: "sub".to_owned(),
            required_claims: BTreeMap::new(),
            jwks_refresh: Duration::from_mins(10),
            jwks_max_stale: Duration::from_hours(24),
            unknown_kid_cooldown: Duration::from_secs(10),
        }
    }
}
