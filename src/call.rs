//! Which call is this? Method and path in, the stages it meets out.
//!
//! Knows nothing of callers or KooDrive's answers. The path table is deliberately wary: whatever
//! some server on the way could read as the preverify path either meets the preverify stages or
//! goes nowhere.

use http::{Method, Uri};

use crate::path::{CanonicalPath, any_reading};
use crate::words::words;

/// KooDrive's preverify path in its canonical spelling.
pub const PREVERIFY_PATH: &str = "/koodrive/ose/v1/users/batchimport/preverify";

const TASK_CREATE_PATH: &str = "/koodrive/ose/v1/task/create";
const TASK_RESULT_PATH: &str = "/koodrive/ose/v1/task/result";

/// Methods that pass, as an `Allow` header.
pub const ALLOWED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

words! {
    /// What a call is, and with it which stages it meets.
    pub enum CallPlan {
        /// Limited, and its batch is validated; goes upstream in the canonical spelling.
        Preverify = "preverify",
        /// Begins an import, or another task. Streamed through untouched, as those that follow here.
        TaskCreate = "task_create",
        /// What became of an import.
        TaskResult = "task_result",
        /// All others.
        Passthrough = "other",
    }
}

/// Why a call goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallRefused {
    #[error("no such route: {0}")]
    RouteUnknown(RouteHint),
    #[error("the method is not allowed here; allowed: {allow}")]
    Method { allow: &'static str },
}

/// What a caller may have done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteHint {
    #[error("it is outside the prefix")]
    Elsewhere,
    /// With the prefix before it, it would be a path of KooDrive's API.
    #[error("it lacks the prefix")]
    PrefixForgotten,
    /// Servers could differ in what they make of it.
    #[error("some server could read it as another path")]
    Spelling,
}

impl CallPlan {
    /// The route in span names and attributes.
    pub fn route(self) -> &'static str {
        match self {
            Self::Preverify => PREVERIFY_PATH,
            Self::TaskCreate => TASK_CREATE_PATH,
            Self::TaskResult => TASK_RESULT_PATH,
            Self::Passthrough => "/koodrive/*",
        }
    }
}

/// Where calls may go under one configuration.
#[derive(Clone, Debug)]
pub struct Routes {
    /// What stands before each path on its way: of `forward.upstream`, without a trailing slash.
    base_path: String,
    base_segments: usize,
    /// `forward.prefix`: begins and ends with a slash.
    prefix: String,
    /// The path on its way that callers of preverify send, if they write it as KooDrive does, and
    /// what becomes of it: need not be worked out for each call.
    usual: Option<(String, String)>,
    /// The segments with which every reading of a path on its way must begin, case folded.
    below: Vec<String>,
}

/// A call that goes somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub plan: CallPlan,
    /// The path as it goes upstream, with the base path before it.
    pub path: String,
}

impl Routes {
    pub fn new(base_path: &str, prefix: &str) -> Self {
        let below = format!("{base_path}{prefix}").to_lowercase();
        let segments = |path: &str| path.split('/').filter(|segment| !segment.is_empty()).count();
        let mut routes = Self {
            base_path: base_path.to_owned(),
            base_segments: segments(base_path),
            prefix: prefix.to_owned(),
            usual: None,
            below: below.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect(),
        };
        let usual = format!("{base_path}{PREVERIFY_PATH}");
        routes.usual = routes.preverify(&usual).map(|path| (usual, path));
        routes
    }

    /// Decides by method and by the path that will be sent.
    pub fn plan_for(&self, method: &Method, target: &Uri) -> Result<Route, CallRefused> {
        let query_bytes = target.query().map_or(0, |query| 1 + query.len());
        let sent = [&self.base_path, target.path()].concat();
        if TARGET_BYTES_MAX
            < sent.len().max(self.base_path.len() + PREVERIFY_PATH.len()) + query_bytes
        {
            return Err(CallRefused::RouteUnknown(RouteHint::Elsewhere));
        }
        if let Some(path) = self.preverify(&sent) {
            return match *method {
                Method::POST => Ok(Route { plan: CallPlan::Preverify, path }),
                _ => Err(CallRefused::Method { allow: "POST" }),
            };
        }
        if !METHODS.contains(method) {
            return Err(CallRefused::Method { allow: ALLOWED_METHODS });
        }
        let known = target.path().starts_with(&self.prefix);
        if known && (is_plain(&sent) || any_reading(&sent, |path| self.is_lost(path)) == Ok(false))
        {
            return Ok(Route { plan: self.named(method, &sent), path: sent });
        }
        Err(CallRefused::RouteUnknown(self.hint(target.path())))
    }

