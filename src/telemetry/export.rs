//! Finished spans on their way to the collector: bounded, counted, never in anyone's way.
//!
//! Who closes a record puts bytes into the queue; one background task takes them out, batch by
//! batch, and waits for the collector in everybody's stead.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::chain;
use super::collector::{Collector, ExportError};
use super::metrics::Metrics;
use super::neighbours::{NeighbourKind, Neighbours};
use super::otel_env::ExportSettings;
use super::otlp::Spans;
use crate::lifecycle::Tasks;

/// The queue, as those who fill it see it.
#[derive(Debug)]
pub(super) struct Export(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    metrics: Arc<Metrics>,
    neighbours: Arc<Neighbours>,
    queue: Mutex<Queue>,
    spans_max: usize,
    batch_max: usize,
    /// How long the first span of a batch waits for others.
    delay: Duration,
    /// The queue is no longer empty, or there is a whole batch.
    work: Notify,
    /// Said when the last spans must go out now or never.
    hurry: CancellationToken,
    /// Nothing is sent any more.
    ended: CancellationToken,
}

/// Traces that wait, each a run of encoded spans.
#[derive(Debug, Default)]
struct Queue {
    traces: VecDeque<(usize, Vec<u8>)>,
    spans: usize,
    bytes: usize,
    /// In the batch that is on its way.
    sending: usize,
    closed: bool,
}

struct Batch {
    spans: usize,
    bytes: Vec<u8>,
}

impl Export {
    /// Spans that wait, those of a batch, and its message.
    pub(super) const BYTES_MAX: usize = 3 * QUEUE_BYTES_MAX;

