//! Any body: nothing panics, the grammar is `serde_json`'s, the faults are those a plain judge
//! counts over a parsed tree, and a body that passes holds for every parser what it holds for us.
//!
//! Seeds: `tests/fixtures/batches`; words: `tests/fuzz/batch.dict`. With `BATCH_PASSED=FILE` the
//! bodies that pass are kept there for `check_with_python.py`.

#![no_main]

mod dice;
mod generate;
mod grammar;
mod judge;
mod mutate;
mod passed;

use std::sync::LazyLock;

use koodrive_gateway::config::{UnknownFields, ValidateConfig};
use koodrive_gateway::validate::{BatchRules, Language, Malformed, MalformedKind, Report};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

/// The defaults; the defaults with unknown members refused; and rules that every small batch can
/// break.
static CONFIGS: LazyLock<[(ValidateConfig, BatchRules); 3]> = LazyLock::new(|| {
    let strict =
        ValidateConfig { unknown_fields: UnknownFields::Reject, ..ValidateConfig::default() };
    let narrow = ValidateConfig {
        max_users: 2,
        max_dept_name_chars: 3,
        max_depth: 4,
        max_capacity: 1000,
        require_capacity_when_allocated: false,
        max_findings: 3,
        ..ValidateConfig::default()
    };
    [ValidateConfig::default(), strict, narrow].map(|config| {
        let rules = BatchRules::new(&config);
        (config, rules)
    })
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::mutate(data, size, max_size, seed)
});

fuzz_target!(|body: &[u8]| {
    for (config, rules) in &*CONFIGS {
        let verdict = rules.check(body);
        match &verdict {
            Ok(facts) => {
                let batch = passed::read(body);
                assert_eq!(facts.users as usize, batch.users.len());
                assert_eq!(judge::count_faults(body, config), 0, "passed");
                passed::keep(body, &batch);
                read_again(body, rules, facts.users);
            }
            Err(malformed) if malformed.kind == MalformedKind::NotJson => {
                assert!(!grammar::is_json(body), "called no JSON, but it is");
                assert_eq!((malformed.findings.len(), malformed.more), (1, 0));
                grammar::assert_stops_at(body, &malformed.findings[0]);
            }
            Err(malformed) => {
                assert!(grammar::is_json(body), "called JSON, but it is not");
                let count = judge::count_faults(body, config);
                assert_eq!(malformed.findings.len() + malformed.more, count, "{malformed:?}");
                assert_eq!(malformed.findings.len(), count.min(config.max_findings));
                assert!(malformed.findings.is_sorted_by_key(|found| (found.line, found.column)));
            }
        }
        if config.max_findings <= 3 {
            tell(body, &verdict);
        }
    }
});

/// What passed as it was written also passes as another tool writes it.
fn read_again(body: &[u8], rules: &BatchRules, users: u32) {
    let value: serde_json::Value = serde_json::from_slice(body).expect("it passed");
    for rewritten in [serde_json::to_vec(&value), serde_json::to_vec_pretty(&value)] {
        let rewritten = rewritten.expect("a tree can be written");
        let found = rules.check(&rewritten).map(|facts| facts.users);
        assert_eq!(found, Ok(users), "{}", String::from_utf8_lossy(&rewritten));
    }
}

/// Whatever was wrong can be told, and moves no terminal's cursor.
fn tell(body: &[u8], verdict: &Result<koodrive_gateway::validate::BatchFacts, Malformed>) {
    for language in [Language::English, Language::Chinese] {
        let told = Report { name: "batch.json", body, verdict, language, width: 60, colours: false }.to_string();
        assert!(told.chars().all(|char| char == '\n' || !char.is_control()), "{told:?}");
    }
}
