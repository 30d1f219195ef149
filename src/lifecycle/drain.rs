//! The phases of stopping: serve, linger, drain, abort.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::workers::Workers;

/// How far the process is on its way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    #[default]
    Serving,
    /// Unready, but new calls are still served: those who send them learn of it only now.
    Lingering,
    /// No new connections or calls; those in flight may finish.
    Draining,
    /// What is still there is cut off.
    Aborting,
}

/// Moves the process through the phases, and knows the connections that are left.
#[derive(Debug, Default)]
pub struct Drain {
    phase: watch::Sender<Phase>,
    tasks: Arc<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    workers: Workers,
    /// Those who accept connections.
    accepting: TaskTracker,
    connections: TaskTracker,
    /// What belongs to connections, and ends with them.
    belongings: TaskTracker,
}

/// A view of the phase. Clones see the same.
#[derive(Clone, Debug)]
pub struct DrainWatch {
    phase: watch::Receiver<Phase>,
    tasks: Arc<Tasks>,
}

impl Drain {
    /// Of connections that `workers` serve.
    pub fn of(workers: Workers) -> Self {
        let tasks = Arc::new(Tasks { workers, ..Tasks::default() });
        Self { phase: watch::Sender::default(), tasks }
    }

    pub fn watch(&self) -> DrainWatch {
        DrainWatch { phase: self.phase.subscribe(), tasks: Arc::clone(&self.tasks) }
    }

    /// Lingers, drains and aborts; returns how many connections had to be cut off.
    pub async fn run(&self, linger: Duration, drain: Duration) -> usize {
        self.phase.send_replace(Phase::Lingering);
        tokio::time::sleep(linger).await;
        self.phase.send_replace(Phase::Draining);
        let Tasks { accepting, connections, .. } = &*self.tasks;
        accepting.close();
        connections.close();
        let drained = async {
            // Only then is it known which connections there are.
            accepting.wait().await;
            connections.wait().await;
        };
        let drained = tokio::time::timeout(drain, drained).await;
        let left = connections.len();
        self.phase.send_replace(Phase::Aborting);
        if drained.is_err() {
            connections.wait().await;
        }
        left
    }
}

impl DrainWatch {
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until the process is at least as far as `phase`.
    pub async fn reached(&mut self, phase: Phase) {
        // An error means the process is gone beyond all phases.
        let _phase = self.phase.wait_for(|now| phase <= *now).await;
    }

    /// To be held as long as connections may still be accepted.
    pub fn accepting(&self) -> TaskTrackerToken {
        self.tasks.accepting.token()
    }

    /// A worker runs a connection to its end; it is cut off when the process aborts.
    pub fn serve(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let mut watch = self.clone();
        // On the heap, or the task would have room for it twice: where it comes in, and where it is
        // polled.
        let connection = Box::pin(connection);
        let served = async move {
            tokio::select! {
                () = connection => {}
                () = watch.reached(Phase::Aborting) => {}
            }
        };
        self.tasks.connections.spawn_on(served, &self.tasks.workers.next());
    }

    /// Runs what a connection leaves to be done beside it. Nobody waits for it: it is part of a
    /// connection that is waited for, or of none any more.
    pub fn finish(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut watch = self.clone();
        let work = Box::pin(work);
        self.tasks.belongings.spawn(async move {
            tokio::select! {
                () = work => {}
                () = watch.reached(Phase::Aborting) => {}
            }
        });
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.tasks.connections.len()
    }
}
