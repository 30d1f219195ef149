//! Why a command has no answer, and the exit code that says so.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use koodrive_gateway::config;
use koodrive_gateway::config::ConfigError;
use koodrive_gateway::telemetry::chain;

use super::output::complain;

/// Neither yes nor no: exit code 2 or 3.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Wrong usage that the command line itself cannot see.
    #[error("{0}")]
    Usage(String),
    /// Names file, line and key by itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file named on the command line.
    #[error("cannot read {}: {cause}", file.display())]
    Unreadable { file: PathBuf, cause: String },
    /// The disk is full, or the like.
    #[error("cannot write the answer")]
    Output(#[source] io::Error),
    /// No gateway answers as one should.
    #[error("{0}")]
    Unanswered(String),
    #[error(transparent)]
    AtRunTime(Box<dyn Error + Send + Sync>),
}

impl Failure {
    pub(super) fn unreadable(file: &Path, error: &io::Error) -> Self {
        Self::Unreadable { file: file.to_owned(), cause: config::file_error(error) }
    }

    pub(super) fn at_run_time(error: impl Error + Send + Sync + 'static) -> Self {
        Self::AtRunTime(Box::new(error))
    }

    /// Tells the user, and the shell.
    pub(super) fn report(&self) -> ExitCode {
        match self {
            Self::Config(error) => complain(format_args!("{error}\n")),
            _ => complain(format_args!("koodrive-gateway: {}\n", chain(self))),
        }
        match self {
            Self::Usage(_) | Self::Config(_) => ExitCode::from(2),
            Self::Unreadable { .. }
            | Self::Output(_)
            | Self::Unanswered(_)
            | Self::AtRunTime(_) => ExitCode::from(3),
        }
    }
}
