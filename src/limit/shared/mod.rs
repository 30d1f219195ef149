//! Buckets shared by all replicas, in a Redis or Valkey: one script, one round trip per question.
//! Pauses are told of in the background, and asked about along with the buckets.
//!
//! The server's clock decides, so those of the replicas do not matter. Away is a state, not an
//! error: who asks then learns at once that there is no answer. Knows nothing of what the buckets
//! are for, nor of what is done without them.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError, Script};
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::bucket::Quota;
use super::throttle::{Elsewhere, Pause};
use crate::client::{SystemRoots, tls_config};
use crate::clock::Clock;
use crate::config::{
    CertificateChain, File, LimitConfig, LimitStore, Password, Roots, TlsKey, certified_key,
};
use crate::lifecycle::Tasks;

/// What became of the shared store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreNews {
    /// It answered within this time.
    Answered(Duration),
    /// It did not do what it was asked: a connection, an answer, a probe.
    Failed,
    /// It is away, and calls are limited locally; why.
    Away(String),
}

/// Told of everything.
pub type StoreReport = Arc<dyn Fn(StoreNews) + Send + Sync>;

/// What is asked of one bucket.
pub(super) struct Ask {
    /// Its name among all that share the server.
    pub(super) key: String,
    pub(super) quota: Quota,
    /// More than a full bucket costs a full bucket; nothing is taken by 0.
    pub(super) tokens: u32,
}

/// Whether the pause that replicas share is asked about, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AskPause {
    No,
    /// Buckets are charged all the same.
    Look,
    /// While it lasts, no bucket is charged.
    Obey,
}

/// What the store said.
pub(super) struct Answer<const N: usize> {
    /// Nothing while nobody asked about it.
    pub(super) pause: Option<Elsewhere>,
    /// The first that had too little, and after how long it would have enough. Nothing was taken
    /// from it nor from those behind it.
    pub(super) refused: Option<(usize, Duration)>,
    pub(super) until_full: [Duration; N],
}

/// Where the store is and how to prove to it who we are. Equal ones need no new connection.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Access {
    store: LimitStore,
    password: File<Password>,
    roots: File<Roots>,
    certificate: File<CertificateChain>,
    key: File<TlsKey>,
}

impl Access {
    pub(super) fn from_config(config: &LimitConfig) -> Self {
        Self {
            store: config.store.clone(),
            password: config.store_password_file.clone(),
            roots: config.store_ca_file.clone(),
            certificate: config.store_certificate_file.clone(),
            key: config.store_key_file.clone(),
        }
    }

    /// What a connection is made with over TLS.
    fn tls(&self) -> Option<TlsConnector> {
        if !self.store.is_tls() {
            return None;
        }
        let identity = certified_key(&self.certificate, &self.key);
        let roots = self.roots.content().map(AsRef::as_ref);
        Some(Arc::new(tls_config(&SystemRoots::load(), roots, identity)).into())
    }
}

/// A connection to the store, or the knowledge that there is none.
pub(super) struct Shared {
    access: Access,
    host: String,
    port: u16,
    login: RedisConnectionInfo,
    tls: Option<TlsConnector>,
    script: Script,
    pause_script: Script,
    /// Under which this process tells of pauses.
    me: String,
    clock: Clock,
    tasks: Tasks,
    report: StoreReport,
    link: watch::Sender<Link>,
    probe: Mutex<Probe>,
}

#[derive(Clone)]
struct Link {
    /// Changes with the state, so that late news of an old connection is known as such.
    version: u64,
    state: State,
}

#[derive(Clone)]
enum State {
    /// Nothing is known yet: worth a moment's wait.
    Connecting,
    /// Closed when the last clone of the guard goes.
    Up(MultiplexedConnection, Arc<DropGuard>),
    Away,
}

struct Probe {
    running: bool,
    due: Duration,
}

