//! The arrows between rooms: who may import whom. Listed in reading order; no arrow points up.

use std::fs;
use std::path::{Path, PathBuf};

/// Room → rooms it may name.
const ARROWS: &[(&str, &[&str])] = &[
    (
        "app",
        &[
            "server",
            "admin",
            "pipeline",
            "rejection",
            "call",
            "accept",
            "limit",
            "validate",
            "token",
            "forward",
            "client",
            "listener",
            "lifecycle",
            "telemetry",
            "config",
            "body",
            "clock",
        ],
    ),
    ("server", &["pipeline", "rejection", "listener", "lifecycle", "body", "config"]),
    ("admin", &["telemetry", "listener", "lifecycle", "body", "clock", "config"]),
    (
        "pipeline",
        &[
            "rejection",
            "forward",
            "token",
            "validate",
            "limit",
            "accept",
            "call",
            "trace_id",
            "telemetry",
            "body",
            "clock",
            "config",
            "trace_context",
        ],
    ),
    (
        // The stages' own words and reports; it never calls them.
        "telemetry",
        &[
            "rejection",
            "token",
            "limit",
            "accept",
            "call",
            "client",
            "body",
            "clock",
            "config",
            "trace_context",
            "words",
        ],
    ),
    (
        "rejection",
        &["forward", "token", "validate", "limit", "accept", "call", "trace_id", "body", "words"],
    ),
    ("forward", &["token", "trace_id", "client", "body", "config", "trace_context"]),
    (
        "token",
        &[
            "accept",
            "client",
            "lifecycle",
            "body",
            "clock",
            "config",
            "digest",
            "trace_context",
            "words",
        ],
    ),
    ("validate", &["config"]),
    ("limit", &["accept", "lifecycle", "clock", "config", "words"]),
    (
        "accept",
        &["client", "lifecycle", "body", "clock", "config", "digest", "trace_context", "words"],
    ),
    ("client", &["body", "config"]),
    ("listener", &["config"]),
    ("lifecycle", &["config"]),
    ("call", &["path", "words"]),
    ("trace_id", &["trace_context"]),
    ("trace_context", &[]),
    ("body", &[]),
    ("clock", &[]),
    ("config", &["digest"]),
    ("digest", &[]),
    ("words", &[]),
    ("path", &[]),
];

#[test]
fn no_arrow_points_up() {
    for (room, allowed) in ARROWS {
        for (file, text) in sources_of(room) {
            for target in text.lines().filter_map(import_target) {
                assert!(
                    target == *room || allowed.contains(&target),
                    "{}: `{room}` must not import `{target}`",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn the_arrows_make_no_circle() {
    for (at, (room, allowed)) in ARROWS.iter().enumerate() {
        for target in *allowed {
            let to = ARROWS.iter().position(|(name, _)| name == target);
            assert!(
                to.is_some_and(|to| at < to),
                "`{room}` may import `{target}`, which is not below it"
            );
        }
    }
}

#[test]
fn every_room_has_its_arrows_and_every_arrow_its_room() {
    let lib = fs::read_to_string(src().join("lib.rs")).unwrap();
    let mut declared: Vec<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut listed: Vec<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    declared.sort_unstable();
    listed.sort_unstable();
    assert_eq!(declared, listed);
}

#[test]
fn only_lifecycle_spawns_tasks_and_only_clock_reads_the_time() {
    for (room, _) in ARROWS {
        for (file, text) in sources_of(room) {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                let spawns = line.contains("tokio::spawn(");
                assert!(!spawns || *room == "lifecycle", "{}: {line}", file.display());
                let reads = line.contains("SystemTime::now()");
                assert!(!reads || *room == "clock", "{}: {line}", file.display());
            }
        }
    }
}

#[test]
fn imports_can_be_read_by_this_test() {
    for (room, _) in ARROWS {
        for (file, text) in sources_of(room) {
            for line in text.lines() {
                let braces = line.trim_start().starts_with("use crate::{");
                assert!(!braces, "{}: one room per line: {line}", file.display());
            }
        }
    }
}

#[test]
fn what_one_module_gives_is_imported_by_one_statement() {
    for (room, _) in ARROWS {
        for (file, text) in sources_of(room) {
            let mut before: Option<&str> = None;
            for line in text.lines() {
                let module = imported_module(line);
                let again = module.is_some() && module == before;
                assert!(!again, "{}: join it with the import before: {line}", file.display());
                before = module;
            }
        }
    }
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources_of(room: &str) -> Vec<(PathBuf, String)> {
    let single = src().join(room).with_extension("rs");
    let mut found = Vec::new();
    if single.exists() {
        found.push(single);
    }
    let mut folders = vec![src().join(room)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("the sources can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && path.file_name().is_some_and(|name| name != "tests.rs")
            {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no source of room `{room}`");
    found.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("the sources can be read")
}

/// `use crate::token::AccessToken;` and `crate::token::x()` → `token`
fn import_target(line: &str) -> Option<&str> {
    if line.trim_start().starts_with("//") {
        return None;
    }
    let (before, path) = line.split_once("crate::")?;
    if before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
        return None;
    }
    path.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next()
}

/// The module of an import on one line, with its visibility; `use crate::body;` imports of none.
fn imported_module(line: &str) -> Option<&str> {
    let statement = line.strip_suffix(';')?;
    let (module, _) = statement.rsplit_once("::")?;
    let is_import = module.contains("use ") && !module.contains('{');
    (is_import && !module.ends_with("use crate")).then_some(module)
}
