//! The binary: reads the command line, runs one command, ends with its exit code.

mod cli;
mod commands;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Fails only when a provider was chosen before, which nobody else does.
    let _chosen = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    commands::run()
}
