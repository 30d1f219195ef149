//! When calls go out, as a state machine without clock, lock or store. Times are since any fixed
//! moment.
//!
//! Only calls that went out after the last change have a say. An answer to an older one tells of a
//! time that is over: it neither ends a pause nor makes the next one longer.

use std::time::Duration;

use super::pace::{Pace, RATE_UNKNOWN, Served};

#[derive(Debug, Default)]
pub(super) struct Pauses {
    state: State,
    stretch: Stretch,
    served: Served,
    /// What is known, since the last pause began, of what KooDrive bears.
    borne: Borne,
}

/// The time from the end of one pause to the beginning of the next. Within one pause the only call
/// of its stretch is the probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stretch(u64);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    #[default]
    Open,
    /// Nothing goes out before `until`. `length` without what KooDrive asked for. `told`: the store
    /// that replicas share knows of it.
    Paused { until: Duration, length: Duration, told: bool },
    /// The pause is over, and one call is finding out whether that is true.
    Probing { length: Duration },
    /// KooDrive serves again, and is not asked for more than it bears.
    Paced(Pace),
}

#[derive(Clone, Copy, Debug, Default)]
struct Borne {
    /// The pace at which it was too much; `None`: there was none.
    pace: Option<f64>,
    /// The most it served in a second.
    served: u32,
}

/// A pause as all replicas may know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::limit) struct Pause {
    pub(in crate::limit) lasts: Duration,
    /// What it would have been had KooDrive not asked for more: the next one is twice that.
    pub(in crate::limit) length: Duration,
}

/// KooDrive throttled a call, and what comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::limit) enum Throttling {
    Begins(Pause),
    /// The pause goes on, for longer than was known.
    Longer(Pause),
}

impl Pauses {
    pub(super) fn look(&mut self, now: Duration) -> Result<(), Duration> {
        match &mut self.state {
            State::Paused { until, .. } if now < *until => Err(until.saturating_sub(now)),
            State::Open | State::Paused { .. } => Ok(()),
            State::Probing { .. } => Err(PAUSE_MIN),
            State::Paced(pace) if pace.is_over(now) => {
                self.state = State::Open;
                Ok(())
            }
            State::Paced(pace) => pace.look(now),
        }
    }

    pub(super) fn enter(&mut self, now: Duration) -> Result<Stretch, Duration> {
        self.look(now)?;
        match &mut self.state {
            State::Paused { length, .. } => self.state = State::Probing { length: *length },
            State::Paced(pace) => pace.take(now)?,
            State::Open | State::Probing { .. } => {}
        }
        Ok(self.stretch)
    }

    pub(super) fn throttled(
        &mut self,
        stretch: Stretch,
        retry_after: Option<Duration>,
        now: Duration,
    ) -> Option<Throttling> {
        let asked = retry_after.map(|asked| asked.clamp(PAUSE_MIN, ASKED_MAX));
        if stretch != self.stretch {
            // Many were on their way. KooDrive may ask for more time than the first was told.
            return self.prolong(asked?, now).map(Throttling::Longer);
        }
        let length = match self.state {
            State::Open | State::Paced(_) => PAUSE_MIN,
            State::Paused { length, .. } | State::Probing { length } => (length * 2).min(PAUSE_MAX),
        };
        let lasts = asked.unwrap_or(length);
        self.pause(Pause { lasts, length }, false, now);
        Some(Throttling::Begins(Pause { lasts, length }))
    }

    fn prolong(&mut self, asked: Duration, now: Duration) -> Option<Pause> {
        let State::Paused { until, length, told } = &mut self.state else { return None };
        if now + asked <= *until {
            return None;
        }
        (*until, *told) = (now + asked, false);
        Some(Pause { lasts: asked, length: *length })
    }

    fn pause(&mut self, pause: Pause, told: bool, now: Duration) {
        match self.state {
            State::Open => self.borne = Borne { pace: None, served: self.served.most(now) },
            State::Paced(pace) => {
                self.borne = Borne { pace: Some(pace.rate()), served: self.served.most(now) };
            }
            // What was known before the last pause, still is.
            State::Paused { .. } | State::Probing { .. } => {}
        }
        self.state = State::Paused { until: now + pause.lasts, length: pause.length, told };
        self.stretch = Stretch(self.stretch.0 + 1);
    }

    /// Whether that ended the pauses.
    pub(super) fn served(&mut self, stretch: Stretch, now: Duration) -> bool {
        let is_probe = stretch == self.stretch && matches!(self.state, State::Probing { .. });
        if is_probe {
            self.resume(now);
            return true;
        }
        self.served.note(now);
        match &mut self.state {
            State::Paced(pace) if stretch == self.stretch => pace.served(),
            // The answers to those that went out with the one that was throttled.
            State::Paused { .. } => {
                self.borne.served = self.borne.served.max(self.served.most(now));
            }
            State::Open | State::Probing { .. } | State::Paced(_) => {}
        }
        false
    }

    fn resume(&mut self, now: Duration) {
        self.state = State::Paced(Pace::new(self.borne.rate(), now));
    }

    pub(super) fn given_up(&mut self, stretch: Stretch) {
        if let (State::Probing { length }, true) = (self.state, stretch == self.stretch) {
            self.state = State::Paused { until: Duration::ZERO, length, told: false };
        }
    }
}

/// What the store tells of the other replicas.
impl Pauses {
    /// The store knows of the pause of this process.
    pub(super) fn told(&mut self) {
        if let State::Paused { told, .. } = &mut self.state {
            *told = true;
        }
    }

    /// Another one was throttled.
    pub(super) fn paused_elsewhere(&mut self, pause: Pause, now: Duration) {
        let lasts = pause.lasts.min(ASKED_MAX);
        match &mut self.state {
            State::Paused { until, told, .. } if lasts.is_zero() || now + lasts <= *until => {
                *told = true;
            }
            State::Probing { .. } if lasts.is_zero() => {}
            _ => self.pause(Pause { lasts, ..pause }, true, now),
        }
    }

    /// The pause of another one is over, and the next call from here is the probe of all.
    pub(super) fn probe_for_all(&mut self, length: Duration, now: Duration) {
        match self.state {
            State::Open | State::Paced(_) => {
                self.pause(Pause { lasts: Duration::ZERO, length }, true, now);
            }
            State::Paused { .. } | State::Probing { .. } => {}
        }
    }

    /// No pause is known there: the probe of another one was served.
    pub(super) fn none_elsewhere(&mut self, now: Duration) {
        if let State::Paused { until, told: true, .. } = self.state
            && until <= now
        {
            self.resume(now);
        }
    }
}

impl Borne {
    /// Calls a second. What so few calls show is not worth counting, unless it was too much at a
    /// pace that is known.
    fn rate(self) -> Option<f64> {
        let served = f64::from(self.served);
        match self.pace {
            Some(pace) => Some(pace.min(served.max(1.0))),
            None => (RATE_UNKNOWN <= served).then_some(served),
        }
    }
}

/// The first pause where KooDrive asks for none, and the shortest of all.
pub(super) const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Without KooDrive asking for it, no pause is longer.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A pause KooDrive asks for is cut to this, lest a slip of its clock stop all for a day.
const ASKED_MAX: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests;
