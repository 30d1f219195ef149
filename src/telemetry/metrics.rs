//! The instruments of the contract. Handles of the request path are resolved once, here.

use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::{
    EncodeLabel as _, EncodeLabelSet, EncodeLabelValue, LabelSetEncoder, LabelValueEncoder, text,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::event::{ReloadOutcome, SkewedPeer};
use super::process::ProcessMetrics;
use super::record::Closed;
use super::{call_word, origin_word};
use crate::accept::{KeyFetch, KeyFetchOutcome};
use crate::authorize;
use crate::authorize::RuleName;
use crate::call::CallPlan;
use crate::client::{ProxyFailures, ProxyFault};
use crate::lifecycle::ProcessUsage;
use crate::limit::{Decision, Policy};
use crate::rejection::{Origin, Reason};
use crate::token::{ExchangeOutcome, ExchangeReport, TokenSource, TokenVerdict};
use crate::trace_context::TraceId;

type FloatGauge = Gauge<f64, AtomicU64>;

/// A metric in each line: field, type, and how it is registered.
macro_rules! metrics {
    (|$to:ident| $( $(#[$about:meta])* $field:ident: $kind:ty = $made:expr; )+) => {
        /// All metrics of the process, under `koodrive_gateway_`.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            process: ProcessMetrics,
            $( $(#[$about])* $field: $kind, )+
        }

        impl Metrics {
            /// `started` is when the process began.
            pub(super) fn new(started: SystemTime) -> Self {
                let mut registry = Registry::with_prefix("koodrive_gateway");
                let $to = &mut registry;
                let build = Info::new([
                    ("version", env!("CARGO_PKG_VERSION")),
                    ("commit", env!("KOODRIVE_GATEWAY_COMMIT")),
                ]);
                $to.register("build", "The running version", build);
                $( let $field = $made; )+
                Self { registry, process: ProcessMetrics::new(started), $( $field, )+ }
            }
        }
    };
}

metrics! { |to|
    requests: Family<RequestLabels, Counter> = requests(to);
    /// Of it, the upstream's 200: of no call first, then of each.
    requests_ok: [OnceLock<Counter>; 1 + CallPlan::ALL.len()] = Default::default();
    /// Of no call first, then of each.
    durations: [HistogramWithExemplars<TraceLabel>; 1 + CallPlan::ALL.len()] = durations(to);
    rejections: [Counter; Reason::ALL.len()] =
        each(to, "rejections", "Requests refused by the gateway", Reason::ALL, |reason| Refusal { reason });
    observed: [Counter; Reason::ALL.len()] =
        each(to, "observed", "What guards that observe would have refused", Reason::ALL, |reason| Refusal { reason });
    token_lookups: [Counter; TokenSource::ALL.len()] =
        each(to, "token_lookups", "Where access tokens came from", TokenSource::ALL, |source| Source { source });
    token_verdicts: [Counter; TokenVerdict::ALL.len()] =
        each(to, "token_verdicts", "What answers of KooDrive said of their tokens", TokenVerdict::ALL, |verdict| Judged { verdict });
    token_exchanges: Family<ExchangeLabels, Counter> = token_exchanges(to);
    token_exchange_duration: Histogram =
        timed(to, "token_exchange_duration", "Time the token endpoint took", Histogram::new(SECONDS));
    token_entries: Gauge = counted(to, "token_entries", "Access tokens held");
    jwks_fetches: Family<FetchLabels, Counter> = counted(to, "jwks_fetches", "Fetches of key sets");
    jwks_age: Family<Issuer, FloatGauge> =
        timed(to, "jwks_age", "Time since the key set was fetched", Family::default());
    jwks_skipped_keys: Family<Issuer, Gauge> =
        counted(to, "jwks_skipped_keys", "Published keys that cannot be used");
    authorize_decisions: Family<RuleVerdict, Counter> = authorize_decisions(to);
    limit_decisions: [[Counter; Decision::ALL.len()]; Policy::ALL.len()] = limit_decisions(to);
    limit_store_errors: Counter =
        counted(to, "limit_store_errors", "Failures of the limit store that replicas share");
    batch_users: Histogram =
        registered(to, "batch_users", "Users per well-formed batch", Histogram::new(USERS));
    upstream_duration: Histogram =
        timed(to, "upstream_duration", "To the head of the answer, per attempt", Histogram::new(SECONDS));
    upstream_replays: Counter = counted(to, "upstream_replays", "Attempts that were sent again");
    proxy_failures: [Counter; ProxyFault::ALL.len()] =
        each(to, "proxy_failures", "Requests that a proxy stood in the way of", ProxyFault::ALL, |failure| Proxied { failure });
    connections: Gauge = counted(to, "connections", "Connections of callers open now");
    inflight: Gauge = counted(to, "inflight_requests", "Requests being answered now");
    clock_skew: Family<SkewPeer, FloatGauge> =
        timed(to, "clock_skew", "How far a peer's Date is ahead of ours", Family::default());
    reloads: [Counter; ReloadOutcome::ALL.len()] =
        each(to, "config_reloads", "Changes of the configuration", ReloadOutcome::ALL, |outcome| Reload { outcome });
    spans_dropped: Counter = counted(to, "spans_dropped", "Spans dropped or not exported");
}

impl Metrics {
    /// `OpenMetrics` text, ending in `# EOF`.
    pub(super) fn encode(&self) -> String {
        let mut buffer = String::with_capacity(16 * 1024);
        let all = [&self.registry, self.process.registry()];
        let encoded =
            all.iter().try_for_each(|registry| text::encode_registry(&mut buffer, registry));
        let encoded = encoded.and_then(|()| text::encode_eof(&mut buffer));
        encoded.expect("a String takes everything");
        buffer
    }

    pub(super) fn count_rejection(&self, reason: Reason) {
        self.rejections[reason as usize].inc();
    }

    pub fn set_token_entries(&self, entries: u64) {
        self.token_entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
    }

    /// Ages of all issuers' key sets; issuers not named here lose their series.
    pub fn set_jwks_ages(&self, ages: impl IntoIterator<Item = (Arc<str>, Duration)>) {
        self.jwks_age.clear();
        for (issuer, age) in ages {
            self.jwks_age.get_or_create_owned(&Issuer { issuer }).set(age.as_secs_f64());
        }
    }

    pub fn set_process(&self, usage: &ProcessUsage) {
        self.process.set(usage);
    }

    /// Counts of these issuers begin with 0, not with their first fetch.
    pub(super) fn know_issuers<'a>(&self, issuers: impl Iterator<Item = &'a str>) {
        for issuer in issuers {
            for outcome in KeyFetchOutcome::ALL {
                let labels = FetchLabels { issuer: issuer.into(), outcome: *outcome };
                drop(self.jwks_fetches.get_or_create_owned(&labels));
            }
        }
    }

    /// Counts of these rules begin with 0, not with the first call that one of them decides.
    pub(super) fn know_rules(
        &self,
        outcomes: impl IntoIterator<Item = (RuleName, authorize::Verdict)>,
    ) {
        for (RuleName(rule), verdict) in outcomes {
            drop(self.authorize_decisions.get_or_create_owned(&RuleVerdict { rule, verdict }));
        }
    }

    pub fn set_connections(&self, connections: usize) {
        self.connections.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }

    /// What proxies have done so far.
    pub fn set_proxy_failures(&self, failures: &ProxyFailures) {
        for fault in ProxyFault::ALL {
            let counter = &self.proxy_failures[*fault as usize];
            counter.inner().store(failures.count(*fault), Ordering::Relaxed);
        }
    }

    pub fn inflight(&self) -> i64 {
        self.inflight.get()
    }

    /// How far the clock of `peer` is ahead of ours.
    pub(super) fn set_clock_skew(&self, peer: SkewedPeer, seconds: f64) {
        self.clock_skew.get_or_create_owned(&SkewPeer { peer }).set(seconds);
    }

    pub fn config_reloaded(&self, outcome: ReloadOutcome) {
        self.reloads[outcome as usize].inc();
    }

    pub fn limit_store_failed(&self) {
        self.limit_store_errors.inc();
    }

    pub(super) fn spans_dropped(&self, spans: u64) {
        self.spans_dropped.inc_by(spans);
    }

    pub(super) fn opened(&self) {
        self.inflight.inc();
    }

    pub(super) fn closed(&self, closed: &Closed<'_>, exemplar: bool) {
        let facts = closed.facts;
        self.inflight.dec();
        self.count_request(facts.call, closed.status, closed.origin);
        let span = facts.opened.span;
        let exemplar = exemplar.then_some(TraceLabel(span.trace_id));
        let time = exemplar.is_some().then(|| facts.opened.started + closed.duration);
        self.observe_duration(facts.call, closed.duration, exemplar, time);
        if let Some(refused) = &facts.refused {
            self.count_rejection(refused.reason);
        }
        for reason in &facts.observed {
            self.observed[*reason as usize].inc();
        }
        if let Some(source) = facts.token_source {
            self.token_lookups[source as usize].inc();
        }
        if let Some((RuleName(rule), verdict)) = &facts.authorized {
            let labels = RuleVerdict { rule: Arc::clone(rule), verdict: *verdict };
            self.authorize_decisions.get_or_create(&labels).inc();
        }
        for (policy, decision) in facts.decisions.iter() {
            self.limit_decisions[policy as usize][decision as usize].inc();
        }
        if let Some(users) = facts.batch_users {
            self.batch_users.observe(f64::from(users));
        }
        for attempt in &facts.attempts {
            let took = attempt.ended.duration_since(attempt.started).unwrap_or_default();
            self.upstream_duration.observe(took.as_secs_f64());
            self.upstream_replays.inc_by(u64::from(attempt.replay));
            if let Some(verdict) = attempt.verdict {
                self.token_verdicts[verdict as usize].inc();
            }
        }
    }

    /// One more answer, to a request or to what could not be read as one.
    pub(super) fn count_request(
        &self,
        plan: Option<CallPlan>,
        status: u16,
        origin: Option<Origin>,
    ) {
        let labels = RequestLabels { call: call_word(plan), status, origin: origin_word(origin) };
        if status == 200 && origin.is_none() {
            let index = plan.map_or(0, |plan| 1 + plan as usize);
            let counter = || self.requests.get_or_create_owned(&labels);
            self.requests_ok[index].get_or_init(counter).inc();
            return;
        }
        // The guard of the family is gone at the end of the statement: two at once can deadlock.
        self.requests.get_or_create(&labels).inc();
    }

    pub(super) fn key_fetched(&self, fetch: &KeyFetch) {
        let labels = FetchLabels { issuer: fetch.issuer.clone(), outcome: fetch.outcome };
        self.jwks_fetches.get_or_create(&labels).inc();
        if matches!(fetch.outcome, KeyFetchOutcome::Fetched | KeyFetchOutcome::NoUsableKeys) {
            let skipped = i64::try_from(fetch.skipped.count()).unwrap_or(i64::MAX);
            let issuer = Issuer { issuer: fetch.issuer.clone() };
            self.jwks_skipped_keys.get_or_create_owned(&issuer).set(skipped);
        }
    }

    pub(super) fn exchanged(&self, exchange: &ExchangeReport) {
        self.token_exchanges.get_or_create(&ExchangeLabels { outcome: exchange.outcome }).inc();
        let took = exchange.ended.duration_since(exchange.started).unwrap_or_default();
        self.token_exchange_duration.observe(took.as_secs_f64());
    }

    fn observe_duration(
        &self,
        plan: Option<CallPlan>,
        duration: Duration,
        exemplar: Option<TraceLabel>,
        time: Option<SystemTime>,
    ) {
        let index = plan.map_or(0, |plan| 1 + plan as usize);
        self.durations[index].observe(duration.as_secs_f64(), exemplar, time);
    }
}

/// The answers whose counts begin with 0: all of ours, and KooDrive's own that alerts look at.
fn answers() -> impl Iterator<Item = (u16, Option<Origin>)> {
    let ours = Reason::ALL.iter().map(|reason| (reason.status().as_u16(), Some(reason.origin())));
    [200, 500, 502, 503, 504].into_iter().map(|status| (status, None)).chain(ours)
}

/// From a cached token on loopback to the end of a large download.
const SECONDS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const USERS: [f64; 9] = [1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];

/// Those that alerts look at are there before the first call.
fn requests(to: &mut Registry) -> Family<RequestLabels, Counter> {
    let family: Family<RequestLabels, Counter> = counted(to, "requests", "Requests answered");
    for plan in CallPlan::ALL {
        let call = call_word(Some(*plan));
        for (status, origin) in answers() {
            let labels = RequestLabels { call, status, origin: origin_word(origin) };
            drop(family.get_or_create_owned(&labels));
        }
    }
    family
}

fn token_exchanges(to: &mut Registry) -> Family<ExchangeLabels, Counter> {
    let family: Family<ExchangeLabels, Counter> =
        counted(to, "token_exchanges", "Requests to the token endpoint");
    for outcome in ExchangeOutcome::ALL {
        drop(family.get_or_create_owned(&ExchangeLabels { outcome: *outcome }));
    }
    family
}

/// Of no call first, then of each.
fn durations<const N: usize>(to: &mut Registry) -> [HistogramWithExemplars<TraceLabel>; N] {
    let family: Family<Call, HistogramWithExemplars<TraceLabel>, _> =
        Family::new_with_constructor(|| HistogramWithExemplars::new(SECONDS.into_iter()));
    let family = timed(to, "request_duration", "From head to the end of the answer", family);
    std::array::from_fn(|index| {
        let plan = index.checked_sub(1).map(|index| CallPlan::ALL[index]);
        family.get_or_create_owned(&Call { call: call_word(plan) })
    })
}

fn authorize_decisions(to: &mut Registry) -> Family<RuleVerdict, Counter> {
    let family: Family<RuleVerdict, Counter> =
        counted(to, "authorize_decisions", "What rules said of calls");
    // There before the first call.
    let allowed = RuleVerdict { rule: "otherwise".into(), verdict: authorize::Verdict::Allowed };
    drop(family.get_or_create_owned(&allowed));
    family
}

fn limit_decisions<const D: usize, const P: usize>(to: &mut Registry) -> [[Counter; D]; P] {
    let family: Family<PolicyDecision, Counter> =
        counted(to, "limit_decisions", "What each limit said");
    let counter =
        |policy, decision| family.get_or_create_owned(&PolicyDecision { policy, decision });
    std::array::from_fn(|at| std::array::from_fn(|of| counter(Policy::ALL[at], Decision::ALL[of])))
}

/// Registers a counter for each of `all`.
fn each<T: Copy, L, const N: usize>(
    to: &mut Registry,
    name: &'static str,
    help: &'static str,
    all: &[T],
    label: impl Fn(T) -> L,
) -> [Counter; N]
where
    L: EncodeLabelSet + Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static,
{
    let family: Family<L, Counter> = counted(to, name, help);
    std::array::from_fn(|index| family.get_or_create_owned(&label(all[index])))
}

/// Registers a new, empty metric.
fn counted<M>(to: &mut Registry, name: &'static str, help: &'static str) -> M
where
    M: Metric + Clone + Default,
{
    registered(to, name, help, M::default())
}

fn registered<M>(to: &mut Registry, name: &'static str, help: &'static str, metric: M) -> M
where
    M: Metric + Clone,
{
    to.register(name, help, metric.clone());
    metric
}

/// Registers a metric in seconds.
fn timed<M>(to: &mut Registry, name: &'static str, help: &'static str, metric: M) -> M
where
    M: Metric + Clone,
{
    to.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

/// The exemplar of a sampled request; printed only when scraped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct TraceLabel(TraceId);

impl EncodeLabelSet for TraceLabel {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        let id = self.0.to_string();
        ("trace_id", id.as_str()).encode(encoder.encode_label())
    }
}

macro_rules! label_sets {
    ($($name:ident { $($label:ident: $kind:ty),+ })+) => {$(
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        struct $name { $($label: $kind),+ }
    )+};
}

label_sets! {
    RequestLabels { call: &'static str, status: u16, origin: &'static str }
    Call { call: &'static str }
    Refusal { reason: Reason }
    Source { source: TokenSource }
    Judged { verdict: TokenVerdict }
    ExchangeLabels { outcome: ExchangeOutcome }
    FetchLabels { issuer: Arc<str>, outcome: KeyFetchOutcome }
    Issuer { issuer: Arc<str> }
    RuleVerdict { rule: Arc<str>, verdict: authorize::Verdict }
    PolicyDecision { policy: Policy, decision: Decision }
    SkewPeer { peer: SkewedPeer }
    Reload { outcome: ReloadOutcome }
    Proxied { failure: ProxyFault }
}

macro_rules! label_values {
    ($($word:ty),+ $(,)?) => {$(
        impl EncodeLabelValue for $word {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
                self.as_str().encode(encoder)
            }
        }
    )+};
}

label_values! {
    authorize::Verdict,
    Reason,
    TokenSource,
    TokenVerdict,
    ExchangeOutcome,
    KeyFetchOutcome,
    Policy,
    Decision,
    SkewedPeer,
    ReloadOutcome,
    ProxyFault,
}
