//! `[token]`: how access tokens are had and how long they live.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::addresses::HttpUrl;
use crate::config::files::{SecretFile, TextFile};
use crate::config::units;

/// How a caller's KooDrive access token is had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenMethod {
    /// RFC 8693.
    #[default]
    TokenExchange,
    /// RFC 7523 section 2.1.
    JwtBearer,
    /// RFC 6749 section 4.4; one token for the process.
    ClientCredentials,
    /// Any login that answers JSON.
    Custom,
    /// KooDrive carrier edition; one session for the process.
    CarrierLogin,
    /// AppId and AppSecret; nothing is exchanged, each attempt is signed.
    AppSignature,
}

/// How the gateway proves itself to the token endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// `client_secret_basic`.
    #[default]
    Basic,
    /// `client_secret_post`.
    Post,
    /// RFC 7523 section 2.2.
    PrivateKeyJwt,
}

/// Access tokens: how they are had and how long they live.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenConfig {
    pub method: TokenMethod,
    /// Required by the network methods.
    #[serde(with = "units::optional_url")]
    pub endpoint: Option<HttpUrl>,
    pub client_id: String,
    pub client_secret_file: SecretFile,
    pub client_auth: ClientAuth,
    /// PEM key for `private_key_jwt`.
    pub private_key_file: SecretFile,
    /// `kid` of that key.
    pub private_key_id: String,
    pub subject_token_type: String,
    pub audience: String,
    pub resource: String,
    pub scope: String,
    /// What KooDrive sees before the token.
    pub scheme: String,
    /// Further claims that make callers distinct.
    pub cache_claims: Vec<String>,
    /// Slides on each accepted call.
    #[serde(with = "units::duration")]
    pub idle_lifetime: Duration,
    #[serde(with = "units::duration")]
    pub absolute_lifetime: Duration,
    /// How long before expiry a token is no longer used.
    #[serde(with = "units::duration_or_zero")]
    pub freshness_margin: Duration,
    /// Share of a token's life after which it is renewed off the request path.
    pub refresh_ahead: f64,
    #[serde(with = "units::duration")]
    pub timeout: Duration,
    #[serde(with = "units::count")]
    pub max_concurrent: usize,
    pub max_per_second: NonZeroU32,
    #[serde(with = "units::count")]
    pub max_entries: usize,
    /// Per caller, after "denied".
    #[serde(with = "units::duration_or_zero")]
    pub denied_for: Duration,
    /// Per endpoint, after "unavailable".
    #[serde(with = "units::duration_or_zero")]
    pub unavailable_for: Duration,
    pub allow_plain_http: bool,
    pub custom: CustomTokenConfig,
    pub carrier: CarrierConfig,
    pub app: AppConfig,
}

impl Default for TokenConfig {
    fn default() -> Self {
        Self {
            method: TokenMethod::TokenExchange,
            endpoint: None,
            client_id: String::new(),
            client_secret_file: SecretFile::default(),
            client_auth: ClientAuth::Basic,
            private_key_file: SecretFile::default(),
            private_key_id: String::new(),
            subject_token_type: "urn:ietf:params:oauth:token-type:access_token".to_owned(),
            audience: String::new(),
            resource: String::new(),
            scope: String::new(),
            scheme: "Bearer".to_owned(),
            cache_claims: Vec::new(),
            idle_lifetime: Duration::from_mins(20),
            absolute_lifetime: Duration::from_hours(12),
            freshness_margin: Duration::from_mins(1),
            refresh_ahead: 0.8,
            timeout: Duration::from_secs(5),
            max_concurrent: 32,
            max_per_second: units::non_zero(50),
            max_entries: 100_000,
            denied_for: Duration::from_secs(5),
            unavailable_for: Duration::from_secs(1),
            allow_plain_http: false,
            custom: CustomTokenConfig::default(),
            carrier: CarrierConfig::default(),
            app: AppConfig::default(),
        }
    }
}

/// HTTP method of a custom login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CustomMethod {
    #[default]
    Post,
    Put,
    Get,
}

/// Body format of a custom login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CustomFormat {
    #[default]
    Json,
    Form,
}

/// `method = "custom"`: any login that answers JSON.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CustomTokenConfig {
    pub method: CustomMethod,
    pub format: CustomFormat,
    pub headers: BTreeMap<String, String>,
    /// Values may hold `{sso_token} {subject} {issuer} {claim:NAME} {client_id} {client_secret}`.
    pub body: toml::Table,
    /// JSON Pointer (RFC 6901) to the token in the answer.
    pub token: String,
    /// JSON Pointer to its lifetime in seconds.
    pub expires_in: String,
    /// JSON Pointer → values of which one must be there.
    pub success: BTreeMap<String, Vec<toml::Value>>,
    /// JSON Pointer → values that mean this caller is denied.
    pub denied: BTreeMap<String, Vec<toml::Value>>,
}

impl Default for CustomTokenConfig {
    fn default() -> Self {
        Self {
            method: CustomMethod::Post,
            format: CustomFormat::Json,
            headers: BTreeMap::new(),
            body: toml::Table::new(),
            token: "/access_token".to_owned(),
            expires_in: "/expires_in".to_owned(),
            success: BTreeMap::new(),
            denied: BTreeMap::new(),
        }
    }
}

/// `method = "carrier_login"`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CarrierConfig {
    pub account: String,
    pub password_file: SecretFile,
    /// `x-hw-agentName`.
    pub agent_name: String,
}

/// `method = "app_signature"`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppConfig {
    pub app_id: String,
    pub app_secret_file: SecretFile,
    /// Claim that becomes X-User-Id.
    pub user_claim: String,
    /// Or a TOML file: subject = "KooDrive user id".
    pub user_map_file: TextFile,
}

impl Default for AppConfig {
    fn default() -> Self {
        Self {
            app_id: String::new(),
            app_secret_file: SecretFile::default(),
            user_claim: "koodrive_user_id".to_owned(),
            user_map_file: TextFile::default(),
        }
    }
}

impl AppConfig {
    /// `user_map_file`: subject → KooDrive user id. Empty when no file is named.
    pub fn users(&self) -> BTreeMap<String, String> {
        self.parse_users().unwrap_or_default() // what does not parse was refused by the check
    }

    /// The map, or the line and column that do not fit.
    pub(in crate::config) fn parse_users(
        &self,
    ) -> Result<BTreeMap<String, String>, (usize, usize)> {
        let text = self.user_map_file.text();
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
            (before.matches('\n').count() + 1, column)
        })
    }
}
