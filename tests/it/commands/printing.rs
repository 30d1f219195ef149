//! What becomes of a command whose reader goes away, or whose disk is full.

use std::fs::File;
use std::process::{Command, Stdio};

use super::{config_of, koodrive_gateway};
use crate::support::world::World;

/// Everything that prints something, and what it ends with.
fn commands<'a>(config: &'a str, token_file: &'a str) -> Vec<(Vec<&'a str>, i32)> {
    let explain = ["explain", "--config", config, "--token-file", token_file, "GET /koodrive/x"];
    let malformed = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/batches/bad/batch_malformed--capacity-string.json"
    );
    vec![
        (vec!["check-config", "--config", config], 0),
        (vec!["check-config", "--config", config, "--online"], 0),
        (vec!["check-batch", malformed], 1),
        (vec!["check-batch", malformed, "--format", "json"], 1),
        (explain.to_vec(), 0),
        ([&explain[..], &["--format", "json"]].concat(), 0),
        (vec!["config-schema"], 0),
        (vec!["completions", "bash"], 0),
        (vec!["man"], 0),
        (vec!["--help"], 0),
        (vec!["--version"], 0),
    ]
}

/// The exit code and what was said on standard error.
async fn printing_to(arguments: &[&str], stdout: Stdio, stderr: Stdio) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_koodrive-gateway"));
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    let running = tokio::task::spawn_blocking(move || command.spawn()?.wait_with_output());
    let output = running.await.unwrap().unwrap();
    let code = output.status.code().expect("no signal ended it");
    (code, String::from_utf8(output.stderr).unwrap())
}

fn full_disk() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

#[tokio::test]
async fn a_reader_that_goes_away_changes_neither_exit_code_nor_complaints() {
    let world = World::start().await;
    let token_file = world.scratch.write("token", world.sso.token_for("alice")).unwrap();
    for (arguments, code) in commands(config_of(&world), token_file.to_str().unwrap()) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let said = printing_to(&arguments, writer.into(), Stdio::piped()).await;
        assert_eq!(said, (code, String::new()), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_full_disk_is_said_so_and_a_failure_at_run_time() {
    let world = World::start().await;
    let token_file = world.scratch.write("token", world.sso.token_for("alice")).unwrap();
    for (arguments, _) in commands(config_of(&world), token_file.to_str().unwrap()) {
        let (code, complaint) = printing_to(&arguments, full_disk(), Stdio::piped()).await;
        assert_eq!(code, 3, "{arguments:?}: {complaint}");
        let expected = "koodrive-gateway: cannot write the answer: No space left on device";
        assert!(complaint.starts_with(expected), "{arguments:?}: {complaint}");
    }
}

#[tokio::test]
async fn where_even_the_complaint_cannot_be_written_the_exit_code_still_tells() {
    for (arguments, code) in [
        (&["check-config", "--config", "/nowhere.toml"][..], 2),
        (&["run", "--config", "/nowhere.toml"], 2),
        (&["check-batch", "/nowhere.json"], 3),
        (&["wait-ready", "--admin", "127.0.0.1:1", "--timeout", "0s"], 1),
        (&["serve"], 2),
    ] {
        let (ended, _) = printing_to(arguments, Stdio::null(), full_disk()).await;
        assert_eq!(ended, code, "{arguments:?}");
    }
}

#[tokio::test]
async fn nothing_is_coloured_for_a_pipe() {
    let said = koodrive_gateway(&["check-batch", "-"]).await.expect(1, &[]);
    assert!(!said.stdout.contains('\u{1b}'), "{said:?}");
}
