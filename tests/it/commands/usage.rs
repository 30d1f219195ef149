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
    koodrive_gateway(&["--version"]).await.expect(0, &[env!("CARGO_PKG_VERSION")]);
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
