//! HTTP clients: to KooDrive over a pool of our own, to everybody else over hyper-util's.
//!
//! The only place that connects. Knows nothing of what is asked. The road of a call:
//!
//! ```text
//! pipeline ─▶ forward ─▶ Pool ───────────▶ Http1 ──────────────▶ Connector ─▶ socket
//!             what goes  which connection,  one call at a time,   DNS, TCP, TLS
//!             upstream   or a new one,      polled by the task
//!                        or none in time    that waits for it    by a proxy, if so configured
//! ```
//!
//! No task stands on it: head and body of an answer are read by whoever waits for them, and
//! dropping either end closes the connection. What outlives a call is one watcher for all idle
//! connections of a pool ([`Pool::watch`]).

mod connection;
mod connector;
mod date;
mod egress;
mod error;
mod pool;
mod proxy;
mod roots;
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use self::connector::{BoundedConnector, Connector};
pub use self::date::{answer_date, clock_skew, retry_after};
pub use self::egress::{Egress, EgressError, ProxyVariables, Way};
pub use self::error::{ClientError, told};
pub use self::pool::{AnswerTimeouts, Pool, PooledBody};
pub use self::proxy::{ProxyFailures, ProxyFault};
pub use self::roots::SystemRoots;
use crate::body::{BodyError, InboundBody, OutboundBody, read_whole};
use crate::config::Roots;

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
    pub roots: &'a SystemRoots,
    /// Whom we believe besides the system's roots.
    pub extra_roots: Option<&'a Roots>,
    /// What we show.
    pub identity: Option<CertifiedKey>,
    /// Which destinations are reached by which proxy.
    pub egress: &'a Egress,
}

impl ClientOptions<'_> {
    fn connector(&self) -> Connector {
        let tls = tls_config(self.roots, self.extra_roots, self.identity.clone());
        Connector::new(tls, self.connect_timeout, self.egress.clone())
    }
}

/// A pooled client for small exchanges with any origin. Clones share the pool.
#[derive(Clone, Debug)]
pub struct Client(Arc<ArcSwap<Pools>>);

#[derive(Debug)]
struct Pools {
    egress: Egress,
    pooled: legacy::Client<BoundedConnector, OutboundBody>,
    /// Over the same connector, but each request has a connection of its own.
    fresh: legacy::Client<BoundedConnector, OutboundBody>,
}

/// A small answer, read whole.
#[derive(Clone, Debug)]
pub struct SmallAnswer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Client {
    pub fn new(options: &ClientOptions<'_>) -> Self {
        let timeout = options.connect_timeout;
        let connector = options.connector();
        let connector = BoundedConnector::new(connector, timeout, options.connections_max);
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(options.pool_idle_timeout)
            .retry_canceled_requests(true);
        let fresh = builder.pool_max_idle_per_host(0).build(connector.clone());
        let pooled = builder.pool_max_idle_per_host(options.pool_max_idle).build(connector);
        let pools = Pools { egress: options.egress.clone(), pooled, fresh };
        Self(Arc::new(ArcSwap::from_pointee(pools)))
    }

    /// From now on this client and all its clones connect as `other` does. What is under way ends
    /// as it began.
    pub fn adopt(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }

    /// One bounded exchange of small messages: at most `bytes_max` of answer within `timeout`. A
    /// request that was lost on a connection the peer may have been closing is sent once more, on
    /// a fresh one.
    pub async fn send_small(
        &self,
        mut request: Request<OutboundBody>,
        bytes_max: usize,
        timeout: Duration,
    ) -> Result<SmallAnswer, ClientError> {
        let pools = self.0.load_full();
        let way = pools.egress.way_to(request.uri());
        let whole = async {
            let destination = request.uri().clone();
            way.address(&mut request, &destination);
            let again = copy_of(&request);
            let sent = pools.pooled.request(request).await.map_err(ClientError::from);
            let answer = match (sent, again) {
                (Err(lost), Some(again)) if lost.closed_while_idle() => {
                    pools.fresh.request(again).await?
                }
                (sent, _) => sent?,
            };
            way.check(answer.status())?;
            read_small(answer, bytes_max, timeout).await
        };
        tokio::time::timeout(timeout, whole).await.unwrap_or(Err(ClientError::TimedOut(timeout)))
    }
}

async fn read_small(
    answer: Response<Incoming>,
    bytes_max: usize,
    timeout: Duration,
) -> Result<SmallAnswer, ClientError> {
    let (head, body) = answer.into_parts();
    match read_whole(InboundBody::new(body, timeout), bytes_max).await {
        Ok(body) => Ok(SmallAnswer { status: head.status, headers: head.headers, body }),
        Err(BodyError::TooLarge(bytes)) => Err(ClientError::TooLarge(bytes)),
        Err(error) => Err(ClientError::Body(error)),
    }
}

/// The same request, if its body is in memory.
fn copy_of(request: &Request<OutboundBody>) -> Option<Request<OutboundBody>> {
    let OutboundBody::Whole(body) = request.body() else { return None };
    let mut copy = Request::new(OutboundBody::Whole(body.clone()));
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}

/// TLS to a peer: what it is verified against besides the system's roots, and what is shown to it.
pub fn tls_config(
    roots: &SystemRoots,
    extra_roots: Option<&Roots>,
    identity: Option<CertifiedKey>,
) -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
        .with_root_certificates(roots.and(extra_roots));
    match identity {
        Some(shown) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown))),
        None => builder.with_no_client_auth(),
    }
}
