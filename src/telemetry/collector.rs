//! One batch of spans on its way to the collector: OTLP over HTTP, tried again while that may help.
//!
//! Page: <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use super::otel_env::ExportSettings;
use super::otlp;
use super::otlp::Envelope;
use crate::body::OutboundBody;
use crate::client::{Client, ClientError, SmallAnswer, retry_after};
use crate::clock::{Clock, chance};

/// Sends batches through the gateway's own client.
pub(super) struct Collector {
    client: Client,
    clock: Clock,
    endpoint: Uri,
    headers: HeaderMap,
    /// For one batch, however often it is tried.
    timeout: Duration,
    envelope: Envelope,
    metrics: Arc<Metrics>,
}

impl Collector {
    pub(super) fn new(
        settings: &ExportSettings,
        endpoint: Uri,
        client: Client,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let mut headers = settings.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        let envelope = Envelope::new(&settings.resource, &settings.scope);
        Self { client, clock, endpoint, headers, timeout: settings.timeout, envelope, metrics }
    }

    /// Sends a batch of encoded spans. Once `hurry` is said, nothing is tried twice.
    pub(super) async fn send(
        &self,
        spans: &[u8],
        hurry: &CancellationToken,
    ) -> Result<(), ExportError> {
        let body = Bytes::from(self.envelope.request(spans));
        let deadline = Instant::now() + self.timeout;
        let request = || self.request(body.clone());
        let answer = self.attempts(request, deadline, hurry).await?;
        let rejected = otlp::rejected_spans(&answer.body);
        if rejected != 0 {
            self.metrics.spans_dropped(rejected);
            tracing::warn!(spans = rejected, "spans rejected by the collector");
        }
        Ok(())
    }

    /// Sends the batch until it has arrived, or trying again cannot help, or there is no time: then the
    /// last failure tells why.
    async fn attempts(
        &self,
        request: impl Fn() -> Request<OutboundBody>,
        deadline: Instant,
        hurry: &CancellationToken,
    ) -> Result<SmallAnswer, ExportError> {
        let mut pause = PAUSE_FIRST;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let sent = self.client.send_small(request(), ANSWER_BYTES_MAX, left).await;
            let (error, asked) = match sent {
                Ok(answer) if answer.status.is_success() => return Ok(answer),
                Ok(answer) if is_passing(answer.status) => (
                    ExportError::Status(answer.status),
                    retry_after(&answer.headers, self.clock.now()),
                ),
                Ok(answer) => return Err(ExportError::Status(answer.status)),
                Err(error) => (ExportError::Unreachable(error), None),
            };
            let wait = asked.unwrap_or(pause.mul_f64(0.5 + chance()));
            let again = Instant::now() + wait.min(PAUSE_MAX);
            let pausing = tokio::time::sleep_until(again);
            if deadline <= again || hurry.run_until_cancelled(pausing).await.is_none() {
                return Err(error);
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn request(&self, body: Bytes) -> Request<OutboundBody> {
        let mut request = Request::new(OutboundBody::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

/// Why a batch did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    #[error("the collector cannot be reached")]
    Unreachable(#[source] ClientError),
    #[error("the collector answered {0}")]
    Status(StatusCode),
}

/// The statuses after which the page lets a client try again.
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

const AGENT: &str = concat!("koodrive-gateway/", env!("CARGO_PKG_VERSION"));
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(5);
