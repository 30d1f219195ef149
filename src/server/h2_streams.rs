//! The streams of one HTTP/2 connection: whether their answers are taken.
//!
//! A connection of which some frames move looks alive. So each stream is watched by itself: one
//! whose caller takes nothing more of an answer is reset.
//!
//! Besides it is counted how many there are: what h2 has once made room for on a connection it keeps.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::presence::{Exchange, Presence};
use crate::lifecycle::DrainWatch;
use crate::pipeline::AcceptedCalls;

/// The streams of a connection; also what runs them. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Streams(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    drain: DrainWatch,
    write_timeout: Duration,
    /// Held by each refusal of a stranger until it has gone out.
    refusals: Arc<()>,
    /// The stream that was begun last, until hyper hands over what runs it.
    latest: Mutex<Option<Arc<LastFrame>>>,
    accepted: AcceptedCalls,
    open: AtomicUsize,
    begun: AtomicUsize,
    /// Told when more than `MANY` are open at once.
    many: Notify,
    /// Streams of all connections that are not being worked on yet.
    waiting: Arc<AtomicUsize>,
}

/// A stream that is not being worked on yet.
#[derive(Debug)]
pub(super) struct Waiting(Arc<AtomicUsize>);

/// When a piece of an answer was handed over; `None` while nothing waits to be taken.
#[derive(Debug, Default)]
struct LastFrame(Mutex<Option<Instant>>);

/// One stream, from request to the end of its answer.
#[derive(Debug)]
pub(super) struct Stream {
    last_frame: Arc<LastFrame>,
    refusal: Option<Arc<()>>,
    connection: Arc<Shared>,
    _exchange: Exchange,
}

/// An answer on its stream.
#[derive(Debug)]
pub(super) struct StreamBody<B> {
    inner: B,
    /// What is left of a frame that is handed over in pieces.
    rest: Bytes,
    stream: Stream,
}

impl Streams {
    /// `waiting` is shared by all connections.
    pub(super) fn new(
        drain: DrainWatch,
        write_timeout: Duration,
        waiting: Arc<AtomicUsize>,
    ) -> Self {
        Self(Arc::new(Shared {
            drain,
            write_timeout,
            refusals: Arc::default(),
            latest: Mutex::default(),
            accepted: AcceptedCalls::default(),
            open: AtomicUsize::default(),
            begun: AtomicUsize::default(),
            many: Notify::default(),
            waiting,
        }))
    }

    pub(super) fn begin(&self, exchange: Exchange) -> (Stream, Waiting) {
        let shared = &self.0;
        shared.begun.fetch_add(1, Ordering::Relaxed);
        if MANY <= shared.open.fetch_add(1, Ordering::Relaxed) {
            shared.many.notify_one();
        }
        let last_frame = Arc::<LastFrame>::default();
        *shared.latest.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Arc::clone(&last_frame));
        let connection = Arc::clone(shared);
        let stream = Stream { last_frame, refusal: None, connection, _exchange: exchange };
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        (stream, Waiting(Arc::clone(&shared.waiting)))
    }

    /// How many there have been.
    pub(super) fn begun(&self) -> usize {
        self.0.begun.load(Ordering::Relaxed)
    }

    pub(super) fn accepted(&self) -> &AcceptedCalls {
        &self.0.accepted
    }

    /// Whether so many wait to be worked on, of all connections, that no more should be read.
    pub(super) fn are_behind(&self) -> bool {
        WAITING_MAX <= self.0.waiting.load(Ordering::Relaxed)
    }

    /// Whether a stream is open that has no answer yet. The few refusals that nobody may ever read
    /// are answers.
    pub(super) fn are_unanswered(&self) -> bool {
        let refusals = Arc::strong_count(&self.0.refusals) - 1;
        refusals < self.0.open.load(Ordering::Acquire)
    }

    /// Returns when a connection that had many streams at once has had none for a while: what h2 keeps
    /// for them would be kept for nobody.
    pub(super) async fn outgrown(&self, presence: &Presence) {
        self.0.many.notified().await;
        presence.idle_for(REST).await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.open.fetch_sub(1, Ordering::Release);
        self.connection.accepted.wake();
    }
}

/// hyper makes the service's future and hands over what runs it, one stream after the other, so
/// the latest stream is the one that is run.
impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, running: F) {
        let latest = self.0.latest.lock().unwrap_or_else(PoisonError::into_inner).take();
        let timeout = self.0.write_timeout;
        self.0.drain.finish(async move {
            let Some(last_frame) = latest else { return running.await };
            tokio::select! {
                () = running => {}
                () = last_frame.not_taken_for(timeout) => {
                    tracing::debug!("response write timed out, stream reset");
                }
            }
        });
    }
}

impl LastFrame {
    fn set(&self, at: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    async fn not_taken_for(&self, timeout: Duration) {
        loop {
            let last_frame = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match last_frame {
                Some(at) if timeout <= at.elapsed() => return,
                Some(at) => tokio::time::sleep_until(at + timeout).await,
                None => tokio::time::sleep(timeout).await,
            }
        }
    }
}

impl Stream {
    /// It answers nobody who was accepted. Such answers hold no place, so few of a connection wait
    /// to be read: whether this one should go without a body, as there are enough of them.
    pub(super) fn refuse(&mut self, streams: &Streams) -> bool {
        if REFUSALS_MAX < Arc::strong_count(&streams.0.refusals) {
            return true;
        }
        self.refusal = Some(Arc::clone(&streams.0.refusals));
        streams.0.accepted.wake();
        false
    }

    pub(super) fn carry<B>(self, inner: B) -> StreamBody<B> {
        StreamBody { inner, rest: Bytes::new(), stream: self }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for StreamBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            // While nothing comes from upstream, nothing waits to be taken.
            this.stream.last_frame.set(None);
            let frame = match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                ended => return Poll::Ready(ended),
            };
            match frame.into_data() {
                Ok(data) => this.rest = data,
                Err(frame) => {
                    this.stream.last_frame.set(Some(Instant::now()));
                    return Poll::Ready(Some(Ok(frame)));
                }
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE_BYTES_MAX));
        this.stream.last_frame.set(Some(Instant::now()));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.inner.size_hint().exact() {
            Some(left) => SizeHint::with_exact(left + self.rest.len() as u64),
            None => SizeHint::default(),
        }
    }
}

/// More streams than this at once are many.
const MANY: usize = 32;
/// Whoever calls more often keeps his connection.
const REST: Duration = Duration::from_secs(5);
/// Each has the room of a call already.
const WAITING_MAX: usize = 128;
/// Of one connection. Whoever reads takes them at once; who does not would hold a stream's memory with
/// each.
const REFUSALS_MAX: usize = 4;
/// An answer is taken as long as pieces of this size are: what arrives from upstream at once may be
/// more than a slow reader takes in `write_timeout`.
const PIECE_BYTES_MAX: usize = 16 * 1024;
