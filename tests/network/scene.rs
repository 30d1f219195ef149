//! The whole gateway in simulated networks: see `tests/network/run`.

mod peers;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use koodrive_gateway::admin::Pages;
use koodrive_gateway::app;
use koodrive_gateway::app::AppOptions;
use koodrive_gateway::body::OutboundBody;
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::{Config, Loaded};
use koodrive_gateway::lifecycle::{Event, Workers};
use koodrive_gateway::sockets;
use koodrive_gateway::telemetry::LogWriter;
use tokio::sync::mpsc;
use turmoil::net::TcpStream;

use self::peers::{Lot, World, answer_to};

const CONFIG: &str = r#"
listen.address = "0.0.0.0:8080"
listen.idle_timeout = "500ms"
admin.address = "0.0.0.0:9901"
accept.issuers = [{ issuer = "https://sso.example", jwks_file = "keys.json", audiences = ["gateway"], algorithms = ["EdDSA"] }]
token.endpoint = "http://sso/token"
token.client_id = "gateway"
token.client_secret_file = "secret"
token.allow_plain_http = true
token.timeout = "300ms"
forward.upstream = "http://koodrive"
forward.allow_plain_http = true
forward.connect_timeout = "200ms"
forward.response_timeout = "300ms"
forward.idle_timeout = "300ms"
forward.pool_idle_timeout = "200ms"
forward.max_connections = 4
limit.mode = "off"
lifecycle.linger = "20ms"
lifecycle.drain = "2s"
"#;
const CALLERS: u64 = 3;
const CALLS: u64 = 5;
/// Longer than everything may take that a call can meet: an exchange, its repetition, two connections
/// and three answers.
const ENDED_BY: Duration = Duration::from_secs(4);

/// From the end of all faults; a connection that had fallen silent may have to be found out first.
const RECOVERED_BY: Duration = Duration::from_secs(8);
/// Idle ones to the SSO are kept longest, 5 s.
const IDLE_CLOSED_BY: Duration = Duration::from_secs(12);
const TICK: Duration = Duration::from_millis(10);

static KEY: LazyLock<Ed25519KeyPair> = LazyLock::new(|| Ed25519KeyPair::generate().unwrap());

fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("koodrive-network-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let x = URL_SAFE_NO_PAD.encode(KEY.public_key().as_ref());
    let keys = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","x":"{x}"}}]}}"#);
    std::fs::write(folder.join("keys.json"), keys).unwrap();
    std::fs::write(folder.join("secret"), "not a secret").unwrap();
    folder
}

fn loaded(folder: &Path) -> Loaded {
    let loaded = Config::parse(CONFIG, "scene.toml", folder, std::iter::empty());
    loaded.unwrap_or_else(|error| panic!("{error}"))
}

