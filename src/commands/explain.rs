//! `explain`: one call through the stages, offline.

use std::path::Path;
use std::process::ExitCode;

use http::Method;
use koodrive_gateway::accept::{Accepted, Acceptor, KeyStores, Verdict, VerifiedTokens};
use koodrive_gateway::call::{CallPlan, CallRefused, Route, Routes};
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::{Config, GuardMode};
use koodrive_gateway::telemetry::chain;
use koodrive_gateway::validate::{BatchRules, Language, Report};
use koodrive_gateway::{call, token};

use super::{NO, load, unreadable};

pub(super) fn run(path: &Path, token_file: &Path, call: &str, body: Option<&Path>) -> ExitCode {
    let config = match load(path) {
        Ok(loaded) => loaded.config,
        Err(code) => return code,
    };
    let token = match std::fs::read_to_string(token_file) {
        Ok(token) => token,
        Err(error) => return unreadable(token_file, &error),
    };
    let body = match body {
        Some(file) => match std::fs::read(file) {
            Ok(body) => Some(body),
            Err(error) => return unreadable(file, &error),
        },
        None => None,
    };
    let Some((method, target)) = call.split_once(' ') else {
        eprintln!("expected a call such as 'POST {}', found {call:?}", call::PREVERIFY_PATH);
        return ExitCode::from(2);
    };
    let Ok(method) = Method::from_bytes(method.as_bytes()) else {
        eprintln!("expected a method such as GET or POST, found {method:?}");
        return ExitCode::from(2);
    };
    let Some(route) = explain_call(&config, &method, target) else { return NO };
    let Some(caller) = explain_accept(&config, token.trim()) else { return NO };
    explain_limit(&config, route.plan, &caller);
    if !explain_validate(&config, route.plan, body.as_deref()) || !explain_token(&config, &caller) {
        return NO;
    }
    explain_forward(&config, &route, target);
    ExitCode::SUCCESS
}

fn explain_call(config: &Config, method: &Method, target: &str) -> Option<Route> {
    println!("call");
    let path = target.split('?').next().unwrap_or_default();
    let prefix = &config.forward.prefix;
    let base_path = config.forward.upstream.as_ref().map_or("", |upstream| upstream.base_path());
    let Ok(uri) = target.parse() else {
        println!("  REFUSED  400: not a request target");
        return None;
    };
    match Routes::new(base_path, prefix).plan_for(method, &uri) {
        Ok(route @ Route { plan: CallPlan::Preverify, .. }) => {
            let spelling = if path == call::PREVERIFY_PATH { "" } else { " in another spelling" };
            println!("  preverify{spelling}: limited and validated, then forwarded");
            Some(route)
        }
        Ok(route) => {
            println!("  below {prefix} and not preverify: streamed through unchanged");
            Some(route)
        }
        Err(CallRefused::Method { allow }) => {
            println!("  REFUSED  405: {method} is not allowed here; allowed: {allow}");
            None
        }
        Err(CallRefused::RouteUnknown) => {
            let why = if path.starts_with(prefix) {
                "some server could read this path as preverify, or as one outside the prefix"
            } else {
                "it does not begin with forward.prefix"
            };
            println!("  REFUSED  404: {why} (prefix {prefix})");
            None
        }
    }
}

/// Whom the token is about, unless it is refused.
fn explain_accept(config: &Config, token: &str) -> Option<Accepted> {
    println!("accept");
    let clock = Clock::system();
    let keys = KeyStores::offline(clock.clone());
    keys.apply(&config.accept);
    let kept = token::claims_read(&config.token).unwrap_or_default();
    let acceptor = Acceptor::new(&config.accept, &keys, &VerifiedTokens::new(), kept);
    let now = clock.now();
    let lines = acceptor.explain(token, now);
    for line in &lines {
        println!("  {line}");
    }
    if lines.iter().any(|line| matches!(line.verdict, Verdict::Refused(_))) {
        return None;
    }
    acceptor.claimed(token, now)
}

fn explain_limit(config: &Config, plan: CallPlan, caller: &Accepted) {
    println!("limit");
    let limit = &config.limit;
    match (plan, limit.mode) {
        (CallPlan::Passthrough, _) => return println!("  for preverify only"),
        (_, GuardMode::Off) => return println!("  switched off by limit.mode"),
        (_, GuardMode::Observe) => println!("  counts and logs only: limit.mode is observe"),
        (_, GuardMode::Enforce) => {}
    }
    println!("  caller {} in logs and limits", caller.identity.caller);
    println!(
        "  per caller: {} calls a minute (burst {}), {} users a minute (burst {})",
        limit.calls_per_minute, limit.calls_burst, limit.users_per_minute, limit.users_burst
    );
    println!(
        "  whole process: {} calls a second (burst {}), {} at once",
        limit.total_calls_per_second, limit.total_burst, limit.concurrent
    );
    println!("  how much is left of them is known only to the running gateway");
}

fn explain_validate(config: &Config, plan: CallPlan, body: Option<&[u8]>) -> bool {
    println!("validate");
    if plan == CallPlan::Passthrough {
        println!("  for preverify only: the gateway does not look into the body");
        return true;
    }
    match config.validate.mode {
        GuardMode::Off => {
            println!("  switched off by validate.mode");
            return true;
        }
        GuardMode::Observe => println!("  logs only: validate.mode is observe"),
        GuardMode::Enforce => {}
    }
    let Some(body) = body else {
        println!("  no --body given, nothing to check");
        return true;
    };
    let rules = BatchRules::new(&config.validate);
    if rules.max_body() < body.len() {
        println!("  REFUSED  413: {} bytes, validate.max_body is {}", body.len(), rules.max_body());
        return false;
    }
    let verdict = rules.check(body);
    let report =
        Report { name: "body", body, verdict: &verdict, language: Language::English, width: 100 };
    for line in report.to_string().lines() {
        println!("  {line}");
    }
    verdict.is_ok() || config.validate.mode == GuardMode::Observe
}

fn explain_token(config: &Config, caller: &Accepted) -> bool {
    println!("token");
    let explanation = match token::explain(&config.token, caller) {
        Ok(explanation) => explanation,
        Err(error) => {
            println!("  REFUSED  {}", chain(&error));
            return false;
        }
    };
    for line in explanation.lines {
        println!("  {line}");
    }
    if let Some(denial) = explanation.denied {
        println!("  REFUSED  403: {denial}");
    }
    explanation.denied.is_none()
}

fn explain_forward(config: &Config, route: &Route, target: &str) {
    println!("forward");
    let Some(upstream) = &config.forward.upstream else { return };
    let origin = upstream.as_str().trim_end_matches('/');
    let origin = origin.strip_suffix(upstream.base_path()).unwrap_or(origin);
    let query = target.split_once('?').map_or(String::new(), |(_, query)| format!("?{query}"));
    println!("  to {origin}{}{query}", route.path);
}
