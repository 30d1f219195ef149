//! A gateway under test: the library's `app` in this process, or the real binary as a child.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use koodrive_gateway::app::AppOptions;
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::ListenAddress;
use koodrive_gateway::lifecycle::{Event, Readiness, Workers};
use koodrive_gateway::telemetry::LogWriter;
use koodrive_gateway::{app, config};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::support::caller::{Caller, Http};
use crate::support::canary::Canaries;
use crate::support::logs::Logs;
use crate::support::told::Told;
use crate::support::{own_log, schema};

/// Longest wait for a gateway to come up, become ready or go down.
const PATIENCE: Duration = Duration::from_secs(20);

const BINARY: &str = env!("CARGO_BIN_EXE_koodrive-gateway");

pub type Environment = BTreeMap<String, String>;

/// A running gateway. Dropping it stops it: a child at once, one in this process as SIGTERM would.
/// Then it fails when a secret of its world stands in anything the gateway has told.
pub struct Gateway {
    /// Port 0 when it listens on a Unix socket.
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub logs: Logs,
    running: Mutex<Option<Running>>,
    told: Told,
}

enum Running {
    Here { events: mpsc::Sender<Event>, ended: JoinHandle<bool>, readiness: Readiness },
    Child(Child),
}

impl Gateway {
    /// In this process, under the same clock as the simulators.
    ///
    /// # Panics
    /// When the configuration is refused or the gateway does not start.
    pub async fn here(
        config: &Path,
        environment: &Environment,
        clock: &Clock,
        canaries: &Canaries,
    ) -> Self {
        // Another test of the same process may have been first.
        jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().unwrap_or_default();
        let variables = environment.clone();
        let loaded = config::load(config, variables.clone().into_iter());
        let loaded = loaded.unwrap_or_else(|error| panic!("{error}"));
        schema::accepts(config);
        let logs = Logs::default();
        let writer = LogWriter::to(logs.clone()).expect("a thread can be started");
        let mark = own_log::mark();
        let options = AppOptions {
            clock: clock.clone(),
            logs: writer.clone(),
            environment: &|name| environment.get(name).cloned(),
            workers: Workers::default(),
        };
        let bound = app::bind(&loaded, options).await.unwrap_or_else(|error| panic!("{error:?}"));
        let (address, admin) = (tcp(&bound.address), tcp(&bound.admin_address));
        let readiness = bound.readiness.clone();
        let told = Told::here(canaries, mark, &bound.pages, writer);
        let (events, received) = mpsc::channel(4);
        let mut watcher = config::Watcher::new(config, variables.into_iter(), &loaded);
        let running = bound.run(received, Some(Box::new(move || watcher.poll())));
        let ended = TaskTracker::new().spawn(running);
        let running = Running::Here { events, ended, readiness };
        Self { address, admin, logs, running: Mutex::new(Some(running)), told }
    }

    /// As a process of its own, as operators run it.
    ///
    /// # Panics
    /// When it does not say in time that it listens.
    pub async fn child(
        config: &Path,
        environment: &Environment,
        files: Option<u64>,
        canaries: &Canaries,
    ) -> Self {
        let mut command = Command::new("prlimit");
        if let Some(files) = files {
            command.arg(format!("--nofile={files}:{files}")).arg(BINARY);
        } else {
            command = Command::new(BINARY);
        }
        let mut child = command
            .arg("run")
            .arg("--config")
            .arg(config)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the binary was built with the tests");
        let logs = Logs::default();
        let following = logs.follow(child.stdout.take().expect("it is piped"));
        let running = Mutex::new(Some(Running::Child(child)));
        let listening = logs.wait_for(PATIENCE, |line| line["msg"] == "listening").await;
        let Some(line) = listening else {
            // Dropping `running` would leave the process behind.
            kill(&running);
            panic!("the gateway does not listen; it said:\n{}", logs.lines().join("\n"));
        };
        schema::accepts(config);
        let address = |field: &str| {
            let text = line.get(field).and_then(Value::as_str).expect("the line names addresses");
            tcp(&text.parse().expect("an address as operators write it"))
        };
        let (address, admin) = (address("address"), address("admin"));
        let told = Told::child(canaries, admin, following);
        Self { address, admin, logs, running, told }
    }

