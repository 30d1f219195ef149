//! Usage, and what fails at run time.

use super::{config_of, koodrive_gateway, with_environment};
use crate::support::world::World;

#[tokio::test]
async fn wrong_usage_exits_with_2_and_help_with_0() {
    for arguments in [
        &[][..],
        &["serve"],
        &["run", "--konfig", "x"],
        &["explain", "GET /koodrive/x"],
        &["wait-ready", "--timeout", "soon"],
        &["wait-ready", "--admin", "nonsense"],
        &["check-batch", "--format", "xml"],
        &["completions", "tcsh"],
        &["man", "no-such-command"],
    ] {
        let said = koodrive_gateway(arguments).await.expect(2, &[]);
        assert!(!said.stderr.is_empty(), "{arguments:?}");
    }
    koodrive_gateway(&["--help"]).await.expect(0, &["Exit codes:", "check-config"]);
}

#[tokio::test]
async fn every_command_shows_how_it_is_used() {
    let said = koodrive_gateway(&["--help"]).await.expect(0, &["Examples:\n"]);
    let listed = said.stdout.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names: Vec<_> = listed
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.contains(&"completions") && names.contains(&"man"), "{names:?}");
    for name in names {
        let example = format!("koodrive-gateway {name}");
        let said = koodrive_gateway(&[name, "-h"]).await.expect(0, &["Example"]);
        let (_, examples) = said.stdout.split_once("Example").unwrap();
        assert!(examples.contains(&example), "{name}: {examples}");
    }
}

#[tokio::test]
async fn a_command_by_another_name_is_told_its_own() {
    for (word, meant) in [
        ("serve", "run"),
        ("rnu", "run"),
        ("validate", "check-config"),
        ("check-conf", "check-config"),
        ("health", "wait-ready"),
        ("schema", "config-schema"),
    ] {
        let said = koodrive_gateway(&[word]).await.expect(2, &[]);
        said.complains(&format!("did you mean `{meant}`?"));
    }
    let said = koodrive_gateway(&["frobnicate"]).await.expect(2, &[]);
    assert!(!said.stderr.contains("did you mean"), "{said:?}");
}

#[tokio::test]
async fn an_address_that_is_taken_exits_with_3() {
    let world = World::start().await;
    let taken = world.gateway.admin.to_string();
    for key in ["LISTEN", "ADMIN"] {
        let name = format!("KOODRIVE_GATEWAY__{key}__ADDRESS");
        let arguments = ["run", "--config", config_of(&world)];
        let said = with_environment(&arguments, &[(&name, &taken)], "").await.expect(3, &[]);
        said.complains(&format!("cannot listen on {taken}"));
    }
}

#[tokio::test]
async fn a_notify_socket_that_cannot_be_one_exits_with_3() {
    let world = World::start().await;
    let name = "/x".repeat(200);
    let arguments = ["run", "--config", config_of(&world)];
    let said = with_environment(&arguments, &[("NOTIFY_SOCKET", &name)], "").await;
    said.expect(3, &[]).complains("NOTIFY_SOCKET");
}
