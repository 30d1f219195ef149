//! The pooled HTTP client: to KooDrive, to the token endpoint, to the SSO's keys.
//!
//! The only place that builds one. Knows nothing of what is asked.

mod connect;
mod date;
mod error;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::Instant;

use self::connect::{Connector, forgotten, note_use};
pub use self::date::{answer_date, clock_skew, retry_after};
pub use self::error::{ClientError, ClientSetupError};
use crate::body::{BodyError, InboundBody, OutboundBody, read_whole};

/// How a client connects.
#[derive(Clone, Debug)]
pub struct ClientOptions<'a> {
    /// DNS, TCP and TLS together.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept; below the peer's own patience.
    pub pool_idle_timeout: Duration,
    pub pool_max_idle: usize,
    /// Connections at once, busy or not; who needs one more waits, at most `connect_timeout`.
    pub connections_max: usize,
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
    pooled: legacy::Client<Connector, OutboundBody>,
    /// Over the same connector, but each request has a connection of its own.
    fresh: legacy::Client<Connector, OutboundBody>,
    connect_timeout: Duration,
}

/// A small answer, read whole.
#[derive(Clone, Debug)]
pub struct SmallAnswer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
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
        let connector = Connector::new(https, options.connect_timeout, options.connections_max);
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(options.pool_idle_timeout)
            .http2_initial_stream_window_size(H2_STREAM_BYTES)
            .http2_initial_connection_window_size(H2_CONNECTION_BYTES)
            .http2_max_send_buf_size(H2_SEND_BYTES_MAX)
            // A connection that died silently would take every call with it.
            .http2_keep_alive_interval(H2_PING_EVERY)
            .http2_keep_alive_timeout(H2_PING_TIMEOUT)
            .retry_canceled_requests(true);
        let fresh = builder.pool_max_idle_per_host(0).build(connector.clone());
        let pooled = builder.pool_max_idle_per_host(options.pool_max_idle).build(connector);
        Ok(Self { pooled, fresh, connect_timeout: options.connect_timeout })
    }

    /// Sends a request and waits for the head of the answer, at most `timeout` from when the
    /// request's body last moved.
    pub async fn send(
        &self,
        request: Request<OutboundBody>,
        timeout: Duration,
    ) -> Result<Response<Incoming>, ClientError> {
        self.send_by(&self.pooled, request, timeout).await
    }

    /// The same over a new connection, which the peer cannot have been closing already.
    pub async fn send_fresh(
        &self,
        request: Request<OutboundBody>,
        timeout: Duration,
    ) -> Result<Response<Incoming>, ClientError> {
        self.send_by(&self.fresh, request, timeout).await
    }

    async fn send_by(
        &self,
        client: &legacy::Client<Connector, OutboundBody>,
        mut request: Request<OutboundBody>,
        timeout: Duration,
    ) -> Result<Response<Incoming>, ClientError> {
        let connection = capture_connection(&mut request);
        let mut watched = connection.clone();
        let progress = request.body().progress();
        let mut sent = std::pin::pin!(client.request(request));
        let mut forgotten =
            std::pin::pin!(forgotten(&mut watched, self.connect_timeout + FORGOTTEN_AFTER));
        let mut deadline = Instant::now() + timeout;
        let sent = loop {
            tokio::select! {
                biased;
                outcome = sent.as_mut() => break outcome,
                () = forgotten.as_mut() => return Err(ClientError::Forgotten),
                () = tokio::time::sleep_until(deadline) => {
                    match progress.as_ref().map(|progress| progress.last() + timeout) {
                        Some(later) if deadline < later => deadline = later,
                        _ => {
                            note_use(&connection);
                            return Err(ClientError::TimedOut(timeout));
                        }
                    }
                }
            }
        };
        let reused = note_use(&connection);
        sent.map_err(|error| ClientError::of(error, reused))
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

/// What a peer may send before it is read, for each stream and for all of a connection.
const H2_STREAM_BYTES: u32 = 512 * 1024;
const H2_CONNECTION_BYTES: u32 = 4 * 1024 * 1024;
/// What may wait to be sent on each stream.
const H2_SEND_BYTES_MAX: usize = 64 * 1024;
const H2_PING_EVERY: Duration = Duration::from_secs(15);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(10);
const FORGOTTEN_AFTER: Duration = Duration::from_millis(250);
