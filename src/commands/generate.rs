//! `completions` and `man`: generated from the command line, for shells and for `man`.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::Outcome;
use super::failure::Failure;
use super::output::Output;
use crate::cli::{Cli, VERSION};

pub(super) fn completions(shell: Shell, out: &mut Output) -> Outcome {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    out.write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(command: Option<&str>, out: &mut Output) -> Outcome {
    let mut program = Cli::command().disable_help_subcommand(true);
    // Gives each command its full name.
    program.build();
    let about = match command {
        None => Some(&program),
        Some(name) => program.find_subcommand(name),
    };
    let Some(about) = about else {
        return Err(Failure::Usage("no such command; see koodrive-gateway --help".to_owned()));
    };
    let mut page = Vec::new();
    let about = about.clone().version(VERSION);
    let rendered = Man::new(about).manual("koodrive-gateway").render(&mut page);
    rendered.map_err(Failure::at_run_time)?;
    out.write_all(&page)?;
    Ok(ExitCode::SUCCESS)
}
