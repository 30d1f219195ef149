//! The key stores of all configured issuers, and what they tell the rest of the process.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::FetchFailure;
use super::fetch::KeyFetch;
use super::jwks::{IssuerKeys, KeySettings};
use super::keys::{Skipped, UsableKey};
use crate::client::Client;
use crate::clock::Clock;
use crate::config::{AcceptConfig, KeySource};
use crate::lifecycle::Tasks;

/// The keys of all configured issuers: one store each. Survives reloads; clones share it.
#[derive(Clone)]
pub struct KeyStores {
    clock: Clock,
    fetching: Option<Arc<Fetching>>,
    issuers: Arc<Mutex<Vec<Arc<IssuerKeys>>>>,
}

/// What it takes to fetch.
pub(super) struct Fetching {
    pub(super) client: Client,
    tasks: Tasks,
    pub(super) report: Arc<dyn Fn(KeyFetch) + Send + Sync>,
}

/// The keys of one issuer as they are now.
#[derive(Clone, Debug)]
pub struct IssuerOverview {
    pub issuer: Arc<str>,
    /// Those that signatures are verified with.
    pub keys: Vec<UsableKey>,
    /// Time since they arrived; zero for those from a file, none where none ever did.
    pub age: Option<Duration>,
    /// Keys of the last set that are not used.
    pub skipped: Skipped,
    /// Why the last fetch failed, until one succeeds.
    pub failure: Option<FetchFailure>,
}

impl KeyStores {
    /// No issuer yet: see [`KeyStores::apply`]. `report` hears of every fetch.
    pub fn new(
        client: Client,
        clock: Clock,
        tasks: Tasks,
        report: Arc<dyn Fn(KeyFetch) + Send + Sync>,
    ) -> Self {
        let fetching = Some(Arc::new(Fetching { client, tasks, report }));
        Self { clock, fetching, issuers: Arc::default() }
    }

    /// Key set files only; nothing is fetched. For commands that must not use the network.
    pub fn offline(clock: Clock) -> Self {
        Self { clock, fetching: None, issuers: Arc::default() }
    }

    /// Follows the configuration: new issuers start fetching (needs a runtime), dropped ones
    /// stop, the others keep their keys; those whose source changed fetch at once.
    pub fn apply(&self, config: &AcceptConfig) {
        let mut issuers = self.issuers();
        issuers.retain(|keys| {
            let kept = config.issuers.iter().any(|issuer| *issuer.issuer == *keys.issuer);
            if !kept {
                keys.stop.cancel();
            }
            kept
        });
        for issuer in &config.issuers {
            let settings = KeySettings::new(config, issuer);
            match issuers.iter().find(|keys| *keys.issuer == *issuer.issuer) {
                Some(keys) => self.change(keys, &settings),
                None => issuers.push(self.start(issuer.issuer.as_str().into(), settings)),
            }
        }
    }

    /// Issuers without usable keys: while there is one, the process is not ready.
    pub fn missing(&self) -> Vec<Arc<str>> {
        let issuers = self.issuers();
        let missing = issuers.iter().filter(|keys| !keys.is_ready());
        missing.map(|keys| Arc::clone(&keys.issuer)).collect()
    }

    /// Fetches the keys of every issuer now. Files are read anew by the reload of the
    /// configuration.
    pub fn refresh(&self) {
        for keys in self.issuers().iter() {
            keys.state().is_requested = true;
            keys.fetch_in(Duration::ZERO);
            keys.wake.notify_one();
        }
    }

    /// What there is to verify with, for people.
    pub fn overview(&self) -> Vec<IssuerOverview> {
        let overview = |keys: &Arc<IssuerKeys>| {
            let state = keys.state();
            let (skipped, failure) = (state.skipped.clone(), state.failure.clone());
            drop(state);
            let issuer = Arc::clone(&keys.issuer);
            IssuerOverview { issuer, keys: keys.describe(), age: keys.age(), skipped, failure }
        };
        self.issuers().iter().map(overview).collect()
    }

    /// Time since each issuer's keys arrived; issuers that never had any are left out.
    pub fn ages(&self) -> Vec<(Arc<str>, Duration)> {
        let issuers = self.issuers();
        issuers.iter().filter_map(|keys| Some((Arc::clone(&keys.issuer), keys.age()?))).collect()
    }

    pub(super) fn of(&self, issuer: &str) -> Option<Arc<IssuerKeys>> {
        self.issuers().iter().find(|keys| *keys.issuer == *issuer).cloned()
    }

    fn start(&self, issuer: Arc<str>, settings: KeySettings) -> Arc<IssuerKeys> {
        let keys = Arc::new(IssuerKeys::new(issuer, settings, self.clock.clone()));
        self.read_file(&keys);
        if let Some(fetching) = &self.fetching {
            let work = Arc::clone(&keys).keep_fresh(Arc::clone(fetching));
            fetching.tasks.spawn("jwks-refresh", work);
        }
        keys
    }

    fn change(&self, keys: &IssuerKeys, settings: &KeySettings) {
        let old = keys.settings.swap(Arc::new(settings.clone()));
        if old.source != settings.source {
            keys.state().discovered = None;
            self.read_file(keys);
        }
        if *old != *settings {
            keys.fetch_in(Duration::ZERO);
            keys.wake.notify_one();
        }
    }

    fn read_file(&self, keys: &IssuerKeys) {
        if let KeySource::File(file) = &keys.settings.load().source {
            let fetch = keys.read_file(file);
            if let Some(fetching) = &self.fetching {
                (fetching.report)(fetch);
            }
        }
    }

    fn issuers(&self) -> MutexGuard<'_, Vec<Arc<IssuerKeys>>> {
        self.issuers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.issuers().iter().map(|keys| &keys.issuer)).finish()
    }
}