    pub(super) fn start(
        settings: &ExportSettings,
        collector: Collector,
        metrics: Arc<Metrics>,
        neighbours: Arc<Neighbours>,
        tasks: &Tasks,
    ) -> Self {
        let shared = Arc::new(Shared {
            metrics,
            neighbours,
            queue: Mutex::default(),
            spans_max: settings.queue_max,
            batch_max: settings.batch_max,
            delay: settings.delay,
            work: Notify::new(),
            hurry: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        tasks.spawn("span-export", Arc::clone(&shared).send_all(collector));
        Self(shared)
    }

    /// Queues so many spans of one trace, all of them or none. When there is no room they are not
    /// even built, so that a collector that is away costs nothing.
    pub(super) fn offer(&self, spans: usize, build: impl FnOnce() -> Spans) {
        if !self.0.lock().has_room(spans, self.0.spans_max) {
            self.0.metrics.spans_dropped(spans as u64);
            return;
        }
        let built = build();
        debug_assert_eq!(built.count(), spans, "what is announced is what is built");
        let mut queue = self.0.lock();
        // Others may have taken the room meanwhile.
        if !queue.has_room(spans, self.0.spans_max) {
            drop(queue);
            self.0.metrics.spans_dropped(spans as u64);
            return;
        }
        let before = queue.spans;
        queue.add(spans, built.into_bytes());
        let after = queue.spans;
        drop(queue);
        let batch_full = before < self.0.batch_max && self.0.batch_max <= after;
        if before == 0 || batch_full {
            self.0.work.notify_one();
        }
    }

    /// Sends what is queued, each batch once, and ends; at most `within`. The task that sends must
    /// still be running.
    pub(super) async fn flush(&self, within: Duration) {
        self.0.hurry.cancel();
        let _in_time = tokio::time::timeout(within, self.0.ended.cancelled()).await;
        let waiting = self.0.lock().unsent();
        if waiting != 0 {
            tracing::warn!(waiting, "spans not flushed");
        }
    }
}

impl Shared {
    /// The task. It ends after [`Export::flush`], or with all tasks.
    async fn send_all(self: Arc<Self>, collector: Collector) {
        let _ended = self.ended.clone().drop_guard();
        loop {
            let hurried = self.gather().await;
            while let Some(batch) = self.next_batch() {
                let started = Instant::now();
                let sent = collector.send(&batch.bytes, &self.hurry).await;
                self.note(&sent, batch.spans, started.elapsed());
            }
            if hurried && self.lock().close_if_empty() {
                return;
            }
        }
    }

    /// Waits for a batch: until there are spans, and then until there are enough of them or the
    /// first has waited long enough. Whether there was no time for that.
    async fn gather(&self) -> bool {
        let waiting = async {
            while self.lock().spans == 0 {
                self.work.notified().await;
            }
            if self.lock().spans < self.batch_max {
                tokio::time::timeout(self.delay, self.work.notified()).await.unwrap_or_default();
            }
        };
        self.hurry.run_until_cancelled(waiting).await.is_none()
    }

    fn next_batch(&self) -> Option<Batch> {
        self.lock().take(self.batch_max)
    }

    fn note(&self, sent: &Result<(), ExportError>, spans: usize, took: Duration) {
        self.lock().settled();
        let collector = NeighbourKind::Collector;
        match sent {
            Ok(()) => self.neighbours.good(collector, None, self.neighbours.now(), Some(took)),
            Err(error) => {
                self.metrics.spans_dropped(spans as u64);
                self.neighbours.failed(collector, None, || chain(error));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn has_room(&self, spans: usize, spans_max: usize) -> bool {
        !self.closed && self.spans + spans <= spans_max && self.bytes < QUEUE_BYTES_MAX
    }

    fn add(&mut self, spans: usize, bytes: Vec<u8>) {
        self.spans += spans;
        self.bytes += bytes.capacity();
        self.traces.push_back((spans, bytes));
    }

    /// Whole traces, as many as a batch may have; one at least.
    fn take(&mut self, batch_max: usize) -> Option<Batch> {
        let (mut spans, first) = self.traces.pop_front()?;
        self.bytes -= first.capacity();
        let mut bytes = first;
        while let Some((more, _)) = self.traces.front()
            && spans + more <= batch_max
            && let Some((more, next)) = self.traces.pop_front()
        {
            spans += more;
            self.bytes -= next.capacity();
            bytes.extend_from_slice(&next);
        }
        self.spans -= spans;
        self.sending = spans;
        Some(Batch { spans, bytes })
    }

    /// The batch on its way has arrived, or has been given up and counted.
    fn settled(&mut self) {
        self.sending = 0;
    }

    fn unsent(&self) -> usize {
        self.spans + self.sending
    }

    /// From then on nothing is taken any more, for nobody would send it.
    fn close_if_empty(&mut self) -> bool {
        self.closed = self.traces.is_empty();
        self.closed
    }
}

/// Beside the bound in number: a few thousand spans of unusual length must not fill a small
/// container. The last trace may go a little beyond.
const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_bounded_in_number_and_in_bytes() {
        let mut queue = Queue::default();
        assert!(queue.has_room(6, 6) && !queue.has_room(7, 6));
        let trace = 64 * 1024;
        let mut traces = 0;
        while queue.has_room(1, usize::MAX) {
            queue.add(1, Vec::with_capacity(trace));
            traces += 1;
        }
        assert_eq!(traces * trace, QUEUE_BYTES_MAX);
        let taken = std::iter::from_fn(|| queue.take(10)).map(|batch| batch.spans);
        assert_eq!(taken.sum::<usize>(), traces);
        assert_eq!((queue.spans, queue.bytes), (0, 0));
    }

    #[test]
    fn a_trace_is_never_split_between_batches() {
        let mut queue = Queue::default();
        for spans in [6, 6, 20, 1, 1] {
            queue.add(spans, vec![0; spans]);
        }
        let taken = std::iter::from_fn(|| queue.take(10)).map(|batch| batch.bytes.len());
        assert_eq!(taken.collect::<Vec<_>>(), [6, 6, 20, 2]);
    }

    /// Else the end of a gateway would warn of nothing, or keep silent about a batch.
    #[test]
    fn what_is_on_its_way_is_unsent_until_it_is_settled() {
        let mut queue = Queue::default();
        queue.add(6, vec![0]);
        queue.add(6, vec![0]);
        assert_eq!(queue.unsent(), 12);
        queue.take(10);
        assert_eq!(queue.unsent(), 12);
        queue.settled();
        assert_eq!(queue.unsent(), 6);
    }

    #[test]
    fn nothing_is_taken_after_the_end() {
        let mut queue = Queue::default();
        queue.add(1, vec![0]);
        assert!(!queue.close_if_empty() && queue.has_room(1, 10));
        queue.take(10);
        assert!(queue.close_if_empty() && !queue.has_room(1, 10));
    }
}
