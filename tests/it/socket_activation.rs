//! A socket that the service manager holds: `LISTEN_FDS` of systemd.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;

use crate::gateway::SOON;
use crate::support::caller::{Caller, Http};
use crate::support::logs::Logs;
use crate::support::world::World;

const USER_LIST: &str = "/koodrive/ose/v1/userList?offset=0&limit=10";

/// The binary with a socket as descriptor 3, as `sd_listen_fds(3)` describes it.
struct Activated {
    child: Child,
    logs: Logs,
}

impl Activated {
    async fn start(world: &World, socket: impl Into<OwnedFd>) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", "exec 3<&0 </dev/null; LISTEN_PID=$$ exec \"$0\" run --config \"$1\""])
            .arg(env!("CARGO_BIN_EXE_koodrive-gateway"))
            .arg(world.config_file())
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("LISTEN_FDS", "1")
            .env("KOODRIVE_GATEWAY__ADMIN__ADDRESS", "127.0.0.1:0")
            .env("KOODRIVE_GATEWAY__LIFECYCLE__LINGER", "0s")
            .stdin(Stdio::from(socket.into()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let logs = Logs::default();
        // The thread ends with the output.
        drop(logs.follow(child.stdout.take().unwrap()));
        let this = Self { child, logs };
        this.logs.wait_for(SOON, |line| line["msg"] == "listening").await.expect("it listens");
        this
    }

    /// SIGTERM; its exit code.
    async fn stop(&mut self) -> Option<i32> {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
        let ended = self.logs.wait_for(SOON, |line| line["msg"] == "stopped").await;
        assert!(ended.is_some(), "{:?}", self.logs.lines());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        // It has ended already where the test got that far.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn a_restart_refuses_no_connection_to_a_socket_of_the_service_manager() {
    let world = World::start().await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", socket.local_addr().unwrap());
    let token = world.sso.token_for("alice");
    let alice = || Caller::new(&Http::new("", false), &base, Some(token.clone()));
    let mut first = Activated::start(&world, socket.try_clone().unwrap()).await;
    assert_eq!(alice().get(USER_LIST).await.status, 200);
    assert_eq!(first.stop().await, Some(0));
    // Nobody serves now: the call waits in the socket for the next one.
    let between = alice();
    let (reply, second) = tokio::join!(
        async { between.get(USER_LIST).await },
        Activated::start(&world, socket.try_clone().unwrap()),
    );
    assert_eq!(reply.status, 200);
    let line = second.logs.wait_for(SOON, |line| line["msg"] == "listening").await.unwrap();
    assert_eq!(line["address"], socket.local_addr().unwrap().to_string());
}

/// Whenever a connection was accepted: its first call is answered by whoever accepted it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_of_a_new_connection_is_lost_in_restarts() {
    let world = World::start().await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", socket.local_addr().unwrap());
    let token = world.sso.token_for("alice");
    let over = AtomicBool::new(false);
    let calling = async || {
        let mut calls = 0;
        while !over.load(Ordering::Relaxed) {
            let alice = Caller::new(&Http::new("", false), &base, Some(token.clone()));
            let reply = alice.get(USER_LIST).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            calls += 1;
        }
        calls
    };
    let restarting = async {
        for _ in 0..10 {
            let mut gateway = Activated::start(&world, socket.try_clone().unwrap()).await;
            gateway.logs.wait_for(SOON, |line| line["msg"] == "ready").await.expect("it is ready");
            // Not before somebody was served.
            let served = world.koodrive.received.total();
            while world.koodrive.received.total() < served + 20 {
                tokio::task::yield_now().await;
            }
            assert_eq!(gateway.stop().await, Some(0));
        }
        over.store(true, Ordering::Relaxed);
        // For those that wait in the socket.
        Activated::start(&world, socket.try_clone().unwrap()).await
    };
    let callers = join_all((0..8).map(|_| calling()));
    let (calls, last) = tokio::join!(callers, restarting);
    assert!(200 < calls.iter().sum::<i32>(), "{calls:?}");
    drop(last);
}

#[tokio::test]
async fn a_unix_socket_of_the_service_manager_keeps_its_file() {
    let world = World::start().await;
    let path = world.scratch.path().join("activated.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let mut gateway = Activated::start(&world, socket.try_clone().unwrap()).await;
    let line = gateway.logs.wait_for(SOON, |line| line["msg"] == "listening").await.unwrap();
    assert_eq!(line["address"], format!("unix:{}", path.display()));
    assert_eq!(gateway.stop().await, Some(0));
    assert!(path.exists());
}

#[tokio::test]
async fn a_descriptor_that_is_no_listening_socket_exits_with_3() {
    let world = World::start().await;
    let output = Command::new("sh")
        .args([
            "-c",
            "exec 3</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" run --config \"$1\"",
        ])
        .arg(env!("CARGO_BIN_EXE_koodrive-gateway"))
        .arg(world.config_file())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot take over the socket of the service manager"), "{said}");
}
