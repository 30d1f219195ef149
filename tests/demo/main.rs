//! The product in one minute: an SSO, a KooDrive simulator and the real gateway on loopback, and
//! real calls through them, each shown with what was promised and what came.
//!
//! `cargo run --example demo` serves on after the tour; `-- --once` exits with 0 only
//! if every step went as promised.

pub mod log;
pub mod moods;
pub mod options;
pub mod show;
pub mod simulators;
pub mod support;
pub mod tour;
pub mod town;

use std::process::ExitCode;

use clap::Parser as _;

use crate::options::{Options, Part};
use crate::show::Show;
use crate::simulators::{Settings, Simulators, StartFailed, fresh_token};
use crate::support::caller::Http;
use crate::tour::Tour;
use crate::town::Town;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let show = Show::to_stdout();
    let done = match &options {
        Options { token: Some(subject), .. } => print_token(&options, subject).await,
        Options { moods, .. } if !moods.is_empty() => moods::run(moods).await,
        Options { only, .. } if !only.is_empty() => simulators(&options).await,
        _ => Box::pin(everything(&options, show)).await,
    };
    done.unwrap_or_else(|failed| {
        show.failure(&failed.to_string());
        ExitCode::from(failed.exit_code())
    })
}

async fn everything(options: &Options, show: Show) -> Result<ExitCode, StartFailed> {
    let town = Town::start(options).await?;
    let mut tour = Tour::new(&town, show)?;
    tour.walk().await;
    let all_well = tour.summary();
    if !all_well {
        town.print_log();
    }
    if options.once {
        town.stop().await;
        return Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    tour.farewell();
    town.open_log();
    town::interrupted().await;
    town.stop().await;
    Ok(ExitCode::SUCCESS)
}

async fn simulators(options: &Options) -> Result<ExitCode, StartFailed> {
    if !options.only.contains(&Part::Sso) {
        return Err(StartFailed::KooDriveAlone);
    }
    let settings = Settings::read(&options.config)?;
    let simulators = Simulators::start(&settings, options)?;
    show::simulators(&simulators, options);
    town::interrupted().await;
    Ok(ExitCode::SUCCESS)
}

async fn print_token(options: &Options, subject: &str) -> Result<ExitCode, StartFailed> {
    let settings = Settings::read(&options.config)?;
    let token = fresh_token(&Http::new("", false), &settings, subject).await?;
    show::plain(&token);
    Ok(ExitCode::SUCCESS)
}
