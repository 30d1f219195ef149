//! One struct per room, with the defaults an operator gets by writing nothing.
//!
//! Field order is the order of `config/gateway.toml`. Keys, defaults and meaning are the public
//! contract; a test keeps the shipped file equal to these defaults.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use super::files::SecretFile;
use super::files::TextFile;
use super::units;
use super::units::HeaderField;
use super::units::HttpUrl;
use super::units::LimitStore;
use super::units::ListenAddress;

/// The whole configuration, one section per room.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub listen: ListenConfig,
    pub admin: AdminConfig,
    pub trace_id: TraceIdConfig,
    pub accept: AcceptConfig,
    pub limit: LimitConfig,
    pub validate: ValidateConfig,
    pub token: TokenConfig,
    pub forward: ForwardConfig,
    pub telemetry: TelemetryConfig,
    pub lifecycle: LifecycleConfig,
}

/// Where callers connect, and what one connection may cost.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenConfig {
    /// `host:port` or `unix:/path`; port 0 takes a free one.
    pub address: ListenAddress,
    /// PEM certificate chain; turns TLS on together with `tls_key_file`.
    pub tls_certificate_file: TextFile,
    /// PEM private key of that certificate.
    pub tls_key_file: SecretFile,
    /// PEM roots; callers must then present a certificate signed by one of them.
    pub client_ca_file: TextFile,
    /// Connections open at once; beyond it nothing more is accepted until one closes.
    pub max_connections: usize,
    /// From accept, or from the first byte, to the complete request head.
    #[serde(with = "units::duration")]
    pub header_timeout: Duration,
    /// Between two requests of one connection.
    #[serde(with = "units::duration")]
    pub idle_timeout: Duration,
    /// Between two reads of a request body.
    #[serde(with = "units::duration")]
    pub body_timeout: Duration,
    /// Largest request head.
    #[serde(with = "units::size")]
    pub max_header_bytes: usize,
    /// Calls at once.
    pub max_in_flight: usize,
    /// All request bodies held in memory at once.
    #[serde(with = "units::size")]
    pub max_buffered: usize,
    /// Worker threads; 0 = one per CPU this process may use.
    pub workers: usize,
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self {
            address: ListenAddress::loopback(8080),
            tls_certificate_file: TextFile::default(),
            tls_key_file: SecretFile::default(),
            client_ca_file: TextFile::default(),
            max_connections: 10_000,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            max_header_bytes: 32 * units::KIB,
            max_in_flight: 4096,
            max_buffered: 64 * units::MIB,
            workers: 0,
        }
    }
}

/// The second listener: health, metrics, what is configured.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// `host:port` or `unix:/path`.
    pub address: ListenAddress,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { address: ListenAddress::loopback(9901) }
    }
}

/// What happens to an X-Traceid that is not 58 legal characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnIllegal {
    /// Make a new one.
    #[default]
    Replace,
    /// Answer 400 `trace_id_illegal`.
    Reject,
}

/// X-Traceid policy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceIdConfig {
    pub on_illegal: OnIllegal,
}

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

/// Whether a guard refuses, only counts, or sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardMode {
    #[default]
    Enforce,
    /// Count and log, never refuse.
    Observe,
    Off,
}

/// Preverify limits.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitConfig {
    pub mode: GuardMode,
    pub calls_per_minute: NonZeroU32,
    pub calls_burst: NonZeroU32,
    pub users_per_minute: NonZeroU32,
    pub users_burst: NonZeroU32,
    pub total_calls_per_second: NonZeroU32,
    pub total_burst: NonZeroU32,
    /// Preverify calls in flight, whole process.
    pub concurrent: NonZeroU32,
    pub store: LimitStore,
    /// Beyond it newcomers share one bucket until places come free.
    pub max_tracked_callers: usize,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            mode: GuardMode::Enforce,
            calls_per_minute: units::non_zero(60),
            calls_burst: units::non_zero(10),
            users_per_minute: units::non_zero(20_000),
            users_burst: units::non_zero(5000),
            total_calls_per_second: units::non_zero(100),
            total_burst: units::non_zero(50),
            concurrent: units::non_zero(32),
            store: LimitStore::Local,
            max_tracked_callers: 100_000,
        }
    }
}

/// What happens to batch members no rule names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownFields {
    #[default]
    Allow,
    Reject,
}

/// The preverify batch rules.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidateConfig {
    pub mode: GuardMode,
    #[serde(with = "units::size")]
    pub max_body: usize,
    pub max_users: usize,
    /// Unicode scalar values; 0 = unlimited.
    pub max_dept_name_chars: usize,
    /// The root object is depth 1.
    pub max_depth: usize,
    /// GB ceiling for `personalCapacity`; 0 = none.
    pub max_capacity: u64,
    /// `isAllocateCapacity = true` wants `personalCapacity >= 1`.
    pub require_capacity_when_allocated: bool,
    pub unknown_fields: UnknownFields,
    pub max_findings: usize,
    /// `language` header sent when the caller gives none; empty = nothing.
    pub default_language: String,
}

