//! What the pure rooms cost: which call it is, its X-Traceid, the check of a batch; the last beside
//! parsing it into types with `serde_json`.
//!
//! `cargo bench --bench rooms` prints tables; `tests/bench/instructions` counts instructions, which
//! are the same on a busy machine. For that script: `rooms ROOM CASE TIMES`, where a case of `check`
//! and `parse` is a shape and a number of users. `--smoke` runs each only a few times.

#![expect(clippy::print_stdout, reason = "the tables are for a person")]

use std::env;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Method, Uri};
use koodrive_gateway::accept::{Acceptor, IdentityRules, KeyStores, VerifiedTokens};
use koodrive_gateway::authorize::Authorizer;
use koodrive_gateway::call::{PREVERIFY_PATH, Routes};
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::{Config, ValidateConfig};
use koodrive_gateway::trace_context::SpanContext;
use koodrive_gateway::trace_id::{X_TRACEID, XTraceId};
use koodrive_gateway::validate::BatchRules;
use serde::Deserialize;

/// Of each side in turn; the best one counts.
const SAMPLES: usize = 300;
/// Long enough for the clock, short enough to be undisturbed at times.
const SAMPLE: Duration = Duration::from_micros(100);

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [] => tables(SAMPLES, &[1, 100, 1000, 10_000]),
        ["--smoke"] => tables(3, &[1]),
        [room, case @ .., times] => {
            let run = room_and_case(room, case);
            (0..times.parse().expect("a number")).for_each(|_| run());
        }
        _ => panic!("rooms [ROOM CASE TIMES]"),
    }
}

fn tables(samples: usize, sizes: &[usize]) {
    println!("| room | µs |");
    println!("|---|---|");
    for (room, case) in CASES {
        let [each] = best(samples, [&*room_and_case(room, &[case])]);
        println!("| {room} {case} | {each:.3} |");
    }
    println!("\n| batch | users | bytes | check, µs | GB/s | serde_json into types, µs | ratio |");
    println!("|---|---|---|---|---|---|---|");
    let rules = rules();
    for shape in Shape::ALL {
        for users in sizes {
            let body = shape.body(*users);
            let [check, parse] = best(samples, [&|| check(&rules, &body), &|| parse(&body)]);
            let (name, bytes) = (shape.name(), u32::try_from(body.len()).expect("a small body"));
            let rate = f64::from(bytes) / check / 1e3;
            let ratio = check / parse;
            println!(
                "| {name} | {users} | {bytes} | {check:.2} | {rate:.2} | {parse:.2} | {ratio:.2} |"
            );
        }
    }
}

const CASES: [(&str, &str); 7] = [
    ("plan", "preverify"),
    ("plan", "passthrough"),
    ("trace-id", "make"),
    ("trace-id", "keep"),
    ("authorize", "none"),
    ("authorize", "1000-apart"),
    ("authorize", "1000-alike"),
];

/// What runs once per call.
fn room_and_case(room: &str, case: &[&str]) -> Box<dyn Fn()> {
    match (room, case) {
        ("plan", ["preverify"]) => plan(Method::POST, PREVERIFY_PATH),
        ("plan", ["passthrough"]) => plan(Method::GET, "/koodrive/ose/v1/files/0"),
        ("trace-id", ["make"]) => {
            let span = SpanContext::root(true);
            Box::new(move || {
                black_box(XTraceId::generate(black_box(&span), SystemTime::UNIX_EPOCH));
            })
        }
        ("trace-id", ["keep"]) => {
            let headers = HeaderMap::from_iter([(X_TRACEID, HeaderValue::from_static(LEGAL_ID))]);
            Box::new(move || {
                black_box(XTraceId::from_headers(black_box(&headers))).expect("the id is legal");
            })
        }
        ("authorize", [rules]) => authorize(rules),
        ("check" | "parse", [shape, users]) => {
            let shape = Shape::ALL.into_iter().find(|known| known.name() == *shape);
            let body = shape.expect("a shape").body(users.parse().expect("a number"));
            let rules = rules();
            let is_check = room == "check";
            Box::new(move || if is_check { check(&rules, &body) } else { parse(&body) })
        }
        _ => panic!("no room {room} with a case {case:?}"),
    }
}

const LEGAL_ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef1700000000";

fn plan(method: Method, path: &'static str) -> Box<dyn Fn()> {
    let (routes, target) = (Routes::new("", "/koodrive/"), Uri::from_static(path));
    Box::new(move || {
        black_box(routes.plan_for(black_box(&method), black_box(&target))).expect("a known route");
    })
}

