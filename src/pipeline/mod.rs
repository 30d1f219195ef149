//! ONE request, top to bottom: trace id, call, accept, limit, validate, token, forward.
//!
//! The order is law: cheap before costly, headers before bodies, local before network; nothing is
//! spent upstream on a call that will be refused. [`Pipeline::handle`] cannot fail; what it wraps
//! may end in a [`Rejection`].

mod reply;
mod send;
mod walk;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderValue, Response, request};
use http_body::Body as _;
use tokio::sync::Semaphore;

pub use self::reply::ResponseBody;
use self::send::CallBody;
use self::walk::Walk;
use crate::accept::{Accepted, Acceptor};
use crate::body;
use crate::body::{Budget, InboundBody, WholeBody};
use crate::call::{CallPlan, Routes};
use crate::clock::Clock;
use crate::config::{GuardMode, OnIllegal};
use crate::forward::{AnswerBody, Forwarder};
use crate::limit::Limiter;
use crate::rejection::{Reason, Rejection};
use crate::telemetry;
use crate::telemetry::{Peer, Stage, Telemetry};
use crate::token::Tokens;
use crate::validate::{BatchRules, Language};

/// All stages under one configuration. Immutable; a reload makes another.
pub struct Pipeline {
    pub clock: Clock,
    pub telemetry: Telemetry,
    pub on_illegal_trace_id: OnIllegal,
    pub routes: Routes,
    pub acceptor: Acceptor,
    pub limiter: Limiter,
    pub validate_mode: GuardMode,
    pub rules: BatchRules,
    /// `language` of preverify calls that have none.
    pub default_language: Option<HeaderValue>,
    pub tokens: Tokens,
    pub forwarder: Forwarder,
    pub upstream: Arc<Peer>,
    /// Calls at once.
    pub in_flight: Arc<Semaphore>,
    /// Those of them whose bodies are still arriving.
    pub arriving: Arc<Semaphore>,
    /// Memory for whole bodies.
    pub budget: Arc<Budget>,
}

/// What the server knows of a request besides the request.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub ip: Option<IpAddr>,
    pub tls: bool,
    /// What makes the framing of this request ambiguous.
    pub framing_fault: Option<&'static str>,
    pub draining: bool,
}

/// The pipeline for the next request. Clones share it.
#[derive(Clone)]
pub struct CurrentPipeline(Arc<ArcSwap<Pipeline>>);

impl CurrentPipeline {
    pub fn new(first: Pipeline) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(first)))
    }

    pub fn replace(&self, next: Pipeline) {
        self.0.store(Arc::new(next));
    }

    /// A request keeps what it loaded to its end.
    pub fn load(&self) -> Arc<Pipeline> {
        self.0.load_full()
    }
}

impl fmt::Debug for CurrentPipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurrentPipeline").finish_non_exhaustive()
    }
}

impl Pipeline {
    /// Answers a request. A body that nobody reads is dropped before the answer is returned.
    pub async fn handle(
        &self,
        parts: request::Parts,
        body: InboundBody,
        arrival: Arrival,
    ) -> Response<ResponseBody> {
        let mut walk = self.open(parts, body, arrival);
        let (x_trace_id, trace_id) = (walk.x_trace_id.as_header().clone(), walk.trace_id);
        let run = telemetry::within(x_trace_id, trace_id, self.run(&mut walk));
        let response = match run.await {
            Ok(response) => response,
            Err(rejection) => walk.refuse(&rejection),
        };
        walk.close(response)
    }

    /// Something that was answered without being a request: its head could not be read.
    pub fn unparsable(&self, reason: Reason) {
        self.telemetry.unreadable(self.clock.now(), reason);
    }

