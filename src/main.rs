//! The binary: reads the command line, runs one command, ends with its exit code.

mod cli;
mod commands;

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::run()
}
