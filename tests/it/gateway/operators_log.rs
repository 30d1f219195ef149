//! The lines by which an operator follows the life of a gateway.

use serde_json::Value;

use super::{SOON, WHO_AM_I};
use crate::support::sso::keys::KeyKind;
use crate::support::world::World;

async fn line(world: &World, msg: &str) -> Value {
    let line = world.gateway.logs.wait_for(SOON, |line| line["msg"] == msg).await;
    line.unwrap_or_else(|| panic!("no {msg:?} in\n{}", world.gateway.logs.lines().join("\n")))
}

#[tokio::test]
async fn the_start_says_what_was_started_between_whom_and_when_it_is_ready() {
    let world = World::plan().child().start().await;
    let listening = line(&world, "listening").await;
    let expected = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("configuration", world.config_file().display().to_string()),
        ("issuers", world.sso.issuer()),
    ];
    for (field, value) in expected {
        assert_eq!(listening[field], value, "{listening}");
    }
    assert!(listening["commit"].is_string(), "{listening}");
    let upstream = listening["upstream"].as_str().expect("a text");
    assert_eq!(upstream.trim_end_matches('/'), world.koodrive.url());
    assert_eq!(line(&world, "ready").await["level"], "info");
}

#[tokio::test]
async fn a_reload_says_what_changed_from_what_to_what_but_of_secrets_only_that_they_did() {
    let world = World::plan()
        .config("[limit]\ncalls_burst = 10\n[token.custom]\nbody = { password = 'hunter2' }")
        .child()
        .start()
        .await;
    world.sso.also_take_secret("another secret");
    world.canaries().note("the new client secret", "another secret");
    world.scratch.write("client-secret", "another secret\n").unwrap();
    let text = world.config().to_string();
    let text = text.replace("calls_burst = 10", "calls_burst = 11");
    let text = text.replace("hunter2", "hunter3");
    let text = format!("{text}\n[validate]\nmax_users = 900\n");
    world.scratch.write("gateway.toml", text).unwrap();
    world.gateway.reload().await;
    let reloaded = line(&world, "configuration reloaded").await;
    let changes = reloaded["changes"].as_str().expect("a text");
    let mut changes: Vec<_> = changes.split("; ").collect();
    changes.sort_unstable();
    let expected = [
        "limit.calls_burst: 10 to 11",
        "token.client_secret_file: new content",
        "token.custom.body: changed",
        "validate.max_users: 1000 to 900",
    ];
    assert_eq!(changes, expected);
}

#[tokio::test]
async fn a_rotation_of_keys_says_which_came_and_which_went() {
    let world = World::plan().child().start().await;
    let old = world.sso.key(KeyKind::Rsa);
    let new = world.sso.rotate(KeyKind::Rsa);
    world.sso.retire(old.kid());
    assert_eq!(world.caller("alice").get(WHO_AM_I).await.status, 200);
    let rotated = line(&world, "signing keys changed").await;
    assert_eq!(rotated["issuer"].as_str(), Some(&*world.sso.issuer()));
    assert_eq!(rotated["added"].as_str(), Some(new.kid()), "{rotated}");
    assert_eq!(rotated["removed"].as_str(), Some(old.kid()), "{rotated}");
}

#[tokio::test]
async fn an_exchange_is_shown_to_who_asks_for_it() {
    let debug = "[telemetry]\nlog_level = 'info,koodrive_gateway::token=debug'";
    let world = World::plan().config(debug).child().start().await;
    let reply = world.caller("alice").get(WHO_AM_I).await;
    assert_eq!(reply.status, 200);
    let exchange = line(&world, "exchange").await;
    assert_eq!((&exchange["outcome"], &exchange["status"]), (&"issued".into(), &200.into()));
    assert!(exchange["took_ms"].is_u64(), "{exchange}");
    let call = world.gateway.logs.of_call(&reply.trace_id(), SOON).await.expect("a line");
    assert_eq!(exchange["caller"], call["caller"]);
}
