//! `explain`: one call through the stages, offline.

use std::path::Path;
use std::process::ExitCode;

use http::HeaderMap;
use http::Method;
use koodrive_gateway::accept::Acceptor;
use koodrive_gateway::accept::KeyStores;
use koodrive_gateway::accept::Verdict;
use koodrive_gateway::accept::VerifiedTokens;
use koodrive_gateway::call;
use koodrive_gateway::call::CallPlan;
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::Config;
use koodrive_gateway::config::GuardMode;
use koodrive_gateway::config::TokenMethod;
use koodrive_gateway::validate::BatchRules;
use koodrive_gateway::validate::Language;
use koodrive_gateway::validate::Report;

use super::NO;
use super::failed;
use super::load;

pub(super) fn run(path: &Path, token_file: &Path, call: &str, body: Option<&Path>) -> ExitCode {
    let config = match load(path) {
        Ok(loaded) => loaded.config,
        Err(code) => return code,
    };
    let token = match std::fs::read_to_string(token_file) {
        Ok(token) => token,
        Err(error) => {
            eprint!("{}: ", token_file.display());
            return failed(&error);
        }
    };
    let body = match body.map(std::fs::read).transpose() {
        Ok(body) => body,
        Err(error) => return failed(&error),
    };
    let Some((method, target)) = call.split_once(' ') else {
        eprintln!("expected a call such as 'POST {}', found {call:?}", call::PREVERIFY_PATH);
        return ExitCode::from(2);
    };
    let Ok(method) = Method::from_bytes(method.as_bytes()) else {
        eprintln!("expected a method such as GET or POST");
        return ExitCode::from(2);
    };
    let Some(plan) = explain_call(&config, &method, target) else { return NO };
    if !explain_accept(&config, token.trim()) {
        return NO;
    }
    if plan == CallPlan::Preverify {
        explain_limit(&config);
        if !explain_validate(&config, body.as_deref()) {
            return NO;
        }
    }
    explain_token(&config);
    explain_forward(&config, plan, target);
    ExitCode::SUCCESS
}

fn explain_call(config: &Config, method: &Method, target: &str) -> Option<CallPlan> {
    println!("call");
    let path = target.split('?').next().unwrap_or_default();
    match call::plan_for(method, path, &config.forward.prefix) {
        Ok(CallPlan::Preverify) => {
            println!("  preverify: the batch is limited and validated, then forwarded");
            Some(CallPlan::Preverify)
        }
        Ok(CallPlan::Passthrough) => {
            println!("  passed through: streamed untouched, no limit, no validation");
            Some(CallPlan::Passthrough)
        }
        Err(refused) => {
            println!("  REFUSED: {refused}");
            None
        }
    }
}

fn explain_accept(config: &Config, token: &str) -> bool {
    println!("accept");
    let clock = Clock::system();
    let keys = KeyStores::offline(clock.clone());
    keys.apply(&config.accept);
    let acceptor = Acceptor::new(&config.accept, &keys, &VerifiedTokens::new());
    let lines = acceptor.explain(token, clock.now());
    for line in &lines {
        println!("  {line}");
    }
    !lines.iter().any(|line| matches!(line.verdict, Verdict::Refused(_)))
}

fn explain_limit(config: &Config) {
    println!("limit");
    let limit = &config.limit;
    println!(
        "  per caller: {} calls a minute (burst {}), {} users a minute (burst {})",
        limit.calls_per_minute, limit.calls_burst, limit.users_per_minute, limit.users_burst
    );
    println!(
        "  whole process: {} calls a second (burst {}), {} at once",
        limit.total_calls_per_second, limit.total_burst, limit.concurrent
    );
    println!("  what is left of them only the running gateway knows");
}

fn explain_validate(config: &Config, body: Option<&[u8]>) -> bool {
    println!("validate");
    if config.validate.mode == GuardMode::Off {
        println!("  switched off");
        return true;
    }
    let Some(body) = body else {
        println!("  no --body given, nothing to check");
        return true;
    };
    let rules = BatchRules::new(&config.validate);
    if let Err(refused) = rules.check_content(&HeaderMap::new()) {
        println!("  REFUSED: {}", refused.text(Language::English));
    }
    if rules.max_body() < body.len() {
        println!("  REFUSED: {} bytes, at most {} are taken", body.len(), rules.max_body());
        return config.validate.mode == GuardMode::Observe;
    }
    let verdict = rules.check(body);
    let report =
        Report { name: "body", body, verdict: &verdict, language: Language::English, width: 100 };
    for line in report.to_string().lines() {
        println!("  {line}");
    }
    verdict.is_ok() || config.validate.mode == GuardMode::Observe
}

fn explain_token(config: &Config) {
    println!("token");
    let token = &config.token;
    let endpoint = token.endpoint.as_ref().map_or("", |endpoint| endpoint.as_str());
    let how = match token.method {
        TokenMethod::TokenExchange => "RFC 8693 token exchange of this SSO token at",
        TokenMethod::JwtBearer => "RFC 7523 grant with this SSO token at",
        TokenMethod::ClientCredentials => "one token for the whole process from",
        TokenMethod::Custom => "a login of your own at",
        TokenMethod::CarrierLogin => "one KooDrive session for the whole process from",
        TokenMethod::AppSignature => "no exchange: each attempt is signed with the AppSecret",
    };
    println!("  {how} {endpoint}");
    if token.method != TokenMethod::AppSignature {
        println!(
            "  kept {:?} after the last accepted call, at most {:?}; nothing was asked now",
            token.idle_lifetime, token.absolute_lifetime
        );
    }
}

fn explain_forward(config: &Config, plan: CallPlan, target: &str) {
    println!("forward");
    let upstream = config.forward.upstream.as_ref().map_or("", |upstream| upstream.as_str());
    let sent = match plan {
        CallPlan::Preverify => call::PREVERIFY_PATH,
        CallPlan::Passthrough => target,
    };
    println!("  to {}{sent}", upstream.trim_end_matches('/'));
}
