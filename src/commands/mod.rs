//! One file per command. Exit codes: 0 success, 1 refused or not ready, 2 wrong usage or
//! configuration, 3 failure at run time.

mod admin;
mod caller;
mod check_batch;
mod check_config;
mod explain;
mod failure;
mod forget;
mod generate;
mod output;
mod probe;
mod run;
mod status;
mod usage;
mod wait_ready;
mod watch;
mod ways;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use koodrive_gateway::app::Outside;
use koodrive_gateway::config;
use koodrive_gateway::config::{Config, Loaded};

use self::failure::Failure;
use self::output::Output;
use self::wait_ready::Question;
use crate::cli::{Cli, Command};

/// What a command ends with: its exit code, 0 or 1, or why there is none.
type Outcome = Result<ExitCode, Failure>;

/// Refused, or not ready.
const NO: ExitCode = ExitCode::FAILURE;

/// Reads the command line and does what it says.
pub(crate) fn run() -> ExitCode {
    let mut out = Output::stdout();
    let outcome = match Cli::try_parse() {
        Ok(cli) => dispatch(cli.command, &mut out),
        Err(unfit) => usage::answer(unfit),
    };
    // What was said before a failure is said all the same.
    let written = out.flush();
    let outcome = outcome.and_then(|code| written.map(|()| code));
    outcome.unwrap_or_else(|failure| failure.report())
}

fn dispatch(command: Command, out: &mut Output) -> Outcome {
    match command {
        Command::Run { config } => run::run(&config.path),
        Command::CheckConfig { config, online } => check_config::run(&config.path, online, out),
        Command::CheckBatch(asked) => check_batch::run(&asked, out),
        Command::Explain(asked) => explain::run(&asked, out),
        Command::WaitReady { admin, live, timeout } => {
            let question = if live { Question::Alive } else { Question::Ready };
            wait_ready::run(&admin::address(admin), question, timeout)
        }
        Command::Caller { issuer, subject, config } => {
            caller::run(&config.path, &issuer, &subject, out)
        }
        Command::Forget { caller, all: _, admin } => {
            forget::run(&admin::address(admin), caller.as_deref(), out)
        }
        Command::Status { admin } => status::run(&admin::address(admin), out),
        Command::Watch(asked) => watch::run(asked, out),
        Command::ConfigSchema => {
            writeln!(out, "{:#}", config::schema())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Completions { shell } => generate::completions(shell, out),
        Command::Man { command } => generate::man(command.as_deref(), out),
    }
}

fn load(path: &Path) -> Result<Loaded, Failure> {
    Ok(config::load(path, config::environment())?)
}

/// Whom servers are known by, and the way out.
fn outside(config: &Config) -> Result<Outside, Failure> {
    Ok(Outside::by(ways::egress(config)?))
}

/// A variable of this process.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Runs what a command has to wait for.
fn wait_for<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(Failure::at_run_time)?.block_on(work))
}
