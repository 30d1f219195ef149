//! One struct per room, with the defaults an operator gets by writing nothing.
//!
//! Field order is the order of `config/gateway.toml`. Keys, defaults and meaning are the public
//! contract; a test keeps the shipped file equal to these defaults.

mod accept;
mod authorize;
mod custom;
mod forward;
mod guards;
mod login;
mod section;
mod token;

use std::time::Duration;

use super::document::Node;
use super::keys::{Key, Shape};
use super::reader::{Reader, joined};
use super::values::{
    CertificateChain, Count, EgressProxy, File, HeadSize, HttpUrl, KIB, Kind, List, ListenAddress,
    LogDirectives, MIB, NoProxy, OptionalBase, Password, Period, PeriodOrZero, Roots, Secret,
    Share, Size, TlsKey, choice,
};

use self::section::{kind, section};
pub use accept::*;
pub use authorize::*;
pub use custom::*;
pub use forward::*;
pub use guards::*;
pub use login::*;
pub use token::*;

section! {
    /// The whole configuration, one section per room.
    pub struct Config {
        listen: ListenConfig = ListenConfig::default(),
        admin: AdminConfig = AdminConfig::default(),
        trace_id: TraceIdConfig = TraceIdConfig::default(),
        accept: AcceptConfig = AcceptConfig::default(),
        authorize: AuthorizeConfig = AuthorizeConfig::default(),
        limit: LimitConfig = LimitConfig::default(),
        validate: ValidateConfig = ValidateConfig::default(),
        token: TokenConfig = TokenConfig::default(),
        forward: ForwardConfig = ForwardConfig::default(),
        egress: EgressConfig = EgressConfig::default(),
        telemetry: TelemetryConfig = TelemetryConfig::default(),
        lifecycle: LifecycleConfig = LifecycleConfig::default(),
    }
}

section! {
    /// Where callers connect, and what one connection may cost.
    pub struct ListenConfig {
        /// `host:port` or `unix:/path`; port 0 takes a free one.
        address: ListenAddress = ListenAddress::loopback(8080),
        /// PEM certificate chain; turns TLS on together with `tls_key_file`.
        tls_certificate_file: File<CertificateChain> = File::default(),
        /// PEM private key of that certificate.
        tls_key_file: File<TlsKey> = File::default(),
        /// PEM roots; callers must then present a certificate signed by one of them.
        client_ca_file: File<Roots> = File::default(),
        /// Connections open at once; at the bound an idle one makes room.
        max_connections: usize as Count = 10_000,
        /// From accept, or from the first byte, to the complete request head.
        header_timeout: Duration as Period = Duration::from_secs(10),
        /// Between two requests of one connection.
        idle_timeout: Duration as Period = Duration::from_secs(75),
        /// Between two reads of a request body.
        body_timeout: Duration as Period = Duration::from_secs(30),
        /// Largest request head.
        max_header_bytes: usize as HeadSize = 32 * KIB,
        /// Calls at once.
        max_in_flight: usize as Count = 4096,
        /// All request bodies held in memory at once.
        max_buffered: usize as Size = 64 * MIB,
        /// Worker threads; 0 = one per CPU this process may use.
        workers: usize = 0,
    }
}

section! {
    /// The second listener: health, metrics, what is configured.
    pub struct AdminConfig {
        /// `host:port` or `unix:/path`.
        address: ListenAddress = ListenAddress::loopback(9901),
        /// Names besides localhost and IP addresses that may stand in `Host`.
        hosts: Vec<String> as List<String> = Vec::new(),
    }
}

choice! {
    /// What happens to an X-Traceid that is not 58 legal characters.
    pub enum OnIllegal {
        /// Make a new one.
        Replace = "replace",
        /// Answer 400 `trace_id_illegal`.
        Reject = "reject",
    }
}

section! {
    /// X-Traceid policy.
    pub struct TraceIdConfig {
        on_illegal: OnIllegal = OnIllegal::Replace,
    }
}

section! {
    /// The way out, for KooDrive, SSO, token endpoint and collector.
    pub struct EgressConfig {
        proxy: EgressProxy = EgressProxy::Environment,
        /// Destinations that are reached directly; empty: `NO_PROXY`.
        no_proxy: Vec<String> as List<NoProxy> = Vec::new(),
        /// Who the gateway is to the proxy (RFC 7617).
        username: String = String::new(),
        password_file: File<Password> = File::default(),
    }
}

choice! {
    /// Shape of a log line.
    pub enum LogFormat {
        Json = "json",
        Text = "text",
    }
}

section! {
    /// Logs, traces, metrics.
    pub struct TelemetryConfig {
        /// A base address; `/v1/traces` is appended. Empty: `OTEL_EXPORTER_OTLP_ENDPOINT`, else none.
        otlp_endpoint: Option<HttpUrl> as OptionalBase = None,
        /// Share of traces that are kept, 0 to 1.
        sample_ratio: f64 as Share = 1.0,
        trust_caller_sampling: bool = true,
        /// Calls that we refused or that failed are traced whatever the ratio says.
        keep_refused: bool = true,
        /// So are calls that took longer; 0: no.
        keep_slower_than: Duration as PeriodOrZero = Duration::from_secs(5),
        /// Keys the digests of callers, so that nobody without it can tell who is meant.
        caller_key_file: File<Secret> = File::default(),
        /// PEM roots besides the system's, for the collector.
        ca_file: File<Roots> = File::default(),
        access_log: bool = true,
        log_format: LogFormat = LogFormat::Json,
        /// A level, or directives such as `info,koodrive_gateway::token=debug`.
        log_level: String as LogDirectives = "info".to_owned(),
        /// Base address of Jaeger's page, for links.
        jaeger_ui: Option<HttpUrl> as OptionalBase = None,
    }
}

section! {
    /// Stopping and reloading.
    pub struct LifecycleConfig {
        /// After SIGTERM: unready, but new calls are still served.
        linger: Duration as PeriodOrZero = Duration::from_secs(5),
        /// Then: calls in flight may finish.
        drain: Duration as PeriodOrZero = Duration::from_secs(25),
        /// Poll of the contents of all configuration files.
        reload_every: Duration as Period = Duration::from_secs(5),
    }
}
