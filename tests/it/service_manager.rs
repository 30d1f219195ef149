//! What a service manager is told over its socket: `Type=notify` of systemd.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::SocketAddr;
use std::time::Duration;

use tokio::net::UnixDatagram;

use crate::gateway::SOON;
use crate::reload::files::NO_KEY_OF_USE;
use crate::support::scratch::Scratch;
use crate::support::world::World;

/// The other end of `NOTIFY_SOCKET`.
struct Manager(UnixDatagram);

impl Manager {
    async fn next(&self) -> String {
        let mut message = [0; 4096];
        let received = tokio::time::timeout(SOON, self.0.recv(&mut message)).await;
        let length = received.expect("a message comes").unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    /// The next message that is more than a status.
    async fn next_word(&self) -> String {
        loop {
            let message = self.next().await;
            if !message.starts_with("STATUS=") {
                return message.lines().next().unwrap().to_owned();
            }
        }
    }
}

#[tokio::test]
async fn the_service_manager_learns_of_ready_reload_and_stop() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&path).unwrap());
    let plan = World::plan().child().environment("NOTIFY_SOCKET", path.to_str().unwrap());
    let mut world = plan.start().await;
    assert_eq!(manager.next_word().await, "READY=1");
    let address = world.gateway.address.to_string();

    assert!(world.reconfigure("[limit]\ncalls_per_minute = 61").await);
    assert!(manager.next().await.starts_with("RELOADING=1\n"));
    assert_eq!(manager.next().await, format!("READY=1\nSTATUS=serving on {address}"));
    // A refused one too: what served before serves on, and says why.
    assert!(!world.reconfigure("[limit]\ncalls_per_minute = 0").await);
    assert_eq!(manager.next_word().await, "RELOADING=1");
    let told = manager.next().await;
    assert!(
        told.starts_with(&format!("READY=1\nSTATUS=serving on {address}; a changed")),
        "{told}"
    );
    assert_eq!(
        (told.lines().count(), told.contains("limit.calls_per_minute")),
        (2, true),
        "{told}"
    );

    world.gateway.begin_stop().await;
    assert_eq!(manager.next_word().await, "STOPPING=1");
    assert!(world.gateway.ended().await);
    let mut more = [0; 64];
    let more = tokio::time::timeout(Duration::ZERO, manager.0.recv(&mut more)).await;
    assert!(more.is_err(), "nothing follows STOPPING");
}

#[tokio::test]
async fn a_gateway_without_keys_says_what_is_missing_and_is_ready_once_it_is_there() {
    let name = format!("koodrive-{}", crate::support::recording::random_hex(6));
    let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    let socket = std::os::unix::net::UnixDatagram::bind_addr(&address).unwrap();
    socket.set_nonblocking(true).unwrap();
    let manager = Manager(UnixDatagram::from_std(socket).unwrap());
    let world = World::plan()
        .environment("NOTIFY_SOCKET", &format!("@{name}"))
        .file("jwks.json", NO_KEY_OF_USE)
        .config("[[accept.issuers]]\njwks_file = 'jwks.json'")
        .unready()
        .start()
        .await;
    let missing = format!("STATUS=not ready: keys:{}", world.sso.issuer());
    assert_eq!(manager.next().await, missing);
    // A reload while it starts is none that the manager should wait for.
    world.reread().await;
    let sso = crate::support::caller::Caller::new(&world.http, &world.sso.issuer(), None);
    world.scratch.write("jwks.json", sso.get("/jwks").await.body).unwrap();
    world.reread().await;
    let told = manager.next().await;
    assert_eq!(told, format!("READY=1\nSTATUS=serving on {}", world.gateway.address));
}