/// Why the store is away.
#[derive(Debug, thiserror::Error)]
enum StoreError {
    #[error("no connection")]
    Connect(#[source] io::Error),
    #[error("no TLS")]
    Tls(#[source] io::Error),
    #[error("no use")]
    Redis(#[from] RedisError),
    #[error("no answer within {} ms", .0.as_millis())]
    Slow(Duration),
}

impl Shared {
    /// Connects in the background. `None` when the limits are local.
    pub(super) fn open(
        access: Access,
        clock: Clock,
        tasks: Tasks,
        report: StoreReport,
    ) -> Option<Arc<Self>> {
        let address = access.store.address()?;
        let mut login = address.login().clone();
        if let Some(password) = access.password.password() {
            login = login.set_password(password.expose_secret());
        }
        let (link, _) = watch::channel(Link { version: 0, state: State::Connecting });
        let shared = Arc::new(Self {
            host: address.host().to_owned(),
            port: address.port(),
            login,
            tls: access.tls(),
            access,
            script: Script::new(include_str!("gcra.lua")),
            pause_script: Script::new(include_str!("pause.lua")),
            me: random_name(),
            clock,
            tasks,
            report,
            link,
            probe: Mutex::new(Probe { running: false, due: Duration::ZERO }),
        });
        shared.probe_if_due();
        Some(shared)
    }

    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// Asks all in one step. `None` when the store is away: after [`ANSWER_TIMEOUT`] at most, and at
    /// once when that is known.
    pub(super) async fn charge<const N: usize>(
        self: &Arc<Self>,
        asks: &[Ask; N],
        pause: AskPause,
    ) -> Option<Answer<N>> {
        let version = self.link.borrow().version;
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, self.try_charge(asks, pause)).await;
        answered.unwrap_or_else(|_| {
            (self.report)(StoreNews::Failed);
            if self.away(&StoreError::Slow(ANSWER_TIMEOUT), |link| link.version == version) {
                // It may have been we who were slow.
                self.probe_now();
            }
            None
        })
    }

    async fn try_charge<const N: usize>(
        self: &Arc<Self>,
        asks: &[Ask; N],
        pause: AskPause,
    ) -> Option<Answer<N>> {
        let mut links = self.link.subscribe();
        // The second time over a new connection: a server that was restarted while nobody called
        // is not away.
        for _ in 0..2 {
            let known = links.wait_for(|link| !matches!(link.state, State::Connecting)).await;
            let Link { version, state } = known.ok()?.clone();
            let State::Up(mut connection, _guard) = state else {
                self.probe_if_due();
                return None;
            };
            let asked = Instant::now();
            match self.invoke(&mut connection, asks, pause).await {
                Ok(answer) => {
                    (self.report)(StoreNews::Answered(asked.elapsed()));
                    return Some(answer);
                }
                Err(error) => self.lost(version, &error),
            }
        }
        None
    }

    async fn invoke<const N: usize>(
        &self,
        connection: &mut MultiplexedConnection,
        asks: &[Ask; N],
        pause: AskPause,
    ) -> Result<Answer<N>, RedisError> {
        let mut invocation = self.script.prepare_invoke();
        let (me, refuses) = match pause {
            AskPause::No => ("", 0),
            AskPause::Look => (&*self.me, 0),
            AskPause::Obey => (&*self.me, 1),
        };
        invocation.key(key("pause")).arg(me).arg(refuses);
        for Ask { key, quota, tokens } in asks {
            let tokens = (*tokens).min(quota.burst());
            invocation.key(key).arg(micros(quota.per_token())).arg(quota.burst()).arg(tokens);
        }
        let numbers: Vec<u64> = invocation.invoke_async(connection).await?;
        let number = |at: usize| numbers.get(at).copied().unwrap_or(0);
        let duration = |at: usize| Duration::from_micros(number(at));
        let (lasts, length) = (duration(3), duration(4));
        let elsewhere = match number(2) {
            1 => Elsewhere::Paused(Pause { lasts, length }),
            2 => Elsewhere::Yours { length },
            3 => Elsewhere::Probing,
            4 => Elsewhere::Theirs { length },
            _ => Elsewhere::None,
        };
        let refused = usize::try_from(number(0)).unwrap_or(0).checked_sub(1);
        Ok(Answer {
            pause: (pause != AskPause::No).then_some(elsewhere),
            refused: refused.map(|place| (place, duration(1))),
            until_full: std::array::from_fn(|at| duration(at + 5)),
        })
    }

    /// Tells the other replicas of a pause, or that there is none any more, in the background.
    /// `known` is told when they know; where the store is away, they find out for themselves.
    pub(super) fn tell(
        self: &Arc<Self>,
        pause: Option<Pause>,
        known: impl FnOnce() + Send + 'static,
    ) {
        let State::Up(mut connection, guard) = self.link.borrow().state.clone() else { return };
        let shared = Arc::clone(self);
        self.tasks.spawn("limit-store-pause", async move {
            let _guard = guard;
            let (lasts, length) =
                pause.map(|pause| (pause.lasts, pause.length)).unwrap_or_default();
            let mut invocation = shared.pause_script.prepare_invoke();
            let invocation = invocation.key(key("pause")).arg(&shared.me);
            let invocation = invocation.arg(whole_micros(lasts)).arg(whole_micros(length));
            let told = invocation.invoke_async::<u64>(&mut connection);
            match tokio::time::timeout(ANSWER_TIMEOUT, told).await {
                Ok(Ok(_)) => known(),
                // The next charge finds out what is the matter.
                Ok(Err(_)) | Err(_) => (shared.report)(StoreNews::Failed),
            }
        });
    }

    /// A connection broke, or its server refuses. Whether the store is away, the next one tells.
    fn lost(self: &Arc<Self>, version: u64, error: &RedisError) {
        (self.report)(StoreNews::Failed);
        tracing::debug!(store = %self.access.store, %error, "connection to the limit store lost");
        let first = self.link.send_if_modified(|link| {
            let current = link.version == version;
            if current {
                *link = Link { version: version + 1, state: State::Connecting };
            }
            current
        });
        if first {
            self.probe_now();
        }
    }

    /// Whether an outage begins with this.
    fn away(&self, error: &StoreError, still: impl FnOnce(&Link) -> bool) -> bool {
        let begins = self.link.send_if_modified(|link| {
            let begins = still(link) && !matches!(link.state, State::Away);
            if begins {
                *link = Link { version: link.version + 1, state: State::Away };
            }
            begins
        });
        (self.report)(StoreNews::Away(told(error)));
        begins
    }

    fn probe_now(self: &Arc<Self>) {
        self.lock_probe().due = Duration::ZERO;
        self.probe_if_due();
    }

    /// Looks for the store in the background, so that no call waits for one known to be away.
    fn probe_if_due(self: &Arc<Self>) {
        {
            let mut probe = self.lock_probe();
            if probe.running || self.clock.monotonic() < probe.due {
                return;
            }
            probe.running = true;
        }
        let shared = Arc::clone(self);
        self.tasks.spawn("limit-store-probe", async move {
            let began = Instant::now();
            let found = tokio::time::timeout(PROBE_TIMEOUT, shared.connect()).await;
            let found = found.unwrap_or(Err(StoreError::Slow(PROBE_TIMEOUT)));
            // Before anybody hears of the state: who finds it lacking must be able to ask again.
            *shared.lock_probe() =
                Probe { running: false, due: shared.clock.monotonic() + PROBE_EVERY };
            match found {
                Ok(state) => {
                    tracing::debug!(store = %shared.access.store, "limit store connected");
                    (shared.report)(StoreNews::Answered(began.elapsed()));
                    shared.link.send_modify(|link| {
                        *link = Link { version: link.version + 1, state };
                    });
                }
                Err(error) => {
                    (shared.report)(StoreNews::Failed);
                    shared.away(&error, |_| true);
                }
            }
        });
    }

    /// A connection over which the script was seen to run, to write, and to be quick enough for
    /// calls.
    async fn connect(&self) -> Result<State, StoreError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(StoreError::Connect)?;
        stream.set_nodelay(true).map_err(StoreError::Connect)?;
        // No waits of its own: ours cover everything.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let Some(tls) = &self.tls else {
            let made = MultiplexedConnection::new_with_config(&self.login, stream, config).await?;
            return self.prove(made).await;
        };
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other);
        let name = name.map_err(StoreError::Connect)?;
        let stream = tls.connect(name, stream).await.map_err(StoreError::Tls)?;
        let made = MultiplexedConnection::new_with_config(&self.login, stream, config).await?;
        self.prove(made).await
    }

    /// Drives a connection in the background, and lets it show what it can do.
    async fn prove(
        &self,
        (mut connection, driver): (
            MultiplexedConnection,
            impl Future<Output = ()> + Send + 'static,
        ),
    ) -> Result<State, StoreError> {
        let gone = CancellationToken::new();
        let guard = Arc::new(gone.clone().drop_guard());
        self.tasks.spawn("limit-store", async move {
            // Left to itself it would wait for the last answer, which may never come.
            gone.run_until_cancelled(driver).await;
        });
        let probe = [Ask { key: key("probe"), quota: Quota::PROBE, tokens: 1 }];
        self.invoke(&mut connection, &probe, AskPause::No).await?; // the first time it may have to be loaded
        let quickly = tokio::time::timeout(
            ANSWER_TIMEOUT,
            self.invoke(&mut connection, &probe, AskPause::No),
        )
        .await;
        quickly.map_err(|_| StoreError::Slow(ANSWER_TIMEOUT))??;
        Ok(State::Up(connection, guard))
    }

    fn lock_probe(&self) -> std::sync::MutexGuard<'_, Probe> {
        // Two plain values: whole even if a holder panicked.
        self.probe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("store", &self.access.store).finish_non_exhaustive()
    }
}

/// With its causes.
fn told(error: &StoreError) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// The braces keep all keys on one node, as a script wants it of a cluster behind a proxy.
pub(super) fn key(name: &str) -> String {
    format!("{{koodrive-gateway}}:limit:{name}")
}

/// With a fraction.
pub(super) fn micros(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    format!("{}.{:03}", nanos / 1000, nanos % 1000)
}

fn whole_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Unlike that of any other process.
fn random_name() -> String {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source does not fail");
    format!("{:016x}", u64::from_ne_bytes(bytes))
}

/// Longest that a call waits for the store.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(250);
/// Longest that a probe waits, name resolution included.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// From the end of a probe to the next, as long as there are calls.
const PROBE_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
