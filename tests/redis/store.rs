//! A real redis-server (or valkey-server) of the test's own.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::scratch::Scratch;
use crate::support::tls::Authority;

/// Longest wait for a server to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Stopped when dropped.
pub struct Store {
    port: u16,
    /// Where it speaks TLS, to clients with a certificate of its authority alone.
    tls_port: Option<u16>,
    password: Option<&'static str>,
    child: Option<Child>,
    scratch: Scratch,
}

impl Store {
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// One that wants a password.
    pub fn start_with(password: Option<&'static str>) -> Self {
        let scratch = Scratch::new().expect("the scratch directory can be made");
        let mut store = Self { port: free_port(), tls_port: None, password, child: None, scratch };
        store.restart();
        store
    }

    /// One that wants a password, and offers TLS as well.
    pub fn start_with_tls(password: &'static str, authority: &Authority) -> Self {
        let scratch = Scratch::new().expect("the scratch directory can be made");
        let pair = authority.server_pem().expect("a certificate can be made");
        for (name, text) in
            [("ca.crt", authority.root_pem()), ("tls.crt", pair.certificate), ("tls.key", pair.key)]
        {
            scratch.write(name, text).expect("the scratch directory can be written");
        }
        let (port, tls_port) = (free_port(), Some(free_port()));
        let mut store = Self { port, tls_port, password: Some(password), child: None, scratch };
        store.restart();
        store
    }

    /// As `limit.store` names it over TLS, without the password.
    pub fn tls_address(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.tls_port.expect("it was started with TLS"))
    }

    /// As `limit.store` names it.
    pub fn address(&self) -> String {
        let login = self.password.map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis://{login}127.0.0.1:{}", self.port)
    }

    /// Starts it, empty, where it was before; returns once it answers.
    ///
    /// # Panics
    /// When it does not.
    pub fn restart(&mut self) {
        self.kill();
        let server = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let mut command = Command::new(&server);
        command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(self.scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if let Some(password) = self.password {
            command.args(["--requirepass", password]);
        }
        if let Some(port) = self.tls_port {
            command.args(["--tls-port", &port.to_string(), "--tls-auth-clients", "yes"]);
            command.args(["--tls-ca-cert-file", "ca.crt", "--tls-cert-file", "tls.crt"]);
            command.args(["--tls-key-file", "tls.key"]).current_dir(self.scratch.path());
        }
        let child = command.spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("{server}: {error}")));
        let started = Instant::now();
        while self.try_ask::<String>(&["PING"]).is_err() {
            assert!(started.elapsed() < PATIENCE, "{server} does not answer");
            std::thread::yield_now();
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it was ours");
        }
    }

    /// Its connections stay open; nobody answers.
    pub fn hang(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// What the server answers to a command.
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// A number of its `INFO`.
    pub fn info(&self, name: &str) -> u64 {
        let info: String = self.ask(&["INFO"]);
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| value.parse().ok()).expect("a number of INFO")
    }

    fn try_ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let mut connection = redis::Client::open(self.address())?.get_connection()?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query(&mut connection)
    }

    fn signal(&self, signal: &str) {
        let process = self.child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args([signal, &process]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal} {process}");
    }
}

fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    free.expect("there is a free port").port()
}

impl Drop for Store {
    fn drop(&mut self) {
        self.kill();
    }
}
