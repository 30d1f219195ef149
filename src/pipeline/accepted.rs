//! Which calls of a connection have passed the check of their callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;

/// The calls of one connection whose callers were accepted, until their answers have gone out.
/// Clones share them.
#[derive(Clone, Debug, Default)]
pub struct AcceptedCalls(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    calls: AtomicUsize,
    watcher: AtomicWaker,
}

/// One of them.
#[derive(Debug)]
pub(super) struct AcceptedCall(AcceptedCalls);

impl AcceptedCalls {
    pub fn is_empty(&self) -> bool {
        self.0.calls.load(Ordering::Acquire) == 0
    }

    /// Whom the next one wakes.
    pub fn watch(&self, watcher: &Waker) {
        self.0.watcher.register(watcher);
    }

    pub fn wake(&self) {
        self.0.watcher.wake();
    }

    pub(super) fn begin(&self) -> AcceptedCall {
        self.0.calls.fetch_add(1, Ordering::Release);
        self.wake();
        AcceptedCall(self.clone())
    }
}

impl Drop for AcceptedCall {
    fn drop(&mut self) {
        self.0.0.calls.fetch_sub(1, Ordering::Release);
    }
}
