//! The arrows between rooms: who may import whom. Listed in reading order; no arrow points up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Room → rooms it may name.
const ARROWS: &[(&str, &[&str])] = &[
    (
        "app",
        &[
            "places",
            "server",
            "admin",
            "pipeline",
            "rejection",
            "call",
            "accept",
            "authorize",
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
    (
        "server",
        &[
            "digest",
            "places",
            "pipeline",
            "rejection",
            "listener",
            "lifecycle",
            "body",
            "clock",
            "config",
            "wakes",
        ],
    ),
    ("admin", &["telemetry", "rejection", "listener", "lifecycle", "body", "clock", "config"]),
    (
        "pipeline",
        &[
            "places",
            "rejection",
            "forward",
            "token",
            "validate",
            "limit",
            "accept",
            "authorize",
            "call",
            "trace_id",
            "telemetry",
            "listener",
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
            "authorize",
            "call",
            "client",
            "lifecycle",
            "body",
            "clock",
            "config",
            "trace_context",
            "words",
        ],
    ),
    (
        "rejection",
        &[
            "forward",
            "token",
            "validate",
            "limit",
            "accept",
            "authorize",
            "call",
            "trace_id",
            "body",
            "places",
            "words",
        ],
    ),
    (
        "forward",
        &["places", "token", "trace_id", "client", "listener", "body", "config", "trace_context"],
    ),
    (
        "token",
        &[
            "blocking",
            "places",
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
    ("limit", &["places", "accept", "client", "lifecycle", "clock", "config", "words"]),
    ("authorize", &["accept", "path", "config", "words"]),
    (
        "accept",
        &["client", "lifecycle", "body", "clock", "config", "digest", "trace_context", "words"],
    ),
    ("client", &["blocking", "places", "body", "config", "wakes", "words"]),
    ("listener", &["config"]),
    ("lifecycle", &["config"]),
    ("call", &["path", "words"]),
    ("trace_id", &["trace_context"]),
    ("trace_context", &[]),
    ("body", &["places", "wakes"]),
    ("clock", &[]),
    ("config", &["digest"]),
    ("digest", &[]),
    ("wakes", &[]),
    ("words", &[]),
    ("path", &[]),
    ("places", &[]),
    ("blocking", &[]),
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
                // Which runtime it is may be asked.
                let line = line.replace("Handle::current().id()", "");
                let spawns = line.contains("tokio::spawn(") || line.contains("Handle::current()");
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

/// The files of a folder are in one order: what names a sibling is not named by it, over however
/// many files. Their `mod.rs` joins them, so it may name all and be named by all.
#[test]
fn files_of_a_room_make_no_circle() {
    for (room, _) in ARROWS {
        let mut named: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
        for (file, text) in sources_of(room) {
            let folder = file.parent().expect("a file is in a folder");
            let code = code(&text);
            let own = file.with_extension("");
            // An item of `mod.rs` may be called as the file that uses it.
            let siblings = siblings_named(&code).map(|name| folder.join(name));
            let siblings = siblings.filter(|sibling| *sibling != own);
            if !file.ends_with("mod.rs") && file.parent() != Some(&src()) {
                named.insert(file.with_extension(""), siblings.collect());
            }
        }
        // What names nothing of what is left cannot be in a circle.
        loop {
            let left: Vec<_> = named.keys().cloned().collect();
            named.retain(|_, siblings| siblings.iter().any(|sibling| left.contains(sibling)));
            if named.len() == left.len() {
                break;
            }
        }
        assert!(named.is_empty(), "files that name each other, or such files: {named:#?}");
    }
}

/// What `cargo run` has built, `cargo test` and the demo take over, and the other way round.
#[test]
fn what_only_tests_depend_on_changes_no_crate_of_the_program() {
    let crates = |edges: &str| {
        let told = Command::new(env!("CARGO"))
            .args(["tree", "--locked", "--offline", "--prefix", "none", "--no-dedupe"])
            .args(["--edges", edges, "--format", "{p} {f}"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        let told = String::from_utf8(told.stdout).unwrap();
        told.lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let (program, tests) = (crates("normal,build"), crates("normal,build,dev"));
    assert!(100 < program.len(), "{program:?}");
    let otherwise: Vec<_> = program.difference(&tests).collect();
    assert!(otherwise.is_empty(), "name their features among the dependencies: {otherwise:#?}");
}

/// Everything is public in a library, so the compiler does not see what nobody, or no more than a
/// test, calls.
#[test]
fn every_public_function_is_called_outside_of_tests() {
    let mut called = BTreeSet::new();
    let mut public = Vec::new();
    for (file, text) in sources_under(&src()) {
        let code = code(&text);
        let mut before = [""; 2];
        let is_called = |behind: &str| behind.starts_with('(') || behind.starts_with("::<");
        let in_word = |c: char| c.is_alphanumeric() || c == '_';
        for word in code.split(|c| !in_word(c)).filter(|word| !word.is_empty()) {
            let start = word.as_ptr() as usize - code.as_ptr() as usize;
            let (front, rest) = code.split_at(start);
            let (_, behind) = rest.split_at(word.len());
            if before[1] == "fn" {
                if matches!(before[0], "pub" | "async" | "const") {
                    public.push((file.clone(), word.to_owned()));
                }
            } else if front.ends_with('.') || front.ends_with("::") || is_called(behind) {
                // Else a variable or a field of that name.
                called.insert(word.to_owned());
            }
            before = [before[1], word];
        }
    }
    assert!(200 < public.len(), "{}", public.len());
    for (file, name) in public {
        assert!(called.contains(&name), "{}: nobody calls `{name}`", file.display());
    }
}

/// Without comments and inline tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The siblings in `super::a::B` and `super::{a, b::C}`; also names that are none.
fn siblings_named(code: &str) -> impl Iterator<Item = &str> {
    code.split("super::").skip(1).flat_map(|rest| {
        let names = if rest.starts_with('{') { usize::MAX } else { 1 };
        let list = rest.trim_start_matches('{').split(['}', ';']).next().unwrap_or_default();
        list.split(',').take(names).filter_map(|name| {
            name.trim().split(|c: char| !(c.is_alphanumeric() || c == '_')).next()
        })
    })
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources_of(room: &str) -> Vec<(PathBuf, String)> {
    let single = src().join(room).with_extension("rs");
    let mut found = sources_under(&src().join(room));
    if single.exists() {
        found.push((single.clone(), read(&single)));
    }
    assert!(!found.is_empty(), "no source of room `{room}`");
    found
}

fn sources_under(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("the sources can be listed").path();
            if path.is_dir() && !path.ends_with("tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && path.file_name().is_some_and(|name| name != "tests.rs")
            {
                found.push(path);
            }
        }
    }
    let mut found: Vec<_> = found.into_iter().map(|path| (path.clone(), read(&path))).collect();
    let of_tests: Vec<_> = found.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    found.retain(|(path, _)| !of_tests.contains(path));
    found
}

/// The files that `#[cfg(test)] mod NAME;` names.
fn test_modules(path: &Path, text: &str) -> impl Iterator<Item = PathBuf> {
    text.split("#[cfg(test)]\nmod ").skip(1).filter_map(|rest| {
        let name = rest.lines().next()?.strip_suffix(';')?;
        Some(path.with_file_name(name).with_extension("rs"))
    })
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
