//! What survives a reload, and how a pipeline is made of it.

use std::sync::Arc;

use super::network::Network;
use super::{AppOptions, StartError};
use crate::accept::{Acceptor, CallerKey, IdentityRules, KeyFetch, KeyStores, VerifiedTokens};
use crate::authorize::Authorizer;
use crate::body::Budget;
use crate::call::Routes;
use crate::client::{EgressError, ProxyVariables};
use crate::clock::Clock;
use crate::config::{Config, HttpUrl};
use crate::forward::Forwarder;
use crate::lifecycle::Tasks;
use crate::limit::{LimitStores, Limiter, StoreNews};
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
    pub(super) network: Network,
    pub(super) in_flight: Places,
    pub(super) arriving: Places,
    pub(super) uploads: Places,
    pub(super) budget: Arc<Budget>,
}

impl Stores {
    /// `upstream_max`: how many connections to KooDrive there are descriptors for.
    pub(super) fn new(
        config: &Config,
        options: AppOptions<'_>,
        tasks: Tasks,
        upstream_max: usize,
    ) -> Result<Self, StartError> {
        let AppOptions { clock, logs, environment, workers: _ } = options;
        let variables = ProxyVariables::read(environment);
        let network = Network::new(config, upstream_max, variables, tasks.clone())?;
        let collector = network.collector.clone();
        let telemetry =
            Telemetry::new(&config.telemetry, environment, collector, clock.clone(), logs, &tasks)?;
        // Before any of them is asked: the limit store is tried as soon as it is named.
        telemetry.follow(&config.accept, &config.limit, &config.token, &config.forward);
        let told = telemetry.clone();
        let key_reports = Arc::new(move |fetch: KeyFetch| told.key_fetch(&fetch));
        let told = telemetry.clone();
        let exchange_reports = Arc::new(move |report: ExchangeReport| told.exchange(&report));
        let told = telemetry.clone();
        let store_reports = Arc::new(move |news: StoreNews| told.limit_store(news));
        Ok(Self {
            keys: KeyStores::new(network.sso.clone(), clock.clone(), tasks.clone(), key_reports),
            verified: VerifiedTokens::new(),
            limits: LimitStores::new(&config.limit, clock.clone(), tasks.clone(), store_reports),
            tokens: TokenStore::new(clock.clone(), tasks, exchange_reports),
            network,
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
    pub(super) fn pipeline(&self, config: &Config) -> Result<Pipeline, EgressError> {
        let network = self.network.prepare(config)?;
        let issuers = &config.accept.issuers;
        let client = self.network.token.clone();
        let tokens = Tokens::new(&config.token, issuers, &self.tokens, client);
        let identities = IdentityRules {
            kept_claims: token::claims_read(&config.token, issuers),
            caller_key: CallerKey::new(config.telemetry.caller_key_file.secret()),
        };
        let pool = network.pool.clone();
        self.network.adopt(network);
        self.telemetry.follow(&config.accept, &config.limit, &config.token, &config.forward);
        self.uploads.resize(Places::three_quarters(config.forward.max_connections));
        self.keys.apply(&config.accept);
        let upstream: &HttpUrl = &config.forward.upstream;
        let authorizer = Authorizer::new(&config.authorize, upstream.base_path());
        self.telemetry.know_rules(authorizer.outcomes());
        let acceptor = Acceptor::new(&config.accept, &self.keys, &self.verified, identities);
        let sso_header = config.accept.header.clone();
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
            default_language: config.validate.default_language.clone(),
            tokens,
            upstream: Arc::new(Peer::of(upstream)),
            forwarder: Forwarder::new(&config.forward, sso_header, pool, self.uploads.clone()),
            in_flight: self.in_flight.clone(),
            arriving: self.arriving.clone(),
            budget: Arc::clone(&self.budget),
        })
    }

    /// Counts what the caches hold, and lets go of what has expired.
    pub(super) async fn tidy(&self) {
        self.telemetry.tidy();
        self.verified.tidy().await;
        self.tokens.tidy().await;
    }

    pub(super) fn verified(&self) -> &VerifiedTokens {
        &self.verified
    }
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stores").finish_non_exhaustive()
    }
}