    /// The name of a call that passes untouched. Nothing but figures hangs on it: what its path
    /// does not tell, such as the type of a task, stands in a body that nobody reads.
    fn named(&self, method: &Method, sent: &str) -> CallPlan {
        let plan = match *method {
            Method::POST => CallPlan::TaskCreate,
            Method::GET => CallPlan::TaskResult,
            _ => return CallPlan::Passthrough,
        };
        let known = if is_plain(sent) {
            let sent = sent.strip_suffix('/').unwrap_or(sent);
            let at = sent.len().checked_sub(plan.route().len());
            at.and_then(|at| sent.split_at_checked(at)).is_some_and(|(before, tail)| {
                self.base_path.starts_with(before) && tail.eq_ignore_ascii_case(plan.route())
            })
        } else {
            let segments: Vec<&str> = plan.route().split('/').skip(1).collect();
            let before = CanonicalPath::of(sent).ok().and_then(|path| path.ends_with(&segments));
            before.is_some_and(|before| before <= self.base_segments)
        };
        if known { plan } else { CallPlan::Passthrough }
    }

    #[cold]
    fn hint(&self, path: &str) -> RouteHint {
        let begins = path.get(..self.prefix.len());
        if begins.is_some_and(|begins| begins.eq_ignore_ascii_case(&self.prefix)) {
            RouteHint::Spelling
        } else if path.starts_with(API_ROOT) && self.prefix == API_PREFIX {
            RouteHint::PrefixForgotten
        } else {
            RouteHint::Elsewhere
        }
    }

    /// The canonical spelling when `sent` is preverify in a spelling that RFC 3986 section 6.2.2
    /// calls equivalent, or that servers commonly treat so: case, empty segments, a trailing slash.
    ///
    /// A proxy on the way may strip any part of the base path, so preverify may begin within it.
    fn preverify(&self, sent: &str) -> Option<String> {
        if sent.len() < PREVERIFY_PATH.len() {
            return None;
        }
        if let Some((usual, path)) = &self.usual
            && usual == sent
        {
            return Some(path.clone());
        }
        let path = CanonicalPath::of(sent).ok()?;
        if !path.begins_with(&self.below) {
            return None;
        }
        let before = path.ends_with(&PREVERIFY).filter(|before| *before <= self.base_segments)?;
        let kept: Vec<&str> = path.segments().take(before).collect();
        let base = if kept.is_empty() { String::new() } else { format!("/{}", kept.join("/")) };
        // Nothing of the base path needs an escape, but what stands for it here might.
        self.base_path.starts_with(&base).then(|| format!("{base}{PREVERIFY_PATH}"))
    }

    /// Whether a server that reads a path so is led to preverify, or away from all known calls.
    fn is_lost(&self, reading: &[&str]) -> bool {
        let stays =
            self.below.iter().zip(reading).filter(|(a, b)| a == b).count() == self.below.len();
        // A query that was escaped, undone.
        let end = reading.iter().position(|segment| segment.contains(['?', '#']));
        let cut = reading.get(..end.map_or(reading.len(), |end| end + 1)).unwrap_or_default();
        !stays || self.names_preverify(reading) || self.names_preverify(cut)
    }

    fn names_preverify(&self, reading: &[&str]) -> bool {
        let Some(before) = reading.len().checked_sub(PREVERIFY.len()) else { return false };
        // Some servers drop a suffix (`preverify.json`), some a trailing dot.
        let name =
            |segment: &str| segment.split(['.', '?', '#']).next().unwrap_or_default().to_owned();
        before <= self.base_segments
            && reading
                .iter()
                .skip(before)
                .zip(PREVERIFY)
                .all(|(segment, known)| name(segment) == known)
    }
}

/// No escapes, odd characters, doubled slashes or dots where they could mean something: every
/// server reads it alike, and none as preverify.
fn is_plain(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.' | b'~');
    let odd = path.contains("//") || path.contains("/.");
    let suffixed = path.contains('.') && path.to_ascii_lowercase().contains("preverify");
    path.bytes().all(plain) && !odd && !suffixed
}

