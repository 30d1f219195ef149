//! AppId and AppSecret: HMAC-SHA256 over what will be sent, made last, once per attempt.
//!
//! KooDrive pages `koodrive_05_0029` to `_0035`. Two oddities against Huawei's other signatures:
//! the signed path always ends in `/`, and the string to sign has no line for the date.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::{digest, hmac};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use secrecy::ExposeSecret as _;

use crate::token::AppIdentity;

/// A request as it will be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsigned<'a> {
    pub(super) method: &'a Method,
    /// As written in the request line.
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    /// The value of `Host`.
    pub(super) host: &'a str,
    /// The whole body; empty when there is none.
    pub(super) body: &'a [u8],
}

/// The three headers a signed attempt carries.
#[derive(Clone, Debug)]
pub(super) struct SignedHeaders {
    pub(super) authorization: HeaderValue,
    pub(super) date: HeaderValue,
    pub(super) user_id: HeaderValue,
}

impl SignedHeaders {
    /// Signs `request` for an attempt at `now`.
    pub(super) fn sign(identity: &AppIdentity, request: &Unsigned<'_>, now: SystemTime) -> Self {
        let date = basic_iso_8601(now.checked_sub(BACKDATED_BY).unwrap_or(UNIX_EPOCH));
        let canonical = canonical_request(request, &date, identity.user_id.as_bytes());
        let to_sign = format!("{ALGORITHM}\n{}", hex(digest::digest(&digest::SHA256, &canonical)));
        let secret = identity.app.secret.expose_secret();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signature = hex(hmac::sign(&key, to_sign.as_bytes()));
        let authorization = format!(
            "{ALGORITHM} AppId={},SignedHeaders={SIGNED_HEADERS},Signature={signature}",
            identity.app.id
        );
        let mut authorization =
            HeaderValue::try_from(authorization).expect("app ids are checked to be visible ASCII");
        authorization.set_sensitive(true);
        let date = HeaderValue::try_from(date).expect("digits and letters are legal in a header");
        Self { authorization, date, user_id: identity.user_id.clone() }
    }

    /// Puts them into the request, in place of any that are there.
    pub(super) fn apply(self, headers: &mut HeaderMap) {
        headers.insert(AUTHORIZATION, self.authorization);
        headers.insert(X_DATE, self.date);
        headers.insert(X_USER_ID, self.user_id);
    }
}

pub(super) const X_DATE: HeaderName = HeaderName::from_static("x-date");
pub(super) const X_USER_ID: HeaderName = HeaderName::from_static("x-user-id");

/// Six parts, joined by line ends.
fn canonical_request(request: &Unsigned<'_>, date: &str, user_id: &[u8]) -> Vec<u8> {
    let mut canonical = Vec::with_capacity(512);
    let host = request.host.trim();
    canonical.extend_from_slice(request.method.as_str().as_bytes());
    canonical.push(b'\n');
    canonical.extend_from_slice(canonical_path(request.path).as_bytes());
    canonical.push(b'\n');
    canonical.extend_from_slice(canonical_query(request.query.unwrap_or("")).as_bytes());
    canonical.push(b'\n');
    canonical.extend_from_slice(format!("host:{host}\nx-date:{date}\nx-user-id:").as_bytes());
    canonical.extend_from_slice(user_id.trim_ascii());
    canonical.extend_from_slice(b"\n\n"); // the last header's line end, and the joint
    canonical.extend_from_slice(SIGNED_HEADERS.as_bytes());
    canonical.push(b'\n');
    let payload = hex(digest::digest(&digest::SHA256, request.body));
    canonical.extend_from_slice(payload.as_bytes());
    canonical
}

/// Dot segments removed, each segment decoded and encoded again, `/` at the end.
///
/// Decoded first, so that `%7E` and `~` are the same path, as they are for the receiver.
fn canonical_path(path: &str) -> String {
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        let segment: Vec<u8> = percent_decode(segment.as_bytes()).collect();
        match segment.as_slice() {
            b"." => {}
            b".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    if segments.last().is_some_and(Vec::is_empty) {
        segments.pop(); // it ends in a slash already
    }
    let mut canonical = String::with_capacity(path.len() + 8);
    canonical.push('/');
    for segment in segments {
        canonical.extend(percent_encode(&segment, RESERVED));
        canonical.push('/');
    }
    canonical
}

