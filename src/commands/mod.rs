//! One file per command. Exit codes: 0 well, 1 the answer is no, 2 usage or configuration,
//! 3 failure at run time.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "commands talk to a person")]

mod check_batch;
mod check_config;
mod explain;
mod papers;
mod run;
mod wait_ready;

use std::path::Path;
use std::process::ExitCode;

use koodrive_gateway::admin::Question;
use koodrive_gateway::config;
use koodrive_gateway::config::Loaded;
use koodrive_gateway::telemetry::chain;

use crate::cli::{Cli, Command};

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
            wait_ready::run(&admin, question, timeout)
        }
        Command::ConfigSchema => {
            println!("{:#}", config::schema());
            ExitCode::SUCCESS
        }
        Command::Completions { shell } => papers::completions(shell),
        Command::Man { command } => papers::man(command.as_deref()),
    }
}

/// The configuration, or the exit code after everything that is wrong was told.
fn load(path: &Path) -> Result<Loaded, ExitCode> {
    config::load(path, config::environment()).map_err(|error| {
        eprintln!("{error}");
        ExitCode::from(2)
    })
}

/// Tells a failure at run time.
fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("koodrive-gateway: {}", chain(error));
    ExitCode::from(3)
}
