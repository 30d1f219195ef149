//! The streams of one HTTP/2 connection: how many are open, and whether their answers are taken.
//!
//! A connection of which some frames move looks alive. So each stream is watched by itself: one
//! whose caller takes nothing more of an answer is reset.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::lifecycle::DrainWatch;

/// The streams of a connection; also what runs them. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Streams(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    drain: DrainWatch,
    patience: Duration,
    open: AtomicUsize,
    begun: AtomicUsize,
    /// The stream that was begun last, until hyper hands over what runs it.
    latest: Mutex<Option<Arc<Given>>>,
}

/// When a piece of an answer was handed over; `None` while nothing waits to be taken.
#[derive(Debug, Default)]
struct Given(Mutex<Option<Instant>>);

/// One stream, from request to the end of its answer.
#[derive(Debug)]
pub(super) struct Stream {
    streams: Streams,
    given: Arc<Given>,
}

/// An answer on its stream.
#[derive(Debug)]
pub(super) struct Carried<B> {
    inner: B,
    stream: Stream,
}

impl Streams {
    pub(super) fn new(drain: DrainWatch, patience: Duration) -> Self {
        Self(Arc::new(Shared {
            drain,
            patience,
            open: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            latest: Mutex::default(),
        }))
    }

    pub(super) fn begin(&self) -> Stream {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        let given = Arc::<Given>::default();
        *self.0.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&given));
        Stream { streams: self.clone(), given }
    }

    /// Returns once nothing was open or begun for `patience`.
    pub(super) async fn idle_for(&self, patience: Duration) {
        let mut begun = 0;
        loop {
            tokio::time::sleep(patience).await;
            let now = self.0.begun.load(Ordering::Relaxed);
            if self.0.open.load(Ordering::Relaxed) == 0 && now == begun {
                return;
            }
            begun = now;
        }
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
        let patience = self.0.patience;
        self.0.drain.finish(async move {
            let Some(given) = latest else { return running.await };
            tokio::select! {
                () = running => {}
                () = given.not_taken_for(patience) => {
                    tracing::debug!("answer not taken in time, stream reset");
                }
            }
        });
    }
}

impl Given {
    fn set(&self, at: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    async fn not_taken_for(&self, patience: Duration) {
        loop {
            let given = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match given {
                Some(at) if patience <= at.elapsed() => return,
                Some(at) => tokio::time::sleep_until(at + patience).await,
                None => tokio::time::sleep(patience).await,
            }
        }
    }
}

impl Stream {
    pub(super) fn carry<B>(self, inner: B) -> Carried<B> {
        Carried { inner, stream: self }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<B: Body + Unpin> Body for Carried<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.inner).poll_frame(cx);
        let waits = matches!(frame, Poll::Ready(Some(Ok(_))));
        this.stream.given.set(waits.then(Instant::now));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
