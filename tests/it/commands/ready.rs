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

/// As a container does, where only the image's environment says which configuration it is.
#[tokio::test]
async fn the_configuration_of_the_environment_says_where_to_ask() {
    let world = World::start().await;
    let admin = world.gateway.admin.to_string();
    let named = |text: &str| {
        let file = world.scratch.write("elsewhere.toml", text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let ask = async |file: String, more: &[(&str, &str)]| {
        let environment = [&[("KOODRIVE_GATEWAY_CONFIG", &*file)], more].concat();
        with_environment(&["wait-ready", "--timeout", "0s"], &environment, "").await
    };
    let there = format!("[admin]\naddress = '{admin}'\n");
    ask(named(&there), &[]).await.expect(0, &[]);
    // A mistake elsewhere in the file: the gateway has kept its old configuration.
    ask(named(&format!("{there}[limit]\ncalls_per_minute = 0\n")), &[]).await.expect(0, &[]);
    let nobody = "[admin]\naddress = '127.0.0.1:1'\n";
    ask(named(nobody), &[]).await.expect(1, &[]);
    let better = [("KOODRIVE_GATEWAY__ADMIN__ADDRESS", &*admin)];
    ask(named(nobody), &better).await.expect(0, &[]);
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
        let issuer = world.sso.issuer();
        said.complains(&format!(
            "not ready (asked {admin} for /readyz): it has no usable keys of {issuer} yet"
        ));
        said.complains(&format!("(keys:{issuer})"));
    }
    let arguments = ["wait-ready", "--live", "--admin", &admin, "--timeout", "0s"];
    koodrive_gateway(&arguments).await.expect(0, &[]);
}

#[tokio::test]
async fn where_nobody_listens_nobody_is_ready_or_alive() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = free.local_addr().unwrap().to_string();
    drop(free);
    for (more, asked) in [(&[][..], "not ready"), (&["--live"], "not alive")] {
        let arguments = [&["wait-ready", "--admin", &admin, "--timeout", "0s"], more].concat();
        let said = koodrive_gateway(&arguments).await.expect(1, &[]);
        said.complains(&format!("{asked} (asked {admin} for /"));
        said.complains("nobody listens there");
    }
    let arguments = ["wait-ready", "--admin", "unix:/nowhere/admin.sock", "--timeout", "0s"];
    koodrive_gateway(&arguments).await.expect(1, &[]).complains("there is no such socket");
}

#[tokio::test]
async fn another_server_at_that_address_is_told_from_a_gateway() {
    let world = World::start().await;
    let elsewhere = world.gateway.address.to_string();
    let arguments = ["wait-ready", "--admin", &elsewhere, "--timeout", "0s"];
    let said = koodrive_gateway(&arguments).await.expect(1, &[]);
    said.complains("status 404, as no gateway's admin listener answers");
}
