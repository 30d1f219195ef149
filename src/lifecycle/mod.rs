//! Start, ready, linger, drain, abort: the life of the process and of its background tasks.
//!
//! The only place that spawns.

pub mod descriptors;
mod drain;
mod process;
mod readiness;
mod service_manager;
mod signal;
mod workers;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use descriptors::DescriptorShares;
pub use drain::{Drain, DrainWatch, Phase};
pub use process::ProcessUsage;
pub use readiness::Readiness;
pub use service_manager::ServiceManager;
pub use signal::{Event, Signals};
pub use workers::Workers;

/// Background work of the process: named, stopped and awaited together. Clones share the set.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Runs `work` to its end, or until the tasks are stopped.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            if stop.run_until_cancelled(work).await.is_none() {
                tracing::debug!(task = name, "task stopped");
            }
        });
    }

    /// Stops all tasks and waits until they are gone, at most `within`.
    pub async fn stop(&self, within: Duration) {
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(within, self.tracker.wait()).await.is_err() {
            tracing::warn!(left = self.tracker.len(), "tasks did not stop in time");
        }
    }
}
