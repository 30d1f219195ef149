//! `run`: serve until SIGTERM.

use std::io;
use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use koodrive_gateway::app::{AppOptions, ConfigSource};
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::{Loaded, Watcher};
use koodrive_gateway::lifecycle::{Event, Signals, Workers};
use koodrive_gateway::telemetry::LogWriter;
use koodrive_gateway::{app, config, telemetry};
use tokio::runtime::Builder;
use tokio::sync::mpsc;

use super::failure::Failure;
use super::{Outcome, load};

pub(super) fn run(path: &Path) -> Outcome {
    let loaded = load(path)?;
    let logs = LogWriter::stdout().map_err(Failure::at_run_time)?;
    let clock = Clock::system();
    telemetry::install(&loaded.config.telemetry, clock.clone(), logs.clone())
        .map_err(Failure::at_run_time)?;
    let workers = workers(loaded.config.listen.workers).map_err(Failure::at_run_time)?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::at_run_time)?;
    let outcome = runtime.block_on(serve(path, &loaded, clock, logs.clone(), workers));
    runtime.shutdown_background();
    logs.flush(LOG_PATIENCE);
    outcome
}

/// 0 means as many as there are cores.
fn workers(count: usize) -> io::Result<Workers> {
    Workers::start(match count {
        0 => std::thread::available_parallelism().map_or(1, NonZero::get),
        count => count,
    })
}

async fn serve(
    path: &Path,
    loaded: &Loaded,
    clock: Clock,
    logs: LogWriter,
    workers: Workers,
) -> Outcome {
    // Before anything else: a signal during start must stop us like any other.
    let mut signals = Signals::listen().map_err(Failure::at_run_time)?;
    let environment = |name: &str| std::env::var(name).ok();
    let options = AppOptions { clock, logs, environment: &environment, workers };
    let bound = app::bind(loaded, options).await.map_err(Failure::at_run_time)?;
    let (events, received) = mpsc::channel(EVENTS_MAX);
    let watcher = Watcher::new(path, config::environment(), loaded);
    let source = source(watcher);
    let forwarded = async {
        loop {
            let event: Event = signals.next().await;
            if events.send(event).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        _all_finished = bound.run(received, Some(source)) => Ok(ExitCode::SUCCESS),
        () = forwarded => unreachable!("signals are listened to for ever"),
    }
}

fn source(mut watcher: Watcher) -> ConfigSource {
    Box::new(move || watcher.poll())
}

const EVENTS_MAX: usize = 16;
const LOG_PATIENCE: Duration = Duration::from_secs(1);
