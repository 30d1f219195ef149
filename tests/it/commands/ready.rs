//! `wait-ready`.

use super::{koodrive_gateway, with_environment};
use crate::reload::files::NO_KEY_OF_USE;
use crate::support::world::World;

#[tokio::test]
async fn a_ready_gateway_ends_the_wait_well() {
    let world = World::start().await;
    let admin = world.gateway.admin.to_string();
    koodrive_gateway(&["wait-ready", "--admin", &admin]).await.expect(0, &[]);
    koodrive_gateway(&["wait-ready", "--admin", &admin, "--timeout", "0s"]).await.expect(0, &[]);
    let named = [("KOODRIVE_GATEWAY__ADMIN__ADDRESS", &*admin)];
    with_environment(&["wait-ready", "--timeout", "0s"], &named, "").await.expect(0, &[]);
}

#[tokio::test]
async fn an_unready_gateway_is_alive_and_says_what_is_missing() {
    let world = World::plan()
        .file("jwks.json", NO_KEY_OF_USE)
        .config("[[accept.issuers]]\njwks_file = 'jwks.json'")
        .unready()
        .start()
        .await;
    let admin = world.gateway.admin.to_string();
    for timeout in ["0s", "250ms"] {
        let arguments = ["wait-ready", "--admin", &admin, "--timeout", timeout];
        let said = koodrive_gateway(&arguments).await.expect(1, &[]);
        said.complains(&format!("keys:{}", world.sso.issuer()));
    }
    let arguments = ["wait-ready", "--live", "--admin", &admin, "--timeout", "0s"];
    koodrive_gateway(&arguments).await.expect(0, &[]);
}

#[tokio::test]
async fn where_nobody_listens_nobody_is_ready_or_alive() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = free.local_addr().unwrap().to_string();
    drop(free);
    for more in [&[][..], &["--live"]] {
        let arguments = [&["wait-ready", "--admin", &admin, "--timeout", "0s"], more].concat();
        let said = koodrive_gateway(&arguments).await.expect(1, &[]);
        assert!(!said.stderr.is_empty());
    }
}
