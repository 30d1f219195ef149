//! The standard `OTEL_*` variables, where the configuration is silent.
//!
//! | variable | used when |
//! |---|---|
//! | `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` (as it stands), `OTEL_EXPORTER_OTLP_ENDPOINT` (`/v1/traces` appended), `OTEL_TRACES_EXPORTER=none`, `OTEL_SDK_DISABLED=true` | `telemetry.otlp_endpoint` is empty |
//! | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | `sample_ratio` is 1 and `trust_caller_sampling` true, their defaults |
//! | `OTEL_EXPORTER_OTLP[_TRACES]_HEADERS`, `…_TIMEOUT`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_MAX_QUEUE_SIZE`, `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`, `OTEL_BSP_SCHEDULE_DELAY` | always |
//!
//! The protocol is always HTTP with protobuf; another one in `OTEL_EXPORTER_OTLP[_TRACES]_PROTOCOL`
//! is not obeyed, and that is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use opentelemetry::{InstrumentationScope, KeyValue};
use percent_encoding::percent_decode_str;

use super::TelemetrySetupError;
use super::process::host_name;
use crate::config::{HttpUrl, TelemetryConfig};
use crate::trace_context::{SpanContext, TraceId};

/// Reads one environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How spans are exported, wherever they go.
#[derive(Clone, Debug)]
pub(super) struct ExportSettings {
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    /// The process, each key once.
    pub(super) resource: Vec<KeyValue>,
    pub(super) scope: InstrumentationScope,
    pub(super) queue_max: usize,
    pub(super) batch_max: usize,
    pub(super) delay: Duration,
}

impl ExportSettings {
    pub(super) fn read(environment: Environment<'_>) -> Result<Self, TelemetrySetupError> {
        if let Some((variable, protocol)) = unspoken(environment) {
            tracing::warn!(variable, protocol, "OTLP protocol not spoken, http/protobuf is used");
        }
        let number = |name: &str| environment(name)?.trim().parse().ok().filter(|n| *n != 0);
        let timeout_ms =
            first(&TIMEOUT, environment).and_then(|(_, text)| text.trim().parse().ok());
        let delay_ms = number("OTEL_BSP_SCHEDULE_DELAY").unwrap_or(DELAY_MS);
        let queue_max = number("OTEL_BSP_MAX_QUEUE_SIZE").unwrap_or(QUEUE_MAX);
        let batch_max = number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE").unwrap_or(BATCH_MAX);
        Ok(Self {
            headers: headers(environment)?,
            timeout: Duration::from_millis(timeout_ms.unwrap_or(TIMEOUT_MS)),
            resource: resource(environment),
            scope: InstrumentationScope::builder("koodrive_gateway").with_version(VERSION).build(),
            queue_max,
            batch_max: batch_max.min(queue_max),
            delay: Duration::from_millis(delay_ms as u64),
        })
    }
}

/// Where spans go, if anywhere.
pub(super) fn endpoint(
    config: &TelemetryConfig,
    environment: Environment<'_>,
) -> Result<Option<Uri>, TelemetrySetupError> {
    if let Some(base) = &config.otlp_endpoint {
        return Ok(Some(under(base)));
    }
    let is = |name: &str, word: &str| {
        environment(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(word))
    };
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return Ok(None);
    }
    let parsed = |name: &'static str| match environment(name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => match text.parse::<HttpUrl>() {
            Ok(url) => Ok(Some(url)),
            Err(_) if !text.contains("://") => {
                let expected = "expected an address with its scheme, such as \"http://host:4318\"";
                Err(TelemetrySetupError::Variable { name, expected })
            }
            Err(expected) => Err(TelemetrySetupError::Variable { name, expected }),
        },
    };
    if let Some(url) = parsed("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")? {
        return Ok(Some(url.uri().clone()));
    }
    Ok(parsed("OTEL_EXPORTER_OTLP_ENDPOINT")?.as_ref().map(under))
}

/// Scheme, host and port.
pub(super) fn base_of(endpoint: &Uri) -> Arc<str> {
    let scheme = endpoint.scheme_str().unwrap_or("http");
    let authority = endpoint.authority().map_or("", |authority| authority.as_str());
    format!("{scheme}://{authority}").into()
}

fn under(base: &HttpUrl) -> Uri {
    base.below("/v1/traces").uri().clone()
}

/// Where spans would go, for who asks before a start.
#[derive(Clone, Debug)]
pub struct CollectorAddress {
    /// With the path of traces.
    pub url: Uri,
    /// What lets us in, perhaps.
    pub headers: HeaderMap,
    /// What the environment asks for and does not get.
    pub warning: Option<String>,
}

impl CollectorAddress {
    /// By the configuration, else the environment; `None` where nothing is exported.
    ///
    /// # Errors
    /// A variable of the environment cannot be used.
    pub fn find(
        config: &TelemetryConfig,
        environment: Environment<'_>,
    ) -> Result<Option<Self>, TelemetrySetupError> {
        let Some(url) = endpoint(config, environment)? else { return Ok(None) };
        let warning = unspoken(environment).map(|(variable, protocol)| {
            let protocol = protocol.escape_debug();
            format!(
                "{variable} asks for {protocol}, and the gateway speaks OTLP as http/protobuf: the \
                 collector must take that, by custom on port 4318"
            )
        });
        Ok(Some(Self { url, headers: headers(environment)?, warning }))
    }
}