const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// How KooDrive's paths begin, and go on.
const API_PREFIX: &str = "/koodrive/";
const API_ROOT: &str = "/ose/";

/// The segments of [`PREVERIFY_PATH`].
const PREVERIFY: [&str; 6] = ["koodrive", "ose", "v1", "users", "batchimport", "preverify"];

/// What a request target may have at most: path, `?` and query (the `http` crate counts in `u16`).
const TARGET_BYTES_MAX: usize = 65_534;

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_for(method: &Method, path: &str) -> Result<CallPlan, CallRefused> {
        let uri = path.parse().unwrap();
        Ok(Routes::new("", "/koodrive/").plan_for(method, &uri)?.plan)
    }

    const ELSEWHERE: CallRefused = CallRefused::RouteUnknown(RouteHint::Elsewhere);
    const SPELLING: CallRefused = CallRefused::RouteUnknown(RouteHint::Spelling);

    #[test]
    fn a_path_that_leads_nowhere_is_told_apart_by_what_was_meant() {
        let forgotten = CallRefused::RouteUnknown(RouteHint::PrefixForgotten);
        for (path, expected) in [
            ("/ose/v1/userList", forgotten),
            ("/ose/v1/users/batchimport/preverify", forgotten),
            ("/KooDrive/ose/v1/userList", SPELLING),
            ("/koodrive/..%2f..%2fa", SPELLING),
            ("/koodrive", ELSEWHERE),
            ("/drive/ose/v1", ELSEWHERE),
            ("/", ELSEWHERE),
        ] {
            assert_eq!(plan_for(&Method::GET, path), Err(expected), "{path}");
        }
    }

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
            let plan = plan_for(&Method::POST, path);
            assert_eq!(plan, Ok(CallPlan::Preverify), "{path}");
            let plan = plan_for(&Method::GET, path);
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
            "/koodrive/ose/v1/users/batchimport/preverify.json",
            "/koodrive/ose/v1/users/batchimport/Preverify.",
            "/koodrive/ose/v1/users/batchimport/preverify.tar.gz/",
            "/koodrive/ose/v1/users./batchimport/preverify",
            "/koodrive/ose/v1/users/batchimport/preverify%2ejson",
            "/koodrive/ose/v1/users/batchimport/preverify%3fx=1",
            "/koodrive/ose/v1/users/batchimport/preverify%23",
            "/koodrive/ose/v1/users/batchimport/preverify;%2f..",
            "/koodrive/ose/v1/users/batchimport/x%252fy/../%2570reverify",
            "/koodrive/ose/v1/users/batchimport/x%252fy/../preverify%252e",
        ] {
            let plan = plan_for(&Method::POST, path);
            assert!(matches!(plan, Err(CallRefused::RouteUnknown(_))), "{path}: {plan:?}");
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
            ("/koodrive", Err(ELSEWHERE)),
            ("/koodrivex/", Err(ELSEWHERE)),
            ("/", Err(ELSEWHERE)),
            ("/koodrive/../admin", Err(SPELLING)),
            ("/koodrive/%2e%2e/admin", Err(SPELLING)),
            ("/koodrive/..%2fadmin", Err(SPELLING)),
            ("/koodrive/..;/admin", Err(SPELLING)),
            ("/KooDrive/ose/v1/userList", Err(SPELLING)),
        ];
        for (path, expected) in table {
            assert_eq!(plan_for(&Method::GET, path), expected, "{path}");
        }
    }

    #[test]
    fn the_calls_of_an_import_have_names() {
        use CallPlan::{Passthrough, TaskCreate, TaskResult};
        for (base_path, method, path, expected) in [
            ("", Method::POST, "/koodrive/ose/v1/task/create", TaskCreate),
            ("", Method::POST, "/koodrive/ose/v1/Task/Create/", TaskCreate),
            ("", Method::POST, "/koodrive/ose/v1//task/x/../%63reate", TaskCreate),
            ("", Method::GET, "/koodrive/ose/v1/task/result?taskId=1", TaskResult),
            ("/gw", Method::GET, "/koodrive/ose/v1/task/result", TaskResult),
            ("/gw", Method::GET, "/koodrive/ose/v1/task/./result", TaskResult),
            ("", Method::GET, "/koodrive/ose/v1/task/create", Passthrough),
            ("", Method::POST, "/koodrive/ose/v1/task/result", Passthrough),
            ("", Method::PUT, "/koodrive/ose/v1/task/create", Passthrough),
            ("", Method::POST, "/koodrive/ose/v1/task/create/x", Passthrough),
            ("", Method::POST, "/koodrive/x/koodrive/ose/v1/task/create", Passthrough),
            ("", Method::POST, "/koodrive/x//koodrive/ose/v1/task/create", Passthrough),
            ("", Method::GET, "/koodrive/ose/v1/task/list", Passthrough),
            ("", Method::POST, "/koodrive/ose/v1/task/creat", Passthrough),
        ] {
            let routes = Routes::new(base_path, "/koodrive/");
            let route = routes.plan_for(&method, &path.parse().unwrap()).unwrap();
            assert_eq!(route.plan, expected, "{base_path} {method} {path}");
        }
    }

    #[test]
    fn unusual_methods_are_refused_everywhere() {
        for method in [Method::CONNECT, Method::TRACE, Method::from_bytes(b"PURGE").unwrap()] {
            assert_eq!(
                plan_for(&method, "/koodrive/x"),
                Err(CallRefused::Method { allow: ALLOWED_METHODS })
            );
            let refused = Err(CallRefused::Method { allow: "POST" });
            assert_eq!(plan_for(&method, PREVERIFY_PATH), refused);
        }
    }

    #[test]
    fn what_still_changes_after_three_rounds_of_decoding_goes_nowhere() {
        let thrice = "/koodrive/a%25252541";
        assert_eq!(plan_for(&Method::GET, "/koodrive/a%252541"), Ok(CallPlan::Passthrough));
        assert_eq!(plan_for(&Method::GET, thrice), Err(SPELLING));
        let long = format!("/koodrive/%{}", "25".repeat(15_000));
        assert_eq!(plan_for(&Method::GET, &long), Err(SPELLING));
    }

    #[test]
    fn what_counts_is_the_path_that_will_be_sent() {
        let preverify = |path: &str| Ok(Route { plan: CallPlan::Preverify, path: path.to_owned() });
        let table = [
            (
                "/koodrive",
                "/ose/",
                "/ose/v1/users/batchimport/preverify",
                preverify(PREVERIFY_PATH),
            ),
            ("/koodrive/ose", "/v1/", "/v1/users/batchimport/Preverify", preverify(PREVERIFY_PATH)),
            ("/koodrive", "/ose/", "/ose/v1/users/batchimport%2fpreverify", Err(SPELLING)),
            ("/koodrive", "/ose/", "/ose/v1/users/batchimport/preverify.json", Err(SPELLING)),
            // A proxy that strips `/gw` on the way.
            ("/gw", "/koodrive/", PREVERIFY_PATH, preverify(&format!("/gw{PREVERIFY_PATH}"))),
            (
                "/gw/koodrive",
                "/ose/",
                "/ose/v1/users/batchimport/preverify/",
                preverify(&format!("/gw{PREVERIFY_PATH}")),
            ),
            (
                "/koodrive",
                "/ose/",
                "/ose/v1/userList",
                Ok(Route {
                    plan: CallPlan::Passthrough,
                    path: "/koodrive/ose/v1/userList".to_owned(),
                }),
            ),
            ("/koodrive", "/ose/", "/ose/..%2f..%2fx", Err(SPELLING)),
            ("/koodrive", "/ose/", PREVERIFY_PATH, Err(ELSEWHERE)),
            ("", "/koodrive/ose/v2/", PREVERIFY_PATH, Err(ELSEWHERE)),
        ];
        for (base_path, prefix, path, expected) in table {
            let uri = path.parse().unwrap();
            let planned = Routes::new(base_path, prefix).plan_for(&Method::POST, &uri);
            assert_eq!(planned, expected, "{base_path} {path}");
        }
    }

    #[test]
    fn a_path_that_no_request_can_hold_goes_nowhere() {
        let uri: Uri =
            format!("/koodrive/{}?{}", "a".repeat(40_000), "b".repeat(25_000)).parse().unwrap();
        let routes = |base: &str| Routes::new(base, "/koodrive/").plan_for(&Method::GET, &uri);
        assert!(routes("").is_ok());
        assert_eq!(routes(&format!("/{}", "c".repeat(600))), Err(ELSEWHERE));
    }
}
