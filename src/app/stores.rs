//! What survives a reload, and how a pipeline is made of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use secrecy::ExposeSecret as _;

use super::{AppOptions, SetupError, StartError};
use crate::accept::{Acceptor, CallerKey, IdentityRules, KeyFetch, KeyStores, VerifiedTokens};
use crate::authorize::Authorizer;
use crate::body::Budget;
use crate::call::Routes;
use crate::client::{Client, ClientOptions, ClientSetupError, Pool, SystemRoots};
use crate::clock::Clock;
use crate::config::{ClientAuth, Config, ForwardConfig, TokenConfig};
use crate::forward::Forwarder;
use crate::lifecycle::Tasks;
use crate::limit::{LimitStores, Limiter, StoreFailed};
use crate::pipeline::Pipeline;
use crate::places::Places;
use crate::telemetry::{Peer, Telemetry};
use crate::token;
use crate::token::{ExchangeReport, TokenStore, Tokens};
use crate::validate::BatchRules;

/// State that outlives configurations.
pub(super) struct Stores {
    pub(super) clock: Clock,
    pub(super) telemetry: Telemetry,
    pub(super) keys: KeyStores,
    pub(super) limits: LimitStores,
    verified: VerifiedTokens,
    tokens: TokenStore,
    /// To the token endpoint; of its own, so that it and the SSO's keys cannot starve each other.
    token_client: Mutex<(TokenConfig, Client)>,
    upstream: Mutex<(ForwardConfig, Pool)>,
    upstream_max: usize,
    roots: SystemRoots,
    tasks: Tasks,
    in_flight: Places,
    arriving: Places,
    uploads: Places,
    budget: Arc<Budget>,
}

impl Stores {
    /// `upstream_max`: how many connections to KooDrive there are descriptors for.
    pub(super) fn new(
        config: &Config,
        options: AppOptions<'_>,
        tasks: Tasks,
        upstream_max: usize,
    ) -> Result<Self, StartError> {
        let AppOptions { clock, logs, environment } = options;
        let roots = SystemRoots::load();
        let client = |max_idle| network_client(&roots, max_idle).map_err(SetupError::Client);
        let upstream = upstream_pool(&config.forward, upstream_max, &roots, &tasks)
            .map_err(SetupError::Client)?;
        let to_token_endpoint = token_client(&config.token, &roots).map_err(SetupError::Client)?;
        let telemetry = Telemetry::new(&config.telemetry, environment, client(1)?, logs, &tasks)?;
        let told = telemetry.clone();
        let key_reports = Arc::new(move |fetch: KeyFetch| told.key_fetch(&fetch));
        let told = telemetry.clone();
        let exchange_reports = Arc::new(move |report: ExchangeReport| told.exchange(&report));
        let told = telemetry.clone();
        let store_reports = Arc::new(move |StoreFailed| told.metrics().limit_store_failed());
        Ok(Self {
            keys: KeyStores::new(client(1)?, clock.clone(), tasks.clone(), key_reports),
            verified: VerifiedTokens::new(),
            limits: LimitStores::new(&config.limit, clock.clone(), tasks.clone(), store_reports),
            tokens: TokenStore::new(clock.clone(), tasks.clone(), exchange_reports),
            token_client: Mutex::new((config.token.clone(), to_token_endpoint)),
            upstream: Mutex::new((config.forward.clone(), upstream)),
            upstream_max,
            roots,
            tasks,
            in_flight: Places::new("calls", config.listen.max_in_flight),
            arriving: Places::new(
                "bodies that arrive",
                Places::three_quarters(config.listen.max_in_flight),
            ),
            uploads: Places::new("uploads", Places::three_quarters(config.forward.max_connections)),
            budget: Budget::new(config.listen.max_buffered),
            clock,
            telemetry,
        })
    }