/// The first of these variables that says something.
fn first(names: &[&'static str], environment: Environment<'_>) -> Option<(&'static str, String)> {
    let said = |name: &'static str| {
        let text = environment(name).filter(|text| !text.trim().is_empty())?;
        Some((name, text))
    };
    names.iter().copied().find_map(said)
}

/// A protocol that is asked for and not spoken here.
fn unspoken(environment: Environment<'_>) -> Option<(&'static str, String)> {
    first(&PROTOCOL, environment).filter(|(_, protocol)| protocol.trim() != "http/protobuf")
}

/// `name=value,name=value`, the values percent-encoded. They may hold what lets us in.
fn headers(environment: Environment<'_>) -> Result<HeaderMap, TelemetrySetupError> {
    let Some((name, text)) = first(&HEADERS, environment) else { return Ok(HeaderMap::new()) };
    let wrong = || TelemetrySetupError::Variable {
        name,
        expected: "expected headers such as name=value,name=value",
    };
    let header = |(name, value): (String, String)| {
        let name = HeaderName::try_from(name).ok()?;
        let mut value = HeaderValue::from_maybe_shared(Bytes::from(decoded(&value))).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    };
    pairs(&text).map(|pair| header(pair).ok_or_else(wrong)).collect()
}

/// Which traces are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampler {
    /// Whether the caller's own decision counts.
    trust: bool,
    ratio: f64,
}

impl Sampler {
    pub(super) fn read(config: &TelemetryConfig, environment: Environment<'_>) -> Self {
        let configured = Self { trust: config.trust_caller_sampling, ratio: config.sample_ratio };
        if !configured.trust || configured.ratio < 1.0 {
            return configured;
        }
        let Some(name) = environment("OTEL_TRACES_SAMPLER") else { return configured };
        let argument = environment("OTEL_TRACES_SAMPLER_ARG");
        let ratio = argument.and_then(|text| text.trim().parse().ok());
        let ratio = ratio.filter(|ratio| (0.0..=1.0).contains(ratio)).unwrap_or(1.0);
        match name.trim() {
            "always_on" => Self { trust: false, ratio: 1.0 },
            "always_off" => Self { trust: false, ratio: 0.0 },
            "traceidratio" => Self { trust: false, ratio },
            "parentbased_always_on" => Self { trust: true, ratio: 1.0 },
            "parentbased_always_off" => Self { trust: true, ratio: 0.0 },
            "parentbased_traceidratio" => Self { trust: true, ratio },
            _ => {
                tracing::warn!("OTEL_TRACES_SAMPLER is not known, ignored");
                configured
            }
        }
    }

    /// The same answer for one trace in every process that uses the same ratio.
    pub(super) fn keeps(self, parent: Option<&SpanContext>, trace_id: TraceId) -> bool {
        match parent {
            Some(parent) if self.trust => parent.sampled,
            _ => self.draws(trace_id),
        }
    }

    /// The caller's decision alone, for a process that keeps nothing itself.
    pub(super) fn passes_on(self, parent: Option<&SpanContext>) -> bool {
        self.trust && parent.is_some_and(|parent| parent.sampled)
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "as the OpenTelemetry SDKs round, so that all processes agree"
    )]
    fn draws(self, trace_id: TraceId) -> bool {
        let drawn = (u128::from_be_bytes(trace_id.to_bytes()) as u64) >> 1;
        1.0 <= self.ratio || drawn < (self.ratio.max(0.0) * (1_u64 << 63) as f64) as u64
    }
}

/// What the process is; the environment has the last word.
fn resource(environment: Environment<'_>) -> Vec<KeyValue> {
    let attributes = environment("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let named = environment("OTEL_SERVICE_NAME").filter(|name| !name.is_empty());
    let own = [
        ("telemetry.sdk.language", "rust"),
        // Not OpenTelemetry's own SDK: then the conventions ask for the name of the module.
        ("telemetry.sdk.name", "koodrive_gateway::telemetry"),
        ("telemetry.sdk.version", VERSION),
        ("service.name", "koodrive-gateway"),
        ("service.version", VERSION),
    ];
    let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let host = host_name().map(|name| ("host.name".to_owned(), name));
    let given = pairs(&attributes).map(|(key, value)| (key, decoded(&value)));
    let named = named.map(|name| ("service.name".to_owned(), name));
    let all: BTreeMap<_, _> = own.into_iter().chain(host).chain(given).chain(named).collect();
    all.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect()
}

fn decoded(value: &str) -> String {
    percent_decode_str(value).decode_utf8_lossy().into_owned()
}

/// `key=value,key=value`; what is not a pair is left out.
fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split(',').filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        Some((key.trim().to_owned(), value.trim().to_owned()))
    })
}

const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const TIMEOUT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const PROTOCOL: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const VERSION: &str = env!("CARGO_PKG_VERSION");
const TIMEOUT_MS: u64 = 10_000;
/// Shorter than the five seconds SDKs take: who looks a call up in Jaeger has just made it.
const DELAY_MS: usize = 1000;
const QUEUE_MAX: usize = 4096;
const BATCH_MAX: usize = 512;
