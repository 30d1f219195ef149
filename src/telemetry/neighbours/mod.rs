//! Those the gateway depends on, one state for each: told in the log when it changes, shown to
//! operators when they look.
//!
//! Facts come in as they are reported; what is asked of nobody has no state. A neighbour with a new
//! address starts anew.

mod health;
mod latencies;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use self::health::{Change, Health, Outage};
use super::event::{Peer, SkewedPeer};
use crate::clock::Clock;
use crate::config::{AcceptConfig, ForwardConfig, HttpUrl, LimitConfig, TokenConfig};
use crate::words::words;

words! {
    /// Who it is, in the words of the log.
    pub enum NeighbourKind {
        Sso = "sso",
        TokenEndpoint = "token endpoint",
        KooDrive = "koodrive",
        Collector = "collector",
        LimitStore = "limit store",
        SsoClock = "clock of sso",
        TokenEndpointClock = "clock of token endpoint",
        KooDriveClock = "clock of koodrive",
    }
}

words! {
    pub enum NeighbourState {
        /// Nothing was asked of it yet.
        Unknown = "unknown",
        Good = "good",
        Failing = "failing",
    }
}

/// One neighbour as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    pub kind: NeighbourKind,
    /// Of an SSO, or of its clock: which.
    pub issuer: Option<Arc<str>>,
    /// Where it is asked, without path; none for key set files.
    pub address: Option<Arc<str>>,
    pub state: NeighbourState,
    /// Since when it fails.
    pub since: Option<SystemTime>,
    /// Why it fails, in words for operators.
    pub cause: Option<String>,
    pub last_good: Option<SystemTime>,
    /// Times of its last answers: half of them, and 95 of 100, took so long at most.
    pub p50: Option<Duration>,
    pub p95: Option<Duration>,
}

/// All neighbours of the configuration in force.
#[derive(Debug)]
pub(super) struct Neighbours {
    clock: Clock,
    collector: Option<Arc<str>>,
    rows: ArcSwap<Vec<Arc<Row>>>,
}

#[derive(Debug)]
struct Row {
    kind: NeighbourKind,
    issuer: Option<Arc<str>>,
    address: Option<Arc<str>>,
    health: Health,
}

impl Neighbours {
    /// `collector` is the one that spans go to, which stays as long as the process.
    pub(super) fn new(clock: Clock, collector: Option<Arc<str>>) -> Self {
        let neighbours = Self { clock, collector, rows: ArcSwap::default() };
        neighbours.keep(Vec::new());
        neighbours
    }

    /// From now on those of this configuration; who was there before keeps his state.
    pub(super) fn follow(
        &self,
        accept: &AcceptConfig,
        limit: &LimitConfig,
        token: &TokenConfig,
        forward: &ForwardConfig,
    ) {
        let mut rows = Vec::new();
        let base = |url: &HttpUrl| Some(Peer::of(url).base);
        for issuer in &accept.issuers {
            let named: Arc<str> = issuer.issuer.as_str().into();
            let address = issuer.key_source().url().and_then(base);
            rows.push(Row::new(NeighbourKind::Sso, Some(named), address));
        }
        if let Some(endpoint) = &token.endpoint {
            rows.push(Row::new(NeighbourKind::TokenEndpoint, None, base(endpoint)));
        }
        let upstream = forward.upstream.written().and_then(base);
        rows.push(Row::new(NeighbourKind::KooDrive, None, upstream));
        if let Some(address) = limit.store.address() {
            let address = address.to_string().into();
            rows.push(Row::new(NeighbourKind::LimitStore, None, Some(address)));
        }
        self.keep(rows);
    }

    fn keep(&self, mut rows: Vec<Row>) {
        let address = self.collector.clone();
        rows.extend(address.map(|at| Row::new(NeighbourKind::Collector, None, Some(at))));
        // Clocks are looked at in the answers.
        let clocks: Vec<Row> = rows.iter().filter_map(Row::clock).collect();
        rows.extend(clocks);
        let before = self.rows.load();
        let kept = rows.into_iter().map(|row| {
            let known = before.iter().find(|known| known.is_same(&row));
            known.map_or_else(|| Arc::new(row), Arc::clone)
        });
        let kept = kept.collect();
        self.rows.store(Arc::new(kept));
    }