    /// The stages under `config`, over what this process already holds. On an error that is
    /// still what it was: the pipeline in force goes on with it.
    pub(super) fn pipeline(&self, config: &Config) -> Result<Pipeline, SetupError> {
        let pool = self.upstream_pool(&config.forward)?;
        let token_client = self.token_client(&config.token)?;
        let issuers = &config.accept.issuers;
        let tokens = Tokens::new(&config.token, issuers, &self.tokens, token_client.clone())?;
        let caller_key = &config.telemetry.caller_key_file;
        let identities = IdentityRules {
            kept_claims: token::claims_read(&config.token, issuers)?,
            caller_key: CallerKey::new(caller_key.is_set().then(|| caller_key.secret())),
        };
        *self.token_client.lock().unwrap_or_else(PoisonError::into_inner) =
            (config.token.clone(), token_client);
        self.keep_upstream(&config.forward, &pool);
        self.telemetry.follow(&config.accept, &config.token);
        self.uploads.resize(Places::three_quarters(config.forward.max_connections));
        self.keys.apply(&config.accept);
        let upstream = config.forward.upstream.as_ref();
        let upstream = upstream.expect("a checked configuration has an upstream");
        let authorizer = Authorizer::new(&config.authorize, upstream.base_path());
        let acceptor = Acceptor::new(&config.accept, &self.keys, &self.verified, identities);
        let sso_header = config.accept.header.clone();
        let language = &config.validate.default_language;
        Ok(Pipeline {
            clock: self.clock.clone(),
            telemetry: self.telemetry.clone(),
            on_illegal_trace_id: config.trace_id.on_illegal,
            routes: Routes::new(upstream.base_path(), &config.forward.prefix),
            acceptor: acceptor.asking(authorizer.requirements()),
            authorizer,
            limiter: Limiter::new(&config.limit, &self.limits),
            validate_mode: config.validate.mode,
            rules: BatchRules::new(&config.validate),
            default_language: HeaderValue::from_str(language)
                .ok()
                .filter(|language| !language.is_empty()),
            tokens,
            upstream: Arc::new(Peer::of(upstream)),
            forwarder: Forwarder::new(&config.forward, sso_header, pool, self.uploads.clone()),
            in_flight: self.in_flight.clone(),
            arriving: self.arriving.clone(),
            budget: Arc::clone(&self.budget),
        })
    }

    /// The pool stays as long as nothing about the way to KooDrive changed.
    fn upstream_pool(&self, config: &ForwardConfig) -> Result<Pool, ClientSetupError> {
        let current = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 == *config {
            Ok(current.1.clone())
        } else {
            upstream_pool(config, self.upstream_max, &self.roots, &self.tasks)
        }
    }

    /// So does the one to the token endpoint.
    fn token_client(&self, config: &TokenConfig) -> Result<Client, ClientSetupError> {
        let current = self.token_client.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 == *config { Ok(current.1.clone()) } else { token_client(config, &self.roots) }
    }

    fn keep_upstream(&self, config: &ForwardConfig, pool: &Pool) {
        let mut current = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 != *config {
            *current = (config.clone(), pool.clone());
        }
    }

    /// Counts what the caches hold, and lets go of what has expired.
    pub(super) async fn tidy(&self) {
        self.verified.tidy().await;
        self.tokens.tidy().await;
    }

    pub(super) fn verified(&self) -> &VerifiedTokens {
        &self.verified
    }
}

/// To the SSO, the token endpoint and the collector: one pool each.
pub(super) fn network_client(
    roots: &SystemRoots,
    pool_max_idle: usize,
) -> Result<Client, ClientSetupError> {
    Client::new(&ClientOptions {
        connect_timeout: CONNECT_TIMEOUT,
        pool_idle_timeout: POOL_IDLE_TIMEOUT,
        pool_max_idle,
        connections_max: pool_max_idle.max(CONNECTIONS_MAX),
        roots,
        extra_roots: "",
        identity: None,
    })
}

/// To the token endpoint: with a certificate of our own where that is how we prove ourselves.
pub(super) fn token_client(
    config: &TokenConfig,
    roots: &SystemRoots,
) -> Result<Client, ClientSetupError> {
    let identity = (config.client_auth == ClientAuth::Tls).then(|| {
        (config.client_certificate_file.text(), config.client_key_file.secret().expose_secret())
    });
    Client::new(&ClientOptions {
        connect_timeout: CONNECT_TIMEOUT,
        pool_idle_timeout: POOL_IDLE_TIMEOUT,
        pool_max_idle: config.max_concurrent,
        connections_max: config.max_concurrent,
        roots,
        extra_roots: config.ca_file.text(),
        identity,
    })
}

/// At most `connections_max`, whatever is configured: for more there are no descriptors.
fn upstream_pool(
    config: &ForwardConfig,
    connections_max: usize,
    roots: &SystemRoots,
    tasks: &Tasks,
) -> Result<Pool, ClientSetupError> {
    let upstream = config.upstream.as_ref().expect("a checked configuration has an upstream");
    let pool = Pool::new(&upstream_options(config, connections_max, roots), upstream.uri())?;
    tasks.spawn("upstream-connections", pool.watch());
    Ok(pool)
}

pub(super) fn upstream_options<'a>(
    config: &'a ForwardConfig,
    connections_max: usize,
    roots: &'a SystemRoots,
) -> ClientOptions<'a> {
    let identity = config.client_certificate_file.is_set().then(|| {
        (config.client_certificate_file.text(), config.client_key_file.secret().expose_secret())
    });
    let connections_max = config.max_connections.min(connections_max);
    ClientOptions {
        connect_timeout: config.connect_timeout,
        pool_idle_timeout: config.pool_idle_timeout,
        pool_max_idle: connections_max,
        connections_max,
        roots,
        extra_roots: config.ca_file.text(),
        identity,
    }
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stores").finish_non_exhaustive()
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Many issuers may be asked at once.
const CONNECTIONS_MAX: usize = 64;
/// Short: an exchange that meets a connection its peer is closing has to be sent once more.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(5);
