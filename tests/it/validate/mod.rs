//! The batch rules: tables of bodies with every finding they must have, and what must hold for
//! any bytes at all.
//!
//! In the tables `▲` marks a place where a finding is due, and is not part of the body.

mod anywhere;
mod content;
mod files;
mod grammar;
mod never;
mod rules;
mod told;

use koodrive_gateway::config::ValidateConfig;
use koodrive_gateway::validate::{BatchFacts, BatchRules, Language, Malformed, MalformedKind};

/// One good user.
const USER: &str = r#"{"targetDeptName":"Dept","personalCapacity":10,"isAllocateCapacity":true}"#;

/// A batch of the given elements.
fn users(elements: &str) -> String {
    format!(r#"{{"curDeptId":1575416580416769793,"users":[{elements}]}}"#)
}

/// A batch whose only user has these members.
fn user(members: &str) -> String {
    users(&format!("{{{members}}}"))
}

/// A good batch with one more member of this value, at depth 1.
fn unknown(value: &str) -> String {
    format!(r#"{{"curDeptId":1,"users":[{USER}],"x":{value}}}"#)
}

fn check(body: &[u8]) -> Result<BatchFacts, Malformed> {
    BatchRules::new(&ValidateConfig::default()).check(body)
}

/// Checks that the body, without its marks, has exactly these findings at its marks. A finding is
/// written `pointer: sentence`.
#[track_caller]
fn expect(rules: &ValidateConfig, kind: MalformedKind, marked: &str, wanted: &[&str]) {
    let mut body = String::new();
    let (mut line, mut column) = (1, 1);
    let mut due = Vec::new();
    for char in marked.chars() {
        match char {
            '▲' => {
                due.push((line, column));
                continue;
            }
            '\n' => (line, column) = (line + 1, 1),
            _ => column += 1,
        }
        body.push(char);
    }
    assert_eq!(due.len(), wanted.len(), "as many marks as findings: {marked}");
    let wanted: Vec<_> =
        due.into_iter().zip(wanted.iter().map(|text| (*text).to_owned())).collect();
    let malformed = BatchRules::new(rules).check(body.as_bytes()).expect_err(marked);
    let found: Vec<_> = malformed
        .findings
        .iter()
        .map(|f| ((f.line, f.column), format!("{}: {}", f.pointer, f.text(Language::English))))
        .collect();
    assert_eq!(found, wanted, "{marked}");
    assert_eq!((malformed.kind, malformed.more), (kind, 0), "{marked}");
}

#[track_caller]
fn expect_not_json(marked: &str, sentence: &str) {
    let defaults = ValidateConfig::default();
    expect(&defaults, MalformedKind::NotJson, marked, &[&format!(": {sentence}")]);
}

#[track_caller]
fn expect_malformed(marked: &str, wanted: &[&str]) {
    expect(&ValidateConfig::default(), MalformedKind::Malformed, marked, wanted);
}

#[track_caller]
fn expect_users(body: &str, users: u32) {
    assert_eq!(check(body.as_bytes()), Ok(BatchFacts { users }), "{body}");
}
