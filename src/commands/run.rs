//! `run`: serve until SIGTERM.

use std::io;
use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use koodrive_gateway::app::{AppOptions, ConfigSource};
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::{Loaded, Watcher};
use koodrive_gateway::lifecycle::{Event, Signals};
use koodrive_gateway::telemetry::LogWriter;
use koodrive_gateway::{app, config, telemetry};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::failure::Failure;
use super::{Outcome, load};

pub(super) fn run(path: &Path) -> Outcome {
    let loaded = load(path)?;
    let logs = LogWriter::stdout().map_err(Failure::at_run_time)?;
    let clock = Clock::system();
    telemetry::install(&loaded.config.telemetry, clock.clone(), logs.clone())
        .map_err(Failure::at_run_time)?;
    let runtime = runtime(loaded.config.listen.workers).map_err(Failure::at_run_time)?;
    let outcome = runtime.block_on(serve(path, &loaded, clock, logs.clone()));
    runtime.shutdown_background();
    logs.flush(LOG_PATIENCE);
    outcome
}

/// One worker needs no scheduler between threads: it saves a call the wake-ups across them. 0 means
/// as many workers as there are cores. Measured: two workers of the scheduler that threads share cost a
/// call a fifth more processor time than one worker by itself.
fn runtime(workers: usize) -> io::Result<Runtime> {
    let workers = match workers {
        0 => std::thread::available_parallelism().map_or(1, NonZero::get),
        workers => workers,
    };
    let mut builder = match workers {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(workers).enable_all().build()
}

async fn serve(path: &Path, loaded: &Loaded, clock: Clock, logs: LogWriter) -> Outcome {
    // Before anything else: a signal during start must stop us like any other.
    let mut signals = Signals::listen().map_err(Failure::at_run_time)?;
    let environment = |name: &str| std::env::var(name).ok();
    let options = AppOptions { clock, logs, environment: &environment };
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
