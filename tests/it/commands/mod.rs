//! The commands through the real binary: what they say, and their exit codes.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

mod batch;
mod config;
mod explain;
mod forget;
mod generated;
mod printing;
mod ready;
mod running;
mod terminal;
mod usage;
mod version;

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::caller::Caller;
use crate::support::world::World;

/// What a command said in the end.
#[derive(Debug)]
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs the binary to its end, on a thread that may wait.
async fn koodrive_gateway(arguments: &[&str]) -> Said {
    fed(arguments, "").await
}

/// The same, with something on its standard input.
async fn fed(arguments: &[&str], stdin: &str) -> Said {
    with_environment(arguments, &[], stdin).await
}

async fn with_environment(arguments: &[&str], environment: &[(&str, &str)], stdin: &str) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_koodrive-gateway"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let stdin = stdin.to_owned();
    let running = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // It may end without reading any of it.
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap_or(());
        child.wait_with_output().unwrap()
    });
    let output = running.await.unwrap();
    Said {
        code: output.status.code().expect("no signal ended it"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Said {
    #[track_caller]
    fn expect(self, code: i32, of_stdout: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        for expected in of_stdout {
            assert!(self.stdout.contains(expected), "no {expected:?} in {self:#?}");
        }
        self
    }

    #[track_caller]
    fn complains(&self, expected: &str) {
        assert!(self.stderr.contains(expected), "no {expected:?} in {self:#?}");
    }

    /// Neither any secret of this world nor a part of this token.
    #[track_caller]
    fn keeps_quiet_about(&self, world: &World, token: &str) {
        let secrets = token.split('.').chain([world.sso.client_secret()]);
        for secret in secrets.filter(|secret| !secret.is_empty()) {
            assert!(!self.stdout.contains(secret) && !self.stderr.contains(secret), "{self:#?}");
        }
    }
}

fn config_of(world: &World) -> &str {
    world.config_file().to_str().unwrap()
}

/// What commands say of the keys that the SSO of this world publishes.
async fn usable_keys(world: &World) -> String {
    let sso = Caller::new(&world.http, &world.sso.issuer(), None);
    let set = sso.get("/jwks").await.json();
    let keys = set["keys"].as_array().unwrap().iter();
    let named = keys.map(|key| format!("{} ({})", key["kid"], key["alg"].as_str().unwrap()));
    let named: Vec<_> = named.collect();
    format!("{} usable: {}", named.len(), named.join(", "))
}
