//! `[forward]`: where calls go and what travels with them.

use std::time::Duration;

use super::section::{kind, section};
use crate::config::document::Node;
use crate::config::keys::{Key, Shape};
use crate::config::reader::{Reader, joined};
use crate::config::values::{
    CertificateChain, Code, Count, File, HttpUrl, Kind, List, Must, OptionalBase, Period, Prefix,
    Required, Roots, Status, TlsKey, choice,
};

choice! {
    /// What of the trace context KooDrive sees.
    pub enum Propagate {
        None = "none",
        Traceparent = "traceparent",
        /// `traceparent`, `tracestate` and `baggage`.
        Full = "full",
    }
}

choice! {
    /// What KooDrive learns of the caller's address.
    pub enum Forwarded {
        None = "none",
        /// X-Forwarded-For appended, -Proto and -Host replaced.
        Append = "append",
    }
}

section! {
    /// The way to KooDrive.
    pub struct ForwardConfig {
        /// Required.
        upstream: Required<HttpUrl> as Must<OptionalBase> = Required::UNWRITTEN,
        /// Paths outside it are 404 `route_unknown`.
        prefix: String as Prefix = "/koodrive/".to_owned(),
        connect_timeout: Duration as Period = Duration::from_secs(3),
        /// To the response head, per attempt.
        response_timeout: Duration as Period = Duration::from_secs(30),
        /// Between two reads of a body, either way.
        idle_timeout: Duration as Period = Duration::from_mins(1),
        pool_idle_timeout: Duration as Period = Duration::from_secs(30),
        max_connections: usize as Count = 512,
        /// PEM roots besides the system's.
        ca_file: File<Roots> = File::default(),
        client_certificate_file: File<CertificateChain> = File::default(),
        client_key_file: File<TlsKey> = File::default(),
        propagate: Propagate = Propagate::Traceparent,
        forwarded: Forwarded = Forwarded::None,
        /// Statuses by which KooDrive refuses a token.
        refused_statuses: Vec<u16> as List<Status> = vec![401],
        /// Envelope codes by which KooDrive refuses a token.
        refused_codes: Vec<String> as List<Code> = ["APIGW.0301", "APIGW.0303", "APIGW.0305", "APIGW.0307"] .map(str::to_owned) .to_vec(),
        /// Envelope codes by which KooDrive throttles.
        throttled_codes: Vec<String> as List<Code> = vec!["APIGW.0308".to_owned()],
        allow_plain_http: bool = false,
    }
}
