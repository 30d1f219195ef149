//! The composition root: stores, pipeline, listeners, and the loop that reloads and stops.
//!
//! Stores outlive configurations; a pipeline is made anew for each. Tests boot the same function
//! on port 0 and read the addresses.
//!
//! The order of a start: addresses first, so that a second gateway on one port fails before it has
//! asked the SSO for anything; then the stores, whose key fetches run while the rest is wired; the
//! admin listener as soon as there is something to say, so that probes see what is missing; callers
//! last. The order of a stop is in [`Bound::run`].

mod admin_pages;
mod fetch_keys;
mod fill;
mod memory;
mod network;
mod preflight;
mod reload;
mod stores;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

pub use self::fetch_keys::{FetchedKeys, fetch_keys};
pub use self::memory::{MemoryBound, memory_bounds, memory_limit};
pub use self::network::Outside;
pub use self::preflight::{Probe, preflight};
pub use self::reload::ConfigSource;
use self::reload::{Reloader, serving_on};
use self::stores::Stores;
use crate::admin;
use crate::admin::Pages;
use crate::client::EgressError;
use crate::clock::Clock;
use crate::config::{Config, ListenAddress, Loaded};
use crate::lifecycle::{
    DescriptorShares, Drain, Event, Readiness, ServiceManager, Tasks, Workers, descriptors,
};
use crate::listener::Listener;
use crate::pipeline::CurrentPipeline;
use crate::server::{Server, Tls};
use crate::telemetry::{Environment, LogWriter, Telemetry, TelemetrySetupError};

