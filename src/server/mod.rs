//! Accepts connections and hands each request to the pipeline that is current at that moment.
//!
//! Strict about framing, bounded in time and number. Knows nothing of what a request means.

mod framing;
mod guard;
mod tls;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::HeaderValue;
use http::Request;
use http::Response;
use http::StatusCode;
use http::Version;
use http::header::CONNECTION;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use self::guard::Begun;
use self::guard::Guarded;
use self::guard::Verdicts;
pub use self::tls::Certificate;
pub use self::tls::TlsSetupError;
use crate::body::InboundBody;
use crate::config::ListenConfig;
use crate::lifecycle::DrainWatch;
use crate::lifecycle::Phase;
use crate::listener::Listener;
use crate::listener::Socket;
use crate::pipeline::Arrival;
use crate::pipeline::CurrentPipeline;
use crate::pipeline::ResponseBody;

/// Accepts callers until the process drains.
pub struct Server {
    listener: Listener,
    tls: Option<TlsAcceptor>,
    connections: Arc<Semaphore>,
    door: Door,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// What every connection needs to know.
#[derive(Clone, Debug)]
struct Door {
    pipeline: CurrentPipeline,
    drain: DrainWatch,
    header_timeout: Duration,
    idle_timeout: Duration,
    body_timeout: Duration,
    max_header_bytes: usize,
}

/// One caller's connection.
#[derive(Clone, Debug)]
struct Caller {
    ip: Option<IpAddr>,
    tls: bool,
}

impl Server {
    pub fn new(
        listener: Listener,
        config: &ListenConfig,
        certificate: Option<Arc<Certificate>>,
        pipeline: CurrentPipeline,
        drain: DrainWatch,
    ) -> Result<Self, TlsSetupError> {
        let tls = certificate.map(|certificate| tls::acceptor(config, certificate)).transpose()?;
        Ok(Self {
            listener,
            tls,
            connections: Arc::new(Semaphore::new(config.max_connections)),
            door: Door {
                pipeline,
                drain,
                header_timeout: config.header_timeout,
                idle_timeout: config.idle_timeout,
                body_timeout: config.body_timeout,
                max_header_bytes: config.max_header_bytes,
            },
        })
    }

    /// Accepts connections until the process drains.
    pub async fn run(self) {
        let mut drain = self.door.drain.clone();
        tokio::select! {
            () = self.accept_all() => {}
            () = drain.reached(Phase::Draining) => {}
        }
    }

