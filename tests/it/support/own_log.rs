//! What the library itself logs in this process, at its finest level, whichever test causes it.
//!
//! There is one `tracing` subscriber for a process, so the gateways of tests that run side by side
//! write into one log. A leak fails the test whose secret it is, and may fail others whose tokens
//! have claims in common with it.

use std::sync::LazyLock;
use std::time::Duration;

use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::TelemetryConfig;
use koodrive_gateway::telemetry;
use koodrive_gateway::telemetry::LogWriter;

use crate::support::logs::Logs;

/// Longest wait for lines that were logged to be written.
const PATIENCE: Duration = Duration::from_secs(5);

struct OwnLog {
    writer: LogWriter,
    lines: Logs,
}

static OWN_LOG: LazyLock<OwnLog> = LazyLock::new(|| {
    let lines = Logs::default();
    let writer = LogWriter::to(lines.clone()).expect("a thread can be started");
    let config = TelemetryConfig { log_level: "trace".to_owned(), ..TelemetryConfig::default() };
    let log = telemetry::subscriber(&config, Clock::system(), writer.clone());
    tracing::subscriber::set_global_default(log)
        .expect("nothing else sets the log of the whole process");
    OwnLog { writer, lines }
});

/// How many lines there are; what comes from now on is behind them.
pub fn mark() -> usize {
    OWN_LOG.lines.count()
}

/// Everything logged since `mark` was so many lines.
pub fn since(mark: usize) -> String {
    OWN_LOG.writer.flush(PATIENCE);
    OWN_LOG.lines.behind(mark)
}
