//! The stages in the order a request meets them, each saying what it decides and why.

use http::Method;
use koodrive_gateway::accept::{
    AcceptError, Accepted, Acceptor, IdentityRules, KeyStores, MissingToken, Verdict,
    VerifiedTokens,
};
use koodrive_gateway::authorize::Authorizer;
use koodrive_gateway::body::BodyError;
use koodrive_gateway::call::{CallPlan, CallRefused, Route, RouteHint, Routes};
use koodrive_gateway::client::Egress;
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::{Config, GuardMode};
use koodrive_gateway::rejection::Rejection;
use koodrive_gateway::token::TokenError;
use koodrive_gateway::validate::{BatchRules, Language, Report};
use koodrive_gateway::{call, token};

use super::Told;
use crate::commands::caller;
use crate::commands::ways::{Server, Servers};

/// What is explained.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) target: &'a str,
    pub(super) token: &'a str,
    pub(super) body: Option<&'a [u8]>,
}

/// The servers behind the stages, and the way out to them.
pub(super) struct Reached<'a> {
    pub(super) servers: Servers<'a>,
    pub(super) egress: Egress,
}

impl Reached<'_> {
    fn tell<'s>(&'s self, servers: impl IntoIterator<Item = &'s Server<'s>>, told: &mut Told) {
        for server in servers {
            let roots = server.roots().map(|roots| format!(", known by the roots of {roots}"));
            let way = server.way(&self.egress);
            told.line(format!("way to {}: {way}{}", server.origin, roots.unwrap_or_default()));
        }
    }
}

/// Ends where the gateway would refuse the call.
pub(super) fn walk(
    call: &Call<'_>,
    config: &Config,
    keys: &KeyStores,
    servers: &Reached<'_>,
    told: &mut Told,
) -> Result<(), Rejection> {
    let route = plan(call, config, told)?;
    let authorizer = Authorizer::new(&config.authorize, config.forward.upstream.base_path());
    let caller = accept(call, config, keys, &authorizer, servers, told)?;
    authorize(call, &authorizer, &route, &caller, told)?;
    limit(config, route.plan, &caller, told);
    validate(call, config, route.plan, told)?;
    exchange(config, &caller, servers, told)?;
    forward(call, config, &route, servers, told);
    Ok(())
}

fn plan(call: &Call<'_>, config: &Config, told: &mut Told) -> Result<Route, Rejection> {
    told.stage("call");
    let Call { method, target, .. } = call;
    let path = target.split('?').next().unwrap_or_default();
    let prefix = &config.forward.prefix;
    let Ok(uri) = target.parse() else {
        told.line("REFUSED  not a request target");
        return Err(CallRefused::RouteUnknown(RouteHint::Elsewhere).into());
    };
    let planned = Routes::new(config.forward.upstream.base_path(), prefix).plan_for(method, &uri);
    told.line(match &planned {
        Ok(Route { plan: CallPlan::Preverify, .. }) => {
            let spelling = if path == call::PREVERIFY_PATH { "" } else { " in another spelling" };
            format!("preverify{spelling}: limited and validated, then forwarded")
        }
        Ok(_) => format!("below {prefix} and not preverify: streamed through unchanged"),
        Err(CallRefused::Method { allow }) => {
            format!("REFUSED  405: {method} is not allowed here; allowed: {allow}")
        }
        Err(CallRefused::RouteUnknown(hint)) => {
            let why = match hint {
                RouteHint::Spelling => {
                    "some server could read this path as preverify, or as one outside the prefix"
                }
                RouteHint::PrefixForgotten => {
                    "it does not begin with forward.prefix; was that forgotten?"
                }
                RouteHint::Elsewhere => "it does not begin with forward.prefix",
            };
            format!("REFUSED  404: {why} (prefix {prefix})")
        }
    });
    Ok(planned?)
}

/// Which rule decides, and what it says. Without rules there is nothing to tell.
fn authorize(
    call: &Call<'_>,
    authorizer: &Authorizer,
    route: &Route,
    caller: &Accepted,
    told: &mut Told,
) -> Result<(), Rejection> {
    if !authorizer.is_on() {
        return Ok(());
    }
    told.stage("authorize");
    let decision = authorizer.decide(&call.method, &route.path, &caller.identity);
    match (decision.denied, authorizer.observes()) {
        (None, _) => told.line(format!("ok       rule {}", decision.rule)),
        (Some(denied), true) => {
            told.line(format!("would be denied, but rules only observe: {denied}"));
        }
        (Some(denied), false) => {
            told.line(format!("REFUSED  {denied}"));
            return Err(denied.into());
        }
    }
    Ok(())
}

