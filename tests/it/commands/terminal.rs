//! What people see in a terminal and machines do not: colours.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Child, Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::config_of;
use crate::support::world::World;

/// A command whose output goes to a terminal.
struct OnTerminal {
    screen: File,
    child: Child,
    seen: String,
}

impl OnTerminal {
    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let name = ptsname(&screen, Vec::new()).unwrap();
        let name = OsStr::from_bytes(name.as_bytes());
        let line: OwnedFd = File::options().read(true).write(true).open(name).unwrap().into();
        let child = Command::new(env!("CARGO_BIN_EXE_koodrive-gateway"))
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(line)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { screen: screen.into(), child, seen: String::new() }
    }

    /// Until the command has ended, or `enough` is on the screen.
    fn read_until(mut self, enough: &str) -> String {
        let mut piece = [0; 4096];
        while !self.seen.contains(enough) {
            // An error: nobody has the line open any more.
            let Ok(length @ 1..) = self.screen.read(&mut piece) else { break };
            self.seen.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
        self.seen.clone()
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

const NEVER: &str = "\0";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";

#[tokio::test]
async fn the_text_log_is_coloured_on_a_terminal_unless_that_is_unwanted() {
    let world = World::plan().config("[telemetry]\nlog_format = 'text'").start().await;
    let arguments = ["run", "--config", config_of(&world)];
    for (variable, value, coloured) in
        [("TERM", "xterm", true), ("NO_COLOR", "1", false), ("TERM", "dumb", false)]
    {
        let free = [(variable, value), ("KOODRIVE_GATEWAY__LISTEN__ADDRESS", "127.0.0.1:0")];
        let free = [free[0], free[1], ("KOODRIVE_GATEWAY__ADMIN__ADDRESS", "127.0.0.1:0")];
        let log = OnTerminal::start(&arguments, &free);
        let seen = tokio::task::spawn_blocking(move || log.read_until("ready")).await.unwrap();
        assert!(seen.contains("listening") && seen.contains("ready"), "{seen}");
        assert_eq!(seen.contains(GREEN), coloured, "{variable}={value}: {seen:?}");
        assert_eq!(seen.contains('\x1b'), coloured, "{variable}={value}: {seen:?}");
    }
}

#[tokio::test]
async fn the_faults_of_a_batch_are_coloured_on_a_terminal_unless_that_is_unwanted() {
    let world = World::start().await;
    let batch = world.scratch.write("batch.json", "{\"curDeptId\": \"1\", \"users\": []}").unwrap();
    let arguments = ["check-batch", batch.to_str().unwrap()];
    for (environment, coloured) in
        [(&[][..], true), (&[("NO_COLOR", "1")][..], false), (&[("TERM", "dumb")][..], false)]
    {
        let shown = OnTerminal::start(&arguments, environment);
        let seen = tokio::task::spawn_blocking(move || shown.read_until(NEVER)).await.unwrap();
        assert!(seen.contains("/curDeptId"), "{seen}");
        assert_eq!(seen.contains(RED), coloured, "{environment:?}: {seen:?}");
        assert_eq!(seen.contains('\x1b'), coloured, "{environment:?}: {seen:?}");
    }
}
