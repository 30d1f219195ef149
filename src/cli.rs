//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use koodrive_gateway::config::ListenAddress;

/// Lets internal tools call Huawei Cloud KooDrive with their company SSO token.
#[derive(Debug, Parser)]
#[command(
    name = "koodrive-gateway",
    version,
    arg_required_else_help = true,
    after_long_help = EXIT_CODES
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve until SIGTERM.
    Run {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Check the configuration and print what would be in effect, with secrets redacted.
    CheckConfig {
        #[command(flatten)]
        config: ConfigFile,
        /// Also fetch the SSO's keys and contact the token endpoint and KooDrive.
        #[arg(long)]
        online: bool,
    },
    /// Apply the preverify rules to a batch before it is sent.
    CheckBatch {
        /// The batch; `-` reads standard input.
        #[arg(default_value = "-")]
        file: PathBuf,
        /// The configuration whose rules apply; without it, the default rules.
        #[arg(long)]
        config: Option<PathBuf>,
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// Language of the findings: `en` or `zh`.
        #[arg(long, default_value = "en")]
        language: String,
    },
    /// Walk one call through the stages offline and say what each decides, and why.
    Explain {
        #[command(flatten)]
        config: ConfigFile,
        /// The file that holds the SSO token.
        #[arg(long)]
        token_file: PathBuf,
        /// Method and path, for example 'POST /koodrive/ose/v1/users/batchimport/preverify'.
        call: String,
        /// The request body.
        #[arg(long)]
        body: Option<PathBuf>,
    },
    /// Wait until a gateway is ready.
    WaitReady {
        #[command(flatten)]
        admin: AdminAddress,
        /// Only check that it is alive, as a liveness probe does; it need not be ready.
        #[arg(long)]
        live: bool,
        /// How long to wait; `0s` checks once.
        #[arg(long, default_value = "30s", value_parser = duration)]
        timeout: Duration,
    },
    /// Print the JSON Schema of the configuration.
    ConfigSchema,
    /// Print a completion script for a shell.
    #[command(hide = true)]
    Completions { shell: Shell },
    /// Print the manual page of the program, or of one command, in roff.
    #[command(hide = true)]
    Man { command: Option<String> },
}

const EXIT_CODES: &str = "\
Exit codes:
  0  success
  1  refused or not ready: malformed batch, refused call, not ready in time, --online failed
  2  wrong usage or configuration
  3  failure at run time, such as an address already in use

Every key of the configuration can be set from the environment as
KOODRIVE_GATEWAY__<TABLE>__<KEY>; config-schema lists the keys.";

/// Where the configuration is.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigFile {
    /// The configuration file.
    #[arg(
        long = "config",
        value_name = "FILE",
        env = "KOODRIVE_GATEWAY_CONFIG",
        default_value = "config/gateway.toml"
    )]
    pub(crate) path: PathBuf,
}

/// Which running gateway is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct AdminAddress {
    /// Admin address of the gateway, `host:port` or `unix:/path`; without it, `admin.address` of
    /// the configuration in `KOODRIVE_GATEWAY_CONFIG`, else 127.0.0.1:9901.
    #[arg(long = "admin", value_name = "ADDR", env = "KOODRIVE_GATEWAY__ADMIN__ADDRESS")]
    pub(crate) given: Option<ListenAddress>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    koodrive_gateway::config::parse_duration(text)
        .ok_or("expected a duration such as \"0s\", \"250ms\" or \"30s\"")
}
