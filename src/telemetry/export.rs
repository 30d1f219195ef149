//! Finished spans on their way to the collector: bounded, counted, never in anyone's way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use http::Uri;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor as _,
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::client::Client;

use super::collector::Collector;
use super::metrics::Metrics;
use super::otel_env::ExportSettings;

/// The queue to the exporter's own thread.
#[derive(Debug)]
pub(super) struct Export {
    processor: Arc<BatchSpanProcessor>,
    counts: Arc<Counts>,
    queue_max: usize,
    /// Said when the last spans must go out now or never.
    hurry: CancellationToken,
}

impl Export {
    /// To an OTLP endpoint, over HTTP with protobuf. Must be called within a tokio runtime.
    pub(super) fn otlp(
        settings: &ExportSettings,
        endpoint: Uri,
        client: Client,
        metrics: Arc<Metrics>,
    ) -> Self {
        let hurry = CancellationToken::new();
        let collector = Collector::new(settings, endpoint, client, hurry.clone(), metrics.clone());
        Self { hurry, ..Self::to(collector, settings, metrics) }
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
        let hurry = CancellationToken::new();
        Self { processor, counts, queue_max: settings.queue_max, hurry }
    }

    /// Queues so many spans of one trace, all of them or, when the queue is full, none: then they
    /// are not even built, so that a collector that is away costs nothing.
    pub(super) fn offer(&self, spans: usize, build: impl FnOnce() -> Vec<SpanData>) {
        let room = self.counts.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            Some(now + spans).filter(|then| *then <= self.queue_max)
        });
        if room.is_err() {
            self.counts.metrics.spans_dropped(spans as u64);
            return;
        }
        let built = build();
        debug_assert_eq!(built.len(), spans, "the room taken is the room used");
        // The processor's own queue is as long as ours and emptied earlier: it drops nothing.
        for span in built {
            self.processor.on_end(span);
        }
    }

    /// Exports what is queued, at most `within` and at most the processor's own five seconds.
    /// From now on nothing is tried twice.
    pub(super) async fn flush(&self, within: Duration) {
        self.hurry.cancel();
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
