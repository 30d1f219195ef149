//! `check-config`: what would be in effect and what deserves a second look, or everything that is
//! wrong.

mod warnings;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use koodrive_gateway::app::Outside;
use koodrive_gateway::client::Egress;
use koodrive_gateway::config::Config;
use koodrive_gateway::telemetry::CollectorAddress;
use koodrive_gateway::{app, config};

use super::failure::Failure;
use super::output::Output;
use super::ways::Servers;
use super::{NO, Outcome, load, wait_for, ways};

pub(super) fn run(path: &Path, online: bool, out: &mut Output) -> Outcome {
    let loaded = load(path)?;
    writeln!(out, "{}", config::effective(&loaded))?;
    let collector = ways::collector(&loaded.config)?;
    let egress = ways::egress(&loaded.config)?;
    tell_ways(&Servers::of(&loaded.config, collector.as_ref()), &egress, out)?;
    let mut warnings = warnings::of(&loaded.config);
    warnings.extend(collector.as_ref().and_then(|collector| collector.warning.clone()));
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
    probe(&loaded.config, Outside::by(egress), collector, out)
}

/// Asks the servers, one line each, and sums up.
fn probe(
    config: &Config,
    outside: Outside,
    collector: Option<CollectorAddress>,
    out: &mut Output,
) -> Outcome {
    let probes = wait_for(app::preflight(config, outside, collector))?;
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

/// The way to each server and its roots, each once.
fn tell_ways(servers: &Servers<'_>, egress: &Egress, out: &mut Output) -> Result<(), Failure> {
    let mut told = BTreeSet::new();
    for server in servers.iter() {
        let line = format!("# way to {}: {}", server.origin, server.way(egress));
        if told.insert(line.clone()) {
            writeln!(out, "{line}")?;
        }
    }
    for server in servers.iter() {
        let Some(roots) = server.roots() else { continue };
        let line = format!("# roots for {}: {roots}", server.origin);
        if told.insert(line.clone()) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
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
