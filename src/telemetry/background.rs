//! What happens behind the calls: fetches of keys, exchanges, the clocks of other hosts.
//!
//! Rooms report in their own words; what is added here is the server that was asked, which the
//! configuration in force knows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use http::HeaderValue;

use super::event::{Peer, SkewedPeer};
use super::{Telemetry, trace};
use crate::accept::{KeyFetch, KeyFetchCause};
use crate::config::{AcceptConfig, HttpUrl, TokenConfig};
use crate::token::ExchangeReport;

/// The servers that background work asks.
#[derive(Debug, Default)]
pub(super) struct Peers(ArcSwap<Known>);

#[derive(Debug, Default)]
struct Known {
    token_endpoint: Option<Peer>,
    issuers: HashMap<String, Peer>,
}

impl Peers {
    fn follow(&self, accept: &AcceptConfig, token: &TokenConfig) {
        let issuers = accept.issuers.iter().filter_map(|issuer| {
            // Without a URL of its own the key set is found at the issuer.
            let discovered: Option<HttpUrl> = issuer.issuer.parse().ok();
            let url = issuer.jwks_url.as_ref().or(discovered.as_ref())?;
            Some((issuer.issuer.clone(), Peer::of(url)))
        });
        let issuers = issuers.collect();
        let token_endpoint = token.endpoint.as_ref().map(Peer::of);
        self.0.store(Arc::new(Known { token_endpoint, issuers }));
    }
}

impl Telemetry {
    /// From now on background work asks the servers of this configuration.
    pub fn follow(&self, accept: &AcceptConfig, token: &TokenConfig) {
        self.0.peers.follow(accept, token);
    }

    /// A key set was fetched or read, or was not.
    pub fn key_fetch(&self, fetch: &KeyFetch) {
        self.0.metrics.key_fetched(fetch);
        if let Some(seconds) = fetch.skew_seconds {
            self.clock_skew(SkewedPeer::Sso, seconds);
        }
        if fetch.cause == KeyFetchCause::File {
            return;
        }
        if let Some(export) = self.exporting(self.sample(None, fetch.span.trace_id)) {
            let known = self.0.peers.0.load();
            export.offer(1, || trace::of_key_fetch(fetch, known.issuers.get(&*fetch.issuer)));
        }
    }

    /// The token endpoint answered, or did not.
    pub fn exchange(&self, report: &ExchangeReport) {
        self.0.metrics.exchanged(report);
        if let Some(seconds) = report.skew_seconds {
            self.clock_skew(SkewedPeer::TokenEndpoint, seconds);
        }
        if let Some(export) = self.exporting(report.span.sampled) {
            let known = self.0.peers.0.load();
            export.offer(1, || trace::of_exchange(report, known.token_endpoint.as_ref()));
        }
    }

    /// An answer of the upstream carried `date` and came at `now`.
    pub fn upstream_date(&self, date: &HeaderValue, now: SystemTime) {
        if let Some(seconds) = self.0.skews.of_upstream(date, now) {
            self.clock_skew(SkewedPeer::Upstream, seconds);
        }
    }

    fn clock_skew(&self, peer: SkewedPeer, seconds: i64) {
        self.0.skews.note(peer, seconds, &self.0.metrics);
    }
}
