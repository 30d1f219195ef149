//! One struct per room, with the defaults an operator gets by writing nothing.
//!
//! Field order is the order of `config/gateway.toml`. Keys, defaults and meaning are the public
//! contract; a test keeps the shipped file equal to these defaults.

mod accept;
mod forward;
mod guards;
mod token;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::addresses::{HttpUrl, ListenAddress};
use super::files::{NamedFile, SecretFile, TextFile};
use super::units;

pub use accept::*;
pub use forward::*;
pub use guards::*;
pub use token::*;

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

impl Config {
    /// Every file that can be named, with its key.
    pub(super) fn files_mut(&mut self) -> Vec<(String, NamedFile<'_>)> {
        let Self { listen, accept, token, forward, .. } = self;
        let mut files = vec![
            ("listen.tls_certificate_file", NamedFile::Text(&mut listen.tls_certificate_file)),
            ("listen.tls_key_file", NamedFile::Secret(&mut listen.tls_key_file)),
            ("listen.client_ca_file", NamedFile::Text(&mut listen.client_ca_file)),
            ("token.client_secret_file", NamedFile::Secret(&mut token.client_secret_file)),
            ("token.private_key_file", NamedFile::Secret(&mut token.private_key_file)),
            ("token.carrier.password_file", NamedFile::Secret(&mut token.carrier.password_file)),
            ("token.app.app_secret_file", NamedFile::Secret(&mut token.app.app_secret_file)),
            ("token.app.user_map_file", NamedFile::Text(&mut token.app.user_map_file)),
            ("forward.ca_file", NamedFile::Text(&mut forward.ca_file)),
            (
                "forward.client_certificate_file",
                NamedFile::Text(&mut forward.client_certificate_file),
            ),
            ("forward.client_key_file", NamedFile::Secret(&mut forward.client_key_file)),
        ]
        .into_iter()
        .map(|(key, file)| (key.to_owned(), file))
        .collect::<Vec<_>>();
        files.extend(accept.issuers.iter_mut().enumerate().map(|(index, issuer)| {
            let key = format!("accept.issuers[{index}].jwks_file");
            (key, NamedFile::Text(&mut issuer.jwks_file))
        }));
        files
    }
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
    #[serde(with = "units::count")]
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
    #[serde(with = "units::count")]
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
