//! Finished spans on their way to the collector: bounded, counted, never in anyone's way.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use http::Response;
use opentelemetry_http::HttpClient;
use opentelemetry_http::HttpError;
use opentelemetry_otlp::Protocol;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_otlp::WithHttpConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::BatchConfigBuilder;
use opentelemetry_sdk::trace::BatchSpanProcessor;
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_sdk::trace::SpanExporter;
use opentelemetry_sdk::trace::SpanProcessor as _;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::body::OutboundBody;
use crate::client::Client;

use super::TelemetrySetupError;
use super::metrics::Metrics;
use super::otel_env::ExportSettings;

/// The queue to the exporter's own thread.
#[derive(Debug)]
pub(super) struct Export {
    processor: Arc<BatchSpanProcessor>,
    counts: Arc<Counts>,
    queue_max: usize,
}

impl Export {
    /// To an OTLP endpoint, over HTTP with protobuf. Must be called within a tokio runtime.
    pub(super) fn otlp(
        settings: &ExportSettings,
        endpoint: &str,
        client: Client,
        metrics: Arc<Metrics>,
    ) -> Result<Self, TelemetrySetupError> {
        let http = OtlpClient { client, handle: Handle::current(), timeout: settings.timeout };
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(http)
            .with_endpoint(endpoint)
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(settings.timeout)
            .with_headers(settings.headers.clone())
            .build()
            .map_err(TelemetrySetupError::Exporter)?;
        Ok(Self::to(exporter, settings, metrics))
    }

    pub(super) fn to(
        exporter: impl SpanExporter + 'static,
        settings: &ExportSettings,
        metrics: Arc<Metrics>,
    ) -> Self {
        let counts = Arc::new(Counts {
            metrics,
            waiting: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
        });
        let mut exporter = Counted { inner: exporter, counts: counts.clone() };
        exporter.set_resource(&settings.resource);
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(settings.queue_max)
            .with_max_export_batch_size(settings.batch_max)
            .with_scheduled_delay(settings.delay)
            .build();
        let processor = Arc::new(BatchSpanProcessor::new(exporter, batches));
        Self { processor, counts, queue_max: settings.queue_max }
    }

    /// Queues the spans of one trace, all of them or, when the queue is full, none.
    pub(super) fn offer(&self, spans: Vec<SpanData>) {
        let more = spans.len();
        let room = self.counts.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            Some(now + more).filter(|then| *then <= self.queue_max)
        });
        if room.is_err() {
            self.counts.metrics.spans_dropped(more as u64);
            return;
        }
        // The processor's own queue is as long as ours and emptied earlier: it drops nothing.
        for span in spans {
            self.processor.on_end(span);
        }
    }

    /// Exports what is queued, at most `within` and at most the processor's own five seconds.
    pub(super) async fn flush(&self, within: Duration) {
        let processor = self.processor.clone();
        let (done, flushed) = oneshot::channel();
        // The processor blocks the thread that flushes it. Not one of the runtime's: the end of the
        // runtime would wait for it, beyond `within`.
        let thread = thread::Builder::new().name("flush".to_owned()).spawn(move || {
            // Nobody listens any more when `within` is over.
            done.send(processor.force_flush()).unwrap_or_default();
        });
        let flushed = tokio::time::timeout(within, flushed).await;
        if thread.is_err() || !matches!(flushed, Ok(Ok(Ok(())))) {
            let waiting = self.counts.waiting.load(Ordering::Relaxed);
            tracing::warn!(waiting, "spans not flushed");
        }
    }
}

#[derive(Debug)]
struct Counts {
    metrics: Arc<Metrics>,
    /// Spans offered and not yet given to the exporter.
    waiting: AtomicUsize,
    failing: AtomicBool,
}

/// Counts what leaves the queue and what fails to arrive.
#[derive(Debug)]
struct Counted<E> {
    inner: E,
    counts: Arc<Counts>,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.counts.waiting.fetch_sub(spans, Ordering::Relaxed);
        let result = self.inner.export(batch).await;
        let was_failing = self.counts.failing.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Ok(()) if was_failing => tracing::info!("spans are exported again"),
            Ok(()) => {}
            Err(error) => {
                self.counts.metrics.spans_dropped(spans as u64);
                // Once per outage: the metric goes on counting.
                if !was_failing {
                    tracing::warn!(%error, spans, "spans not exported");
                }
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Lets the exporter's thread, which knows no runtime, send through our client.
struct OtlpClient {
    client: Client,
    handle: Handle,
    timeout: Duration,
}

impl fmt::Debug for OtlpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OtlpClient")
    }
}

#[async_trait]
impl HttpClient for OtlpClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, timeout) = (self.client.clone(), self.timeout);
        let request = request.map(OutboundBody::from);
        // Not one of `lifecycle::Tasks`: the last spans are sent after those have stopped.
        let sending = self
            .handle
            .spawn(async move { client.send_small(request, ANSWER_BYTES_MAX, timeout).await });
        let answer = sending.await??;
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

const ANSWER_BYTES_MAX: usize = 64 * 1024;
