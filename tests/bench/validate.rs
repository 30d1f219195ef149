//! What checking a batch costs, beside parsing it into types with `serde_json`.
//!
//! `cargo bench --bench validate` prints a table; `tests/bench/instructions` counts instructions,
//! which are the same on a busy machine. For that script: `validate check|parse SHAPE USERS TIMES`.

#![expect(clippy::print_stdout, reason = "the table is for a person")]

use std::env;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use koodrive_gateway::config::ValidateConfig;
use koodrive_gateway::validate::BatchRules;
use serde::Deserialize;

/// Of each side in turn; the best one counts.
const SAMPLES: usize = 300;
/// Long enough for the clock, short enough to be undisturbed at times.
const SAMPLE: Duration = Duration::from_micros(100);

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let rules = rules();
    if let [side, shape, users, times] = args.as_slice() {
        let shape = Shape::ALL.into_iter().find(|known| known.name() == shape).expect("a shape");
        let body = shape.body(users.parse().expect("a number"));
        for _ in 0..times.parse().expect("a number") {
            match side.as_str() {
                "check" => check(&rules, &body),
                _ => parse(&body),
            }
        }
        return;
    }
    println!("| batch | users | bytes | check, µs | GB/s | serde_json into types, µs | ratio |");
    println!("|---|---|---|---|---|---|---|");
    for shape in Shape::ALL {
        for users in [1, 100, 1000, 10_000] {
            let body = shape.body(users);
            let [check, parse] = best([&|| check(&rules, &body), &|| parse(&body)]);
            let (name, bytes) = (shape.name(), u32::try_from(body.len()).expect("a small body"));
            let rate = f64::from(bytes) / check / 1e3;
            let ratio = check / parse;
            println!(
                "| {name} | {users} | {bytes} | {check:.2} | {rate:.2} | {parse:.2} | {ratio:.2} |"
            );
        }
    }
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
fn best<const N: usize>(sides: [&dyn Fn(); N]) -> [f64; N] {
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
    for _ in 0..SAMPLES {
        for index in 0..N {
            best[index] = best[index].min(time(sides[index], runs[index]));
        }
    }
    best.map(|best| best.as_secs_f64() * 1e6)
}