    /// It answered well, and took so long, if that says anything.
    pub(super) fn good(
        &self,
        kind: NeighbourKind,
        issuer: Option<&str>,
        when: SystemTime,
        took: Option<Duration>,
    ) {
        let rows = self.rows.load();
        let Some(row) = find(&rows, kind, issuer) else { return };
        if let Some(took) = took {
            row.health.latencies.note(took);
        }
        row.tell(row.health.good(when, &self.clock));
    }

    /// It did not do what it was asked.
    pub(super) fn failed(
        &self,
        kind: NeighbourKind,
        issuer: Option<&str>,
        cause: impl FnOnce() -> String,
    ) {
        let rows = self.rows.load();
        let Some(row) = find(&rows, kind, issuer) else { return };
        row.tell(row.health.failed(self.clock.moment(), cause));
    }

    /// Sees which outages are over. To be called every second or so.
    pub(super) fn tidy(&self) {
        for row in self.rows.load().iter() {
            row.tell(row.health.tidy(&self.clock));
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// In the order in which a call meets them, their clocks last.
    pub(super) fn overview(&self) -> Vec<Neighbour> {
        self.rows.load().iter().map(|row| row.overview()).collect()
    }
}

fn find<'r>(rows: &'r [Arc<Row>], kind: NeighbourKind, issuer: Option<&str>) -> Option<&'r Row> {
    rows.iter().find(|row| row.kind == kind && row.issuer.as_deref() == issuer).map(|row| &**row)
}

impl Row {
    fn new(kind: NeighbourKind, issuer: Option<Arc<str>>, address: Option<Arc<str>>) -> Self {
        let is_busy = matches!(kind, NeighbourKind::TokenEndpoint | NeighbourKind::KooDrive);
        Self { kind, issuer, address, health: Health::new(is_busy) }
    }

    /// Of a neighbour that tells the time.
    fn clock(&self) -> Option<Self> {
        let kind = match self.kind {
            NeighbourKind::Sso => NeighbourKind::SsoClock,
            NeighbourKind::TokenEndpoint => NeighbourKind::TokenEndpointClock,
            NeighbourKind::KooDrive => NeighbourKind::KooDriveClock,
            NeighbourKind::Collector
            | NeighbourKind::LimitStore
            | NeighbourKind::SsoClock
            | NeighbourKind::TokenEndpointClock
            | NeighbourKind::KooDriveClock => return None,
        };
        self.address.as_ref()?;
        Some(Self::new(kind, self.issuer.clone(), self.address.clone()))
    }

    fn is_same(&self, other: &Self) -> bool {
        let names = |row: &Self| (row.kind, row.issuer.clone(), row.address.clone());
        names(self) == names(other)
    }

    /// One line when it begins to fail, one when it is back.
    fn tell(&self, change: Option<Change>) {
        let (issuer, server) = (self.issuer.as_deref(), self.address.as_deref());
        let who = self.kind.as_str();
        match change {
            None => {}
            Some(Change::Failing { cause }) => {
                tracing::warn!(issuer, server, detail = cause, "{who} failing");
            }
            Some(Change::Back { after, cause }) => {
                let failed_for_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                tracing::info!(issuer, server, detail = cause, failed_for_ms, "{who} back");
            }
        }
    }

    fn overview(&self) -> Neighbour {
        let outage = self.health.outage();
        let last_good = self.health.last_good();
        let state = match (&outage, last_good) {
            (Some(_), _) => NeighbourState::Failing,
            (None, Some(_)) => NeighbourState::Good,
            (None, None) => NeighbourState::Unknown,
        };
        let (since, cause) = outage.map(|Outage { since, cause }| (since, cause)).unzip();
        let (p50, p95) = self.health.latencies.quantiles().map(|[p50, p95]| (p50, p95)).unzip();
        Neighbour {
            kind: self.kind,
            issuer: self.issuer.clone(),
            address: self.address.clone(),
            state,
            since,
            cause,
            last_good,
            p50,
            p95,
        }
    }
}

impl SkewedPeer {
    pub(super) fn clock(self) -> NeighbourKind {
        match self {
            Self::Sso => NeighbourKind::SsoClock,
            Self::TokenEndpoint => NeighbourKind::TokenEndpointClock,
            Self::Upstream => NeighbourKind::KooDriveClock,
        }
    }
}
