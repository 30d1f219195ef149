//! The keys of every issuer, fetched once: for commands that need them or try the SSO out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::network::{Outside, network_client};
use crate::accept::{KeyFetch, KeyStores};
use crate::clock::Clock;
use crate::config::AcceptConfig;
use crate::lifecycle::Tasks;

/// What was fetched.
#[derive(Debug)]
pub struct FetchedKeys {
    /// They stay as they are: nothing is fetched any more.
    pub keys: KeyStores,
    /// The first attempt of each issuer, in the order of the answers.
    pub fetches: Vec<KeyFetch>,
    /// Issuers that had not answered when time was over.
    pub silent: Vec<String>,
}

impl FetchedKeys {
    /// Of what one attempt brought: the usable keys by name and algorithms, and those that are not.
    pub fn usable(&self, fetch: &KeyFetch) -> String {
        let overview = self.keys.overview().into_iter().find(|keys| keys.issuer == fetch.issuer);
        let usable = overview.map(|keys| keys.keys).unwrap_or_default();
        let named = usable.iter().map(|key| format!("{} ({})", key.kid, key.algorithms.join(" ")));
        let named = named.collect::<Vec<_>>().join(", ");
        let named = if named.is_empty() { named } else { format!(": {named}") };
        let skipped = match &fetch.failure {
            None if !fetch.skipped.is_empty() => format!("; not usable: {}", fetch.skipped),
            _ => String::new(),
        };
        format!("{} usable{named}{skipped}", fetch.keys)
    }
}

/// One attempt for each issuer; those with a key set file read it.
pub async fn fetch_keys(config: &AcceptConfig, outside: &Outside) -> FetchedKeys {
    let (sender, mut fetched) = mpsc::unbounded_channel();
    let report = Arc::new(move |fetch: KeyFetch| {
        // Nobody listens any more once every issuer has answered.
        drop(sender.send(fetch));
    });
    let tasks = Tasks::default();
    let client = network_client(outside, 1, &config.ca_file);
    let keys = KeyStores::new(client, Clock::system(), tasks.clone(), report);
    keys.apply(config);
    let mut silent: Vec<String> =
        config.issuers.iter().map(|issuer| issuer.issuer.to_string()).collect();
    let mut fetches = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while !silent.is_empty() {
        let Ok(Some(fetch)) = tokio::time::timeout_at(deadline, fetched.recv()).await else {
            break;
        };
        if silent.iter().any(|issuer| **issuer == *fetch.issuer) {
            silent.retain(|issuer| **issuer != *fetch.issuer);
            fetches.push(fetch);
        }
    }
    tasks.stop(STOP_PATIENCE).await;
    FetchedKeys { keys, fetches, silent }
}

/// Discovery and keys, with time to spare.
const PATIENCE: Duration = Duration::from_secs(12);
const STOP_PATIENCE: Duration = Duration::from_secs(1);
