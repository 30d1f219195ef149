//! One batch of spans on its way to the collector: OTLP over HTTP, tried again while that may help.
//!
//! Page: <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::body::OutboundBody;
use crate::client::{Client, ClientError, SmallAnswer, retry_after};
use crate::clock::chance;

use super::metrics::Metrics;
use super::otel_env::ExportSettings;
use super::{chain, otlp};

/// Sends batches through the gateway's own client.
pub(super) struct Collector {
    client: Client,
    /// The exporter's thread knows no runtime.
    handle: Handle,
    endpoint: Uri,
    headers: HeaderMap,
    /// For one batch, however often it is tried.
    timeout: Duration,
    /// Encoded once.
    resource: Vec<u8>,
    hurry: CancellationToken,
    metrics: Arc<Metrics>,
}

impl Collector {
    /// Must be called within a tokio runtime. Once `hurry` is said, nothing is tried twice.
    pub(super) fn new(
        settings: &ExportSettings,
        endpoint: Uri,
        client: Client,
        hurry: CancellationToken,
        metrics: Arc<Metrics>,
    ) -> Self {
        let mut headers = settings.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        let (timeout, handle) = (settings.timeout, Handle::current());
        Self { client, handle, endpoint, headers, timeout, resource: Vec::new(), hurry, metrics }
    }

    /// The request with this body, as often as it is asked for.
    fn requests(&self, body: Bytes) -> impl Fn() -> Request<OutboundBody> + Send + Sync + use<> {
        let (endpoint, headers) = (self.endpoint.clone(), self.headers.clone());
        move || {
            let mut request = Request::new(OutboundBody::from(body.clone()));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = endpoint.clone();
            *request.headers_mut() = headers.clone();
            request
        }
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

/// Why a batch did not arrive.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("the collector cannot be reached")]
    Unreachable(#[source] ClientError),
    #[error("the collector answered {0}")]
    Status(StatusCode),
}

impl SpanExporter for Collector {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let body = Bytes::from(otlp::request(&self.resource, &batch));
        drop(batch);
        let (client, hurry, timeout) = (self.client.clone(), self.hurry.clone(), self.timeout);
        let request = self.requests(body);
        // Not one of `lifecycle::Tasks`: the last spans are sent after those have stopped.
        let sending = self.handle.spawn(async move {
            attempts(&client, request, Instant::now() + timeout, &hurry).await
        });
        match sending.await {
            Ok(Ok(answer)) => {
                let rejected = otlp::rejected_spans(&answer.body);
                if rejected != 0 {
                    self.metrics.spans_dropped(rejected);
                    tracing::warn!(spans = rejected, "spans not taken by the collector");
                }
                Ok(())
            }
            Ok(Err(error)) => Err(OTelSdkError::InternalFailure(chain(&error))),
            Err(error) => Err(OTelSdkError::InternalFailure(error.to_string())),
        }
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = otlp::resource(resource);
    }
}

/// Sends the batch until it has arrived, or trying again cannot help, or there is no time: then the
/// last failure tells why.
async fn attempts(
    client: &Client,
    request: impl Fn() -> Request<OutboundBody>,
    deadline: Instant,
    hurry: &CancellationToken,
) -> Result<SmallAnswer, ExportError> {
    let mut pause = PAUSE_FIRST;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let sent = client.send_small(request(), ANSWER_BYTES_MAX, left).await;
        let (error, asked) = match sent {
            Ok(answer) if answer.status.is_success() => return Ok(answer),
            Ok(answer) if is_passing(answer.status) => {
                (ExportError::Status(answer.status), retry_after(&answer.headers))
            }
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