/// `name=value` pairs, decoded as forms are (`+` is a space), encoded again, ordered by name and,
/// for equal names, by value.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (form_decode(name), form_decode(value))
        })
        .collect();
    pairs.sort();
    let mut canonical = String::with_capacity(query.len() + 8);
    for (name, value) in pairs {
        if !canonical.is_empty() {
            canonical.push('&');
        }
        canonical.extend(percent_encode(&name, RESERVED));
        canonical.push('=');
        canonical.extend(percent_encode(&value, RESERVED));
    }
    canonical
}

fn form_decode(text: &str) -> Vec<u8> {
    let spaced = text.replace('+', " ");
    percent_decode(spaced.as_bytes()).collect()
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bytes = bytes.as_ref();
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// `YYYYMMDDTHHMMSSZ`. Civil date from days since 1970, after Hinnant's `civil_from_days`.
fn basic_iso_8601(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153; // 0 = March
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

const ALGORITHM: &str = "HMAC-SHA256";
const SIGNED_HEADERS: &str = "host;x-date;x-user-id";
/// A date later than KooDrive's now is refused, one up to 15 minutes earlier is not: room for a
/// clock that runs a little ahead.
const BACKDATED_BY: Duration = Duration::from_secs(5);
/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::config::SigningApp;

    #[derive(Debug, Deserialize)]
    struct Vector {
        method: String,
        path: String,
        query: Option<String>,
        host: String,
        body: String,
        at: u64,
        x_date: String,
        app_id: String,
        app_secret: String,
        user_id: String,
        authorization: String,
    }

    /// Written by `tests/interop/app_signature.py`.
    const VECTORS: &str = include_str!("../../tests/fixtures/app_signature.json");

    #[test]
    fn signatures_agree_with_an_independent_implementation() {
        let vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
        assert!(60 <= vectors.len());
        for vector in &vectors {
            let identity = AppIdentity {
                app: SigningApp {
                    id: vector.app_id.as_str().into(),
                    secret: std::sync::Arc::new(vector.app_secret.clone().into()),
                },
                user_id: HeaderValue::from_str(&vector.user_id).unwrap(),
            };
            let request = Unsigned {
                method: &Method::from_bytes(vector.method.as_bytes()).unwrap(),
                path: &vector.path,
                query: vector.query.as_deref(),
                host: &vector.host,
                body: vector.body.as_bytes(),
            };
            let now = UNIX_EPOCH + Duration::from_secs(vector.at) + BACKDATED_BY;
            let signed = SignedHeaders::sign(&identity, &request, now);
            assert!(signed.authorization.is_sensitive());
            let mut headers = HeaderMap::new();
            headers.append(X_USER_ID, HeaderValue::from_static("somebody else"));
            headers.append(X_USER_ID, HeaderValue::from_static("again"));
            signed.apply(&mut headers);
            for (name, expected) in [
                ("authorization", &vector.authorization),
                ("x-date", &vector.x_date),
                ("x-user-id", &vector.user_id),
            ] {
                let values: Vec<_> = headers.get_all(name).iter().collect();
                assert_eq!(values, [expected.as_str()], "{vector:?}");
            }
        }
    }

    #[test]
    fn dates_are_civil() {
        for (seconds, date) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_725_852_805, "20240909T033325Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(basic_iso_8601(UNIX_EPOCH + Duration::from_secs(seconds)), date);
        }
    }

    #[test]
    fn signed_paths_have_no_dot_segments_and_end_in_a_slash() {
        for (path, canonical) in [
            ("/", "/"),
            ("/a", "/a/"),
            ("/a/", "/a/"),
            ("/a/./b", "/a/b/"),
            ("/a/../b", "/b/"),
            ("/../..", "/"),
            ("/a/%2e%2E/b", "/b/"),
            ("/a//b", "/a//b/"),
            ("/%e4%b8%ad/x%20y", "/%E4%B8%AD/x%20y/"),
            ("/a:b@c,d;e", "/a%3Ab%40c%2Cd%3Be/"),
            ("/a%2fb/~-_.", "/a%2Fb/~-_./"),
        ] {
            assert_eq!(canonical_path(path), canonical, "{path}");
        }
    }

    #[test]
    fn signed_queries_are_sorted_and_keep_the_equals_sign() {
        for (query, canonical) in [
            ("", ""),
            ("b=2&a=1", "a=1&b=2"),
            ("a", "a="),
            ("a=", "a="),
            ("&a=1&&", "a=1"),
            ("a=2&a=1", "a=1&a=2"),
            ("a=x+y&b=x%20y", "a=x%20y&b=x%20y"),
            ("n=a=b", "n=a%3Db"),
            ("%E4=1&z=2&A=3", "A=3&z=2&%E4=1"),
        ] {
            assert_eq!(canonical_query(query), canonical, "{query}");
        }
    }
}
