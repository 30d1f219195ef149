//! The shared clock as one server sees it, dates, and waiting for facts instead of sleeping.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use koodrive_gateway::clock::Clock;
use tokio::sync::Notify;

/// The shared clock, as one server sees it: perhaps ahead, perhaps behind. Clones agree.
#[derive(Clone, Debug)]
pub struct OwnClock {
    shared: Clock,
    ahead_seconds: Arc<AtomicI64>,
}

impl OwnClock {
    pub fn new(shared: &Clock) -> Self {
        Self { shared: shared.clone(), ahead_seconds: Arc::default() }
    }

    /// Sets it ahead of the shared clock, or behind it.
    pub fn set_ahead(&self, seconds: i64) {
        self.ahead_seconds.store(seconds, Ordering::Relaxed);
    }

    pub fn now(&self) -> SystemTime {
        let ahead = self.ahead_seconds.load(Ordering::Relaxed);
        let by = Duration::from_secs(ahead.unsigned_abs());
        if ahead < 0 { self.shared.now() - by } else { self.shared.now() + by }
    }

    /// Whole seconds since 1970.
    pub fn unix_seconds(&self) -> i64 {
        let since = self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).expect("the year is below 292 billion")
    }
}

/// Waits until `check` finds something, looking again whenever `changed` is notified.
pub async fn until<T>(
    changed: &Notify,
    within: Duration,
    mut check: impl FnMut() -> Option<T>,
) -> Option<T> {
    let waiting = async {
        loop {
            let notified = changed.notified();
            let mut notified = std::pin::pin!(notified);
            notified.as_mut().enable();
            if let Some(found) = check() {
                return found;
            }
            notified.await;
        }
    };
    tokio::time::timeout(within, waiting).await.ok()
}

/// `Date` as RFC 9110 section 5.6.7 wants it.
pub fn http_date(time: SystemTime) -> HeaderValue {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][(days % 7) as usize];
    // Days since 0000-03-01, so that the leap day is the last of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leaps = day_of_era / 1460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    let names =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let name = names[month as usize];
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let text = format!("{weekday}, {day:02} {name} {year} {hour:02}:{minute:02}:{second:02} GMT");
    HeaderValue::try_from(text).expect("a date is legal in a header")
}
