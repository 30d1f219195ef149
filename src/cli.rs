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
    version = VERSION,
    arg_required_else_help = true,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}")
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Version, commit and target.
pub(crate) const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("KOODRIVE_GATEWAY_COMMIT"),
    ", ",
    env!("KOODRIVE_GATEWAY_TARGET"),
    ")"
);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve until SIGTERM.
    #[command(after_help = "\
Examples:
  koodrive-gateway run --config gateway.toml
  KOODRIVE_GATEWAY__LISTEN__ADDRESS=127.0.0.1:8081 koodrive-gateway run")]
    Run {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Check the configuration and print what would be in effect, with secrets redacted.
    #[command(after_help = "\
Examples:
  koodrive-gateway check-config --config gateway.toml
  koodrive-gateway check-config --config gateway.toml --online")]
    CheckConfig {
        #[command(flatten)]
        config: ConfigFile,
        /// Also fetch the SSO's keys, try the client's credentials at the token endpoint, reach
        /// KooDrive and compare clocks.
        #[arg(long)]
        online: bool,
    },
    /// Apply the preverify rules to batches before they are sent.
    #[command(after_help = "\
Examples:
  koodrive-gateway check-batch batch.json
  koodrive-gateway check-batch --config gateway.toml batches/*.json
  KOODRIVE_GATEWAY__VALIDATE__MAX_USERS=200 koodrive-gateway check-batch batch.json
  make-batch | koodrive-gateway check-batch --format json -")]
    CheckBatch(CheckBatch),
    /// Walk one call through the stages: what each decides, why, and what the caller gets.
    #[command(after_help = "\
Examples:
  koodrive-gateway explain --token-file token 'GET /koodrive/ose/v1/userList?limit=1'
  koodrive-gateway explain --online --token-file token --body batch.json \\
      'POST /koodrive/ose/v1/users/batchimport/preverify'")]
    Explain(Explain),
    /// Wait until a gateway is ready.
    #[command(after_help = "\
Examples:
  koodrive-gateway wait-ready --timeout 1m && ./my-tool
  koodrive-gateway wait-ready --live --timeout 0s --admin unix:/run/admin.sock")]
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
    /// Print the digest under which a person stands in logs, traces and limits.
    #[command(after_help = "\
Example:
  koodrive-gateway caller https://sso.example.com/realms/tools alice")]
    Caller {
        /// The issuer, exactly as in the token's `iss`.
        issuer: String,
        /// The subject: the value of `subject_claim`.
        subject: String,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Have a running gateway forget a caller, so that the next call starts anew.
    #[command(after_help = "\
Examples:
  koodrive-gateway forget --caller 5f0d6b7c6e1f0b4f9d1f3a0a4f7c2e18
  koodrive-gateway forget --all --admin unix:/run/admin.sock")]
    #[command(group = clap::ArgGroup::new("whom").required(true))]
    Forget {
        /// The digest under which the caller stands in logs.
        #[arg(long, group = "whom")]
        caller: Option<String>,
        /// Of all callers.
        #[arg(long, group = "whom")]
        all: bool,
        #[command(flatten)]
        admin: AdminAddress,
    },
    /// Show how a running gateway is: neighbours, traffic, limits, last refusals.
    #[command(after_help = "\
Examples:
  koodrive-gateway status
  kubectl exec my-pod -c koodrive-gateway -- koodrive-gateway status")]
    Status {
        #[command(flatten)]
        admin: AdminAddress,
    },
    /// Show calls as they end, one line each, until Ctrl-C.
    #[command(after_help = "\
Examples:
  koodrive-gateway watch --refused
  koodrive-gateway watch --caller 3f0c… --format json | jq .detail")]
    Watch(Watch),
    /// Print the JSON Schema of the configuration.
    #[command(after_help = "\
Example:
  koodrive-gateway config-schema > gateway.schema.json")]
    ConfigSchema,
    /// Print a completion script for a shell.
    #[command(after_help = "\
Example:
  source <(koodrive-gateway completions bash)")]
    Completions { shell: Shell },
    /// Print the manual page of the program, or of one command, in roff.
    #[command(after_help = "\
Example:
  koodrive-gateway man explain | man -l -")]
    Man { command: Option<String> },
}

/// What `check-batch` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckBatch {
    /// The batches; `-` reads standard input.
    #[arg(default_value = "-", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The configuration whose rules apply, complete or not; without it, the default rules. What
    /// the environment sets counts either way.
    #[arg(long, value_name = "FILE", env = "KOODRIVE_GATEWAY_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Language of the findings: `en` or `zh`.
    #[arg(long, default_value = "en")]
    pub(crate) language: String,
}

/// What `explain` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) config: ConfigFile,
    /// Fetch the SSO's keys, to check the signature as well.
    #[arg(long)]
    pub(crate) online: bool,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// The file that holds the SSO token, with or without `Bearer` in front.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: PathBuf,
    /// Method and path, for example 'POST /koodrive/ose/v1/users/batchimport/preverify'.
    pub(crate) call: String,
    /// The request body.
    #[arg(long, value_name = "FILE")]
    pub(crate) body: Option<PathBuf>,
}

/// What `watch` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) admin: AdminAddress,
    /// Only calls of this caller, by the digest that logs and traces show.
    #[arg(long, value_name = "DIGEST")]
    pub(crate) caller: Option<String>,
    /// Only calls with this X-Traceid, trace id or illegal id that was replaced.
    #[arg(long, value_name = "ID")]
    pub(crate) trace: Option<String>,
    /// Only calls that the gateway refused.
    #[arg(long)]
    pub(crate) refused: bool,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

const EXAMPLES: &str = "\
Examples:
  koodrive-gateway check-config --config gateway.toml --online   is everything in place?
  koodrive-gateway run --config gateway.toml                     serve
  koodrive-gateway wait-ready                                    is it ready?
  koodrive-gateway check-batch batch.json                        is this batch well-formed?
  koodrive-gateway explain --token-file token 'GET /koodrive/…'  what would become of this call?";

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
#[derive(Debug, Default, clap::Args)]
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
