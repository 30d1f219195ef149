//! `completions` and `man`: generated from the command line, for shells and for `man`.

use std::io;
use std::io::Write as _;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::failed;
use crate::cli::Cli;

pub(super) fn completions(shell: Shell) -> ExitCode {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    print(&script)
}

pub(super) fn man(command: Option<&str>) -> ExitCode {
    let mut program = Cli::command().disable_help_subcommand(true);
    // Gives each command its full name.
    program.build();
    let about = match command {
        None => Some(&program),
        Some(name) => program.find_subcommand(name),
    };
    let Some(about) = about else {
        eprintln!("koodrive-gateway: no such command; see koodrive-gateway --help");
        return ExitCode::from(2);
    };
    let mut page = Vec::new();
    let about = about.clone().version(env!("CARGO_PKG_VERSION"));
    match Man::new(about).manual("koodrive-gateway").render(&mut page) {
        Ok(()) => print(&page),
        Err(error) => failed(&error),
    }
}

/// A reader that closes the pipe early is no failure.
fn print(text: &[u8]) -> ExitCode {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => failed(&error),
        _ => ExitCode::SUCCESS,
    }
}