fn token(subject: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","kid":"k","typ":"JWT"}"#);
    let claims = URL_SAFE_NO_PAD.encode(format!(
        r#"{{"iss":"https://sso.example","aud":"gateway","sub":"{subject}","iat":{now},"exp":{}}}"#,
        now + 3600
    ));
    let signature = KEY.sign(format!("{head}.{claims}").as_bytes());
    format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

/// How a call ended.
#[derive(Debug)]
enum Ended {
    Answered {
        status: u16,
        whole: bool,
    },
    /// The connection broke before an answer.
    Lost,
    HungUp,
}

struct Caller {
    world: World,
    bearer: String,
    requests: Option<http1::SendRequest<Full<Bytes>>>,
}

impl Caller {
    fn new(world: &World, at: u64) -> Self {
        let bearer = format!("Bearer {}", token(&format!("caller-{at}")));
        Self { world: world.clone(), bearer, requests: None }
    }

    async fn call(&mut self, method: Method, id: &str) -> Ended {
        let ended = tokio::time::timeout(ENDED_BY, self.attempt(method.clone(), id)).await;
        let ended = ended.unwrap_or_else(|_| panic!("{method} {id} does not end"));
        self.world.tell(format!("caller: {method} {id} ended {ended:?}"));
        ended
    }

    async fn attempt(&mut self, method: Method, id: &str) -> Ended {
        let kept = self.requests.take().filter(|requests| requests.is_ready());
        let mut requests = match kept {
            Some(kept) => kept,
            None => {
                let stream = TcpStream::connect("gateway:8080").await.unwrap();
                let (requests, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                requests
            }
        };
        let has_body = method == Method::POST || method == Method::PUT;
        let length = if has_body { self.world.lot.below(3000) as usize } else { 0 };
        let request = Request::builder()
            .method(method)
            .uri("/koodrive/files")
            .header("host", "gateway")
            .header("authorization", &self.bearer)
            .header("x-id", id)
            .body(Full::from(vec![b'b'; length]))
            .unwrap();
        let answer = async {
            let answer = match requests.send_request(request).await {
                Ok(answer) => answer,
                Err(_) => return Ended::Lost,
            };
            let (head, body) = answer.into_parts();
            let read = Limited::new(body, 1 << 20).collect().await;
            let whole = read.is_ok();
            if head.status == 200 {
                assert_eq!(head.headers["x-echo"], id, "an answer of another call");
                if let Ok(read) = read {
                    assert!(read.to_bytes() == answer_to(id).as_bytes(), "{id}: another body");
                }
            }
            Ended::Answered { status: head.status.as_u16(), whole }
        };
        if !self.world.is_calm() && self.world.lot.percent(8) {
            let patience = self.world.lot.ms(300);
            return tokio::time::timeout(patience, answer).await.unwrap_or(Ended::HungUp);
        }
        let ended = answer.await;
        if self.world.lot.percent(70) {
            self.requests = Some(requests);
        }
        ended
    }
}

/// What must hold of a call, whatever became of it.
fn judge(world: &World, calm: bool, method: &Method, id: &str, ended: &Ended) {
    let met = world.met.lock().unwrap().get(id).cloned().unwrap_or_default();
    // Once more for a lost connection, and once more for a refused token; a POST only for the latter.
    let most = usize::from(*method != Method::POST) + usize::from(0 < met.refused) + 1;
    assert!(met.heads <= most, "{method} {id} was sent {} times: {met:?}", met.heads);
    if let Ended::Answered { status: 200, whole: true } = ended {
        assert!(0 < met.heads, "{id} never arrived");
    }
    if !calm {
        return;
    }
    let (answered, bodiless) = (
        matches!(ended, Ended::Answered { status: 200, whole: true }),
        *method == Method::GET || *method == Method::DELETE,
    );
    // With a body it may be lost on a connection that KooDrive was closing.
    let lost = matches!(ended, Ended::Answered { status: 502, .. });
    assert!(answered || lost && !bodiless, "{method} {id} ended {ended:?}, {met:?}");
}

async fn gateway(
    loaded: &Loaded,
    logs: LogWriter,
    clock: Clock,
    events: mpsc::Receiver<Event>,
    pages: mpsc::Sender<Arc<Pages>>,
) -> turmoil::Result {
    let options = AppOptions { clock, logs, workers: Workers::default(), environment: &|_| None };
    let bound = app::bind(loaded, options).await.unwrap_or_else(|error| panic!("{error:?}"));
    pages.try_send(Arc::clone(&bound.pages)).unwrap();
    assert!(bound.run(events, None).await, "a call was cut off by the drain");
    Ok(())
}

fn metric(pages: &Pages, name: &str) -> i64 {
    let answer = pages.answer(&Method::GET, "/metrics", &HeaderMap::new());
    let OutboundBody::Whole(Some(page)) = answer.into_body() else { panic!("not in memory") };
    let text = String::from_utf8(page.to_vec()).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)).expect("a metric");
    value.trim().parse().expect("a number")
}

