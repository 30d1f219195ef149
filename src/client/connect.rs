//! Makes connections: bounded in number, in the time they take, and in age.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::ReadBufCursor;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{
    CaptureConnection, Connected, Connection, HttpConnector,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Connects within a bound that covers the TLS handshake too. Clones share the places.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    https: HttpsConnector<HttpConnector>,
    timeout: Duration,
    places: Arc<Semaphore>,
}

/// All connections stayed in use for as long as connecting may take.
#[derive(Debug, thiserror::Error)]
#[error("all connections are in use")]
pub(super) struct NoPlace;

/// What a connection has behind it; an extra of the connection itself.
///
/// Where one request follows another it is told by the reads and writes themselves: a connection
/// can be handed to the next request before the last one's answer has reached whoever asked.
#[derive(Clone, Debug)]
struct Past {
    /// Another request was answered before the one that is on it now.
    used: Arc<AtomicBool>,
    /// Reads that ended since something was written; an end or a failure is a read too.
    reads: Arc<AtomicUsize>,
    /// Requests whose answers began; for HTTP/2, where requests do not follow each other.
    answers: Arc<AtomicU64>,
    since: Instant,
    /// Cancelled when the connection is gone.
    gone: CancellationToken,
}

impl Past {
    fn begin() -> Self {
        Self {
            used: Arc::default(),
            reads: Arc::default(),
            answers: Arc::default(),
            since: Instant::now(),
            gone: CancellationToken::new(),
        }
    }

    fn writes(&self) {
        if 0 < self.reads.swap(0, Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    fn has_read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// Of a request that failed: whether the last thing before it was a whole answer to another.
    /// The one read that may have ended since is the end of the stream.
    fn ended_between_requests(&self) -> bool {
        self.used.load(Ordering::Relaxed) && self.reads.load(Ordering::Relaxed) <= 1
    }
}

/// A connection that knows its past and keeps its place.
#[derive(Debug)]
pub(super) struct Stream {
    inner: MaybeHttpsStream<TokioIo<TcpStream>>,
    past: Past,
    /// The peer takes nothing more. It may still have said why.
    deaf: bool,
    _place: OwnedSemaphorePermit,
}

impl Connector {
    pub(super) fn new(
        https: HttpsConnector<HttpConnector>,
        timeout: Duration,
        connections_max: usize,
    ) -> Self {
        let places = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
        Self { https, timeout, places }
    }
}

/// Notes that a request on this connection has ended. Tells whether another had been answered on
/// it before, and not a byte of an answer has come since: if the request failed, the peer may have
/// been closing.
///
/// A connection that is too old is not used again: the peer's name may mean another address by
/// now, and its load may have moved.
pub(super) fn note_use(connection: &CaptureConnection) -> bool {
    let metadata = connection.connection_metadata();
    let Some(connected) = metadata.as_ref() else { return false };
    let Some(past) = past_of(Some(connected)) else { return false };
    if CONNECTION_AGE_MAX < past.since.elapsed() {
        connected.poison();
    }
    if connected.is_negotiated_h2() {
        return 0 < past.answers.fetch_add(1, Ordering::Relaxed);
    }
    past.ended_between_requests()
}

/// Returns once a request is with a connection that has been gone for `grace`.
///
/// hyper cancels such requests, but for one that is handed over in the very moment in which the
/// connection ends: it would wait for its answer for ever. `grace` leaves time for the cancelled
/// ones to find another connection.
pub(super) async fn forgotten(connection: &mut CaptureConnection, grace: Duration) {
    loop {
        let past = past_of(connection.wait_for_connection_metadata().await.as_ref());
        let Some(past) = past else { return std::future::pending().await };
        past.gone.cancelled().await;
        tokio::time::sleep(grace).await;
        let now = past_of(connection.connection_metadata().as_ref());
        if now.is_some_and(|now| Arc::ptr_eq(&now.answers, &past.answers)) {
            return;
        }
    }
}

fn past_of(connected: Option<&Connected>) -> Option<Past> {
    let mut extensions = http::Extensions::new();
    connected?.get_extras(&mut extensions);
    extensions.remove()
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.past.gone.cancel();
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl tower_service::Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.https.call(uri);
        let (timeout, places) = (self.timeout, Arc::clone(&self.places));
        Box::pin(async move {
            let deadline = Instant::now() + timeout;
            let place = tokio::time::timeout_at(deadline, places.acquire_owned())
                .await
                .map_err(|_| NoPlace)?
                .expect("the semaphore is never closed");
            let inner = tokio::time::timeout_at(deadline, connecting)
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "connect timed out"))??;
            Ok(Stream { inner, past: Past::begin(), deaf: false, _place: place })
        })
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.inner.connected().extra(self.past.clone())
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, into);
        if read.is_ready() {
            self.past.has_read();
        }
        read
    }
}

/// A peer that answers before it has read a whole request often closes behind the answer. What is
/// written from then on is dropped, so that the answer, or the end of the stream, is read.
impl hyper::rt::Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        self.past.writes();
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.unless_deaf(written, bytes.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.unless_deaf(flushed, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = slices.iter().map(|slice| slice.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(all));
        }
        self.past.writes();
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.unless_deaf(written, all)
    }
}

impl Stream {
    fn unless_deaf<T>(&mut self, outcome: Poll<io::Result<T>>, all: T) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Ready(Err(error)) if is_deafness(&error) => {
                self.deaf = true;
                Poll::Ready(Ok(all))
            }
            outcome => outcome,
        }
    }
}

fn is_deafness(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
    )
}

const CONNECTION_AGE_MAX: Duration = Duration::from_mins(5);
