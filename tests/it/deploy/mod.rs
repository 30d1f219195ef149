//! README and `deploy/` say the same as the program.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

mod kubernetes;
mod manifests;
mod memory;
mod metrics;
mod readme;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text_of(path: &str) -> String {
    let path = repository().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// For those who write tools, and for the first look.
const README: &str = "README.md";
/// For those who operate the gateway.
const OPERATORS: &str = "deploy/README.md";

/// Every file below a folder.
fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, into) } else { into.push(path) }
    }
}

/// README.md and every file below `deploy/` but the profile, which is no text; with its path.
fn documents() -> Vec<(PathBuf, String)> {
    let mut paths = vec![repository().join("README.md")];
    walk(&repository().join("deploy"), &mut paths);
    paths.retain(|path| path.extension().is_none_or(|extension| extension != "profdata"));
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// Every word of letters, digits and `_` that begins with `prefix` and goes on.
fn words<'t>(text: &'t str, prefix: &'t str) -> BTreeSet<&'t str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.len() > prefix.len() && word.starts_with(prefix))
        .collect()
}

/// The rows of the file's `which`th table after this comment, cells without blanks.
fn table(path: &str, comment: &str, which: usize) -> Vec<Vec<String>> {
    let text = text_of(path);
    let after = text.split(comment).nth(which + 1);
    let after = after.unwrap_or_else(|| panic!("{path}: no {comment}"));
    let rows = after.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        let cells = row.trim_matches('|').split(" | ");
        cells.map(|cell| cell.trim_matches('|').trim().to_owned()).collect()
    })
    .collect()
}

/// What stands in code marks.
fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}
