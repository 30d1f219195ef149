//! Buckets shared by all replicas, in a Redis or Valkey: one script, one round trip per question.
//! Pauses are told of in the background, and asked about along with the buckets.
//!
//! The server's clock decides, so those of the replicas do not matter. Away is a state, not an
//! error: who asks then learns at once that there is no answer. Knows nothing of what the buckets
//! are for, nor of what is done without them.

mod link;
mod script;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use self::link::{ANSWER_TIMEOUT, Link};
use super::throttle::Pause;
use crate::clock::Clock;
use crate::lifecycle::Tasks;

pub(super) use self::link::Access;
pub(super) use self::script::{Answer, Ask, AskPause, key, micros};

/// What became of the shared store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreNews {
    /// It answered within this time.
    Answered(Duration),
    /// It did not do what it was asked: a connection, an answer, a probe.
    Failed,
    /// It is away, and calls are limited locally; why.
    Away(String),
}

/// Told of everything.
pub type StoreReport = Arc<dyn Fn(StoreNews) + Send + Sync>;

/// The store. Clones share the link to it.
#[derive(Clone)]
pub(super) struct Shared(Arc<Link>);

impl Shared {
    /// Connects in the background. `None` when the limits are local.
    pub(super) fn open(
        access: Access,
        clock: Clock,
        tasks: Tasks,
        report: StoreReport,
    ) -> Option<Self> {
        Link::open(access, clock, tasks, report).map(Self)
    }

    pub(super) fn access(&self) -> &Access {
        self.0.access()
    }

    /// Asks all in one step. `None` when the store is away: after [`ANSWER_TIMEOUT`] at most, and at
    /// once when that is known.
    pub(super) async fn charge<const N: usize>(
        &self,
        asks: &[Ask; N],
        pause: AskPause,
    ) -> Option<Answer<N>> {
        let version = self.0.version();
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, self.try_charge(asks, pause)).await;
        answered.unwrap_or_else(|_| {
            self.0.slow(version);
            None
        })
    }

    async fn try_charge<const N: usize>(
        &self,
        asks: &[Ask; N],
        pause: AskPause,
    ) -> Option<Answer<N>> {
        let link = &self.0;
        // The second time over a new connection: a server that was restarted while nobody called
        // is not away.
        for _ in 0..2 {
            let (version, mut up) = link.known().await?;
            let asked = Instant::now();
            match link.scripts.charge(&mut up.connection, asks, pause).await {
                Ok(answer) => {
                    (link.report)(StoreNews::Answered(asked.elapsed()));
                    return Some(answer);
                }
                Err(error) => link.lost(version, &error),
            }
        }
        None
    }

    /// Tells the other replicas of a pause, or that there is none any more, in the background.
    /// `known` is told when they know; where the store is away, they find out for themselves.
    pub(super) fn tell(&self, pause: Option<Pause>, known: impl FnOnce() + Send + 'static) {
        let Some(mut up) = self.0.up() else { return };
        let link = Arc::clone(&self.0);
        self.0.tasks.spawn("limit-store-pause", async move {
            let told = link.scripts.tell(&mut up.connection, pause);
            match tokio::time::timeout(ANSWER_TIMEOUT, told).await {
                Ok(Ok(())) => known(),
                // The next charge finds out what is the matter.
                Ok(Err(_)) | Err(_) => (link.report)(StoreNews::Failed),
            }
        });
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("access", self.access()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
