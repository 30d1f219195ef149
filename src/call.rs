//! Which call is this? Method and path in, the stages it meets out.
//!
//! Knows nothing of callers or KooDrive's answers. The path table is deliberately wary: whatever
//! some server on the way could read as the preverify path either meets the preverify stages or
//! goes nowhere.

use http::Method;
use percent_encoding::percent_decode;

use crate::words::words;

/// KooDrive's preverify path in its canonical spelling.
pub const PREVERIFY_PATH: &str = "/koodrive/ose/v1/users/batchimport/preverify";

/// Methods that pass, as an `Allow` header.
pub const ALLOWED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

words! {
    /// What a call is, and with it which stages it meets.
    pub enum CallPlan {
        /// Limited, and its batch is validated; goes upstream in the canonical spelling.
        Preverify = "preverify",
        /// Streamed through untouched.
        Passthrough = "other",
    }
}

/// Why a call goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallRefused {
    #[error("no such route")]
    RouteUnknown,
    #[error("the method is not allowed here; allowed: {allow}")]
    Method { allow: &'static str },
}

impl CallPlan {
    /// The route in span names and attributes.
    pub fn route(self) -> &'static str {
        match self {
            Self::Preverify => PREVERIFY_PATH,
            Self::Passthrough => "/koodrive/*",
        }
    }
}

/// Decides by method and raw path. `prefix` is `forward.prefix`.
pub fn plan_for(method: &Method, path: &str, prefix: &str) -> Result<CallPlan, CallRefused> {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    if !known.contains(method) {
        return Err(CallRefused::Method { allow: ALLOWED_METHODS });
    }
    if names_preverify(path) {
        return match *method {
            Method::POST => Ok(CallPlan::Preverify),
            _ => Err(CallRefused::Method { allow: "POST" }),
        };
    }
    if !path.starts_with(prefix) {
        return Err(CallRefused::RouteUnknown);
    }
    if is_plain(path) {
        return Ok(CallPlan::Passthrough);
    }
    let widest = widest_reading(path);
    let escapes = !format!("{widest}/").starts_with(&prefix.to_lowercase());
    if escapes || widest == PREVERIFY_PATH {
        return Err(CallRefused::RouteUnknown);
    }
    Ok(CallPlan::Passthrough)
}

/// No escapes, dots, doubled slashes or odd characters: every server reads it alike.
fn is_plain(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.' | b'~');
    path.bytes().all(plain) && !path.contains("//") && !path.contains("/.")
}

/// Whether the path is preverify in a spelling that RFC 3986 section 6.2.2 calls equivalent, or
/// that servers commonly treat so: case, empty segments, a trailing slash.
fn names_preverify(path: &str) -> bool {
    if path.len() < PREVERIFY_PATH.len() {
        return false;
    }
    if is_plain(path) {
        return path.trim_end_matches('/').eq_ignore_ascii_case(PREVERIFY_PATH);
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped: Vec<u8> = percent_decode(rest.get(..3).unwrap_or_default()).collect();
        match escaped[..] {
            // An escaped separator is not a separator: see `widest_reading`.
            [b'/' | b'\\'] if *first == b'%' => decoded.push(0),
            [byte] if *first == b'%' => decoded.push(byte),
            _ => {
                decoded.push(*first);
                rest = tail;
                continue;
            }
        }
        rest = &rest[3..];
    }
    resolve(&String::from_utf8_lossy(&decoded)).eq_ignore_ascii_case(PREVERIFY_PATH)
}

/// The path as the most lenient server might read it: escapes undone until none is left, `\` as
/// `/`, path parameters, spaces and control characters dropped, case folded.
fn widest_reading(path: &str) -> String {
    let mut bytes = path.as_bytes().to_vec();
    loop {
        let decoded: Vec<u8> = percent_decode(&bytes).collect();
        if decoded == bytes {
            break;
        }
        bytes = decoded;
    }
    // Overlong UTF-8 for `/` and `\`, which lenient decoders accept.
    for at in 1..bytes.len() {
        if matches!([bytes[at - 1], bytes[at]], [0xc0, 0xaf] | [0xc1, 0x9c]) {
            bytes[at - 1] = b'/';
            bytes[at] = b'/';
        }
    }
    let text = String::from_utf8_lossy(&bytes).replace('\\', "/");
    let without_parameters: Vec<&str> =
        text.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
    let visible: String = without_parameters
        .join("/")
        .chars()
        .filter(|c| !c.is_whitespace() && !c.is_control())
        .collect();
    // Upper, then lower: folds letters such as the Kelvin sign that have no other ASCII form.
    resolve(&visible.to_uppercase().to_lowercase())
}

