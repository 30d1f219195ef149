//! `completions` and `man`.

use super::koodrive_gateway;

const COMMANDS: [&str; 12] = [
    "run",
    "check-config",
    "check-batch",
    "explain",
    "wait-ready",
    "caller",
    "forget",
    "status",
    "watch",
    "config-schema",
    "completions",
    "man",
];

#[tokio::test]
async fn each_shell_gets_completions_of_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let said = koodrive_gateway(&["completions", shell]).await.expect(0, &COMMANDS);
        let said = said.expect(0, &["koodrive-gateway", "token-file", "timeout"]);
        // One that does not parse is worse than none; a shell that is not there cannot tell.
        let script = crate::support::scratch::Scratch::new().unwrap();
        let script_file = script.write("script", &said.stdout).unwrap();
        let checked = std::process::Command::new(shell).arg("-n").arg(script_file).status();
        assert!(checked.is_err() || checked.is_ok_and(|status| status.success()), "{shell}");
    }
}

#[tokio::test]
async fn the_manual_has_a_page_for_the_program_and_one_for_each_command() {
    let names =
        COMMANDS.map(|name| format!("koodrive\\-gateway\\-{}(1)", name.replace('-', "\\-")));
    let said =
        koodrive_gateway(&["man"]).await.expect(0, &[".TH koodrive-gateway 1", "Exit codes"]);
    for name in &names {
        assert!(said.stdout.contains(name), "{name}");
    }
    for command in COMMANDS {
        let title = format!(".TH koodrive-gateway-{command} 1");
        koodrive_gateway(&["man", command]).await.expect(0, &[&title, ".SH SYNOPSIS"]);
    }
}