    /// Asks until the gateway is ready.
    ///
    /// # Panics
    /// When it does not become so in time; with its reasons.
    pub async fn wait_ready(&self) {
        let admin = Caller::new(&Http::new("", false), &format!("http://{}", self.admin), None);
        let mut pause = tokio::time::interval(Duration::from_millis(10));
        let mut last = String::new();
        let asking = async {
            loop {
                pause.tick().await;
                if let Ok(reply) = admin.call(http::Method::GET, "/readyz").try_send().await {
                    if reply.status == 200 {
                        return;
                    }
                    last = reply.text();
                }
            }
        };
        let ready = tokio::time::timeout(PATIENCE, asking).await.is_ok();
        assert!(ready, "not ready: {last}");
    }

    /// What makes it unready; only of a gateway in this process.
    ///
    /// # Panics
    /// When it is a child or was stopped.
    pub fn reasons(&self) -> Vec<String> {
        match &*self.running.lock().expect("no holder panics") {
            Some(Running::Here { readiness, .. }) => readiness.reasons(),
            Some(Running::Child(_)) | None => panic!("ask /readyz of its admin address"),
        }
    }

    /// Has it read its configuration again.
    pub async fn reload(&self) {
        self.tell(Event::Reload, "-HUP").await;
    }

    /// Asks it to stop, as SIGTERM does, without waiting.
    pub async fn begin_stop(&self) {
        self.told.look_at_pages();
        self.tell(Event::Stop, "-TERM").await;
    }

    /// Waits until it has ended; whether it ended well.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn ended(&self) -> bool {
        let running = self.running.lock().expect("no holder panics").take();
        let ending = async {
            match running {
                Some(Running::Here { ended, .. }) => ended.await.expect("the app does not panic"),
                Some(Running::Child(mut child)) => {
                    let waiting = tokio::task::spawn_blocking(move || child.wait());
                    let status = waiting.await.expect("waiting does not panic");
                    status.is_ok_and(|status: ExitStatus| status.code() == Some(0))
                }
                None => panic!("it has ended before"),
            }
        };
        tokio::time::timeout(PATIENCE, ending).await.expect("the gateway ends in time")
    }

    pub async fn stop(&self) -> bool {
        self.begin_stop().await;
        self.ended().await
    }

    /// The process id of a child.
    pub fn process_id(&self) -> Option<u32> {
        match &*self.running.lock().expect("no holder panics") {
            Some(Running::Child(child)) => Some(child.id()),
            Some(Running::Here { .. }) | None => None,
        }
    }

    async fn tell(&self, event: Event, signal: &str) {
        let (events, process) = match &*self.running.lock().expect("no holder panics") {
            Some(Running::Here { events, .. }) => (Some(events.clone()), None),
            Some(Running::Child(child)) => (None, Some(child.id().to_string())),
            None => (None, None),
        };
        if let Some(events) = events {
            events.send(event).await.expect("the gateway runs");
        }
        if let Some(process) = process {
            let sent = Command::new("kill").args([signal, &process]).status();
            assert!(sent.is_ok_and(|status| status.success()), "kill {signal} {process}");
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return kill(&self.running);
        }
        if self.running.lock().expect("no holder panics").is_some() {
            self.told.look_at_pages();
        }
        kill(&self.running);
        self.told.holds_no_secret(&self.logs);
    }
}

/// Ends what still runs, without ceremony.
fn kill(running: &Mutex<Option<Running>>) {
    match running.lock().expect("no holder panics").take() {
        // A channel that is full or closed has been told before.
        Some(Running::Here { events, .. }) => events.try_send(Event::Stop).unwrap_or(()),
        Some(Running::Child(mut child)) => {
            child.kill().unwrap_or(()); // it may have ended by itself
            let _ended = child.wait();
        }
        None => {}
    }
}

fn tcp(address: &ListenAddress) -> SocketAddr {
    match address {
        ListenAddress::Tcp(address) => *address,
        ListenAddress::Unix(_) => SocketAddr::from(([127, 0, 0, 1], 0)),
    }
}
