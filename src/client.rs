//! The pooled HTTP client: to KooDrive, to the token endpoint, to the SSO's keys.
//!
//! The only place that builds one. Knows nothing of what is asked.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http::HeaderMap;
use http::Request;
use http::Response;
use http::StatusCode;
use http::Uri;
use http::header::AGE;
use http::header::DATE;
use hyper::body::Incoming;
use hyper::rt::ReadBufCursor;
use hyper_rustls::HttpsConnector;
use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::CaptureConnection;
use hyper_util::client::legacy::connect::Connected;
use hyper_util::client::legacy::connect::Connection;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::net::TcpStream;

use crate::body::BodyError;
use crate::body::InboundBody;
use crate::body::OutboundBody;
use crate::body::read_whole;

/// How a client connects.
#[derive(Clone, Debug)]
pub struct ClientOptions<'a> {
    /// DNS, TCP and TLS together.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept; below the peer's own patience.
    pub pool_idle_timeout: Duration,
    pub pool_max_idle: usize,
    /// PEM roots besides the system's; empty = none.
    pub extra_roots: &'a str,
    /// PEM certificate chain and key we present; empty = none.
    pub identity: Option<(&'a str, &'a str)>,
    /// Whether HTTP/2 is offered by ALPN.
    pub http2: bool,
}

/// A pooled client. Clones share the pool.
#[derive(Clone, Debug)]
pub struct Client {
    inner: legacy::Client<BoundedConnector, OutboundBody>,
}