impl Default for ValidateConfig {
    fn default() -> Self {
        Self {
            mode: GuardMode::Enforce,
            max_body: units::MIB,
            max_users: 1000,
            max_dept_name_chars: 20,
            max_depth: 16,
            max_capacity: 0,
            require_capacity_when_allocated: true,
            unknown_fields: UnknownFields::Allow,
            max_findings: 50,
            default_language: String::new(),
        }
    }
}

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
    pub max_concurrent: usize,
    pub max_per_second: NonZeroU32,
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

/// What of the trace context KooDrive sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Propagate {
    None,
    #[default]
    Traceparent,
    /// `traceparent`, `tracestate` and `baggage`.
    Full,
}

/// What KooDrive learns of the caller's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Forwarded {
    #[default]
    None,
    /// X-Forwarded-For appended, -Proto and -Host replaced.
    Append,
}

/// The way to KooDrive.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForwardConfig {
    /// Required.
    #[serde(with = "units::optional_url")]
    pub upstream: Option<HttpUrl>,
    /// Paths outside it are 404 `route_unknown`.
    pub prefix: String,
    #[serde(with = "units::duration")]
    pub connect_timeout: Duration,
    /// To the response head, per attempt.
    #[serde(with = "units::duration")]
    pub response_timeout: Duration,
    /// Between two reads of a body, either way.
    #[serde(with = "units::duration")]
    pub idle_timeout: Duration,
    #[serde(with = "units::duration")]
    pub pool_idle_timeout: Duration,
    pub max_connections: usize,
    /// PEM roots besides the system's.
    pub ca_file: TextFile,
    pub client_certificate_file: TextFile,
    pub client_key_file: SecretFile,
    pub propagate: Propagate,
    pub forwarded: Forwarded,
    /// Statuses by which KooDrive refuses a token.
    pub refused_statuses: Vec<u16>,
    /// Envelope codes by which KooDrive refuses a token.
    pub refused_codes: Vec<String>,
    pub allow_plain_http: bool,
}

impl Default for ForwardConfig {
    fn default() -> Self {
        Self {
            upstream: None,
            prefix: "/koodrive/".to_owned(),
            connect_timeout: Duration::from_secs(3),
            response_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(1),
            pool_idle_timeout: Duration::from_secs(30),
            max_connections: 512,
            ca_file: TextFile::default(),
            client_certificate_file: TextFile::default(),
            client_key_file: SecretFile::default(),
            propagate: Propagate::Traceparent,
            forwarded: Forwarded::None,
            refused_statuses: vec![401],
            refused_codes: ["APIGW.0301", "APIGW.0303", "APIGW.0305", "APIGW.0307"]
                .map(str::to_owned)
                .to_vec(),
            allow_plain_http: false,
        }
    }
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    #[default]
    Json,
    Text,
}

/// Logs, traces, metrics.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// A base address; `/v1/traces` is appended. Empty: `OTEL_EXPORTER_OTLP_ENDPOINT`, else none.
    #[serde(with = "units::optional_url")]
    pub otlp_endpoint: Option<HttpUrl>,
    /// Share of traces that are kept, 0 to 1.
    pub sample_ratio: f64,
    pub trust_caller_sampling: bool,
    pub access_log: bool,
    pub log_format: LogFormat,
    /// A level, or directives such as `info,koodrive_gateway::token=debug`.
    pub log_level: String,
    /// Base address of Jaeger's page, for links.
    #[serde(with = "units::optional_url")]
    pub jaeger_ui: Option<HttpUrl>,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            sample_ratio: 1.0,
            trust_caller_sampling: true,
            access_log: true,
            log_format: LogFormat::Json,
            log_level: "info".to_owned(),
            jaeger_ui: None,
        }
    }
}

/// Stopping and reloading.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LifecycleConfig {
    /// After SIGTERM: unready, but new calls are still served.
    #[serde(with = "units::duration_or_zero")]
    pub linger: Duration,
    /// Then: calls in flight may finish.
    #[serde(with = "units::duration_or_zero")]
    pub drain: Duration,
    /// Poll of the contents of all configuration files.
    #[serde(with = "units::duration")]
    pub reload_every: Duration,
}

impl Default for LifecycleConfig {
    fn default() -> Self {
        Self {
            linger: Duration::from_secs(5),
            drain: Duration::from_secs(25),
            reload_every: Duration::from_secs(5),
        }
    }
}
