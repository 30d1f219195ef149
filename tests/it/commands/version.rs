//! `--version`: version, commit and target.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::koodrive_gateway;
use crate::support::scratch::Scratch;

const BUILD_SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/build.rs");

#[tokio::test]
async fn the_version_names_what_it_was_built_from_and_for() {
    let said = koodrive_gateway(&["--version"]).await.expect(0, &[]);
    let (version, built) = said.stdout.trim_end().split_once(" (").unwrap();
    assert_eq!(version, concat!("koodrive-gateway ", env!("CARGO_PKG_VERSION")));
    let (commit, target) = built.strip_suffix(')').unwrap().split_once(", ").unwrap();
    assert!(!commit.is_empty() && target.split('-').count() >= 3, "{said:?}");
}

/// The build script as a program of its own.
fn compiled(scratch: &Scratch, script: &Path, name: &str) -> PathBuf {
    let program = scratch.path().join(name);
    let rustc = option_env!("RUSTC").unwrap_or("rustc");
    let mut command = Command::new(rustc);
    command.args(["--edition", "2024", "-o"]).args([&program, script]);
    assert!(command.status().unwrap().success());
    program
}

/// The commit it finds in `folder`.
fn commit_of(program: &Path, folder: &Path, environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(program);
    command.current_dir(folder).env_clear().envs(environment.iter().copied());
    command.env("PATH", std::env::var_os("PATH").unwrap()).env("TARGET", "a-b-c");
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(said.contains("cargo::rustc-env=KOODRIVE_GATEWAY_TARGET=a-b-c\n"), "{said}");
    let commit = said.lines().find_map(|line| {
        line.strip_prefix("cargo::rustc-env=KOODRIVE_GATEWAY_COMMIT=").map(str::to_owned)
    });
    commit.unwrap()
}

#[test]
fn the_commit_is_the_given_one_or_that_of_the_repository_or_the_archive() {
    let scratch = Scratch::new().unwrap();
    let program = compiled(&scratch, Path::new(BUILD_SCRIPT), "script");
    let release = ("PROFILE", "release");
    let given = ("KOODRIVE_GATEWAY_COMMIT", "0123456789abcdef0123");
    assert_eq!(commit_of(&program, scratch.path(), &[release, given]), "0123456789ab");
    let empty = ("KOODRIVE_GATEWAY_COMMIT", "");
    // A tarball, without a repository around it.
    let unpacked = scratch.path().join("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    assert_eq!(commit_of(&program, &unpacked, &[release, empty]), "commit unknown");
    assert_eq!(commit_of(&program, &unpacked, &[("PROFILE", "debug")]), "development build");

    let text = std::fs::read_to_string(BUILD_SCRIPT).unwrap();
    let archived = scratch.write("archived.rs", text.replace("$Format:%h$", "abc1234")).unwrap();
    let archived = compiled(&scratch, &archived, "archived");
    assert_eq!(commit_of(&archived, &unpacked, &[release]), "abc1234");

    let git = |arguments: &[&str]| {
        let names = ["-c", "user.name=x", "-c", "user.email=x@localhost"];
        let mut command = Command::new("git");
        command.args(names).args(arguments).current_dir(&unpacked);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet"]);
    std::fs::write(unpacked.join("file"), "one").unwrap();
    git(&["add", "file"]);
    git(&["commit", "--quiet", "--no-verify", "--message", "first"]);
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    assert_eq!(commit_of(&program, &unpacked, &[release]), commit);
    std::fs::write(unpacked.join("file"), "two").unwrap();
    assert_eq!(commit_of(&program, &unpacked, &[release]), format!("{commit}-dirty"));
    // The commit of a repository that this only lies in says nothing.
    let inside = unpacked.join("inside");
    std::fs::create_dir(&inside).unwrap();
    assert_eq!(commit_of(&program, &inside, &[release]), "commit unknown");
}