/// What the process brings along besides its configuration.
pub struct AppOptions<'a> {
    pub clock: Clock,
    pub logs: LogWriter,
    /// For the `OTEL_*` variables, `NOTIFY_SOCKET` and `LISTEN_FDS`.
    pub environment: Environment<'a>,
    /// Who serves connections.
    pub workers: Workers,
}

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}")]
    Listen {
        address: ListenAddress,
        #[source]
        cause: io::Error,
    },
    #[error("cannot take over the socket of the service manager")]
    Inherited(#[source] io::Error),
    #[error("cannot set up telemetry")]
    Telemetry(#[from] TelemetrySetupError),
    #[error("cannot tell the service manager at NOTIFY_SOCKET")]
    ServiceManager(#[source] io::Error),
    #[error("cannot find the way out")]
    Egress(#[from] EgressError),
}

/// A gateway that listens, but does not serve yet.
#[derive(Debug)]
pub struct Bound {
    /// The address that was really taken.
    pub address: ListenAddress,
    pub admin_address: ListenAddress,
    pub readiness: Readiness,
    /// What the admin listener shows, for who asks within the process.
    pub pages: Arc<Pages>,
    /// Connections wait in a socket of the service manager, so they can wait for the keys as well.
    waits_for_keys: bool,
    server: Server,
    drain: Drain,
    tasks: Tasks,
    telemetry: Telemetry,
    manager: ServiceManager,
    reloader: Reloader,
}

/// Takes the addresses, starts fetching keys, and wires everything.
pub async fn bind(loaded: &Loaded, options: AppOptions<'_>) -> Result<Bound, StartError> {
    let config = &loaded.config;
    let manager = (options.environment)("NOTIFY_SOCKET").unwrap_or_default();
    let manager = ServiceManager::at(&manager).map_err(StartError::ServiceManager)?;
    let shares = descriptor_shares(config);
    let inherited = match (options.environment)("LISTEN_FDS") {
        Some(_) => Listener::inherited().map_err(StartError::Inherited)?,
        None => None,
    };
    let waits_for_keys = inherited.is_some();
    let listener = match inherited {
        Some(listener) => listener,
        None => listen(&config.listen.address).await?,
    };
    let admin_listener = listen(&config.admin.address).await?;
    let (address, admin_address) = (address_of(&listener)?, address_of(&admin_listener)?);

    let tasks = Tasks::default();
    let drain = Drain::of(options.workers.clone());
    let readiness = Readiness::default();
    let stores = Arc::new(Stores::new(config, options, tasks.clone(), shares.upstream)?);
    let pipeline = CurrentPipeline::new(stores.pipeline(config)?);
    let tls = Tls::new(&config.listen).map(Arc::new);
    let server = Server::new(
        listener,
        &config.listen,
        shares.callers,
        tls.clone(),
        pipeline.clone(),
        drain.watch(),
        stores.clock.clone(),
    );
    let keys = stores.keys.clone();
    readiness.watch(move || keys.missing().iter().map(|issuer| format!("keys:{issuer}")).collect());
    let reloader =
        Reloader::new(loaded, address.clone(), Arc::clone(&stores), pipeline, tls, manager.clone());
    let pages = admin_pages::pages(&stores, &reloader, readiness.clone(), drain.watch(), shares);
    let pages = Arc::new(pages);
    let serving = admin::serve(
        admin_listener,
        Arc::clone(&pages),
        config.admin.hosts.clone().into(),
        tasks.clone(),
    );
    tasks.spawn("admin", serving);
    tasks.spawn("housekeeping", housekeeping(Arc::clone(&stores)));
    let telemetry = stores.telemetry.clone();
    Ok(Bound {
        address,
        admin_address,
        readiness,
        pages,
        waits_for_keys,
        server,
        drain,
        tasks,
        telemetry,
        manager,
        reloader,
    })
}

impl Bound {
    /// Serves until told to stop, then drains. `source` is where changed configurations come from.
    /// Returns whether every call in flight could finish.
    ///
    /// Unready before anything else ends, so that nobody is sent here any more; then calls end, and
    /// with them their records; then the spans of those go out; then the background tasks, which
    /// served all of them. Each step has its own bound, and a second signal ends them all.
    pub async fn run(
        self,
        mut events: mpsc::Receiver<Event>,
        source: Option<ConfigSource>,
    ) -> bool {
        self.announce();
        let Self { server, drain, tasks, telemetry, manager, mut reloader, readiness, .. } = self;
        let ready = self.waits_for_keys.then(|| readiness.clone());
        tasks.spawn("server", async move {
            if let Some(readiness) = ready {
                // Bounded: without keys callers are told so, rather than kept waiting.
                tokio::time::timeout(KEYS_TIMEOUT, ready_once(&readiness)).await.unwrap_or(());
            }
            server.run().await;
        });
        let waiting = readiness.clone();
        tasks.spawn("ready", async move {
            ready_once(&waiting).await;
            tracing::info!("ready");
        });
        if manager.is_there() {
            let told = tell_when_ready(manager.clone(), readiness.clone(), self.address.clone());
            tasks.spawn("service-manager", told);
        }
        reloader.run_until_stop(&mut events, source).await;

        let (linger, patience) = reloader.stop_times();
        tracing::info!(?linger, drain = ?patience, "stopping");
        manager.stopping("stopping: calls in flight may finish");
        readiness.drain();
        let left = tokio::select! {
            left = drain.run(linger, patience) => left,
            () = second_stop(&mut events) => {
                tracing::warn!("stopped a second time, exiting at once");
                return false;
            }
        };
        if 0 < left {
            tracing::warn!(left, "connections cut off at the end of the drain");
        }
        // Before the tasks stop: one of them sends the spans.
        telemetry.flush(FLUSH_TIMEOUT).await;
        tasks.stop(TASKS_TIMEOUT).await;
        tracing::info!("stopped");
        left == 0
    }

    /// What was started, by which configuration, between whom.
    fn announce(&self) {
        let loaded = self.reloader.in_force.loaded();
        let config = &loaded.config;
        let issuers = config.accept.issuers.iter().map(|issuer| issuer.issuer.as_str());
        let issuers = issuers.collect::<Vec<_>>().join(", ");
        tracing::info!(
            address = %self.address,
            admin = %self.admin_address,
            version = env!("CARGO_PKG_VERSION"),
            commit = env!("KOODRIVE_GATEWAY_COMMIT"),
            configuration = loaded.file,
            upstream = config.forward.upstream.as_str(),
            issuers,
            "listening"
        );
    }
}

async fn ready_once(readiness: &Readiness) {
    let mut every = tokio::time::interval(READINESS_EVERY);
    while !readiness.is_ready() {
        every.tick().await;
    }
}

/// Says what is missing until nothing is.
async fn tell_when_ready(manager: ServiceManager, readiness: Readiness, address: ListenAddress) {
    let mut said = Vec::new();
    let mut every = tokio::time::interval(READINESS_EVERY);
    loop {
        every.tick().await;
        let reasons = readiness.reasons();
        if reasons.is_empty() {
            manager.ready(&serving_on(&address));
            return;
        }
        if reasons != said {
            manager.status(&format!("not ready: {}", reasons.join(", ")));
            said = reasons;
        }
    }
}

async fn second_stop(events: &mut mpsc::Receiver<Event>) {
    loop {
        match events.recv().await {
            Some(Event::Stop) => return,
            Some(Event::Reload) => {}
            None => std::future::pending().await,
        }
    }
}

/// What callers and KooDrive get of the descriptors there may be; a warning when it is less than
/// configured.
fn descriptor_shares(config: &Config) -> DescriptorShares {
    let (callers, upstream) = (config.listen.max_connections, config.forward.max_connections);
    let limit = match descriptors::raise_limit() {
        Ok(limit) => limit,
        Err(error) => {
            tracing::warn!(%error, "limit of open files not raised");
            descriptors::limit()
        }
    };
    let shares = DescriptorShares::of(limit, callers, upstream);
    if shares.callers < callers || shares.upstream < upstream {
        tracing::warn!(
            limit,
            needed = DescriptorShares::needed(callers, upstream),
            "listen.max_connections" = callers,
            "forward.max_connections" = upstream,
            callers = shares.callers,
            upstream = shares.upstream,
            "too few file descriptors for all connections, fewer are opened; raise the limit"
        );
    }
    shares
}

async fn listen(address: &ListenAddress) -> Result<Listener, StartError> {
    Listener::bind(address)
        .await
        .map_err(|cause| StartError::Listen { address: address.clone(), cause })
}

fn address_of(listener: &Listener) -> Result<ListenAddress, StartError> {
    listener.address().map_err(|cause| StartError::Listen {
        address: ListenAddress::Unix(Path::new("").to_owned()),
        cause,
    })
}

async fn housekeeping(stores: Arc<Stores>) {
    let (mut sweep, mut tidy) =
        (tokio::time::interval(SWEEP_EVERY), tokio::time::interval(TIDY_EVERY));
    loop {
        tokio::select! {
            _ = sweep.tick() => stores.limits.sweep(),
            _ = tidy.tick() => stores.tidy().await,
        }
    }
}

/// Nobody but a service manager at start is told so, and a tenth of a second is soon for one.
const READINESS_EVERY: Duration = Duration::from_millis(100);
/// Longest that a process behind a socket of the service manager waits for its first keys.
const KEYS_TIMEOUT: Duration = Duration::from_secs(5);
const SWEEP_EVERY: Duration = Duration::from_secs(30);
const TIDY_EVERY: Duration = Duration::from_secs(1);
const TASKS_TIMEOUT: Duration = Duration::from_secs(1);
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
