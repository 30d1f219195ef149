//! What happens behind the calls: fetches of keys, exchanges, the clocks of other hosts.
//!
//! Rooms report in their own words; what is added here is the server that was asked, which the
//! configuration in force knows.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue};

use super::apig::ApigLimit;
use super::clock_skew::Skew;
use super::event::{Attempt, Peer, SkewedPeer};
use super::keep::Keep;
use super::neighbours::{Neighbour, NeighbourKind};
use super::{Telemetry, chain, trace};
use crate::accept::{KeyFetch, KeyFetchCause, KeyFetchOutcome};
use crate::authorize::{RuleName, Verdict};
use crate::config::{AcceptConfig, ForwardConfig, IssuerConfig, LimitConfig, TokenConfig};
use crate::limit::StoreNews;
use crate::token::{Crowded, ExchangeReport, TokenError};

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
        let asked = |issuer: &IssuerConfig| {
            Some((issuer.issuer.to_string(), Peer::of(issuer.key_source().url()?)))
        };
        let issuers = accept.issuers.iter().filter_map(asked).collect();
        let token_endpoint = token.endpoint.as_ref().map(Peer::of);
        self.0.store(Arc::new(Known { token_endpoint, issuers }));
    }
}

impl Telemetry {
    /// From now on background work asks the servers of this configuration.
    pub fn follow(
        &self,
        accept: &AcceptConfig,
        limit: &LimitConfig,
        token: &TokenConfig,
        forward: &ForwardConfig,
    ) {
        self.0.peers.follow(accept, token);
        self.0.metrics.know_issuers(accept.issuers.iter().map(|issuer| &*issuer.issuer));
        self.0.neighbours.follow(accept, limit, token, forward);
    }

    /// Counts of these rules begin with 0, not with the first call that one of them decides.
    pub fn know_rules(&self, outcomes: impl IntoIterator<Item = (RuleName, Verdict)>) {
        self.0.metrics.know_rules(outcomes);
    }

    /// Those the gateway depends on, as they are now.
    pub fn neighbours(&self) -> Vec<Neighbour> {
        self.0.neighbours.overview()
    }

    /// Sees which outages are over. To be called every second or so.
    pub fn tidy(&self) {
        self.0.neighbours.tidy();
    }

    /// A key set was fetched or read, or was not.
    pub fn key_fetch(&self, fetch: &KeyFetch) {
        self.0.metrics.key_fetched(fetch);
        self.judge_sso(fetch);
        if let Some(seconds) = fetch.skew_seconds {
            self.clock_skew(SkewedPeer::Sso, Some(&fetch.issuer), seconds);
        }
        if fetch.cause == KeyFetchCause::File {
            return;
        }
        let failed = fetch.outcome != KeyFetchOutcome::Fetched;
        let sampled = self.sample(None, fetch.span.trace_id);
        if let Some(export) = self.exporting(sampled, |keep| failed && keep.failure(fetch.ended)) {
            let known = self.0.peers.0.load();
            export.offer(1, || trace::of_key_fetch(fetch, known.issuers.get(&*fetch.issuer)));
        }
    }

    /// The token endpoint answered, or did not.
    pub fn exchange(&self, report: &ExchangeReport) {
        self.0.metrics.exchanged(report);
        self.judge_token_endpoint(report);
        if let Some(seconds) = report.skew_seconds {
            self.clock_skew(SkewedPeer::TokenEndpoint, None, seconds);
        }
        let failed = report.error.is_some();
        let keeps = |keep: &Keep| failed && keep.failure(report.ended);
        if let Some(export) = self.exporting(report.span.sampled, keeps) {
            let known = self.0.peers.0.load();
            export.offer(1, || trace::of_exchange(report, known.token_endpoint.as_ref()));
        }
    }

    /// An answer of the upstream carried `date` and came at `now`.
    pub fn upstream_date(&self, date: &HeaderValue, now: SystemTime) {
        if let Some(seconds) = self.0.skews.of_upstream(date, now) {
            self.clock_skew(SkewedPeer::Upstream, None, seconds);
        }
    }

    /// An answer of the upstream, which may tell of limits, came at `now`.
    pub fn upstream_limits(&self, headers: &HeaderMap, now: SystemTime) {
        self.0.apig.note(headers, now);
    }

    /// What is known of the upstream's own limits.
    pub fn apig_limits(&self) -> Vec<ApigLimit> {
        self.0.apig.all()
    }

    /// The upstream answered an attempt; or why it did not, where that is its own fault.
    pub fn upstream(&self, attempt: &Attempt, failure: Option<&dyn Error>) {
        let neighbours = &self.0.neighbours;
        let failed = |cause: &dyn Fn() -> String| {
            neighbours.failed(NeighbourKind::KooDrive, None, cause);
        };
        match (failure, attempt.status) {
            (Some(failure), _) => failed(&|| chain(failure)),
            (None, Some(status @ 500..)) => failed(&|| format!("it answered {status}")),
            (None, _) => {
                let took = attempt.ended.duration_since(attempt.started).ok();
                neighbours.good(NeighbourKind::KooDrive, None, attempt.ended, took);
            }
        }
    }

    /// The limit store answered, or did not.
    pub fn limit_store(&self, news: StoreNews) {
        let neighbours = &self.0.neighbours;
        match news {
            StoreNews::Answered(took) => {
                let now = neighbours.now();
                neighbours.good(NeighbourKind::LimitStore, None, now, Some(took));
            }
            StoreNews::Failed => self.0.metrics.limit_store_failed(),
            StoreNews::Away(cause) => {
                neighbours.failed(NeighbourKind::LimitStore, None, || cause);
            }
        }
    }

    fn judge_sso(&self, fetch: &KeyFetch) {
        let (kind, issuer) = (NeighbourKind::Sso, Some(&*fetch.issuer));
        if fetch.outcome == KeyFetchOutcome::Fetched {
            let took = fetch.ended.duration_since(fetch.started).ok();
            let took = took.filter(|_| fetch.cause != KeyFetchCause::File);
            self.0.neighbours.good(kind, issuer, fetch.ended, took);
        } else {
            self.0.neighbours.failed(kind, issuer, || {
                let failure = fetch.failure.as_ref().map(ToString::to_string);
                failure.unwrap_or_else(|| fetch.outcome.as_str().to_owned())
            });
        }
    }

    /// Whoever denies a caller does its part; whoever denies us does not.
    fn judge_token_endpoint(&self, report: &ExchangeReport) {
        let kind = NeighbourKind::TokenEndpoint;
        match &report.error {
            None | Some(TokenError::Denied(_)) if report.status.is_some() => {
                let took = report.ended.duration_since(report.started).ok();
                self.0.neighbours.good(kind, None, report.ended, took);
            }
            // A bound or a file of ours: the endpoint was not asked.
            None | Some(TokenError::Denied(_) | TokenError::Busy { who: Crowded::Gateway, .. }) => {
            }
            Some(TokenError::AnswerUnusable(_)) if report.status.is_none() => {}
            Some(error) => self.0.neighbours.failed(kind, None, || chain(error)),
        }
    }

    fn clock_skew(&self, peer: SkewedPeer, issuer: Option<&str>, seconds: i64) {
        Skew { peer, issuer, seconds }.note(&self.0.metrics, &self.0.neighbours);
    }
}
