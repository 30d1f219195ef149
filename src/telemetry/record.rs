//! The facts of one request, gathered on its way and told once, when its response body has ended.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::Telemetry;
use super::event::{Attempt, Opened, Refused, Stage};
use crate::accept::CallerId;
use crate::authorize;
use crate::authorize::RuleName;
use crate::call::CallPlan;
use crate::limit::Decisions;
use crate::rejection::{Origin, Reason};
use crate::token::TokenSource;
use crate::trace_context::SpanContext;

/// Write-only: the pipeline tells it what happened. Closed by the end of the response body, by
/// its drop, or by the drop of the record itself when the caller left before there was an answer.
#[derive(Debug)]
pub struct RequestRecord {
    telemetry: Telemetry,
    /// Taken when the record is closed.
    pub(super) facts: Option<Box<Facts>>,
}

impl RequestRecord {
    pub(super) fn new(telemetry: Telemetry, opened: Opened) -> Self {
        let facts = Facts {
            opened,
            begun: Instant::now(),
            last_end: Duration::ZERO,
            call: None,
            verdict_cached: None,
            authorized: None,
            caller: None,
            issuer: None,
            stages: [None; Stage::ALL.len()],
            token_source: None,
            exchange: None,
            attempts: Vec::new(),
            decisions: Decisions::default(),
            batch_users: None,
            observed: Vec::new(),
            refused: None,
            bytes_in: Arc::default(),
        };
        Self { telemetry, facts: Some(Box::new(facts)) }
    }

    /// Which call it is.
    pub fn call(&mut self, plan: CallPlan) {
        self.facts().call = Some(plan);
    }

    /// Who calls: the digest, never the subject. `cached`: the SSO token had been verified before.
    pub fn identity(&mut self, caller: CallerId, issuer: Arc<str>, cached: bool) {
        let facts = self.facts();
        facts.caller = Some(caller);
        facts.issuer = Some(issuer);
        facts.verdict_cached = Some(cached);
    }

    /// A stage starts, when the one before it has ended; may be said again when the call comes
    /// back to it.
    pub fn begin(&mut self, stage: Stage) {
        let facts = self.facts();
        let at = facts.last_end;
        let timing = facts.timing(stage);
        timing.first.get_or_insert(at);
        timing.open.get_or_insert(at);
    }

    /// A stage is over. One left open ends with the request.
    pub fn end(&mut self, stage: Stage) {
        let facts = self.facts();
        let at = facts.begun.elapsed();
        facts.last_end = at;
        facts.timing(stage).close(at);
    }

    /// The span of a stage, to be named as parent before the stage is over.
    pub fn stage_span(&mut self, stage: Stage) -> SpanContext {
        let facts = self.facts();
        let span = facts.opened.span;
        *facts.timing(stage).span.get_or_insert_with(|| span.child())
    }

    /// Where the access token came from; `exchange` is the one that was led or joined.
    pub fn token(&mut self, source: TokenSource, exchange: Option<SpanContext>) {
        let facts = self.facts();
        facts.token_source = Some(source);
        facts.exchange = exchange;
    }

    pub fn attempt(&mut self, attempt: Attempt) {
        self.facts().attempts.push(attempt);
    }

    /// The rule that decided on the call, and how.
    pub fn authorized(&mut self, rule: RuleName, verdict: authorize::Verdict) {
        self.facts().authorized = Some((rule, verdict));
    }

    /// What the limits have said so far.
    pub fn limits(&mut self, decisions: Decisions) {
        self.facts().decisions = decisions;
    }

    /// How many users a well-formed batch has.
    pub fn batch_users(&mut self, users: u32) {
        self.facts().batch_users = Some(users);
    }

    /// What a guard would have refused the call with, did it not only observe.
    pub fn observed(&mut self, reason: Reason) {
        self.facts().observed.push(reason);
    }

    /// The gateway's own refusal; what the upstream answers is none.
    pub fn rejected(&mut self, refused: Refused) {
        self.facts().refused = Some(refused);
    }

    /// Counts what is read of the request body.
    pub fn bytes_in(&mut self) -> Arc<AtomicU64> {
        self.facts().bytes_in.clone()
    }