/// A small answer, read whole.
#[derive(Clone, Debug)]
pub struct SmallAnswer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why a client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientSetupError {
    #[error("the extra root certificates are not usable PEM")]
    Roots(#[source] rustls::pki_types::pem::Error),
    #[error("a root certificate is not usable")]
    Root(#[source] rustls::Error),
    #[error("the client certificate or its key is not usable PEM")]
    Identity(#[source] rustls::pki_types::pem::Error),
    #[error("the client certificate does not go with its key")]
    IdentityPair(#[source] rustls::Error),
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no connection could be made")]
    Connect(#[source] legacy::Error),
    #[error("the connection broke before the answer")]
    Broken {
        #[source]
        cause: legacy::Error,
        /// Whether the connection had served a request before: the peer may have closed it while
        /// this one was on its way.
        reused: bool,
    },
    #[error("the answer broke off")]
    Body(#[source] BodyError),
    #[error("no complete answer within {0:?}")]
    TimedOut(Duration),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

impl Client {
    pub fn new(options: &ClientOptions<'_>) -> Result<Self, ClientSetupError> {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        http.set_connect_timeout(Some(options.connect_timeout));
        let tls = tls_config(options)?;
        let https = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls);
        let https = https.https_or_http().enable_http1();
        let https = if options.http2 {
            https.enable_http2().wrap_connector(http)
        } else {
            https.wrap_connector(http)
        };
        let connector = BoundedConnector { https, timeout: options.connect_timeout };
        let inner = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(options.pool_idle_timeout)
            .pool_max_idle_per_host(options.pool_max_idle)
            .retry_canceled_requests(true)
            .build(connector);
        Ok(Self { inner })
    }

    /// Sends a request and waits for the head of the answer, at most `timeout`.
    pub async fn send(
        &self,
        mut request: Request<OutboundBody>,
        timeout: Duration,
    ) -> Result<Response<Incoming>, ClientError> {
        let connection = capture_connection(&mut request);
        let sent = tokio::time::timeout(timeout, self.inner.request(request)).await;
        let reused = count_use(&connection);
        match sent {
            Err(_) => Err(ClientError::TimedOut(timeout)),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => Err(ClientError::Connect(error)),
            Ok(Err(cause)) => Err(ClientError::Broken { cause, reused }),
        }
    }

    /// One bounded exchange of small messages: at most `bytes_max` of answer within `timeout`.
    pub async fn send_small(
        &self,
        request: Request<OutboundBody>,
        bytes_max: usize,
        timeout: Duration,
    ) -> Result<SmallAnswer, ClientError> {
        let whole = async {
            let (head, body) = self.send(request, timeout).await?.into_parts();
            let body = read_whole(InboundBody::new(body, timeout), bytes_max).await;
            match body {
                Ok(body) => Ok(SmallAnswer { status: head.status, headers: head.headers, body }),
                Err(BodyError::TooLarge(bytes)) => Err(ClientError::TooLarge(bytes)),
                Err(error) => Err(ClientError::Body(error)),
            }
        };
        tokio::time::timeout(timeout, whole).await.unwrap_or(Err(ClientError::TimedOut(timeout)))
    }
}

impl ClientError {
    /// The failure of the body we were sending, if that is what broke the request.
    pub fn body_error(&self) -> Option<&BodyError> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = match self {
            Self::Broken { cause, .. } => cause.source(),
            Self::Body(_) | Self::Connect(_) | Self::TimedOut(_) | Self::TooLarge(_) => None,
        };
        while let Some(error) = cause {
            if let Some(body) = error.downcast_ref() {
                return Some(body);
            }
            cause = error.source();
        }
        None
    }
}

/// Counts one use of the connection a request went out on; tells whether it was not the first.
fn count_use(connection: &CaptureConnection) -> bool {
    let mut extensions = http::Extensions::new();
    if let Some(connected) = connection.connection_metadata().as_ref() {
        connected.get_extras(&mut extensions);
    }
    extensions.get::<Uses>().is_some_and(|uses| 0 < uses.0.fetch_add(1, Ordering::Relaxed))
}

/// When an answer was made, by the clock of whoever made it.
pub fn answer_date(headers: &HeaderMap) -> Option<SystemTime> {
    if headers.contains_key(AGE) {
        // A cache on the way passed it on; its date says nothing about now.
        return None;
    }
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// How many seconds the clock that wrote `date` is ahead of ours. `date` was cut to whole seconds,
/// and was written somewhere between our two moments.
#[expect(clippy::cast_possible_truncation, reason = "dates of four-digit years")]
pub fn clock_skew(date: SystemTime, started: SystemTime, ended: SystemTime) -> i64 {
    let seconds = |time: SystemTime| match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    };
    let theirs = seconds(date) + 0.5;
    (theirs - f64::midpoint(seconds(started), seconds(ended))).round() as i64
}

fn tls_config(options: &ClientOptions<'_>) -> Result<rustls::ClientConfig, ClientSetupError> {
    let mut roots = rustls::RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "system root certificates not read");
    }
    roots.add_parsable_certificates(system.certs);
    for certificate in CertificateDer::pem_slice_iter(options.extra_roots.as_bytes()) {
        let certificate = certificate.map_err(ClientSetupError::Roots)?;
        roots.add(certificate).map_err(ClientSetupError::Root)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
        .with_root_certificates(roots);
    let Some((chain, key)) = options.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(ClientSetupError::Identity)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(ClientSetupError::Identity)?;
    builder.with_client_auth_cert(chain, key).map_err(ClientSetupError::IdentityPair)
}

/// Connects within a bound that covers the TLS handshake too.
#[derive(Clone, Debug)]
struct BoundedConnector {
    https: HttpsConnector<HttpConnector>,
    timeout: Duration,
}

/// Requests a connection has served; an extra of the connection itself.
#[derive(Clone, Debug, Default)]
struct Uses(Arc<AtomicU64>);

/// A connection that counts its requests.
#[derive(Debug)]
struct Stream {
    inner: MaybeHttpsStream<TokioIo<TcpStream>>,
    uses: Uses,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.inner.connected().extra(self.uses.clone())
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, into)
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
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
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl tower_service::Service<Uri> for BoundedConnector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.https.call(uri);
        let timeout = self.timeout;
        Box::pin(async move {
            let inner = tokio::time::timeout(timeout, connecting)
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "connect timed out"))??;
            Ok(Stream { inner, uses: Uses::default() })
        })
    }
}