    async fn accept_all(&self) {
        loop {
            let place = Arc::clone(&self.connections)
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            let (socket, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, for example: the next try would fail at once too.
                    tracing::warn!(%error, "connection not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let door = self.door.clone();
            let tls = self.tls.clone();
            let caller = Caller { ip: peer.map(|peer| peer.ip()), tls: tls.is_some() };
            self.door.drain.serve(async move {
                let _place = place;
                door.welcome(socket, tls, caller).await;
            });
        }
    }
}

impl Door {
    async fn welcome(self, socket: Socket, tls: Option<TlsAcceptor>, caller: Caller) {
        let deadline = Instant::now() + self.header_timeout;
        let Some(tls) = tls else {
            match tokio::time::timeout_at(deadline, detect(socket)).await {
                Ok(Ok((socket, begin, true))) => self.serve_h2(socket, begin, caller).await,
                Ok(Ok((socket, begin, false))) => {
                    self.serve_h1(socket, begin, deadline, caller).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "connection ended before a request"),
                Err(_) => tracing::debug!("connection sent no request in time"),
            }
            return;
        };
        match tokio::time::timeout_at(deadline, tls.accept(socket)).await {
            Ok(Ok(stream)) => {
                if stream.get_ref().1.alpn_protocol() == Some(tls::ALPN_H2) {
                    self.serve_h2(stream, Bytes::new(), caller).await;
                } else {
                    self.serve_h1(stream, Bytes::new(), deadline, caller).await;
                }
            }
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake not finished in time"),
        }
    }

    async fn serve_h1<T>(self, stream: T, begin: Bytes, deadline: Instant, caller: Caller)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (stream, verdicts) = Guarded::new(stream, begin, self.header_timeout, deadline);
        let served = self.clone();
        let service = service_fn(move |request| {
            let served = served.clone();
            let arrival = served.arrival(&caller, verdicts_of(&verdicts));
            async move { Ok::<_, std::convert::Infallible>(served.serve(request, arrival).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.idle_timeout)
            .max_header_size(self.max_header_bytes)
            .serve_connection(TokioIo::new(stream), service);
        self.see_through(connection, std::future::pending()).await;
    }

    async fn serve_h2<T>(self, stream: T, begin: Bytes, caller: Caller)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::default());
        let served = self.clone();
        let counted = Arc::clone(&activity);
        let service = service_fn(move |request| {
            let served = served.clone();
            let arrival = served.arrival(&caller, None);
            let stream = OpenStream::new(&counted);
            async move {
                let response = served.serve(request, arrival).await;
                drop(stream);
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(self.max_header_bytes).unwrap_or(u32::MAX))
            .max_concurrent_streams(H2_STREAMS_MAX)
            .keep_alive_interval(H2_PING_EVERY)
            .keep_alive_timeout(H2_PING_TIMEOUT)
            .serve_connection(TokioIo::new(Begun { begin, inner: stream }), service);
        self.see_through(connection, activity.idle_for(self.idle_timeout)).await;
    }

    /// Serves a connection until it ends, or asks it to end when it is too old, when `idle` says
    /// so, or when the process drains.
    async fn see_through<C>(&self, connection: C, idle: impl Future<Output = ()>)
    where
        C: GracefulConnection<Error = hyper::Error>,
    {
        let mut connection = std::pin::pin!(connection);
        let mut drain = self.drain.clone();
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = drain.reached(Phase::Draining) => retire(connection).await,
            () = idle => retire(connection).await,
            () = tokio::time::sleep(CONNECTION_AGE_MAX) => retire(connection).await,
        };
        if let Err(error) = ended {
            self.note_end(&error);
        }
    }

    fn arrival(&self, caller: &Caller, framing_fault: Option<&'static str>) -> Arrival {
        Arrival {
            ip: caller.ip,
            tls: caller.tls,
            framing_fault,
            draining: Phase::Draining <= self.drain.phase(),
        }
    }

    async fn serve(&self, request: Request<Incoming>, arrival: Arrival) -> Response<ResponseBody> {
        let h1 = request.version() < Version::HTTP_2;
        let ambiguous = arrival.framing_fault.is_some();
        let awaits_continue = request.headers().contains_key(http::header::EXPECT);
        let (parts, body) = request.into_parts();
        let body = InboundBody::new(body, self.body_timeout);
        let pipeline = self.pipeline.load();
        let handled = AssertUnwindSafe(pipeline.handle(parts, body, arrival)).catch_unwind().await;
        let (mut response, unread) = handled.unwrap_or_else(|_panic| {
            tracing::error!("request handler panicked");
            let mut response = Response::new(ResponseBody::default());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            (response, None)
        });
        if !h1 {
            // HTTP/2 has no such header (RFC 9113 section 8.2.2); a stream ends by itself.
            response.headers_mut().remove(CONNECTION);
            return response;
        }
        // A caller that is still sending its body must be able to read the refusal; so the rest
        // is taken in, within bounds, while the answer goes out.
        let mut close = ambiguous || self.drain.phase() != Phase::Serving;
        match unread {
            Some(body) if !ambiguous && !awaits_continue => {
                self.drain.serve(body.discard(LEFTOVER_BYTES_MAX, LEFTOVER_TIMEOUT));
            }
            Some(_) => close = true,
            None => {}
        }
        if close {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn note_end(&self, error: &hyper::Error) {
        if error.is_parse_too_large() {
            self.pipeline
                .load()
                .unparsable("headers_too_large", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        } else if error.is_parse() {
            self.pipeline.load().unparsable("framing_illegal", StatusCode::BAD_REQUEST);
        } else {
            tracing::debug!(%error, "connection ended early");
        }
    }
}

fn verdicts_of(verdicts: &Verdicts) -> Option<&'static str> {
    verdicts.next().flatten().map(framing::Fault::as_str)
}

/// Reads until it is certain whether the caller speaks HTTP/2 (RFC 9113 section 3.4).
async fn detect<T: AsyncRead + Unpin>(mut stream: T) -> io::Result<(T, Bytes, bool)> {
    let mut begin = [0; H2_PREFACE.len()];
    let mut len = 0;
    loop {
        let read = stream.read(&mut begin[len..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        len += read;
        let seen = &begin[..len];
        if !H2_PREFACE.starts_with(seen) {
            return Ok((stream, Bytes::copy_from_slice(seen), false));
        }
        if len == H2_PREFACE.len() {
            return Ok((stream, Bytes::copy_from_slice(seen), true));
        }
    }
}

async fn retire<C>(mut connection: Pin<&mut C>) -> Result<(), hyper::Error>
where
    C: GracefulConnection<Error = hyper::Error>,
{
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// Requests of one HTTP/2 connection.
#[derive(Debug, Default)]
struct Activity {
    open: AtomicUsize,
    begun: AtomicUsize,
}

impl Activity {
    /// Returns once nothing was open or begun for `patience`.
    async fn idle_for(&self, patience: Duration) {
        let mut begun = 0;
        loop {
            tokio::time::sleep(patience).await;
            let now = self.begun.load(Ordering::Relaxed);
            if self.open.load(Ordering::Relaxed) == 0 && now == begun {
                return;
            }
            begun = now;
        }
    }
}

/// One request while it is being answered.
struct OpenStream(Arc<Activity>);

impl OpenStream {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.open.fetch_add(1, Ordering::Relaxed);
        activity.begun.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const H2_STREAMS_MAX: u32 = 200;
const H2_PING_EVERY: Duration = Duration::from_secs(30);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// So that connections spread over new replicas, and nothing lives for ever.
const CONNECTION_AGE_MAX: Duration = Duration::from_hours(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How much of a refused request is still taken in so that its sender can read why.
const LEFTOVER_BYTES_MAX: u64 = 16 * 1024 * 1024;
const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(10);