    async fn run(&self, walk: &mut Walk) -> Result<Response<AnswerBody>, Rejection> {
        if let Some(fault) = walk.arrival.framing_fault {
            return Err(Rejection::Framing(fault));
        }
        if let (Some(illegal), OnIllegal::Reject) =
            (walk.illegal_trace_id, self.on_illegal_trace_id)
        {
            return Err(illegal.into());
        }
        let route = self.routes.plan_for(&walk.parts.method, &walk.parts.uri)?;
        let plan = route.plan;
        walk.record.call(plan);
        if walk.arrival.draining {
            return Err(Rejection::Draining);
        }
        walk.held.in_flight = Some(
            Arc::clone(&self.in_flight).try_acquire_owned().map_err(|_| Rejection::Overloaded)?,
        );
        if !walk.body_mut().is_end_stream() {
            let place = Arc::clone(&self.arriving).try_acquire_owned();
            walk.body_mut().occupy(place.map_err(|_| Rejection::Overloaded)?);
        }

        walk.record.begin(Stage::Accept);
        let accepted = self.acceptor.accept(&walk.parts.headers, walk.now).await?;
        walk.record.end(Stage::Accept);
        let identity = &accepted.identity;
        walk.record.identity(identity.caller, Arc::clone(&identity.issuer), accepted.cached);

        let body = match plan {
            CallPlan::Passthrough => CallBody::of(walk.take_body()),
            CallPlan::Preverify => {
                self.admit(walk, &accepted).await?; // before the body: a flood must not cost memory
                self.check_batch(walk).await? // before the token: nor an exchange
            }
        };
        self.send(walk, &route, &accepted, body).await
    }

    /// Asks the limits that need no body.
    async fn admit(&self, walk: &mut Walk, accepted: &Accepted) -> Result<(), Rejection> {
        walk.record.begin(Stage::Limit);
        let limits = walk.limits.insert(self.limiter.for_caller(accepted.identity.caller));
        let admitted = limits.admit_call().await;
        walk.record.limits(limits.decisions());
        walk.held.admission = Some(admitted?);
        walk.record.end(Stage::Limit);
        Ok(())
    }

    /// Reads the batch whole, checks it and charges its users; the same bytes go on.
    async fn check_batch(&self, walk: &mut Walk) -> Result<CallBody, Rejection> {
        if self.validate_mode == GuardMode::Off {
            return Ok(CallBody::of(walk.take_body()));
        }
        walk.record.begin(Stage::Validate);
        let enforce = self.validate_mode == GuardMode::Enforce;
        if let Err(refused) = self.rules.check_content(&walk.parts.headers) {
            if enforce {
                return Err(refused.into());
            }
            tracing::info!(error = %refused, "batch would be refused");
        }
        let whole = self.read_whole(walk).await?;
        let users = match self.rules.check(&whole.bytes) {
            Ok(facts) => Some(facts.users),
            Err(malformed) if enforce => return Err(Rejection::Batch(malformed)),
            Err(malformed) => {
                let findings = malformed.findings.len() + malformed.more;
                tracing::info!(findings, "batch would be refused");
                None
            }
        };
        walk.record.end(Stage::Validate);
        if let Some(users) = users {
            walk.record.batch_users(users);
            walk.record.begin(Stage::Limit);
            let limits = walk.limits.as_mut().expect("a batch is checked after its call");
            let charged = limits.admit_users(users).await;
            walk.record.limits(limits.decisions());
            charged?;
            walk.record.end(Stage::Limit);
        }
        Ok(CallBody::Whole(Some(whole)))
    }

    async fn read_whole(&self, walk: &mut Walk) -> Result<WholeBody, Rejection> {
        let body = walk.body_mut();
        Ok(body::read_budgeted(body, self.rules.max_body(), &self.budget).await?)
    }
}

/// The language of refusals, by KooDrive's own `language` header.
fn language_of(parts: &request::Parts) -> Language {
    let value = parts.headers.get(crate::forward::LANGUAGE);
    value.and_then(|value| value.to_str().ok()).map_or(Language::English, Language::of)
}
