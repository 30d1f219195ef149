//! A token endpoint on loopback that answers as the test says and remembers what it was asked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use koodrive_gateway::body::{InboundBody, read_whole};
use koodrive_gateway::lifecycle::Tasks;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the endpoint does with a request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Reply {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// Nothing, ever.
    Hang,
    /// The connection is closed without an answer.
    Reset,
}

impl Answer {
    pub(super) fn json(status: u16, body: impl Into<String>) -> Self {
        Self::Reply { status, headers: Vec::new(), body: body.into() }
    }

    pub(super) fn token(token: &str, expires_in: u64) -> Self {
        Self::json(200, format!(r#"{{"access_token":"{token}","expires_in":{expires_in}}}"#))
    }
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) number: usize,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn form(&self) -> HashMap<String, String> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

type Script = Box<dyn FnMut(&Asked) -> Answer + Send>;

/// The endpoint. Clones are the same.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    script: Mutex<Script>,
    asked: Mutex<Vec<Asked>>,
    arrived: Notify,
    /// Answers wait here while the test holds them back.
    held: tokio::sync::watch::Sender<bool>,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Endpoint {
    /// Answers every token-exchange with `at-<subject token>-<number>`, without a lifetime.
    pub(super) async fn start(tasks: &Tasks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            script: Mutex::new(Box::new(issue(None))),
            asked: Mutex::default(),
            arrived: Notify::new(),
            held: tokio::sync::watch::channel(false).0,
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let (endpoint, connections) = (Self { address, state: Arc::clone(&state) }, tasks.clone());
        tasks.spawn("endpoint", async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&state);
                connections.spawn("endpoint-connection", async move {
                    let service = service_fn(move |request| answer(Arc::clone(&state), request));
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    connection.await.ok(); // a client that goes away is no fault of the test
                });
            }
        });
        endpoint
    }

    pub(super) fn answers(&self, script: impl FnMut(&Asked) -> Answer + Send + 'static) {
        *self.state.script.lock().unwrap() = Box::new(script);
    }

    pub(super) fn always(&self, answer: Answer) {
        self.answers(move |_| answer.clone());
    }

    pub(super) fn issues(&self, expires_in: Option<u64>) {
        self.answers(issue(expires_in));
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    pub(super) fn count(&self) -> usize {
        self.state.asked.lock().unwrap().len()
    }

    /// Requests held by the endpoint at once, at most.
    pub(super) fn most_at_once(&self) -> usize {
        self.state.most.load(Ordering::Relaxed)
    }

    /// Holds answers back, or lets them go.
    pub(super) fn hold(&self, held: bool) {
        self.state.held.send_replace(held);
    }

    /// Waits until `count` requests have arrived.
    pub(super) async fn wait_for(&self, count: usize) {
        let arrivals = async {
            loop {
                let arrived = self.state.arrived.notified();
                if count <= self.count() {
                    return;
                }
                arrived.await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, arrivals).await.is_ok();
        assert!(in_time, "{} requests instead of {count}", self.count());
    }
}

fn issue(expires_in: Option<u64>) -> impl FnMut(&Asked) -> Answer {
    move |asked| {
        let token = format!("at-{}-{}", asked.form()["subject_token"], asked.number);
        match expires_in {
            Some(seconds) => Answer::token(&token, seconds),
            None => Answer::json(200, format!(r#"{{"access_token":"{token}"}}"#)),
        }
    }
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    let body = read_whole(InboundBody::new(body, PATIENCE), 1 << 20).await?;
    let at_once = state.now.fetch_add(1, Ordering::Relaxed) + 1;
    state.most.fetch_max(at_once, Ordering::Relaxed);
    let _leaving = Leaving(&state.now);
    let asked = {
        let mut all = state.asked.lock().unwrap();
        let asked = Asked {
            number: all.len() + 1,
            method: head.method.to_string(),
            path: head.uri.to_string(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        };
        all.push(asked.clone());
        asked
    };
    state.arrived.notify_waiters();
    let mut held = state.held.subscribe();
    held.wait_for(|held| !held).await?;
    let answer = (state.script.lock().unwrap())(&asked);
    match answer {
        Answer::Hang => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
        Answer::Reset => Err("the test resets".into()),
        Answer::Reply { status, headers, body } => {
            let mut response = Response::builder().status(status);
            response = response.header("content-type", "application/json");
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::new(Bytes::from(body)))?)
        }
    }
}

struct Leaving<'a>(&'a AtomicUsize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
