//! The HTTP server under each simulator: connections that can be counted, cut and refused.
//!
//! Knows nothing of what is asked. HTTP/1.1, and HTTP/2 where TLS negotiates it by ALPN.

use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use koodrive_gateway::clock::Clock;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::time::{OwnClock, until};

/// The simulator breaks the connection instead of answering, or in the middle of an answer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("cut on purpose")]
pub struct Cut;

pub type AnswerBody = UnsyncBoxBody<Bytes, Cut>;
pub type Answer = Response<AnswerBody>;
pub type Handler =
    Arc<dyn Fn(Request<Incoming>, u64) -> BoxFuture<'static, Result<Answer, Cut>> + Send + Sync>;

/// An answer body that is in memory.
pub fn whole(bytes: impl Into<Bytes>) -> AnswerBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A JSON answer.
pub fn json_answer(status: u16, body: &serde_json::Value) -> Answer {
    let mut answer = Response::new(whole(body.to_string()));
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status of three digits");
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

/// When the server closes a connection that the other side would like to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Closing {
    #[default]
    Never,
    /// After so many answers, without `Connection: close`.
    After(u64),
    /// With this probability after each answer, at a random moment within the given time.
    AtRandom { probability: f64, within: Duration },
}

/// Where and how a server listens.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Port 0 takes a free one.
    pub address: SocketAddr,
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Where `Date` comes from.
    pub clock: OwnClock,
}

impl Listen {
    pub fn loopback(clock: &Clock) -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            clock: OwnClock::new(clock),
        }
    }
}

/// A port that is ours before anybody answers on it.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    clock: OwnClock,
}

impl Listen {
    pub fn bind(self) -> io::Result<Listener> {
        let socket = bind(self.address)?.listen(BACKLOG)?;
        let address = socket.local_addr()?;
        Ok(Listener { socket, address, tls: self.tls.map(TlsAcceptor::from), clock: self.clock })
    }
}

impl Listener {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:<port>`, or https.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    pub fn clock(&self) -> OwnClock {
        self.clock.clone()
    }

    pub fn start(self, handler: Handler) -> Server {
        let shared = Arc::new(Shared {
            handler,
            tls: self.tls,
            clock: self.clock,
            closing: Mutex::default(),
            connections: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            changed: Notify::new(),
            tracker: TaskTracker::new(),
        });
        let stop = CancellationToken::new();
        let listening = shared.accept(self.socket, stop.child_token());
        let listening = tokio::sync::Mutex::new(listening);
        Server { address: self.address, shared, listening, stop }
    }
}

/// A running server. Dropping it closes the listener and all connections.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: tokio::sync::Mutex<Listening>,
    stop: CancellationToken,
}

/// A running simulator: its server, and what it knows and does. Dropping it closes all its
/// connections.
pub struct Simulator<S> {
    pub server: Server,
    state: Arc<S>,
}

/// Answers what a simulator is asked.
pub trait Answers: Send + Sync + 'static {
    fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
        connection: u64,
    ) -> BoxFuture<'static, Result<Answer, Cut>>;
}

impl<S: Answers> Simulator<S> {
    pub(super) fn run(listener: Listener, state: S) -> Self {
        let state = Arc::new(state);
        let answering = Arc::clone(&state);
        let handler = move |request, connection| answering.clone().serve(request, connection);
        Self { server: listener.start(Arc::new(handler)), state }
    }
}

impl<S> Deref for Simulator<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.state
    }
}

/// What a server and its connections share.
pub(super) struct Shared {
    pub(super) handler: Handler,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) clock: OwnClock,
    pub(super) closing: Mutex<Closing>,
    pub(super) connections: AtomicU64,
    pub(super) abandoned: AtomicU64,
    pub(super) changed: Notify,
    pub(super) tracker: TaskTracker,
}

struct Listening {
    stop: CancellationToken,
    accepting: JoinHandle<()>,
    /// While down: the port stays ours, but nobody listens, so connections are refused.
    reserved: Option<TcpSocket>,
}

impl Server {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and every connection; new ones are refused until [`Server::up`].
    pub async fn down(&self) {
        let mut listening = self.listening.lock().await;
        if listening.reserved.is_some() {
            return;
        }
        listening.stop.cancel();
        (&mut listening.accepting).await.expect("the accept loop does not panic");
        listening.reserved = Some(bind(self.address).expect("the port was ours a moment ago"));
    }

    /// Listens again, on the same port.
    pub async fn up(&self) {
        let mut listening = self.listening.lock().await;
        if let Some(reserved) = listening.reserved.take() {
            let listener = reserved.listen(BACKLOG).expect("the port is ours");
            *listening = self.shared.accept(listener, self.stop.child_token());
        }
    }

    pub fn set_closing(&self, closing: Closing) {
        *self.shared.closing.lock().expect("no holder panics") = closing;
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Calls whose sender left before the answer was complete.
    pub fn abandoned(&self) -> u64 {
        self.shared.abandoned.load(Ordering::Relaxed)
    }

    /// Waits until at least `count` calls were abandoned; whether that happened in time.
    pub async fn wait_abandoned(&self, count: u64, within: Duration) -> bool {
        let enough = || (count <= self.abandoned()).then_some(());
        until(&self.shared.changed, within, enough).await.is_some()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: TcpListener, stop: CancellationToken) -> Listening {
        let shared = self.clone();
        let loop_stop = stop.clone();
        let accepting = self.tracker.spawn(async move {
            let accepting = async {
                loop {
                    // An aborted handshake concerns that one connection only.
                    let Ok((stream, _)) = listener.accept().await else { continue };
                    let id = shared.connections.fetch_add(1, Ordering::Relaxed);
                    let connection = shared.clone().serve(stream, id);
                    let stop = loop_stop.clone();
                    shared.tracker.spawn(async move { stop.run_until_cancelled(connection).await });
                }
            };
            loop_stop.run_until_cancelled(accepting).await.unwrap_or(());
        });
        Listening { stop, accepting, reserved: None }
    }
}

const BACKLOG: u32 = 1024;

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
