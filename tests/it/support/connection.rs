//! One connection of a simulator: served until it ends, or until it is told to close.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::DATE;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::support::server::{AnswerBody, Closing, Cut, Shared};
use crate::support::time::http_date;

impl Shared {
    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream, id: u64) {
        if stream.set_nodelay(true).is_err() {
            return; // already gone
        }
        let Some(tls) = self.tls.clone() else { return self.serve_http1(stream, id).await };
        let Ok(stream) = tls.accept(stream).await else { return };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.serve_http2(stream, id).await;
        } else {
            self.serve_http1(stream, id).await;
        }
    }

    async fn serve_http1(self: Arc<Self>, io: impl AsyncRead + AsyncWrite + Unpin, id: u64) {
        let answered = Arc::new(Notify::new());
        let service = {
            let (shared, answered) = (self.clone(), answered.clone());
            service_fn(move |request| shared.clone().call(request, id, answered.clone()))
        };
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            // More than the gateway lets through and adds.
            .max_headers(300)
            .serve_connection(TokioIo::new(io), service);
        let mut connection = std::pin::pin!(connection);
        let mut answers = 0;
        let mut close_at = None;
        loop {
            tokio::select! {
                _ = connection.as_mut() => return,
                () = answered.notified() => {
                    answers += 1;
                    let closing = *self.closing.lock().expect("no holder panics");
                    close_at = close_at.or(closing.moment(answers));
                }
                () = tokio::time::sleep_until(close_at.unwrap_or_else(Instant::now)),
                    if close_at.is_some() =>
                {
                    close_at = None;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    async fn serve_http2<I>(self: Arc<Self>, io: I, id: u64)
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let shared = self.clone();
        let service = service_fn(move |request| shared.clone().call(request, id, Arc::default()));
        // How the connection ends is the other side's affair.
        let _ended = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(io), service)
            .await;
    }

    async fn call(
        self: Arc<Self>,
        request: Request<Incoming>,
        connection: u64,
        answered: Arc<Notify>,
    ) -> Result<Response<Watched>, Cut> {
        let mut watch = Watch { shared: self.clone(), answered, complete: false };
        let result = (self.handler)(request, connection).await;
        let Ok(mut answer) = result else {
            watch.complete = true; // we left, not they
            return Err(Cut);
        };
        let date = http_date(self.clock.now());
        answer.headers_mut().entry(DATE).or_insert(date);
        Ok(answer.map(|inner| Watched { inner, watch }))
    }
}

impl Closing {
    fn moment(self, answers: u64) -> Option<Instant> {
        match self {
            Self::Never => None,
            Self::After(limit) => (limit <= answers).then(Instant::now),
            Self::AtRandom { probability, within } => {
                let close = random_fraction() < probability;
                close.then(|| Instant::now() + within.mul_f64(random_fraction()))
            }
        }
    }
}

/// Notices how an answer ends: read to its end, or dropped before.
struct Watch {
    shared: Arc<Shared>,
    answered: Arc<Notify>,
    complete: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.complete {
            self.shared.abandoned.fetch_add(1, Ordering::Relaxed);
            self.shared.changed.notify_waiters();
        }
        self.answered.notify_one();
    }
}

struct Watched {
    inner: AnswerBody,
    watch: Watch,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        let last = matches!(frame, Poll::Ready(None | Some(Err(Cut))));
        self.watch.complete = last || self.inner.is_end_stream();
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // A body that was empty from the start is never polled.
        self.watch.complete |= self.inner.is_end_stream();
    }
}

#[expect(clippy::cast_precision_loss, reason = "a fraction needs no more")]
fn random_fraction() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    (random >> 12) as f64 / (1_u64 << 52) as f64
}
