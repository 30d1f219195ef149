//! What the API gateway before KooDrive says of its own limits, in `X-Apig-RateLimit-…` headers such
//! as `remain:9,limit:10,time:10 second`. Only shown; nothing is decided by it.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use http::HeaderMap;

/// The newest word on one of its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApigLimit {
    /// Whose calls it counts: those of the API, the user, the app, the address.
    pub of: &'static str,
    /// As it was sent.
    pub told: Box<str>,
    pub at: SystemTime,
}

#[derive(Debug, Default)]
pub(super) struct ApigLimits(Mutex<[Option<ApigLimit>; LIMITS.len()]>);

impl ApigLimits {
    pub(super) fn note(&self, headers: &HeaderMap, now: SystemTime) {
        for name in headers.keys() {
            let Some(of) = name.as_str().strip_prefix(PREFIX) else { continue };
            let Some(place) = LIMITS.iter().position(|limit| *limit == of) else { continue };
            let told = headers.get(name).and_then(|told| told.to_str().ok());
            let Some(told) = told.filter(|told| is_limit(told)) else { continue };
            let limit = ApigLimit { of: LIMITS[place], told: told.into(), at: now };
            self.0.lock().unwrap_or_else(PoisonError::into_inner)[place] = Some(limit);
        }
    }

    pub(super) fn all(&self) -> Vec<ApigLimit> {
        let limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        limits.iter().flatten().cloned().collect()
    }
}

/// Whether it is what it should be, and no longer: anything may stand in a header.
fn is_limit(told: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b',' | b' ');
    told.starts_with("remain:") && told.len() <= BYTES_MAX && told.bytes().all(letter)
}

const BYTES_MAX: usize = 80;

const PREFIX: &str = "x-apig-ratelimit-";
const LIMITS: [&str; 4] = ["api", "user", "app", "ip"];

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn the_newest_word_on_each_limit_is_kept_and_nothing_else() {
        let limits = ApigLimits::default();
        let now = SystemTime::UNIX_EPOCH;
        let long = format!("remain:{}", "9".repeat(100));
        for (name, told) in [
            ("x-apig-ratelimit-api", "remain:9,limit:10,time:10 second"),
            ("x-apig-ratelimit-ip", "remain:8,limit:10,time:1 minute"),
            ("x-apig-ratelimit-api", "remain:7,limit:10,time:10 second"),
            ("x-apig-ratelimit-user", "<b>remain:1</b>"),
            ("x-apig-ratelimit-app", &long),
            ("x-apig-ratelimit-other", "remain:1,limit:1,time:1 second"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), told.parse().unwrap());
            limits.note(&headers, now);
        }
        let limit = |of, told: &str| ApigLimit { of, told: told.into(), at: now };
        let expected = [
            limit("api", "remain:7,limit:10,time:10 second"),
            limit("ip", "remain:8,limit:10,time:1 minute"),
        ];
        assert_eq!(limits.all(), expected);
    }
}
