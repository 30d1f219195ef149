//! What the times in an answer's head tell.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{AGE, DATE, RETRY_AFTER};

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

/// How long the peer asks to be left alone: seconds, or a date counted from the answer's own
/// (RFC 9110 section 10.2.3), or from ours, `now`, where it has none.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    Some(until.duration_since(answer_date(headers).unwrap_or(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        const NOW: &str = "Wed, 25 Nov 2026 04:00:00 GMT";
        let ours = httpdate::parse_http_date("Wed, 25 Nov 2026 04:01:00 GMT").unwrap();
        for (text, date, expected) in [
            ("7", None, Some(7)),
            (" 0 ", None, Some(0)),
            ("Wed, 25 Nov 2026 04:01:30 GMT", Some(NOW), Some(90)),
            ("Wed, 25 Nov 2026 03:59:00 GMT", Some(NOW), Some(0)),
            ("Wed, 25 Nov 2026 04:01:30 GMT", None, Some(30)),
            ("Wed, 25 Nov 2026 04:00:30 GMT", None, Some(0)),
            ("soon", Some(NOW), None),
            ("-1", Some(NOW), None),
            ("1.5", Some(NOW), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            headers.extend(date.map(|date| (DATE, HeaderValue::from_static(date))));
            let expected = expected.map(Duration::from_secs);
            assert_eq!(retry_after(&headers, ours), expected, "{text} {date:?}");
        }
    }
}