/// Removes empty and dot segments (RFC 3986 section 5.2.4) and the trailing slash.
fn resolve(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_preverify_are_preverify() {
        for path in [
            "/koodrive/ose/v1/users/batchimport/preverify",
            "/koodrive/ose/v1/users/batchimport/preverify/",
            "/koodrive/ose/v1/users/batchimport/Preverify",
            "/KOODRIVE/OSE/V1/USERS/BATCHIMPORT/PREVERIFY",
            "//koodrive/ose/v1/users/batchimport/preverify",
            "/koodrive/ose/v1/users//batchimport/preverify",
            "/koodrive/ose/v1/users/batchimport/%70reverify",
            "/koodrive/ose/v1/users/batchimport/%50reverify",
            "/koodrive/ose/v1/./users/batchimport/preverify",
            "/koodrive/ose/v1/x/../users/batchimport/preverify",
            "/koodrive/ose/v1/users/batchimport/preverify/.",
            "/koodrive/ose/v1/users/batchimport/preverify/x/..",
            "/koodrive/ose/v1/%2e/users/batchimport/preverify",
            "/koodrive/ose/v1/x/%2E%2e/users/batchimport/preverify",
            "/x/../koodrive/ose/v1/users/batchimport/preverify",
        ] {
            let plan = plan_for(&Method::POST, path, "/koodrive/");
            assert_eq!(plan, Ok(CallPlan::Preverify), "{path}");
            let plan = plan_for(&Method::GET, path, "/koodrive/");
            assert_eq!(plan, Err(CallRefused::Method { allow: "POST" }), "{path}");
        }
    }

    #[test]
    fn what_could_be_read_as_preverify_goes_nowhere() {
        for path in [
            "/koodrive/ose/v1/users/batchimport%2fpreverify",
            "/koodrive/ose/v1/users/batchimport%2Fpreverify",
            "/koodrive/ose/v1/users/batchimport%5cpreverify",
            "/koodrive/ose/v1/users/batchimport\\preverify",
            "/koodrive/ose/v1/users/batchimport/preverify;x=1",
            "/koodrive/ose/v1/users;a/batchimport/preverify",
            "/koodrive/ose/v1/users/batchimport/preverify%20",
            "/koodrive/ose/v1/users/batchimport/preverify%00",
            "/koodrive/ose/v1/users/batchimport/pre%09verify",
            "/koodrive/ose/v1/users/batchimport/%2570reverify",
            "/koodrive/ose/v1/users/batchimport/preverify%3bx",
            "/koodrive/ose/v1/users/batchimport%c0%afpreverify",
            "/koodrive/ose/v1/users/batchimport/preverify/%2e%2e%2fpreverify",
            "/\u{212a}oodrive/ose/v1/users/batchimport/preverify",
        ] {
            let plan = plan_for(&Method::POST, path, "/koodrive/");
            assert_eq!(plan, Err(CallRefused::RouteUnknown), "{path}");
        }
    }

    #[test]
    fn other_paths_pass_only_below_the_prefix() {
        let table = [
            ("/koodrive/ose/v1/userList", Ok(CallPlan::Passthrough)),
            ("/koodrive/", Ok(CallPlan::Passthrough)),
            ("/koodrive/ose/v1/files/%E4%B8%AD%20x.txt", Ok(CallPlan::Passthrough)),
            ("/koodrive/a/../b", Ok(CallPlan::Passthrough)),
            ("/koodrive/ose/v1/users/batchimport/preverify2", Ok(CallPlan::Passthrough)),
            ("/koodrive/ose/v1/users/batchimport/preverify/x", Ok(CallPlan::Passthrough)),
            ("/koodrive", Err(CallRefused::RouteUnknown)),
            ("/koodrivex/", Err(CallRefused::RouteUnknown)),
            ("/", Err(CallRefused::RouteUnknown)),
            ("/koodrive/../admin", Err(CallRefused::RouteUnknown)),
            ("/koodrive/%2e%2e/admin", Err(CallRefused::RouteUnknown)),
            ("/koodrive/..%2fadmin", Err(CallRefused::RouteUnknown)),
            ("/koodrive/..;/admin", Err(CallRefused::RouteUnknown)),
            ("/KooDrive/ose/v1/userList", Err(CallRefused::RouteUnknown)),
        ];
        for (path, expected) in table {
            assert_eq!(plan_for(&Method::GET, path, "/koodrive/"), expected, "{path}");
        }
    }

    #[test]
    fn unusual_methods_are_refused_everywhere() {
        for method in [Method::CONNECT, Method::TRACE, Method::from_bytes(b"PURGE").unwrap()] {
            assert_eq!(
                plan_for(&method, "/koodrive/x", "/koodrive/"),
                Err(CallRefused::Method { allow: ALLOWED_METHODS })
            );
        }
    }
}
