//! `explain`: one call through the stages, and what its caller would get.

mod walk;

use std::path::Path;
use std::process::ExitCode;

use http::Method;
use koodrive_gateway::accept::KeyStores;
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::Config;
use koodrive_gateway::rejection::{Reason, Rejection};
use koodrive_gateway::telemetry::chain;
use koodrive_gateway::{app, call};
use serde::Serialize;

use self::walk::{Call, Reached};
use super::failure::Failure;
use super::output::Output;
use super::ways;
use super::ways::Servers;
use super::{NO, Outcome, load, outside, wait_for};
use crate::cli::{Explain, Format};

pub(super) fn run(asked: &Explain, out: &mut Output) -> Outcome {
    let config = load(&asked.config.path)?.config;
    let token = read(&asked.token_file)?;
    let token = String::from_utf8_lossy(&token);
    let body = asked.body.as_deref().map(read).transpose()?;
    let (method, target) = parse(&asked.call)?;
    let mut told = Told::default();
    let keys = keys(&config, asked.online, &mut told)?;
    // Spans do not travel with a call.
    let reached = Reached { servers: Servers::of(&config, None), egress: ways::egress(&config)? };
    let call = Call { method, target, token: bare(&token), body: body.as_deref() };
    let ended = walk::walk(&call, &config, &keys, &reached, &mut told).err();
    match asked.format {
        Format::Text => print(&told, ended.as_ref(), out)?,
        Format::Json => {
            let answer = Answer::new(&told, ended.as_ref());
            let json = serde_json::to_string_pretty(&answer).map_err(Failure::at_run_time)?;
            writeln!(out, "{json}")?;
        }
    }
    Ok(if ended.is_none() { ExitCode::SUCCESS } else { NO })
}

/// What the stages said, in their order.
#[derive(Default)]
struct Told(Vec<Stage>);

#[derive(Serialize)]
struct Stage {
    stage: &'static str,
    lines: Vec<String>,
}

impl Told {
    fn stage(&mut self, stage: &'static str) {
        self.0.push(Stage { stage, lines: Vec::new() });
    }

    /// Of the stage that is being told of.
    fn line(&mut self, line: impl Into<String>) {
        if let Some(stage) = self.0.last_mut() {
            stage.lines.push(line.into());
        }
    }
}

/// The form for programs.
#[derive(Serialize)]
struct Answer<'a> {
    stages: &'a [Stage],
    forwarded: bool,
    status: Option<u16>,
    code: Option<u32>,
    reason: Option<&'static str>,
    detail: Option<String>,
}

impl<'a> Answer<'a> {
    fn new(told: &'a Told, rejection: Option<&Rejection>) -> Self {
        let reason = rejection.map(Rejection::reason);
        Self {
            stages: &told.0,
            forwarded: rejection.is_none(),
            status: reason.map(|reason| reason.status().as_u16()),
            code: reason.map(Reason::code),
            reason: reason.map(Reason::as_str),
            detail: rejection.map(|rejection| chain(rejection)),
        }
    }
}

fn print(told: &Told, rejection: Option<&Rejection>, out: &mut Output) -> Result<(), Failure> {
    for Stage { stage, lines } in &told.0 {
        writeln!(out, "{stage}")?;
        for line in lines {
            writeln!(out, "  {line}")?;
        }
    }
    match rejection.map(Rejection::reason) {
        None => writeln!(out, "would be forwarded"),
        Some(reason) => {
            let status = reason.status().as_u16();
            writeln!(out, "would be refused: {status} {}", reason.as_str())
        }
    }
}

/// The keys of the SSO: those in files, and with leave to ask, all.
fn keys(config: &Config, online: bool, told: &mut Told) -> Result<KeyStores, Failure> {
    if !online {
        let keys = KeyStores::offline(Clock::system());
        keys.apply(&config.accept);
        return Ok(keys);
    }
    let fetched = wait_for(app::fetch_keys(&config.accept, &outside(config)?))?;
    told.stage("keys");
    for fetch in &fetched.fetches {
        told.line(match &fetch.failure {
            None => format!("ok       {}: {}", fetch.issuer, fetched.usable(fetch)),
            Some(failure) => format!("FAILED   {}: {failure}", fetch.issuer),
        });
    }
    for issuer in &fetched.silent {
        told.line(format!("FAILED   {issuer}: no answer"));
    }
    Ok(fetched.keys)
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| Failure::unreadable(file, &error))
}

/// The token as a file may hold it: with the name of its header or the scheme in front.
fn bare(text: &str) -> &str {
    let text = text.trim();
    let without = |text: &'_ str, prefix: &str| {
        let (head, rest) = text.split_at_checked(prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then(|| rest.trim_start().len())
    };
    let mut bare = text;
    for prefix in ["authorization:", "bearer "] {
        if let Some(rest) = without(bare, prefix) {
            bare = bare.get(bare.len() - rest..).unwrap_or_default();
        }
    }
    bare
}

fn parse(call: &str) -> Result<(Method, &str), Failure> {
    let Some((method, target)) = call.split_once(' ') else {
        return Err(Failure::Usage(format!(
            "expected a call such as 'POST {}', found {call:?}",
            call::PREVERIFY_PATH
        )));
    };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| {
        Failure::Usage(format!("expected a method such as GET or POST, found {method:?}"))
    })?;
    Ok((method, target.trim()))
}
