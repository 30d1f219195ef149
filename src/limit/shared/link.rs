//! The link to the store: a connection that was seen to work, or the knowledge that there is none.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError};
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::script::{Ask, AskPause, Scripts, key};
use super::{StoreNews, StoreReport};
use crate::client::{SystemRoots, tls_config};
use crate::clock::Clock;
use crate::config::{
    CertificateChain, File, LimitConfig, LimitStore, Password, Roots, TlsKey, certified_key,
};
use crate::lifecycle::Tasks;
use crate::limit::bucket::Quota;

/// Where the store is and how to prove to it who we are. Equal ones need no new connection.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::limit) struct Access {
    store: LimitStore,
    password: File<Password>,
    roots: File<Roots>,
    certificate: File<CertificateChain>,
    key: File<TlsKey>,
}

impl Access {
    pub(in crate::limit) fn from_config(config: &LimitConfig) -> Self {
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

/// What is known of the store.
pub(super) struct Link {
    access: Access,
    host: String,
    port: u16,
    login: RedisConnectionInfo,
    tls: Option<TlsConnector>,
    pub(super) scripts: Scripts,
    clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) report: StoreReport,
    now: watch::Sender<Now>,
    probe: Mutex<Probe>,
}

#[derive(Clone)]
struct Now {
    /// Changes with the state, so that late news of an old connection is known as such.
    version: u64,
    state: State,
}

#[derive(Clone)]
enum State {
    /// Nothing is known yet: worth a moment's wait.
    Connecting,
    Up(Up),
    Away,
}

/// A connection; closed when its last clone goes.
#[derive(Clone)]
pub(super) struct Up {
    pub(super) connection: MultiplexedConnection,
    _guard: Arc<DropGuard>,
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

impl Link {
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
        let (now, _) = watch::channel(Now { version: 0, state: State::Connecting });
        let link = Arc::new(Self {
            host: address.host().to_owned(),
            port: address.port(),
            login,
            tls: access.tls(),
            access,
            scripts: Scripts::new(),
            clock,
            tasks,
            report,
            now,
            probe: Mutex::new(Probe { running: false, due: Duration::ZERO }),
        });
        link.probe_if_due();
        Some(link)
    }

    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    pub(super) fn version(&self) -> u64 {
        self.now.borrow().version
    }

    /// The connection and its version, once it is known whether there is one.
    pub(super) async fn known(self: &Arc<Self>) -> Option<(u64, Up)> {
        let mut news = self.now.subscribe();
        let known = news.wait_for(|now| !matches!(now.state, State::Connecting)).await;
        let Now { version, state } = known.ok()?.clone();
        if let State::Up(up) = state {
            return Some((version, up));
        }
        self.probe_if_due();
        None
    }

    /// The connection, if it is known that there is one.
    pub(super) fn up(&self) -> Option<Up> {
        match &self.now.borrow().state {
            State::Up(up) => Some(up.clone()),
            State::Connecting | State::Away => None,
        }
    }

    /// A connection broke, or its server refuses. Whether the store is away, the next one tells.
    pub(super) fn lost(self: &Arc<Self>, version: u64, error: &RedisError) {
        (self.report)(StoreNews::Failed);
        tracing::debug!(store = %self.access.store, %error, "connection to the limit store lost");
        let first = self.now.send_if_modified(|now| {
            let current = now.version == version;
            if current {
                *now = Now { version: version + 1, state: State::Connecting };
            }
            current
        });
        if first {
            self.probe_now();
        }
    }

    /// The connection of this version gave no answer in time.
    pub(super) fn slow(self: &Arc<Self>, version: u64) {
        (self.report)(StoreNews::Failed);
        if self.away(&StoreError::Slow(ANSWER_TIMEOUT), |now| now.version == version) {
            // It may have been we who were slow.
            self.probe_now();
        }
    }

    /// Whether an outage begins with this.
    fn away(&self, error: &StoreError, still: impl FnOnce(&Now) -> bool) -> bool {
        let begins = self.now.send_if_modified(|now| {
            let begins = still(now) && !matches!(now.state, State::Away);
            if begins {
                *now = Now { version: now.version + 1, state: State::Away };
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
        let link = Arc::clone(self);
        self.tasks.spawn("limit-store-probe", async move {
            let began = Instant::now();
            let found = tokio::time::timeout(PROBE_TIMEOUT, link.connect()).await;
            let found = found.unwrap_or(Err(StoreError::Slow(PROBE_TIMEOUT)));
            // Before anybody hears of the state: who finds it lacking must be able to ask again.
            *link.lock_probe() =
                Probe { running: false, due: link.clock.monotonic() + PROBE_EVERY };
            match found {
                Ok(state) => {
                    tracing::debug!(store = %link.access.store, "limit store connected");
                    (link.report)(StoreNews::Answered(began.elapsed()));
                    link.now.send_modify(|now| {
                        *now = Now { version: now.version + 1, state };
                    });
                }
                Err(error) => {
                    (link.report)(StoreNews::Failed);
                    link.away(&error, |_| true);
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
        self.scripts.charge(&mut connection, &probe, AskPause::No).await?; // the first time it may have to be loaded
        let quickly = tokio::time::timeout(
            ANSWER_TIMEOUT,
            self.scripts.charge(&mut connection, &probe, AskPause::No),
        )
        .await;
        quickly.map_err(|_| StoreError::Slow(ANSWER_TIMEOUT))??;
        Ok(State::Up(Up { connection, _guard: guard }))
    }

    fn lock_probe(&self) -> std::sync::MutexGuard<'_, Probe> {
        // Two plain values: whole even if a holder panicked.
        self.probe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// With its causes.
fn told(error: &StoreError) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// Longest that a call waits for the store.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_millis(250);
/// Longest that a probe waits, name resolution included.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// From the end of a probe to the next, as long as there are calls.
const PROBE_EVERY: Duration = Duration::from_secs(1);
