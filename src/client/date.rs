//! What the `Date` of an answer tells about the peer's clock.

use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use http::HeaderMap;
use http::header::AGE;
use http::header::DATE;

/// When an answer was made, by the clock of whoever made it.
pub fn answer_date(headers: &HeaderMap) -> Option<SystemTime> {
    if headers.contains_key(AGE) {
        // A cache on the way passed it on; its date says nothing about now.
        return None;
    }
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// How many seconds the clock that wrote `date` is ahead of ours. `date` was cut to whole seconds,
/// and was written somewhere between our two moments.
#[expect(clippy::cast_possible_truncation, reason = "dates of four-digit years")]
pub fn clock_skew(date: SystemTime, started: SystemTime, ended: SystemTime) -> i64 {
    let seconds = |time: SystemTime| match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    };
    let theirs = seconds(date) + 0.5;
    (theirs - f64::midpoint(seconds(started), seconds(ended))).round() as i64
}
