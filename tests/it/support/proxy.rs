//! A forward proxy: CONNECT and absolute form, with and without credentials, in any mood.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::PROXY_AUTHORIZATION;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

type Answer = Response<UnsyncBoxBody<Bytes, hyper::Error>>;

/// What the proxy does with whoever asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Willing,
    /// Answers with this status.
    Refusing(u16),
    /// Reads the request and never answers.
    Hanging,
    /// Closes the connection instead of answering.
    Cutting,
    /// Says more than its answer, before the destination can have said anything.
    Talkative,
}

/// A request as the proxy got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub method: Method,
    /// `host:port` or an address.
    pub target: String,
    pub authorization: Option<String>,
}

/// A running proxy. Dropping it closes the listener and all connections.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    _connections: JoinSet<()>,
}

#[derive(Default)]
struct State {
    mood: Mutex<Mood>,
    /// What `Proxy-Authorization` must be.
    authorization: Mutex<Option<String>>,
    names: Mutex<BTreeMap<String, SocketAddr>>,
    named: Notify,
    asked: Mutex<Vec<Asked>>,
}

impl Proxy {
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State::default());
        let mut connections = JoinSet::new();
        connections.spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, _connections: connections }
    }

    /// `http://127.0.0.1:<port>`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Nobody else knows this name. Who asks for a name that is not known yet has to wait.
    pub fn name(&self, name: &str, address: SocketAddr) {
        self.state.names.lock().expect("no holder panics").insert(name.to_owned(), address);
        self.state.named.notify_waiters();
    }

    pub fn set_mood(&self, mood: Mood) {
        *self.state.mood.lock().expect("no holder panics") = mood;
    }

    /// From now on whoever does not send this gets 407.
    pub fn want(&self, authorization: &str) {
        let wanted = Some(authorization.to_owned());
        *self.state.authorization.lock().expect("no holder panics") = wanted;
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().expect("no holder panics").clone()
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        connections.spawn(serve(tcp, Arc::clone(&state)));
    }
}

/// Every tunnel ends with its connection.
async fn serve(tcp: TcpStream, state: Arc<State>) {
    let tunnels = Arc::new(Mutex::new(JoinSet::new()));
    let service = service_fn(|request| answer(request, Arc::clone(&state), Arc::clone(&tunnels)));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
    // What the other side does wrong, it learns by itself.
    connection.with_upgrades().await.unwrap_or_default();
    let mut tunnels = std::mem::take(&mut *tunnels.lock().expect("no holder panics"));
    while tunnels.join_next().await.is_some() {}
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
    tunnels: Arc<Mutex<JoinSet<()>>>,
) -> io::Result<Answer> {
    let authorization = request.headers().get(PROXY_AUTHORIZATION);
    let authorization = authorization.map(|value| value.to_str().unwrap_or_default().to_owned());
    state.asked.lock().expect("no holder panics").push(Asked {
        method: request.method().clone(),
        target: request.uri().to_string(),
        authorization: authorization.clone(),
    });
    let wanted = state.authorization.lock().expect("no holder panics").clone();
    if wanted.is_some() && wanted != authorization {
        return Ok(status(407));
    }
    let mood = *state.mood.lock().expect("no holder panics");
    match mood {
        Mood::Refusing(refusal) => return Ok(status(refusal)),
        Mood::Hanging => std::future::pending().await,
        Mood::Cutting => return Err(io::ErrorKind::ConnectionAborted.into()),
        Mood::Willing | Mood::Talkative => {}
    }
    let host = request.uri().host().unwrap_or_default().to_owned();
    let upstream = TcpStream::connect(state.address_of(&host).await).await?;
    if request.method() != Method::CONNECT {
        return pass_on(request, upstream).await;
    }
    let tunnel = async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
        let (mut caller, mut upstream) = (TokioIo::new(upgraded), upstream);
        if mood == Mood::Talkative && caller.write_all(b"hello").await.is_err() {
            return;
        }
        tokio::io::copy_bidirectional(&mut caller, &mut upstream).await.unwrap_or_default();
    };
    tunnels.lock().expect("no holder panics").spawn(tunnel);
    Ok(status(200))
}

impl State {
    async fn address_of(&self, name: &str) -> SocketAddr {
        loop {
            let mut named = std::pin::pin!(self.named.notified());
            named.as_mut().enable();
            if let Some(address) = self.names.lock().expect("no holder panics").get(name) {
                return *address;
            }
            named.await;
        }
    }
}

fn status(status: u16) -> Answer {
    let mut answer = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status of three digits");
    answer
}

/// A request in absolute form, in origin form; what is between us and the caller stays here.
async fn pass_on(mut request: Request<Incoming>, upstream: TcpStream) -> io::Result<Answer> {
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(target.unwrap_or(PathAndQuery::from_static("/")));
    request.headers_mut().remove(PROXY_AUTHORIZATION);
    request.headers_mut().append("via", HeaderValue::from_static("1.1 proxy"));
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(upstream)).await;
    let (mut requests, connection) = handshake.map_err(io::Error::other)?;
    let (answer, connection) = {
        let mut connection = Box::pin(connection);
        let answer = tokio::select! {
            answer = requests.send_request(request) => answer.map_err(io::Error::other)?,
            _ = &mut connection => return Err(io::ErrorKind::ConnectionAborted.into()),
        };
        (answer, connection)
    };
    let (head, body) = answer.into_parts();
    // The body comes as long as somebody polls the connection.
    let mut driving = JoinSet::new();
    driving.spawn(connection);
    #[expect(clippy::disallowed_methods, reason = "the body is limited")]
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(io::Error::other)?;
    Ok(Response::from_parts(head, body.map_err(|never| match never {}).boxed_unsync()))
}

/// Far more than the simulators answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;
