//! `check-config`: what would be in effect and what deserves a second look, or everything that is
//! wrong.

mod warnings;

use std::path::Path;
use std::process::ExitCode;

use koodrive_gateway::app::Outside;
use koodrive_gateway::client::{Egress, Way};
use koodrive_gateway::config::{Config, HttpUrl, LimitStore};
use koodrive_gateway::{app, config};

use super::failure::Failure;
use super::output::Output;
use super::{NO, Outcome, load, outside, wait_for};

pub(super) fn run(path: &Path, online: bool, out: &mut Output) -> Outcome {
    let loaded = load(path)?;
    writeln!(out, "{}", config::effective(&loaded))?;
    let outside = outside(&loaded.config)?;
    for destination in destinations(&loaded.config) {
        let way = way_to(&destination, outside.egress());
        writeln!(out, "# way to {destination}: {way}")?;
    }
    let mut warnings = warnings::of(&loaded.config);
    warnings.extend(memory(&loaded.config, app::memory_limit(), out)?);
    for warning in &warnings {
        writeln!(out, "# warning: {warning}")?;
    }
    let (set, defaults) = config::keys_set(&loaded);
    let keys = if set == 1 { "key" } else { "keys" };
    let warned = match warnings.len() {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        many => format!(", {many} warnings"),
    };
    writeln!(out, "# good: {set} {keys} set, {defaults} defaults{warned}")?;
    if !online {
        return Ok(ExitCode::SUCCESS);
    }
    // The rest may take a while.
    out.flush()?;
    probe(&loaded.config, outside, out)
}

/// Asks the servers, one line each, and sums up.
fn probe(config: &Config, outside: Outside, out: &mut Output) -> Outcome {
    let probes = wait_for(app::preflight(config, outside))?;
    for probe in &probes {
        writeln!(out, "# {probe}")?;
    }
    let (failed, all) = (probes.iter().filter(|probe| !probe.ok).count(), probes.len());
    if failed == 0 {
        writeln!(out, "# good: all {all} checks passed")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "# bad: {failed} of {all} checks failed")?;
    Ok(NO)
}

/// Scheme, host and port of every server that would be asked, each once.
fn destinations(config: &Config) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut add = |destination: String| {
        if !found.contains(&destination) {
            found.push(destination);
        }
    };
    for issuer in config.accept.issuers.iter().filter(|issuer| !issuer.jwks_file.is_set()) {
        let url = issuer.jwks_url.clone().or_else(|| issuer.issuer.parse().ok());
        if let Some(url) = url {
            add(origin(&url));
        }
    }
    let urls = [&config.token.endpoint, &config.forward.upstream, &config.telemetry.otlp_endpoint];
    urls.into_iter().flatten().for_each(|url| add(origin(url)));
    if let store @ LimitStore::Redis(_) = &config.limit.store {
        add(store.to_string());
    }
    found
}

fn origin(url: &HttpUrl) -> String {
    let scheme = if url.is_https() { "https" } else { "http" };
    let authority = url.uri().authority().map_or("", |authority| authority.as_str());
    format!("{scheme}://{authority}")
}

/// How `destination` is reached.
fn way_to(destination: &str, egress: &Egress) -> Way {
    destination.parse().map_or(Way::Direct, |destination| egress.way_to(&destination))
}

/// What all bounds add up to; a warning if that is more than there may be.
fn memory(
    config: &Config,
    limit: Option<usize>,
    out: &mut Output,
) -> Result<Option<String>, Failure> {
    let bounds = app::memory_bounds(config);
    let sum = bounds.iter().map(|bound| bound.bytes).fold(0, usize::saturating_add);
    let parts = bounds.iter().map(|bound| format!("{} {}", bound.part, mebibytes(bound.bytes)));
    let parts = parts.collect::<Vec<_>>().join(", ");
    writeln!(out, "# memory: at most {}: {parts}", mebibytes(sum))?;
    Ok(limit.filter(|limit| *limit < sum).map(|limit| {
        let (sum, limit) = (mebibytes(sum), mebibytes(limit));
        format!(
            "memory: the bounds add up to {sum}, and the cgroup allows {limit}: under the worst \
             load the process would be killed; lower the largest of them, or raise the limit"
        )
    }))
}

/// Rounded up.
fn mebibytes(bytes: usize) -> String {
    format!("{}MiB", bytes.div_ceil(1024 * 1024))
}
