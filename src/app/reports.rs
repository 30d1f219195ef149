//! Carries what background work reports to telemetry, in telemetry's words.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::accept::{KeyFetch, KeyFetchOutcome};
use crate::config::{Config, HttpUrl};
use crate::limit::{StoreFailed, StoreReport};
use crate::telemetry;
use crate::telemetry::{Peer, SkewedPeer, Telemetry};
use crate::token::{ExchangeOutcome, ExchangeReport};

/// The servers background work asks, under the configuration in force. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Peers(Arc<ArcSwap<Known>>);

#[derive(Debug, Default)]
struct Known {
    token_endpoint: Option<Arc<Peer>>,
    issuers: HashMap<String, Arc<Peer>>,
}

impl Peers {
    pub(super) fn apply(&self, config: &Config) {
        let peer = |url: &HttpUrl| Arc::new(Peer::of(url));
        let issuers = config.accept.issuers.iter().filter_map(|issuer| {
            // Without an address of its own the key set is found at the issuer.
            let discovered = issuer.issuer.parse().ok();
            let url = issuer.jwks_url.clone().or(discovered)?;
            Some((issuer.issuer.clone(), peer(&url)))
        });
        let known = Known {
            token_endpoint: config.token.endpoint.as_ref().map(peer),
            issuers: issuers.collect(),
        };
        self.0.store(Arc::new(known));
    }
}

pub(super) fn of_key_fetches(
    telemetry: Telemetry,
    peers: Peers,
) -> Arc<dyn Fn(KeyFetch) + Send + Sync> {
    Arc::new(move |fetch| {
        if let Some(seconds) = fetch.skew_seconds {
            telemetry.clock_skew(SkewedPeer::Sso, seconds);
        }
        let server = peers.0.load().issuers.get(&*fetch.issuer).cloned();
        telemetry.key_fetch(&telemetry::KeyFetch {
            issuer: fetch.issuer,
            parent: None,
            started: fetch.started,
            ended: fetch.ended,
            outcome: fetch.outcome.label(),
            failed: fetch.outcome != KeyFetchOutcome::Fetched,
            status: None,
            server,
        });
    })
}

pub(super) fn of_exchanges(
    telemetry: Telemetry,
    peers: Peers,
) -> Arc<dyn Fn(ExchangeReport) + Send + Sync> {
    Arc::new(move |report| {
        if let Some(seconds) = report.skew_seconds {
            telemetry.clock_skew(SkewedPeer::TokenEndpoint, seconds);
        }
        telemetry.exchange(&telemetry::Exchange {
            span: report.span,
            parent: Some(report.parent),
            started: report.started,
            ended: report.ended,
            outcome: report.outcome.as_str(),
            failed: report.outcome != ExchangeOutcome::Issued,
            status: report.status,
            background: report.background,
            server: peers.0.load().token_endpoint.clone(),
        });
    })
}

pub(super) fn of_limit_store(telemetry: Telemetry) -> StoreReport {
    Arc::new(move |StoreFailed| telemetry.metrics().limit_store_failed())
}
