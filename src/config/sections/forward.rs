//! `[forward]`: where calls go and what travels with them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::addresses::HttpUrl;
use crate::config::files::{SecretFile, TextFile};
use crate::config::units;

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
    #[serde(with = "units::count")]
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
