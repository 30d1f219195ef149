//! Makes connections: name, TCP, TLS, within one time. The only place that knows the way to a peer.

use std::future::Ready;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, vec};

use http::Uri;
use hyper::rt::ReadBufCursor;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tower_service::Service;

use super::egress::{Egress, Way};
use super::proxy::{Proxy, ProxyError, ProxyFailure};
use super::tunnel;
use crate::blocking::Blocking;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// All connections stayed in use for as long as connecting may take.
#[derive(Debug, thiserror::Error)]
#[error("all connections are in use")]
pub(super) struct NoPlace;

/// Where it was that no connection could be made to.
#[derive(Debug, thiserror::Error)]
#[error("{to}")]
struct Unreached {
    to: String,
    #[source]
    why: BoxError,
}

/// Connects to `http` and `https` origins, by a proxy where one is meant to be used. Offers
/// `http/1.1` alone by ALPN.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    http: HttpConnector<Resolver>,
    tls: Arc<rustls::ClientConfig>,
    egress: Egress,
}

impl Connector {
    pub(super) fn new(
        mut tls: rustls::ClientConfig,
        connect_timeout: Duration,
        egress: Egress,
    ) -> Self {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut http = HttpConnector::new_with_resolver(Resolver(Blocking::new(LOOK_UPS_MAX)));
        http.set_nodelay(true);
        http.enforce_http(false);
        http.set_connect_timeout(Some(connect_timeout));
        Self { http, tls: Arc::new(tls), egress }
    }

    pub(super) fn way_to(&self, origin: &Uri) -> Way {
        self.egress.way_to(origin)
    }

    pub(super) async fn connect(&self, origin: Uri, deadline: Instant) -> Result<Stream, BoxError> {
        let to = || origin.authority().map_or_else(String::new, ToString::to_string);
        self.reach(origin.clone(), deadline).await.map_err(|why| {
            // A proxy that stands in the way names itself.
            if why.is::<ProxyError>() { why } else { Unreached { to: to(), why }.into() }
        })
    }

    async fn reach(&self, origin: Uri, deadline: Instant) -> Result<Stream, BoxError> {
        let way = self.way_to(&origin);
        let tcp = match &way {
            Way::Direct => self.dial(origin.clone(), deadline).await?,
            Way::Relay(proxy) => self.dial_proxy(proxy, deadline).await?,
            Way::Tunnel(proxy) => {
                let tcp = self.dial_proxy(proxy, deadline).await?;
                let opening = tunnel::open(tcp, &origin, proxy);
                let opened = tokio::time::timeout_at(deadline, opening).await;
                opened.unwrap_or(Err(ProxyFailure::Silent)).map_err(|why| proxy.failed(why))?
            }
        };
        let mut https = HttpsConnector::from((Dialled(Some(tcp)), Arc::clone(&self.tls)));
        let inner = tokio::time::timeout_at(deadline, https.call(origin)).await;
        Ok(Stream {
            inner: inner.map_err(|_| timed_out())??,
            history: History::default(),
            relayed: matches!(way, Way::Relay(_)),
            deaf: false,
            _place: None,
        })
    }

    async fn dial(&self, to: Uri, deadline: Instant) -> Result<TokioIo<TcpStream>, BoxError> {
        let dialled = tokio::time::timeout_at(deadline, self.http.clone().call(to)).await;
        Ok(dialled.map_err(|_| timed_out())??)
    }

    async fn dial_proxy(
        &self,
        proxy: &Proxy,
        deadline: Instant,
    ) -> Result<TokioIo<TcpStream>, BoxError> {
        let dialled = self.dial(proxy.address().clone(), deadline).await;
        Ok(dialled.map_err(|why| proxy.failed(ProxyFailure::Unreachable(why)))?)
    }
}

/// Looks names up as the system does. Each client has its own, so that a name that is never answered
/// keeps no other peer's waiting.
#[derive(Clone, Debug)]
struct Resolver(Blocking);

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let threads = self.0.clone();
        Box::pin(async move { threads.run(move || (name.as_str(), 0).to_socket_addrs()).await })
    }
}

/// Look-ups of one client at once; an answered one takes milliseconds.
const LOOK_UPS_MAX: usize = 16;

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "connect timed out")
}

/// Hands a connection that is there already to whoever wants one: TLS goes on top of it.
struct Dialled(Option<TokioIo<TcpStream>>);

impl Service<Uri> for Dialled {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<TcpStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        std::future::ready(self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}

/// The same for hyper-util's pool, which does not bound its connections by itself.
#[derive(Clone, Debug)]
pub(super) struct BoundedConnector {
    connector: Connector,
    timeout: Duration,
    places: Arc<Semaphore>,
}

impl BoundedConnector {
    pub(super) fn new(connector: Connector, timeout: Duration, connections_max: usize) -> Self {
        let places = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
        Self { connector, timeout, places }
    }
}

impl Service<Uri> for BoundedConnector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, origin: Uri) -> Self::Future {
        let Self { connector, timeout, places } = self.clone();
        Box::pin(async move {
            let deadline = Instant::now() + timeout;
            let place = tokio::time::timeout_at(deadline, places.acquire_owned())
                .await
                .map_err(|_| NoPlace)?
                .expect("the semaphore is never closed");
            let stream = connector.connect(origin, deadline).await?;
            Ok(Stream { _place: Some(place), ..stream })
        })
    }
}

/// What was heard on a connection. Clones share it.
///
/// It is told by the reads and writes themselves: a connection can be handed to the next request
/// before the last one's answer has reached whoever asked.
#[derive(Clone, Debug, Default)]
pub(super) struct History(Arc<Heard>);

#[derive(Debug, Default)]
struct Heard {
    /// A request was answered before the one that is on the connection now.
    answered_before: AtomicBool,
    /// Reads that ended since something was written; an end or a failure is a read too.
    reads: AtomicUsize,
}

impl History {
    fn writes(&self) {
        if 0 < self.0.reads.load(Ordering::Relaxed) {
            self.0.reads.store(0, Ordering::Relaxed);
            self.0.answered_before.store(true, Ordering::Relaxed);
        }
    }

    fn has_read(&self) {
        self.0.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// Of a request that failed: whether it was sent on a connection that had served another, and
    /// not a byte of an answer has come; the one read that may have ended is the end of the
    /// stream. The peer may have been closing it for being idle.
    pub(super) fn closed_while_idle(&self) -> bool {
        self.0.answered_before.load(Ordering::Relaxed) && self.0.reads.load(Ordering::Relaxed) <= 1
    }
}

/// A connection that knows its history.
#[derive(Debug)]
pub(super) struct Stream {
    inner: MaybeHttpsStream<TokioIo<TcpStream>>,
    history: History,
    /// A proxy reads the requests: they are sent in absolute form.
    relayed: bool,
    /// The peer takes nothing more. It may still have said why.
    deaf: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl Stream {
    pub(super) fn history(&self) -> History {
        self.history.clone()
    }

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

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.inner.connected().proxy(self.relayed).extra(self.history())
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
            self.history.has_read();
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
        self.history.writes();
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
        self.history.writes();
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.unless_deaf(written, all)
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
