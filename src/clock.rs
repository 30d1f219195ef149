//! The one clock of the process, so that tests can move time; and chance.
//!
//! Only `app` and `pipeline` read it on behalf of the stages; stores that must know the time
//! between requests (key sets, limiter, tokens) hold a clone.

use std::fmt;
use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

/// Wall-clock and monotonic time, both shifted by the same offset. Clones share the offset.
#[derive(Clone, Debug)]
pub struct Clock {
    started: Instant,
    hand: Arc<Hand>,
}

/// What moves a clock besides time.
#[derive(Debug, Default)]
struct Hand {
    offset_ms: AtomicU64,
    moved: Notify,
}

impl Clock {
    /// The system's time.
    pub fn system() -> Self {
        Self { started: Instant::now(), hand: Arc::default() }
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

    /// When the clock was made, which is when the process began.
    pub fn started(&self) -> SystemTime {
        self.now() - self.monotonic()
    }

    /// One moment on both clocks.
    pub fn moment(&self) -> Moment {
        Moment { wall: self.now(), monotonic: self.monotonic() }
    }

    /// Moves time forward for this clock and all its clones.
    pub fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.hand.offset_ms.fetch_add(ms, Ordering::Relaxed);
        self.hand.moved.notify_waiters();
    }

    /// Returns once so much of this clock's time has passed, however it did.
    pub async fn sleep(&self, span: Duration) {
        let end = self.monotonic() + span;
        loop {
            let moved = self.hand.moved.notified();
            let left = end.saturating_sub(self.monotonic());
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = moved => {}
            }
        }
    }

    fn offset(&self) -> Duration {
        Duration::from_millis(self.hand.offset_ms.load(Ordering::Relaxed))
    }
}

/// One moment on both clocks. What must not live longer than said ends when either says so: the
/// wall clock may be set back, and the monotonic one stands still while the machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub wall: SystemTime,
    /// Since the clock was made.
    pub monotonic: Duration,
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self { wall: self.wall + by, monotonic: self.monotonic + by }
    }
}

/// A span of time as people write it, and as the configuration does: `1h30m`, `20m`, `250ms`.
/// From a second on without fractions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(span) = *self;
        if span < Duration::from_secs(1) && !span.is_zero() {
            return write!(f, "{}ms", span.as_millis().max(1));
        }
        let seconds = span.as_secs();
        let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m")];
        for (count, unit) in parts.into_iter().filter(|(count, _)| *count != 0) {
            write!(f, "{count}{unit}")?;
        }
        if seconds % 60 != 0 || seconds == 0 { write!(f, "{}s", seconds % 60) } else { Ok(()) }
    }
}

/// A number from 0 up to 1, 1 not included: keeps many gateways from doing the same in step.
pub fn chance() -> f64 {
    let mut bytes = [0; 4];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source does not fail");
    f64::from(u32::from_ne_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

/// Writes `2026-11-24T03:14:00.000Z`: RFC 3339 in UTC, with milliseconds.
pub fn push_rfc3339(buffer: &mut String, time: SystemTime) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    for (value, from, to) in [
        (year, 0, 4),
        (month, 5, 7),
        (day, 8, 10),
        (second / 3600, 11, 13),
        (second / 60 % 60, 14, 16),
        (second % 60, 17, 19),
        (u64::from(since.subsec_millis()), 20, 23),
    ] {
        put_digits(&mut text[from..to], value);
    }
    buffer.push_str(str::from_utf8(&text).expect("digits and signs are ASCII"));
}

/// Year, month and day of a day counted from 1970-01-01, by eras of 400 years that start in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leap_days = day_of_era / 1460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// The last digits of a number, as many as there are places.
fn put_digits(places: &mut [u8], mut value: u64) {
    for place in places.iter_mut().rev() {
        *place = b'0' + u8::try_from(value % 10).expect("a digit is below ten");
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_200_001, "2024-03-01T00:00:00.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_798_761_599_000, "2026-12-31T23:59:59.000Z"),
        ] {
            let mut text = String::new();
            push_rfc3339(&mut text, UNIX_EPOCH + Duration::from_millis(ms));
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn spans_are_written_as_people_write_them() {
        for (ms, expected) in [
            (0, "0s"),
            (1, "1ms"),
            (250, "250ms"),
            (1000, "1s"),
            (59_999, "59s"),
            (1_200_000, "20m"),
            (5_400_000, "1h30m"),
            (43_200_000, "12h"),
            (90_061_000, "1d1h1m1s"),
        ] {
            assert_eq!(Span(Duration::from_millis(ms)).to_string(), expected);
        }
    }
}
