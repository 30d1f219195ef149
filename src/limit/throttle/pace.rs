//! How fast calls go out after a pause: all who waited must not rush in together.
//!
//! Evenly spaced, at the rate that KooDrive was last seen to bear, which each call it serves raises
//! a little: slowly while it is about what KooDrive bore, faster where nothing is known. So a limit
//! that stays is met seldom, and one that is gone is soon left behind.

use std::time::Duration;

/// Calls let out one by one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// Calls a second.
    rate: f64,
    /// What KooDrive bore; `None`: not known.
    borne: Option<f64>,
    /// When the next call may go.
    next: Duration,
    /// When somebody had to wait last.
    held: Duration,
}

impl Pace {
    pub(super) fn new(borne: Option<f64>, now: Duration) -> Self {
        let rate = borne.map_or(RATE_UNKNOWN, |borne| (borne * BELOW).max(RATE_MIN));
        let mut pace = Self { rate, borne, next: now, held: now };
        // The probe was the first call of this pace, and none is owed.
        pace.next = now + pace.ahead() + pace.interval();
        pace
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// Whether a call may go now; else after how long.
    pub(super) fn look(&mut self, now: Duration) -> Result<(), Duration> {
        let wait = self.next.saturating_sub(now + self.ahead());
        if wait.is_zero() {
            return Ok(());
        }
        self.held = now;
        Err(wait)
    }

    pub(super) fn take(&mut self, now: Duration) -> Result<(), Duration> {
        self.look(now)?;
        self.next = self.next.max(now) + self.interval();
        Ok(())
    }

    /// KooDrive served a call.
    pub(super) fn served(&mut self) {
        self.rate += match self.borne {
            None => GAIN_UNKNOWN,
            Some(borne) if self.rate < borne * ABOVE => GAIN_NEAR,
            Some(_) => GAIN_BEYOND,
        };
    }

    /// Whether it holds nobody back any more.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        self.held + IDLE <= now
    }

    /// A while without calls allows a few at once: what was not asked for was borne, too.
    fn ahead(&self) -> Duration {
        BURST.saturating_sub(self.interval())
    }

    fn interval(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate)
    }
}

/// How many calls KooDrive served of late, by the second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Served {
    second: u64,
    within: u32,
    before: u32,
}

impl Served {
    pub(super) fn note(&mut self, now: Duration) {
        let second = now.as_secs();
        if self.second != second {
            self.before = if self.second + 1 == second { self.within } else { 0 };
            (self.second, self.within) = (second, 0);
        }
        self.within = self.within.saturating_add(1);
    }

    /// The most in a second, of the current one and the one before.
    pub(super) fn most(&self, now: Duration) -> u32 {
        match now.as_secs().saturating_sub(self.second) {
            0 => self.within.max(self.before),
            1 => self.within,
            _ => 0,
        }
    }
}

/// Calls a second where nothing is known of what KooDrive bears.
pub(super) const RATE_UNKNOWN: f64 = 8.0;
/// One call in the longest of pauses.
const RATE_MIN: f64 = 1.0 / 30.0;
/// Where the rate begins, as a share of what KooDrive bore, and up to where it grows slowly.
const BELOW: f64 = 0.95;
const ABOVE: f64 = 1.05;
/// By how much each served call raises the rate: doubled each second; by 0.2 % of it a second; by
/// 10 %.
const GAIN_UNKNOWN: f64 = 1.0;
const GAIN_NEAR: f64 = 0.002;
const GAIN_BEYOND: f64 = 0.1;
/// As many calls as the rate has in this time may go at once, if none went in it.
const BURST: Duration = Duration::from_millis(500);
/// After this time without anybody having to wait, there is nothing to pace.
const IDLE: Duration = Duration::from_mins(1);
