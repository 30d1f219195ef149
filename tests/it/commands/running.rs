//! `status` and `watch`: a running gateway, seen from the same machine.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::sync::mpsc;

use super::koodrive_gateway;
use crate::gateway::{SOON, WHO_AM_I};
use crate::reload::files::NO_KEY_OF_USE;
use crate::support::world::World;

#[tokio::test]
async fn status_shows_neighbours_traffic_and_refusals_by_reason() {
    let world = World::start().await;
    let admin = world.gateway.admin.to_string();
    let alice = world.caller("alice");
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    for _ in 0..2 {
        assert_eq!(alice.preverify("{}".to_owned()).await.status, 400);
    }
    let refused = world.caller_with(None).get(WHO_AM_I).await;
    world.gateway.logs.of_call(&refused.trace_id(), SOON).await.expect("a line");
    let sso = format!("  ok       sso {}: last good ", world.sso.issuer());
    let koodrive = format!("  ok       koodrive {}: last good ", world.koodrive.url());
    let store = "limit store";
    let said = koodrive_gateway(&["status", "--admin", &admin]).await.expect(
        0,
        &[
            ": ready\n",
            &sso,
            &koodrive,
            ", keys ",
            "what is wrong\n  nothing that can be seen from here\n",
            "  answered                     1          1\n",
            "  refused                      3          3\n",
            "  callers with limits of their own 1 of 100000          limit.max_tracked_callers\n",
            "  400 batch_malformed  2 in ten minutes\n",
            "  401 token_missing  1 in ten minutes\n",
            "  1 x caller unknown, ",
            &refused.trace_id(),
        ],
    );
    assert!(!said.stdout.contains(store), "limits are local: {said:?}");
    let (often, seldom) = (said.stdout.find("batch_malformed"), said.stdout.find("token_missing"));
    assert!(often < seldom, "{said:?}");
    said.keeps_quiet_about(&world, alice.token().unwrap());
}

#[tokio::test]
async fn status_says_no_while_something_is_wrong() {
    let world = World::plan()
        .file("jwks.json", NO_KEY_OF_USE)
        .config("[[accept.issuers]]\njwks_file = 'jwks.json'")
        .unready()
        .start()
        .await;
    let admin = world.gateway.admin.to_string();
    let failing = format!("  FAILING  sso {}: for ", world.sso.issuer());
    let said = koodrive_gateway(&["status", "--admin", &admin]).await;
    said.expect(1, &["NOT READY\n", &failing, "never good, NO USABLE KEYS\n", "jwks.json"]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = free.local_addr().unwrap().to_string();
    drop(free);
    let said = koodrive_gateway(&["status", "--admin", &admin]).await.expect(1, &[]);
    said.complains("nobody listens there");
    for command in [&["watch"][..], &["forget", "--all"][..]] {
        let arguments = [command, &["--admin", &admin]].concat();
        let said = koodrive_gateway(&arguments).await.expect(3, &[]);
        said.complains(&format!("no answer from {admin}: nobody listens there"));
    }
}

/// `watch`, and the lines it prints.
struct Watching {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Watching {
    fn start(world: &World, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_koodrive-gateway"));
        command.args(["watch", "--admin", &world.gateway.admin.to_string()]).args(arguments);
        let mut child = command.env_clear().stdout(Stdio::piped()).spawn().unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap());
        let (told, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            // Until it ends, or nobody wants more.
            printed.lines().map_while(Result::ok).all(|line| told.send(line).is_ok())
        });
        Self { child, lines }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().unwrap_or(());
        self.child.wait().unwrap();
    }
}

/// Makes calls until somebody is told of one, for nothing says when a watcher has arrived.
async fn keep_calling(world: &World, watching: &mut Watching) -> String {
    let alice = world.caller("alice");
    let nobody = world.caller_with(None);
    let calling = async {
        let mut pause = tokio::time::interval(Duration::from_millis(50));
        loop {
            pause.tick().await;
            alice.call(Method::GET, WHO_AM_I).header("x-traceid", "run-17").send().await;
            nobody.get(WHO_AM_I).await;
        }
    };
    tokio::select! {
        line = watching.lines.recv() => line.expect("it still watches"),
        () = calling => unreachable!("it calls for ever"),
    }
}

#[tokio::test]
async fn watch_shows_calls_as_they_end_filtered_and_for_programs() {
    let world = World::start().await;
    let mut watching = Watching::start(&world, &["--refused"]);
    let line = keep_calling(&world, &mut watching).await;
    assert!(line.contains(" 401 token_missing "), "{line}");
    assert!(line.contains(WHO_AM_I) && line.contains(" accept "), "{line}");
    drop(watching);

    let caller = koodrive_gateway::accept::CallerId::of(&world.sso.issuer(), "alice").to_string();
    let mut watching =
        Watching::start(&world, &["--caller", &caller, "--format", "json", "--trace", "run-17"]);
    let call: Value = serde_json::from_str(&keep_calling(&world, &mut watching).await).unwrap();
    assert_eq!((&call["status"], call["caller"].as_str()), (&Value::from(200), Some(&*caller)));
    assert!(call["forward_ms"].is_number() && call["token_ms"].is_number(), "{call}");
    // A watcher that is gone keeps no place: more than there are places for, one after the other.
    drop(watching);
    for _ in 0..10 {
        let mut watching = Watching::start(&world, &["--refused"]);
        keep_calling(&world, &mut watching).await;
    }
}

#[tokio::test]
async fn a_watcher_ends_well_when_the_gateway_does() {
    let world = World::plan().child().start().await;
    let mut watching = Watching::start(&world, &[]);
    keep_calling(&world, &mut watching).await;
    drop(world);
    let ended = tokio::task::spawn_blocking(move || watching.child.wait().unwrap());
    assert!(ended.await.unwrap().success());
}
