//! The one clock of the process, so that tests can move time.
//!
//! Only `app` and `pipeline` read it on behalf of the stages; stores that must know the time
//! between requests (key sets, limiter, tokens) hold a clone.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

/// Wall-clock and monotonic time, both shifted by the same offset. Clones share the offset.
#[derive(Clone, Debug)]
pub struct Clock {
    started: Instant,
    offset_ms: Arc<AtomicU64>,
}

impl Clock {
    /// The system's time.
    pub fn system() -> Self {
        Self { started: Instant::now(), offset_ms: Arc::default() }
    }

    /// Wall-clock time.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> SystemTime {
        SystemTime::now() + self.offset()
    }

    /// Time since the clock was made; never goes back.
    pub fn monotonic(&self) -> Duration {
        self.started.elapsed() + self.offset()
    }

    /// Moves time forward for this clock and all its clones.
    pub fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.offset_ms.fetch_add(ms, Ordering::Relaxed);
    }

    fn offset(&self) -> Duration {
        Duration::from_millis(self.offset_ms.load(Ordering::Relaxed))
    }
}
