//! Calls as they end, for whoever watches. Costs nothing while nobody does.

use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Where closed records are announced.
#[derive(Clone, Debug)]
pub(super) struct Feed(broadcast::Sender<Arc<str>>);

/// The calls that end from now on. Who reads too slowly misses some, and is told how many.
#[derive(Debug)]
pub struct CallFeed(broadcast::Receiver<Arc<str>>);

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedItem {
    /// A call has ended: its line of the access log, as JSON.
    Call(Arc<str>),
    /// So many calls have ended that were not told.
    Missed(u64),
}

impl Feed {
    /// Makes the line only if somebody watches.
    pub(super) fn tell(&self, line: impl FnOnce() -> Arc<str>) {
        if self.0.receiver_count() != 0 {
            // Whoever watched may have left in the meantime.
            drop(self.0.send(line()));
        }
    }

    /// None while as many watch as may.
    pub(super) fn watch(&self) -> Option<CallFeed> {
        (self.0.receiver_count() < WATCHERS_MAX).then(|| CallFeed(self.0.subscribe()))
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self(broadcast::Sender::new(LINES_MAX))
    }
}

impl CallFeed {
    /// Waits for it. None once the gateway has ended.
    pub async fn next(&mut self) -> Option<FeedItem> {
        match self.0.recv().await {
            Ok(line) => Some(FeedItem::Call(line)),
            Err(RecvError::Lagged(calls)) => Some(FeedItem::Missed(calls)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// Lines that wait for the slowest of those who watch.
const LINES_MAX: usize = 256;
/// So that probes find a place on the admin listener however many watch.
const WATCHERS_MAX: usize = 8;
