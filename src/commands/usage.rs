//! What the command line itself answers: help, the version, and what is wrong with it.

use std::io;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue};
use koodrive_gateway::config::nearest;

use super::Outcome;
use super::failure::Failure;
use crate::cli::Cli;

/// Prints what clap has to say.
pub(super) fn answer(mut unfit: clap::Error) -> Outcome {
    suggest(&mut unfit);
    let printed = unfit.print();
    if unfit.use_stderr() {
        return Ok(ExitCode::from(2));
    }
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Says which command was meant, also to those who know it under another name.
fn suggest(unfit: &mut clap::Error) {
    let Some(ContextValue::String(word)) = unfit.get(ContextKind::InvalidSubcommand) else {
        return;
    };
    let program = Cli::command();
    let names = program.get_subcommands().map(clap::Command::get_name);
    let known = SYNONYMS.iter().find(|(_, words)| words.contains(&word.as_str()));
    let Some(meant) = known.map(|(command, _)| *command).or_else(|| nearest(word, names)) else {
        return;
    };
    let tip = format!("did you mean `{meant}`?").into();
    unfit.remove(ContextKind::SuggestedSubcommand);
    unfit.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
}

/// Commands, and what other programs call theirs.
const SYNONYMS: [(&str, &[&str]); 5] = [
    ("run", &["serve", "server", "start", "up", "proxy", "gateway", "daemon"]),
    ("check-config", &["check", "config", "validate", "lint", "test", "verify", "doctor"]),
    ("check-batch", &["batch", "preverify", "validate-batch", "lint-batch"]),
    ("wait-ready", &["ready", "health", "healthcheck", "health-check", "ping", "wait"]),
    ("config-schema", &["schema", "json-schema"]),
];
