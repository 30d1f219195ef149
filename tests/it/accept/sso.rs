//! An SSO's key endpoint on loopback: answers what it is told to, counts, can be down or slow.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use koodrive_gateway::accept::{
    Acceptor, IdentityRules, KeyFetch, KeyFetchCause, KeyStores, VerifiedTokens,
};
use koodrive_gateway::client::{Client, ClientOptions, SystemRoots};
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::{AcceptConfig, IssuerConfig, SignatureAlgorithm};
use koodrive_gateway::lifecycle::Tasks;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::telemetry::direct;

/// What a path answers.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Whole lines, each ending with CRLF.
    pub(super) headers: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(body: &Value) -> Self {
        Self { status: 200, headers: String::new(), body: body.to_string().into_bytes() }
    }

    pub(super) fn with(mut self, header: &str) -> Self {
        self.headers = format!("{}{header}\r\n", self.headers);
        self
    }
}

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, Answer>>,
    counts: Mutex<HashMap<String, usize>>,
    down: AtomicBool,
    /// While it is true, requests are counted and wait.
    held: tokio::sync::watch::Sender<bool>,
}

pub(super) struct Sso {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Sso {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shared, tasks) = (Arc::<Shared>::default(), Tasks::default());
        let (serving, connections) = (Arc::clone(&shared), tasks.clone());
        tasks.spawn("test-sso", async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn("test-sso-connection", serve(stream, Arc::clone(&serving)));
            }
        });
        Self { address, shared }
    }

    /// One that publishes these keys at `/jwks`.
    pub(super) async fn publishing(keys: &[Value]) -> Self {
        let sso = Self::start().await;
        sso.publish(keys);
        sso
    }

    pub(super) fn publish(&self, keys: &[Value]) {
        self.answer("/jwks", Answer::json(&json!({"keys": keys})));
    }

    pub(super) fn answer(&self, path: &str, answer: Answer) {
        self.shared.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    pub(super) fn count(&self, path: &str) -> usize {
        self.shared.counts.lock().unwrap().get(path).copied().unwrap_or(0)
    }

    pub(super) fn set_down(&self, down: bool) {
        self.shared.down.store(down, Ordering::Relaxed);
    }

    /// Lets requests wait, or lets them go.
    pub(super) fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// An issuer with keys at `/jwks`, every algorithm, and the name tests use.
    pub(super) fn issuer(&self) -> IssuerConfig {
        IssuerConfig {
            issuer: ISSUER.to_owned().into(),
            audiences: vec![AUDIENCE.to_owned()],
            jwks_url: Some(self.url("/jwks").parse().unwrap()),
            algorithms: ALL.to_vec(),
            ..IssuerConfig::default()
        }
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(read @ 1..) => head.extend_from_slice(&buffer[..read]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    *shared.counts.lock().unwrap().entry(path.clone()).or_default() += 1;
    if shared.down.load(Ordering::Relaxed) {
        return;
    }
    shared.held.subscribe().wait_for(|held| !held).await.unwrap();
    let answer = shared.answers.lock().unwrap().get(&path).cloned();
    let none = Answer { status: 404, headers: String::new(), body: Vec::new() };
    let Answer { status, headers, body } = answer.unwrap_or(none);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} x\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    // Whoever hung up has what it wanted.
    drop(stream.write_all(&[head.as_bytes(), &body].concat()).await);
}

/// Stores and acceptor over one configuration.
pub(super) struct Gate {
    pub(super) clock: Clock,
    pub(super) stores: KeyStores,
    pub(super) verified: VerifiedTokens,
    pub(super) acceptor: Acceptor,
    fetches: Arc<Mutex<Vec<KeyFetch>>>,
    fetched: tokio::sync::watch::Receiver<usize>,
}

impl Gate {
    pub(super) fn open(config: &AcceptConfig) -> Self {
        let clock = Clock::system();
        let fetches = Arc::<Mutex<Vec<KeyFetch>>>::default();
        let (told, fetched) = tokio::sync::watch::channel(0);
        let reports = Arc::clone(&fetches);
        let report = Arc::new(move |fetch: KeyFetch| {
            reports.lock().unwrap().push(fetch);
            told.send_modify(|count| *count += 1);
        });
        let stores = KeyStores::new(client(), clock.clone(), Tasks::default(), report);
        stores.apply(config);
        let verified = VerifiedTokens::new();
        let acceptor = Acceptor::new(config, &stores, &verified, identities());
        Self { clock, stores, verified, acceptor, fetches, fetched }
    }

    pub(super) fn of(issuer: IssuerConfig) -> Self {
        Self::open(&AcceptConfig { issuers: vec![issuer], ..AcceptConfig::default() })
    }

    /// With one fetch behind it.
    pub(super) async fn ready(issuer: IssuerConfig) -> Self {
        let gate = Self::of(issuer);
        gate.fetched(1).await;
        assert_eq!(gate.stores.missing(), Vec::<Arc<str>>::new());
        gate
    }

    /// Waits until so many fetches are over; the last of them.
    pub(super) async fn fetched(&self, count: usize) -> KeyFetch {
        let mut fetched = self.fetched.clone();
        let enough = fetched.wait_for(|done| count <= *done);
        tokio::time::timeout(Duration::from_secs(20), enough).await.unwrap().unwrap();
        self.fetches.lock().unwrap()[count - 1].clone()
    }

    /// How many fetches unknown key ids caused so far.
    pub(super) fn fetches_asked_for(&self) -> usize {
        let fetches = self.fetches.lock().unwrap();
        fetches.iter().filter(|fetch| fetch.cause == KeyFetchCause::UnknownKid).count()
    }

    /// A fetch that has not begun yet will be over when this returns.
    pub(super) async fn fetched_once_more(&self) -> KeyFetch {
        let done = self.fetches.lock().unwrap().len();
        self.fetched(done + 1).await
    }
}

pub(super) fn client() -> Client {
    Client::new(&ClientOptions {
        connect_timeout: Duration::from_secs(1),
        pool_idle_timeout: Duration::from_secs(30),
        pool_max_idle: 8,
        connections_max: 16,
        roots: &SystemRoots::load(),
        extra_roots: None,
        identity: None,
        egress: &direct(),
    })
}

pub(super) const ISSUER: &str = "https://sso.example.com/realms/tools";
pub(super) const AUDIENCE: &str = "koodrive-gateway";

pub(super) const ALL: [SignatureAlgorithm; 9] = [
    SignatureAlgorithm::RS256,
    SignatureAlgorithm::RS384,
    SignatureAlgorithm::RS512,
    SignatureAlgorithm::PS256,
    SignatureAlgorithm::PS384,
    SignatureAlgorithm::PS512,
    SignatureAlgorithm::ES256,
    SignatureAlgorithm::ES384,
    SignatureAlgorithm::EdDSA,
];

/// What later stages would read of a token.
pub(super) fn identities() -> IdentityRules {
    let kept_claims = BTreeSet::from(["groups".to_owned()]);
    IdentityRules { kept_claims, ..IdentityRules::default() }
}