async fn callers(
    world: World,
    calm: bool,
    events: mpsc::Sender<Event>,
    mut pages: mpsc::Receiver<Arc<Pages>>,
) -> turmoil::Result {
    let pages = pages.recv().await.unwrap();
    let all: Vec<_> = (0..CALLERS)
        .map(|at| {
            let world = world.clone();
            tokio::spawn(async move {
                let mut caller = Caller::new(&world, at);
                let methods = [Method::GET, Method::POST, Method::PUT, Method::DELETE];
                for call in 0..CALLS {
                    tokio::time::sleep(world.lot.ms(200)).await;
                    let method = methods[world.lot.below(4) as usize].clone();
                    let id = format!("call-{at}-{call}");
                    let ended = caller.call(method.clone(), &id).await;
                    judge(&world, calm, &method, &id, &ended);
                }
                caller
            })
        })
        .collect();
    if !calm {
        faults(&world).await;
    }
    let mut there = Vec::new();
    for caller in all {
        there.push(caller.await?);
    }
    // Whatever has happened, it is over; and after a while nobody notices it any more.
    turmoil::repair("gateway", "koodrive");
    turmoil::repair("gateway", "sso");
    *world.calm.lock().unwrap() = true;
    for (at, caller) in there.iter_mut().enumerate() {
        // It may have been idle for so long that the gateway closes it.
        caller.requests = None;
        let recovered = async {
            for again in 0.. {
                let id = format!("soon-{at}-{again}");
                let ended = caller.call(Method::GET, &id).await;
                judge(&world, calm, &Method::GET, &id, &ended);
                if matches!(ended, Ended::Answered { status: 200, whole: true }) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(RECOVERED_BY, recovered).await.expect("it recovers");
        let id = format!("after-{at}");
        let ended = caller.call(Method::GET, &id).await;
        judge(&world, true, &Method::GET, &id, &ended);
        caller.requests = None;
    }
    let left = async {
        while 0 < sockets::open() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(IDLE_CLOSED_BY, left)
        .await
        .expect("connections that nobody uses are closed");
    assert_eq!(metric(&pages, "koodrive_gateway_inflight_requests"), 0);
    // A call that is under way when the gateway is told to stop.
    let mut last = there.pop().unwrap();
    let stop = async {
        tokio::time::sleep(world.lot.ms(60)).await;
        events.send(Event::Stop).await.unwrap();
    };
    let (ended, ()) = tokio::join!(last.call(Method::GET, "last"), stop);
    judge(&world, true, &Method::GET, "last", &ended);
    Ok(())
}

/// Silence, stalls and crashes at times that the lot chooses.
async fn faults(world: &World) {
    let pairs = [("gateway", "koodrive"), ("gateway", "koodrive"), ("gateway", "sso")];
    for _ in 0..world.lot.below(4) {
        tokio::time::sleep(world.lot.ms(500)).await;
        let (a, b) = pairs[world.lot.below(3) as usize];
        let (lot, during) = (world.lot.below(3), world.lot.ms(600));
        world.tell(format!("fault {lot} between {a} and {b} for {during:?}"));
        match lot {
            0 => turmoil::partition(a, b),
            1 => turmoil::partition_oneway(b, a),
            _ => turmoil::hold(a, b),
        }
        tokio::time::sleep(during).await;
        if lot < 2 { turmoil::repair(a, b) } else { turmoil::release(a, b) }
    }
}

fn network(seed: u64, loaded: &'static Loaded, logs: &LogWriter, told: &Arc<Mutex<Vec<String>>>) {
    let calm = seed % 3 == 0;
    let world = World {
        lot: Lot::new(seed),
        calm: Arc::new(Mutex::new(calm)),
        met: Arc::new(Mutex::new(HashMap::new())),
        told: Arc::clone(told),
    };
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(TICK)
        .max_message_latency(Duration::from_millis(20))
        .simulation_duration(Duration::from_secs(60))
        .build();
    let there = world.clone();
    sim.host("koodrive", move || peers::koodrive(there.clone()));
    let there = world.clone();
    sim.host("sso", move || peers::sso(there.clone()));
    // It goes with the network's time, which is much faster than the system's.
    let clock = Clock::system();
    let ((events, received), (pages, shown)) = (mpsc::channel(1), mpsc::channel(1));
    sim.client("gateway", gateway(loaded, logs.clone(), clock.clone(), received, pages));
    sim.client("callers", callers(world.clone(), calm, events, shown));
    let crash = (!calm && world.lot.percent(20)).then(|| world.lot.ms(1500));
    let mut crashed = crash.is_none();
    loop {
        match sim.step() {
            Ok(true) => return,
            Ok(false) => clock.advance(TICK),
            Err(error) => panic!("{error}"),
        }
        if !crashed && !world.is_calm() && crash.is_some_and(|at| at < sim.elapsed()) {
            crashed = true;
            world.tell("koodrive crashes".to_owned());
            sim.bounce("koodrive");
        }
    }
}

/// What the gateway says of itself.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn whatever_the_network_does() {
    jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().unwrap_or_default();
    let number = |name: &str, default| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (seeds, first) = (number("SEEDS", 100), number("SEED", 1));
    let folder = folder();
    let loaded: &'static Loaded = Box::leak(Box::new(loaded(&folder)));
    let log = Log::default();
    let logs = LogWriter::to(log.clone()).unwrap();
    let mut failed = Vec::new();
    for seed in first..first + seeds {
        let told = Arc::default();
        log.0.lock().unwrap().clear();
        let run = std::panic::AssertUnwindSafe(|| network(seed, loaded, &logs, &told));
        let fails = std::panic::catch_unwind(run).is_err();
        if fails || seeds == 1 {
            logs.flush(Duration::from_secs(1));
            println!("{}", told.lock().unwrap().join("\n"));
            println!("{}", String::from_utf8_lossy(&log.0.lock().unwrap()));
        }
        if fails {
            println!("seed {seed} failed");
            failed.push(seed);
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
    assert!(failed.is_empty(), "{} of {seeds} failed: {failed:?}", failed.len());
}
