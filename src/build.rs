//! Tells the program what it was built from: `koodrive-gateway --version`.
//!
//! The commit is the one of `KOODRIVE_GATEWAY_COMMIT`, as image builds set it; of the archive, if
//! this is what `git archive` made; or of the repository. Development builds do not look: each
//! commit would compile everything again.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// Replaced by `git archive`, see .gitattributes.
const ARCHIVED: &str = "$Format:%h$";

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rerun-if-env-changed=KOODRIVE_GATEWAY_COMMIT");
    let given = env::var("KOODRIVE_GATEWAY_COMMIT").ok().filter(|commit| !commit.is_empty());
    let archived = Some(ARCHIVED).filter(|commit| !commit.starts_with('$')).map(str::to_owned);
    let is_development = env::var("PROFILE").is_ok_and(|profile| profile == "debug");
    let commit = match given.or(archived) {
        Some(commit) => commit.get(..COMMIT_LETTERS).map_or(commit.clone(), str::to_owned),
        None if is_development => "development build".to_owned(),
        None => of_repository().unwrap_or_else(|| "commit unknown".to_owned()),
    };
    let target = env::var("TARGET").unwrap_or_else(|_| "target unknown".to_owned());
    println!("cargo::rustc-env=KOODRIVE_GATEWAY_COMMIT={commit}");
    println!("cargo::rustc-env=KOODRIVE_GATEWAY_TARGET={target}");
}

/// The commit checked out here, `-dirty` when something differs from it.
fn of_repository() -> Option<String> {
    // Unpacked inside of some other repository, its commit would say nothing of us.
    let top = git(&["rev-parse", "--show-toplevel"])?;
    let here = env::current_dir().and_then(fs::canonicalize).ok()?;
    if fs::canonicalize(top).ok()? != here {
        return None;
    }
    for name in ["HEAD", "index", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name])?;
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}-dirty") })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

const COMMIT_LETTERS: usize = 12;
