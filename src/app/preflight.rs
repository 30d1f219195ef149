//! Asks the servers that a configuration names whether they answer: `check-config --online`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};
use tokio::sync::mpsc;

use super::stores::{network_client, upstream_options};
use crate::accept::{KeyFetch, KeyFetchOutcome, KeyStores, UsableKey};
use crate::body::OutboundBody;
use crate::client::{Client, SystemRoots};
use crate::clock::Clock;
use crate::config::{Config, HttpUrl};
use crate::lifecycle::Tasks;
use crate::telemetry::chain;

/// What came of asking one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub ok: bool,
    text: String,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.ok { "ok    " } else { "FAILED" }, self.text)
    }
}

/// Fetches the keys of every issuer, and asks the token endpoint and KooDrive for any answer.
pub async fn preflight(config: &Config) -> Vec<Probe> {
    let roots = SystemRoots::load();
    let mut probes = probe_keys(config, &roots).await;
    if let Some(endpoint) = &config.token.endpoint {
        probes.push(match network_client(&roots, 1) {
            Ok(client) => reach("token endpoint", endpoint, &client).await,
            Err(error) => failed(format!("token endpoint: {}", chain(&error))),
        });
    }
    if let Some(upstream) = &config.forward.upstream {
        probes.push(match Client::new(&upstream_options(&config.forward, &roots)) {
            Ok(client) => reach("KooDrive", upstream, &client).await,
            Err(error) => failed(format!("KooDrive: {}", chain(&error))),
        });
    }
    probes
}

async fn probe_keys(config: &Config, roots: &SystemRoots) -> Vec<Probe> {
    let client = match network_client(roots, 1) {
        Ok(client) => client,
        Err(error) => return vec![failed(format!("keys: {}", chain(&error)))],
    };
    let (sender, mut fetches) = mpsc::unbounded_channel();
    let report = Arc::new(move |fetch: KeyFetch| {
        // Nobody listens any more once every issuer has answered.
        drop(sender.send(fetch));
    });
    let tasks = Tasks::default();
    let keys = KeyStores::new(client, Clock::system(), tasks.clone(), report);
    keys.apply(&config.accept);
    let mut waiting: Vec<&str> =
        config.accept.issuers.iter().map(|issuer| issuer.issuer.as_str()).collect();
    let mut probes = Vec::new();
    let deadline = tokio::time::Instant::now() + ANSWER_TIMEOUT;
    while !waiting.is_empty() {
        let Ok(Some(fetch)) = tokio::time::timeout_at(deadline, fetches.recv()).await else {
            break;
        };
        if waiting.iter().any(|issuer| **issuer == *fetch.issuer) {
            waiting.retain(|issuer| **issuer != *fetch.issuer);
            let usable = keys.overview().into_iter().find(|keys| keys.issuer == fetch.issuer);
            probes.push(Probe {
                ok: fetch.outcome == KeyFetchOutcome::Fetched,
                text: told(&fetch, &usable.map(|keys| keys.keys).unwrap_or_default()),
            });
        }
    }
    probes.extend(waiting.iter().map(|issuer| failed(format!("keys of {issuer}: no answer"))));
    tasks.stop(Duration::from_secs(1)).await;
    probes
}

/// Which keys arrived and which of them are of no use, or why none did.
fn told(fetch: &KeyFetch, usable: &[UsableKey]) -> String {
    let named = usable.iter().map(|key| format!("{} ({})", key.kid, key.algorithms.join(" ")));
    let named = match usable {
        [] => String::new(),
        _ => format!(": {}", named.collect::<Vec<_>>().join(", ")),
    };
    let remark = match &fetch.failure {
        Some(failure) => format!("; {failure}"),
        None if fetch.skipped.is_empty() => String::new(),
        None => format!("; not usable: {}", fetch.skipped),
    };
    let (issuer, outcome) = (&fetch.issuer, fetch.outcome.as_str());
    format!("keys of {issuer}: {outcome}, {} usable{named}{remark}", fetch.keys)
}

/// Any HTTP answer will do: without a token there is nothing more to ask.
async fn reach(name: &str, url: &HttpUrl, client: &Client) -> Probe {
    let mut request = Request::new(OutboundBody::empty());
    *request.method_mut() = Method::HEAD;
    *request.uri_mut() = url.uri().clone();
    match client.send_small(request, ANSWER_BYTES_MAX, ANSWER_TIMEOUT).await {
        Ok(answer) => Probe {
            ok: true,
            text: format!("{name} {url}: reached, status {}", answer.status.as_u16()),
        },
        Err(error) => failed(format!("{name} {url}: {}", chain(&error))),
    }
}

fn failed(text: String) -> Probe {
    Probe { ok: false, text }
}

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 * 1024;