/// Whom the token is about.
fn accept(
    call: &Call<'_>,
    config: &Config,
    keys: &KeyStores,
    authorizer: &Authorizer,
    reached: &Reached<'_>,
    told: &mut Told,
) -> Result<Accepted, Rejection> {
    told.stage("accept");
    reached.tell(&reached.servers.accept, told);
    if call.token.is_empty() {
        told.line("REFUSED  the token file is empty");
        return Err(AcceptError::TokenMissing(MissingToken::Empty).into());
    }
    let issuers = &config.accept.issuers;
    let identities = IdentityRules {
        kept_claims: token::claims_read(&config.token, issuers),
        caller_key: caller::key(config),
    };
    let acceptor = Acceptor::new(&config.accept, keys, &VerifiedTokens::new(), identities)
        .asking(authorizer.requirements());
    let now = Clock::system().now();
    let lines = acceptor.explain(call.token, now);
    for line in &lines {
        told.line(line.to_string());
    }
    // The first is what the caller would be told.
    let refused = lines.into_iter().find_map(|line| match line.verdict {
        Verdict::Refused(error) => Some(error),
        Verdict::Passed | Verdict::NotChecked(_) => None,
    });
    if let Some(error) = refused {
        return Err(error.into());
    }
    let none = AcceptError::TokenMissing(MissingToken::Empty);
    Ok(acceptor.claimed(call.token, now).ok_or(none)?)
}

fn limit(config: &Config, plan: CallPlan, caller: &Accepted, told: &mut Told) {
    told.stage("limit");
    let limit = &config.limit;
    match (plan, limit.mode) {
        (CallPlan::TaskCreate | CallPlan::TaskResult | CallPlan::Passthrough, _) => {
            return told.line("for preverify only");
        }
        (_, GuardMode::Off) => return told.line("switched off by limit.mode"),
        (_, GuardMode::Observe) => told.line("counts and logs only: limit.mode is observe"),
        (_, GuardMode::Enforce) => {}
    }
    told.line(format!("caller {} in logs and limits", caller.identity.caller));
    told.line(format!(
        "per caller: {} calls a minute (burst {}), {} users a minute (burst {})",
        limit.calls_per_minute, limit.calls_burst, limit.users_per_minute, limit.users_burst
    ));
    told.line(format!(
        "whole process: {} calls a second (burst {}), {} at once",
        limit.total_calls_per_second, limit.total_burst, limit.concurrent
    ));
    told.line("how much is left of them is known only to the running gateway");
}

fn validate(
    call: &Call<'_>,
    config: &Config,
    plan: CallPlan,
    told: &mut Told,
) -> Result<(), Rejection> {
    told.stage("validate");
    if plan != CallPlan::Preverify {
        told.line("for preverify only: the gateway does not look into the body");
        return Ok(());
    }
    let mode = config.validate.mode;
    match mode {
        GuardMode::Off => {
            told.line("switched off by validate.mode");
            return Ok(());
        }
        GuardMode::Observe => told.line("logs only: validate.mode is observe"),
        GuardMode::Enforce => {}
    }
    let Some(body) = call.body else {
        told.line("no --body given, nothing to check");
        return Ok(());
    };
    let rules = BatchRules::new(&config.validate);
    if rules.max_body() < body.len() {
        let (bytes, max) = (body.len(), rules.max_body());
        told.line(format!("REFUSED  413: {bytes} bytes, validate.max_body is {max}"));
        return Err(BodyError::TooLarge(max).into());
    }
    let verdict = rules.check(body);
    let report = Report {
        name: "body",
        body,
        verdict: &verdict,
        language: Language::English,
        width: REPORT_COLUMNS,
        colours: false,
    };
    for line in report.to_string().lines() {
        told.line(line);
    }
    match verdict {
        Err(malformed) if mode == GuardMode::Enforce => Err(Rejection::Batch(malformed)),
        _ => Ok(()),
    }
}

fn exchange(
    config: &Config,
    caller: &Accepted,
    reached: &Reached<'_>,
    told: &mut Told,
) -> Result<(), Rejection> {
    told.stage("token");
    let explained = token::explain(&config.token, &config.accept.issuers, caller);
    for line in explained.lines {
        told.line(line);
    }
    reached.tell(&reached.servers.token, told);
    let Some(denial) = explained.denied else { return Ok(()) };
    told.line(format!("REFUSED  403: {denial}"));
    Err(Rejection::from(TokenError::Denied(denial)))
}

fn forward(
    call: &Call<'_>,
    config: &Config,
    route: &Route,
    reached: &Reached<'_>,
    told: &mut Told,
) {
    told.stage("forward");
    let upstream = &config.forward.upstream;
    let origin = upstream.as_str().trim_end_matches('/');
    let origin = origin.strip_suffix(upstream.base_path()).unwrap_or(origin);
    let query = call.target.split_once('?').map_or(String::new(), |(_, query)| format!("?{query}"));
    told.line(format!("to {origin}{}{query}", route.path));
    reached.tell([&reached.servers.forward], told);
}

const REPORT_COLUMNS: usize = 100;
