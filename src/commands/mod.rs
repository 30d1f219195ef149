//! One file per command. Exit codes: 0 success, 1 refused or not ready, 2 wrong usage or
//! configuration, 3 failure at run time.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "commands write for people")]

mod admin;
mod check_batch;
mod check_config;
mod explain;
mod generate;
mod probe;
mod run;
mod wait_ready;

use std::path::Path;
use std::process::ExitCode;

use koodrive_gateway::config;
use koodrive_gateway::config::Loaded;
use koodrive_gateway::telemetry::chain;

use self::probe::Question;
use crate::cli::{Cli, Command};

/// Refused, or not ready.
const NO: ExitCode = ExitCode::FAILURE;

pub(crate) fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Run { config } => run::run(&config.path),
        Command::CheckConfig { config, online } => check_config::run(&config.path, online),
        Command::CheckBatch { file, config, format, language } => {
            check_batch::run(&file, config.as_deref(), format, &language)
        }
        Command::Explain { config, token_file, call, body } => {
            explain::run(&config.path, &token_file, &call, body.as_deref())
        }
        Command::WaitReady { admin, live, timeout } => {
            let question = if live { Question::Alive } else { Question::Ready };
            wait_ready::run(&admin::address(admin), question, timeout)
        }
        Command::ConfigSchema => {
            println!("{:#}", config::schema());
            ExitCode::SUCCESS
        }
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { command } => generate::man(command.as_deref()),
    }
}

/// The configuration, or the exit code once everything that is wrong with it was printed.
fn load(path: &Path) -> Result<Loaded, ExitCode> {
    config::load(path, config::environment()).map_err(|error| {
        eprintln!("{error}");
        ExitCode::from(2)
    })
}

/// Prints that a file named on the command line cannot be read.
fn unreadable(file: &Path, error: &std::io::Error) -> ExitCode {
    eprintln!("koodrive-gateway: cannot read {}: {error}", file.display());
    ExitCode::from(3)
}

/// Prints a failure at run time.
fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("koodrive-gateway: {}", chain(error));
    ExitCode::from(3)
}