    /// Tells everything, once.
    pub(super) fn close(&mut self, status: u16, bytes_out: u64, ending: Ending) {
        if let Some(facts) = self.facts.take() {
            self.telemetry.close(&Closed::of(&facts, status, bytes_out, ending));
        }
    }

    fn facts(&mut self) -> &mut Facts {
        self.facts.as_mut().expect("only close takes the facts, and nothing is told after it")
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        self.close(CALLER_GONE_STATUS, 0, Ending::CallerGone);
    }
}

/// How the response came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    /// Nobody wanted the rest.
    CallerGone,
    /// The upstream's body broke off.
    Broken,
}

/// What was told of a request.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) opened: Opened,
    begun: Instant,
    /// When a stage ended last.
    last_end: Duration,
    /// None: no route, or a method that goes nowhere.
    pub(super) call: Option<CallPlan>,
    pub(super) verdict_cached: Option<bool>,
    pub(super) caller: Option<CallerId>,
    /// The rule that decided, and how.
    pub(super) authorized: Option<(RuleName, authorize::Verdict)>,
    pub(super) issuer: Option<Arc<str>>,
    stages: [Option<Timing>; Stage::ALL.len()],
    pub(super) token_source: Option<TokenSource>,
    pub(super) exchange: Option<SpanContext>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) decisions: Decisions,
    pub(super) batch_users: Option<u32>,
    /// What guards that observe would have refused it with, in their order.
    pub(super) observed: Vec<Reason>,
    pub(super) refused: Option<Refused>,
    pub(super) bytes_in: Arc<AtomicU64>,
}

impl Facts {
    pub(super) fn stage(&self, stage: Stage) -> Option<&Timing> {
        self.stages[stage as usize].as_ref().filter(|timing| timing.first.is_some())
    }

    pub(super) fn x_trace_id(&self) -> Option<&str> {
        self.opened.x_trace_id.to_str().ok()
    }

    fn timing(&mut self, stage: Stage) -> &mut Timing {
        self.stages[stage as usize].get_or_insert_default()
    }
}

/// When a stage ran, counted from the start of the request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timing {
    pub(super) span: Option<SpanContext>,
    pub(super) first: Option<Duration>,
    open: Option<Duration>,
    last: Duration,
    busy: Duration,
}

impl Timing {
    /// The time spent in the stage, its interruptions not counted.
    pub(super) fn busy(&self, whole: Duration) -> Duration {
        self.busy + self.open.map_or(Duration::ZERO, |since| whole.saturating_sub(since))
    }

    pub(super) fn last(&self, whole: Duration) -> Duration {
        if self.open.is_some() { whole } else { self.last }
    }

    fn close(&mut self, at: Duration) {
        if let Some(since) = self.open.take() {
            self.busy += at.saturating_sub(since);
            self.last = at;
        }
    }
}

/// The facts together with how it ended.
#[derive(Debug)]
pub(super) struct Closed<'a> {
    pub(super) facts: &'a Facts,
    pub(super) status: u16,
    /// None: the answer is the upstream's own.
    pub(super) origin: Option<Origin>,
    /// A reason of the rejection table, or how the response broke off.
    pub(super) reason: Option<&'static str>,
    pub(super) bytes_out: u64,
    pub(super) duration: Duration,
}

impl<'a> Closed<'a> {
    fn of(facts: &'a Facts, status: u16, bytes_out: u64, ending: Ending) -> Self {
        let (origin, reason) = match (&facts.refused, ending) {
            (Some(refused), _) => (Some(refused.reason.origin()), Some(refused.reason.as_str())),
            (None, Ending::Whole) => (None, None),
            (None, Ending::CallerGone) => (Some(Origin::Caller), Some(CALLER_GONE)),
            (None, Ending::Broken) => (Some(Origin::Upstream), Some(BODY_BROKEN)),
        };
        let duration = facts.begun.elapsed();
        Self { facts, status, origin, reason, bytes_out, duration }
    }
}

/// The status of a request whose caller left before there was one (nginx's number for it).
const CALLER_GONE_STATUS: u16 = 499;
/// Reasons of the access log that are no rejections: the answer had begun, or nobody was there.
const CALLER_GONE: &str = "caller_gone";
const BODY_BROKEN: &str = "body_broken";
