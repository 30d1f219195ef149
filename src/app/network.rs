//! The clients to everybody the gateway asks, and how a changed configuration reaches them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::client::{
    Client, ClientOptions, Egress, EgressError, Pool, ProxyFailures, ProxyVariables, SystemRoots,
};
use crate::config::{Config, EgressConfig, File, ForwardConfig, Roots, TokenConfig, certified_key};
use crate::lifecycle::Tasks;

/// One client for each neighbour, so that they cannot starve each other. They outlive
/// configurations; the pool to KooDrive is made anew when the way to it changes.
pub(super) struct Network {
    pub(super) sso: Client,
    pub(super) token: Client,
    pub(super) collector: Client,
    in_force: Mutex<(Terms, Pool)>,
    /// Connections to KooDrive for which there are descriptors.
    upstream_max: usize,
    roots: SystemRoots,
    variables: ProxyVariables,
    pub(super) proxy_failures: ProxyFailures,
    tasks: Tasks,
}

/// What all clients have in common: whom they believe, and the way out.
#[derive(Clone, Debug)]
pub struct Outside {
    pub(super) roots: SystemRoots,
    pub(super) egress: Egress,
}

impl Outside {
    /// The system's roots, and this way out.
    pub fn by(egress: Egress) -> Self {
        Self { roots: SystemRoots::load(), egress }
    }
}

/// What of a configuration decides how to connect.
#[derive(Clone, PartialEq)]
struct Terms {
    neighbours: Neighbours,
    egress: EgressConfig,
    forward: ForwardConfig,
}

#[derive(Clone, PartialEq)]
struct Neighbours {
    sso_roots: File<Roots>,
    token: TokenConfig,
    collector_roots: File<Roots>,
}

/// Clients that connect as a configuration says, before it is in force.
pub(super) struct Prepared {
    terms: Terms,
    /// To SSO, token endpoint and collector, if anything about them changed.
    clients: Option<[Client; 3]>,
    pub(super) pool: Pool,
}

impl Network {
    pub(super) fn new(
        config: &Config,
        upstream_max: usize,
        variables: ProxyVariables,
        tasks: Tasks,
    ) -> Result<Self, EgressError> {
        let terms = Terms::of(config);
        let proxy_failures = ProxyFailures::default();
        let egress = Egress::new(&terms.egress, &variables, &proxy_failures)?;
        let outside = Outside::by(egress);
        let [sso, token, collector] = terms.neighbours.clients(&outside);
        let pool = upstream_pool(&outside, &terms.forward, upstream_max, &tasks);
        let (roots, in_force) = (outside.roots, Mutex::new((terms, pool)));
        Ok(Self {
            sso,
            token,
            collector,
            in_force,
            upstream_max,
            roots,
            variables,
            proxy_failures,
            tasks,
        })
    }

    /// What can fail. What has not changed stays.
    pub(super) fn prepare(&self, config: &Config) -> Result<Prepared, EgressError> {
        let terms = Terms::of(config);
        let in_force = self.in_force();
        let (before, pool) = &*in_force;
        let egress = Egress::new(&terms.egress, &self.variables, &self.proxy_failures)?;
        let outside = Outside { roots: self.roots.clone(), egress };
        let same_way = before.egress == terms.egress;
        let clients = (!same_way || before.neighbours != terms.neighbours)
            .then(|| terms.neighbours.clients(&outside));
        let pool = if same_way && before.forward == terms.forward {
            pool.clone()
        } else {
            upstream_pool(&outside, &terms.forward, self.upstream_max, &self.tasks)
        };
        Ok(Prepared { terms, clients, pool })
    }

    /// Connections to KooDrive that are in use, and how many there may be.
    pub(super) fn upstream(&self) -> (usize, usize) {
        self.in_force().1.taken()
    }

    pub(super) fn adopt(&self, prepared: Prepared) {
        let Prepared { terms, clients, pool } = prepared;
        if let Some([sso, token, collector]) = &clients {
            self.sso.adopt(sso);
            self.token.adopt(token);
            self.collector.adopt(collector);
        }
        *self.in_force() = (terms, pool);
    }

    fn in_force(&self) -> MutexGuard<'_, (Terms, Pool)> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Terms {
    fn of(config: &Config) -> Self {
        Self {
            neighbours: Neighbours {
                sso_roots: config.accept.ca_file.clone(),
                token: config.token.clone(),
                collector_roots: config.telemetry.ca_file.clone(),
            },
            egress: config.egress.clone(),
            forward: config.forward.clone(),
        }
    }
}

impl Neighbours {
    /// To SSO, token endpoint and collector.
    fn clients(&self, outside: &Outside) -> [Client; 3] {
        [
            network_client(outside, 1, &self.sso_roots),
            token_client(outside, &self.token),
            network_client(outside, 1, &self.collector_roots),
        ]
    }
}

/// To the SSO or the collector.
pub(super) fn network_client(
    outside: &Outside,
    pool_max_idle: usize,
    roots: &File<Roots>,
) -> Client {
    Client::new(&ClientOptions {
        connect_timeout: CONNECT_TIMEOUT,
        pool_idle_timeout: POOL_IDLE_TIMEOUT,
        pool_max_idle,
        connections_max: pool_max_idle.max(CONNECTIONS_MAX),
        roots: &outside.roots,
        extra_roots: roots.content().map(AsRef::as_ref),
        identity: None,
        egress: &outside.egress,
    })
}

/// To the token endpoint: with a certificate of our own where that is how we prove ourselves.
pub(super) fn token_client(outside: &Outside, config: &TokenConfig) -> Client {
    Client::new(&ClientOptions {
        connect_timeout: CONNECT_TIMEOUT,
        pool_idle_timeout: POOL_IDLE_TIMEOUT,
        pool_max_idle: config.max_concurrent,
        connections_max: config.max_concurrent,
        roots: &outside.roots,
        extra_roots: config.ca_file.content().map(AsRef::as_ref),
        identity: config.login.certificate().cloned(),
        egress: &outside.egress,
    })
}

/// At most `connections_max`, whatever is configured: for more there are no descriptors.
fn upstream_pool(
    outside: &Outside,
    config: &ForwardConfig,
    connections_max: usize,
    tasks: &Tasks,
) -> Pool {
    let options = upstream_options(outside, config, connections_max);
    let pool = Pool::new(&options, config.upstream.uri());
    tasks.spawn("upstream-connections", pool.watch());
    pool
}

pub(super) fn upstream_options<'a>(
    outside: &'a Outside,
    config: &'a ForwardConfig,
    connections_max: usize,
) -> ClientOptions<'a> {
    let connections_max = config.max_connections.min(connections_max);
    ClientOptions {
        connect_timeout: config.connect_timeout,
        pool_idle_timeout: config.pool_idle_timeout,
        pool_max_idle: connections_max,
        connections_max,
        roots: &outside.roots,
        extra_roots: config.ca_file.content().map(AsRef::as_ref),
        identity: certified_key(&config.client_certificate_file, &config.client_key_file),
        egress: &outside.egress,
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Many issuers may be asked at once.
const CONNECTIONS_MAX: usize = 64;
/// Short: an exchange that meets a connection its peer is closing has to be sent once more.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(5);