/// The first rule that names the call is the last of all: each begins with another path, or all
/// with the same one.
fn authorize(rules: &str) -> Box<dyn Fn()> {
    let mut document =
        String::from("[[accept.issuers]]\nissuer = \"https://sso\"\naudiences = [\"g\"]\n");
    document.push_str("[token]\nendpoint = \"https://sso/token\"\n");
    document.push_str("[forward]\nupstream = \"https://koodrive\"\n");
    for rule in 0..if rules == "none" { 0 } else { 1000 } {
        let (path, method) = match rules {
            "1000-apart" => (format!("/koodrive/ose/v1/area-{rule:03}/**"), "GET"),
            _ if rule == 999 => ("/koodrive/**".to_owned(), "GET"),
            _ => ("/koodrive/**".to_owned(), "PUT"),
        };
        write!(
            document,
            "[[authorize.rules]]\nmethods = [\"{method}\"]\npaths = [\"{path}\"]\n\
             claims = {{ groups = \"g{rule}\" }}\n"
        )
        .expect("a String");
    }
    let loaded = Config::parse(&document, "bench", Path::new(""), std::iter::empty());
    let config = loaded.expect("the rules are good").config;
    let authorizer = Authorizer::new(&config.authorize, "");
    let keys = KeyStores::offline(Clock::system());
    let acceptor =
        Acceptor::new(&config.accept, &keys, &VerifiedTokens::new(), IdentityRules::default())
            .asking(authorizer.requirements());
    let now = Clock::system().now();
    let at = now.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = format!(
        "{{\"iss\":\"https://sso\",\"aud\":\"g\",\"sub\":\"a\",\"iat\":{at},\"exp\":{},\"groups\":\"g999\"}}",
        at + 3600
    );
    let token = format!(
        "{}.{}.AAAA",
        URL_SAFE_NO_PAD.encode("{\"alg\":\"RS256\"}"),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let caller = acceptor.claimed(&token, now).expect("the token is well-formed");
    Box::new(move || {
        if !black_box(&authorizer).is_on() {
            return;
        }
        let path = black_box("/koodrive/ose/v1/area-999/x");
        let decision = authorizer.decide(&Method::GET, path, &caller.identity);
        assert!(black_box(decision).denied.is_none());
    })
}

fn rules() -> BatchRules {
    BatchRules::new(&ValidateConfig { max_users: 10_000, ..ValidateConfig::default() })
}

fn check(rules: &BatchRules, body: &str) {
    let facts = rules.check(black_box(body.as_bytes()));
    black_box(facts).expect("the batch is good");
}

fn parse(body: &str) {
    let batch = serde_json::from_slice::<Batch>(black_box(body.as_bytes()));
    black_box(batch).expect("the batch is good");
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "parsing them is what is measured")]
struct Batch {
    cur_dept_id: i64,
    users: Vec<User>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "parsing them is what is measured")]
struct User {
    target_dept_name: Option<String>,
    personal_capacity: i64,
    is_allocate_capacity: bool,
}

/// How a batch is written.
#[derive(Clone, Copy)]
enum Shape {
    /// As programs write it.
    Compact,
    /// As people and pretty printers write it.
    Indented,
    /// With four members in each user that no rule names.
    Unknown,
}

impl Shape {
    const ALL: [Self; 3] = [Self::Compact, Self::Indented, Self::Unknown];

    fn name(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Indented => "indented",
            Self::Unknown => "unknown",
        }
    }

    fn body(self, users: usize) -> String {
        let users: Vec<_> = (0..users).map(|index| self.user(index)).collect();
        match self {
            Self::Indented => format!(
                "{{\n  \"curDeptId\": 1575416580416769793,\n  \"users\": [\n{}\n  ]\n}}\n",
                users.join(",\n")
            ),
            Self::Compact | Self::Unknown => {
                format!("{{\"curDeptId\":1575416580416769793,\"users\":[{}]}}", users.join(","))
            }
        }
    }

    fn user(self, index: usize) -> String {
        let name = ["Dept", "Research", "Marketing", "研发一部"][index % 4];
        let is_allocated = !index.is_multiple_of(3);
        let capacity = if is_allocated { 10 + index % 7 } else { 0 };
        let mut members = vec![
            ("targetDeptName", format!("\"{name}\"")),
            ("personalCapacity", capacity.to_string()),
            ("isAllocateCapacity", is_allocated.to_string()),
        ];
        if matches!(self, Self::Unknown) {
            members.push(("mail", format!("\"user{index}@example.com\"")));
            members.push(("phone", format!("\"+86 138 {index:08}\"")));
            members.push(("level", (index % 9).to_string()));
            members.push(("manager", "null".to_owned()));
        }
        let (open, between, colon, close) = match self {
            Self::Indented => ("    {\n      ", ",\n      ", ": ", "\n    }"),
            Self::Compact | Self::Unknown => ("{", ",", ":", "}"),
        };
        let mut user = open.to_owned();
        for (place, (name, value)) in members.iter().enumerate() {
            let between = if place == 0 { "" } else { between };
            write!(user, "{between}\"{name}\"{colon}{value}").expect("a String");
        }
        user + close
    }
}

/// Microseconds of one run of each side.
fn best<const N: usize>(samples: usize, sides: [&dyn Fn(); N]) -> [f64; N] {
    let time = |side: &dyn Fn(), runs: u32| {
        let started = Instant::now();
        (0..runs).for_each(|_| side());
        started.elapsed() / runs
    };
    let runs = sides.map(|side| {
        let once = time(side, 3).max(Duration::from_nanos(1));
        u32::try_from(SAMPLE.as_nanos() / once.as_nanos()).unwrap_or(u32::MAX).max(1)
    });
    let mut best = [Duration::MAX; N];
    for _ in 0..samples {
        for index in 0..N {
            best[index] = best[index].min(time(sides[index], runs[index]));
        }
    }
    best.map(|best| best.as_secs_f64() * 1e6)
}
