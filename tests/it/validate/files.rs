//! `tests/fixtures/batches`: bodies as tools send them. A good one is in `good/`; a bad one is in
//! `bad/`, its name says the reason, and `findings.txt` holds every finding it must have.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use koodrive_gateway::validate::Language;

use super::check;

fn batches() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/batches")
}

/// File name → content.
fn bodies(folder: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(batches().join(folder)).expect("the folder exists");
    entries
        .map(|entry| entry.expect("a readable folder").path())
        .map(|path| {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("a readable file"))
        })
        .collect()
}

#[test]
fn good_files_pass() {
    let bodies = bodies("good");
    assert!(20 <= bodies.len());
    for (name, body) in bodies {
        assert!(check(&body).is_ok(), "{name}: {:?}", check(&body));
        serde_json::from_slice::<serde_json::Value>(&body).expect(&name);
    }
}

#[test]
fn bad_files_have_exactly_their_findings() {
    let mut found = String::new();
    for (name, body) in bodies("bad") {
        let malformed = check(&body).expect_err(&name);
        let reason = name.split("--").next().expect("never empty");
        assert_eq!(malformed.kind.reason(), reason, "{name}");
        writeln!(found, "{name}").expect("a String");
        for finding in &malformed.findings {
            let text = finding.text(Language::English);
            let (line, column, pointer) = (finding.line, finding.column, &finding.pointer);
            writeln!(found, "  {line}:{column} {pointer}: {text}").expect("a String");
        }
        if malformed.more != 0 {
            writeln!(found, "  and {} more", malformed.more).expect("a String");
        }
    }
    let path = batches().join("findings.txt");
    let wanted = fs::read_to_string(&path).expect("the table exists");
    let difference = found.lines().zip(wanted.lines()).find(|(found, wanted)| found != wanted);
    assert_eq!(difference, None, "(found, wanted); all found:\n{found}");
    assert_eq!(found.lines().count(), wanted.lines().count(), "all found:\n{found}");
}
