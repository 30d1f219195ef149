//! Leaves KooDrive alone while it throttles: a circuit breaker that opens by KooDrive's own word,
//! and afterwards asks for no more than KooDrive bears.

mod pace;
mod pauses;
#[cfg(test)]
mod simulation;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::pauses::{PAUSE_MIN, Pauses, Stretch};
pub(super) use self::pauses::{Pause, Throttling};

/// The pause of this process. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Throttle(Arc<Mutex<Pauses>>);

/// A call that may go out. Who drops it without having told of an answer lets the next call try.
#[derive(Debug)]
pub(super) struct Sent {
    throttle: Throttle,
    stretch: Stretch,
}

/// What the store that replicas share knows of a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// Nothing: whatever there was is over.
    None,
    Paused(Pause),
    /// It is over, and the next call of this process is to find out whether that is true.
    Yours {
        length: Duration,
    },
    /// This process is finding out already.
    Probing,
    /// Another process is finding out.
    Theirs {
        length: Duration,
    },
}

impl Throttle {
    /// Whether a call may be prepared; else after how long.
    pub(super) fn look(&self, now: Duration) -> Result<(), Duration> {
        self.lock().look(now)
    }

    /// Lets a call go out, or says after how long one may. After a pause the first is the probe.
    pub(super) fn enter(&self, now: Duration) -> Result<Sent, Duration> {
        let stretch = self.lock().enter(now)?;
        Ok(Sent { throttle: self.clone(), stretch })
    }

    /// Hears what the store knows, and whether a call may be prepared after all.
    pub(super) fn hear(&self, elsewhere: Elsewhere, now: Duration) -> Result<(), Duration> {
        let mut pauses = self.lock();
        match elsewhere {
            Elsewhere::None => pauses.none_elsewhere(now),
            Elsewhere::Probing => {}
            Elsewhere::Paused(pause) => {
                pauses.paused_elsewhere(pause, now);
                return Err(pause.lasts);
            }
            Elsewhere::Yours { length } => pauses.probe_for_all(length, now),
            Elsewhere::Theirs { length } => {
                pauses.paused_elsewhere(Pause { lasts: Duration::ZERO, length }, now);
                return Err(PAUSE_MIN);
            }
        }
        Ok(())
    }

    /// The store knows of the pause that began here.
    pub(super) fn told(&self) {
        self.lock().told();
    }

    fn lock(&self) -> MutexGuard<'_, Pauses> {
        // Every critical section leaves the state whole, even one that panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sent {
    /// KooDrive throttled this call; what that changes, if anything.
    pub(super) fn throttled(
        &self,
        retry_after: Option<Duration>,
        now: Duration,
    ) -> Option<Throttling> {
        self.throttle.lock().throttled(self.stretch, retry_after, now)
    }

    /// KooDrive served this call. Whether that ended the pauses.
    pub(super) fn served(&self, now: Duration) -> bool {
        self.throttle.lock().served(self.stretch, now)
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.throttle.lock().given_up(self.stretch);
    }
}
