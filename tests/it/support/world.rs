//! Everything a test of the whole gateway needs, started in one line.

use std::path::PathBuf;
use std::time::Duration;

use koodrive_gateway::clock::Clock;
use toml::{Table, Value};

use crate::support::caller::{Caller, Http};
use crate::support::canary::Canaries;
use crate::support::collector::Collector;
use crate::support::gateway::{Environment, Gateway};
use crate::support::koodrive::KooDrive;
use crate::support::scratch::Scratch;
use crate::support::server::Listen;
use crate::support::sessions::Sessions;
use crate::support::sso::{Sso, SsoOptions};
use crate::support::tls::{Authority, TlsServer};

/// Longest wait for a reload.
const PATIENCE: Duration = Duration::from_secs(20);

/// A batch every rule agrees with: a department beyond 2^53 and odd white space.
pub const GOOD_BATCH: &str = "{ \"curDeptId\" :1575416580416769793,\r\n\t\"users\": [\n  \
    {\"targetDeptName\":\"研发一部\",\"personalCapacity\":10 ,\"isAllocateCapacity\":true},\n  \
    {\"personalCapacity\":0,\"isAllocateCapacity\":false} ]}\n";

/// SSO, KooDrive, collector and a gateway between them.
pub struct World {
    // Stopped first, so that it does not see the others go.
    pub gateway: Gateway,
    pub clock: Clock,
    pub sso: Sso,
    pub koodrive: KooDrive,
    pub collector: Collector,
    /// The client all callers share.
    pub http: Http,
    /// Signed the certificates of KooDrive and gateway, where they have some.
    pub authority: Authority,
    pub scratch: Scratch,
    config: Table,
    config_file: PathBuf,
}

/// What a gateway made of a configuration it was told to read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reread {
    Applied,
    Refused,
    Unchanged,
}

/// A world about to be started.
#[derive(Default)]
pub struct Plan {
    config: Table,
    files: Vec<(String, String)>,
    environment: Environment,
    child: bool,
    descriptors: Option<u64>,
    wait_ready: bool,
    koodrive_tls: Option<TlsServer>,
    neighbours_tls: Option<TlsServer>,
    callers_http2: bool,
    sso: SsoOptions,
}

impl World {
    /// The usual world: the gateway in this process, ready.
    pub async fn start() -> Self {
        Self::plan().start().await
    }

    pub fn plan() -> Plan {
        Plan { wait_ready: true, ..Plan::default() }
    }

    /// A tool of the user with this subject, with a good token.
    pub fn caller(&self, subject: &str) -> Caller {
        self.caller_with(Some(self.sso.token_for(subject)))
    }

    /// A tool with any token, or none.
    pub fn caller_with(&self, token: Option<String>) -> Caller {
        Caller::new(&self.http, &self.base(), token)
    }

    /// Whoever asks the admin listener.
    pub fn admin(&self) -> Caller {
        Caller::new(&self.http, &format!("http://{}", self.gateway.admin), None)
    }

    /// `http://127.0.0.1:<port>` of the gateway, or https.
    pub fn base(&self) -> String {
        let listen = self.config.get("listen").and_then(Value::as_table);
        let tls = listen.is_some_and(|listen| listen.contains_key("tls_certificate_file"));
        format!("{}://{}", if tls { "https" } else { "http" }, self.gateway.address)
    }

    /// Changes the configuration file, as an operator would, and has it read; whether the gateway
    /// took it over.
    ///
    /// # Panics
    /// When the text is not TOML, or the gateway says nothing about it.
    pub async fn reconfigure(&mut self, changes: &str) -> bool {
        merge(&mut self.config, changes.parse().expect("TOML"));
        let text = self.config.to_string();
        self.scratch.write("gateway.toml", text).expect("the scratch directory can be written");
        self.reread().await == Reread::Applied
    }

    /// Has the gateway read its configuration again; what it made of it.
    ///
    /// # Panics
    /// When the gateway says nothing about it.
    pub async fn reread(&self) -> Reread {
        let before = self.reloads().await;
        self.gateway.reload().await;
        let mut pause = tokio::time::interval(Duration::from_millis(5));
        let reloaded = async {
            loop {
                pause.tick().await;
                let now = self.reloads().await;
                let changed = before.iter().zip(&now).position(|(before, now)| before < now);
                if let Some(outcome) = changed {
                    return [Reread::Applied, Reread::Refused, Reread::Unchanged][outcome];
                }
            }
        };
        tokio::time::timeout(PATIENCE, reloaded).await.expect("the reload is counted")
    }

    /// Every secret of this world so far; none may come out.
    pub fn canaries(&self) -> &Canaries {
        &self.koodrive.sessions.canaries
    }

    /// One more gateway, in this process, under the configuration as it is now.
    pub async fn another_gateway(&self) -> Gateway {
        let environment = Environment::new();
        Gateway::here(&self.config_file, &environment, &self.clock, self.canaries()).await
    }

    /// The configuration as it was last written.
    pub fn config(&self) -> &Table {
        &self.config
    }

    /// Reloads so far: applied, refused, unchanged.
    async fn reloads(&self) -> [f64; 3] {
        let mut counts = [0.0; 3];
        for (count, outcome) in counts.iter_mut().zip(["applied", "refused", "unchanged"]) {
            let name = format!("koodrive_gateway_config_reloads_total{{outcome=\"{outcome}\"}}");
            *count = self.metric(&name).await.unwrap_or(0.0);
        }
        counts
    }

    pub fn config_file(&self) -> &PathBuf {
        &self.config_file
    }

    /// The value of a metric line that begins with `name`, labels included.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let page = self.admin().get("/metrics").await.text();
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|rest| rest.split(' ').next()?.parse().ok())
    }
}

impl Plan {
    /// Writes over the world's usual configuration; tables and their arrays are merged.
    ///
    /// # Panics
    /// When the text is not TOML.
    #[must_use]
    pub fn config(mut self, changes: &str) -> Self {
        merge(&mut self.config, changes.parse().expect("TOML"));
        self
    }

    /// A file beside the configuration, for keys that name one.
    #[must_use]
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The real binary instead of the library.
    #[must_use]
    pub fn child(self) -> Self {
        Self { child: true, ..self }
    }

    /// The real binary, with so many file descriptors at most.
    #[must_use]
    pub fn child_with_files(self, files: u64) -> Self {
        Self { descriptors: Some(files), ..self.child() }
    }

    /// Does not wait until the gateway is ready.
    #[must_use]
    pub fn unready(self) -> Self {
        Self { wait_ready: false, ..self }
    }

    /// KooDrive behind TLS.
    #[must_use]
    pub fn koodrive_tls(self, options: TlsServer) -> Self {
        Self { koodrive_tls: Some(options), ..self }
    }

    /// SSO and collector behind TLS.
    #[must_use]
    pub fn neighbours_tls(self, options: TlsServer) -> Self {
        Self { neighbours_tls: Some(options), ..self }
    }

    /// Callers speak HTTP/2 to the gateway.
    #[must_use]
    pub fn http2(self) -> Self {
        Self { callers_http2: true, ..self }
    }

    #[must_use]
    pub fn sso(self, sso: SsoOptions) -> Self {
        Self { sso, ..self }
    }

    /// # Panics
    /// When anything does not start.
    pub async fn start(self) -> World {
        let clock = Clock::system();
        let sessions = Sessions::new(&clock, Canaries::keeping());
        let authority = Authority::new().expect("certificates can be made");
        let scratch = Scratch::new().expect("the scratch directory can be made");
        let free = || Listen::loopback(&clock);
        let bind = |listen: Listen| listen.bind().expect("there is a free port");
        let audience = self.sso.audience.clone();
        let tls = self.neighbours_tls.map(|options| authority.server_config(options));
        let neighbour = tls.transpose().expect("certificates can be made");
        let neighbour = || Listen { tls: neighbour.clone(), ..free() };
        let sso = Sso::start(bind(neighbour()), self.sso, &sessions);
        let tls = self.koodrive_tls.map(|options| authority.server_config(options));
        let tls = tls.transpose().expect("certificates can be made");
        let koodrive = KooDrive::start(bind(Listen { tls, ..free() }), &sessions);
        let collector = Collector::start(bind(neighbour()), &sessions.canaries);

        let mut files = self.files;
        files.push(("client-secret".to_owned(), sso.client_secret().to_owned() + "\n"));
        files.push(("ca.pem".to_owned(), authority.root_pem()));
        let server = authority.server_pem().expect("certificates can be made");
        files.push(("server.pem".to_owned(), server.certificate));
        files.push(("server-key.pem".to_owned(), server.key));
        let canaries = &sessions.canaries;
        for (name, content) in files {
            if name.contains("secret") || name.contains("password") || name.ends_with("-key.pem") {
                canaries.note_file("a file that holds a secret", &content);
            }
            scratch.write(&name, content).expect("the scratch directory can be written");
        }
        let mut config = usual(&sso, &audience, &koodrive, &collector);
        merge(&mut config, self.config);
        let config_file = scratch.write("gateway.toml", config.to_string());
        let config_file = config_file.expect("the scratch directory can be written");

        let mut environment = self.environment;
        // Spans are awaited by tests, so they go out at once.
        environment.entry("OTEL_BSP_SCHEDULE_DELAY".to_owned()).or_insert("20".to_owned());
        let gateway = if self.child {
            Gateway::child(&config_file, &environment, self.descriptors, canaries).await
        } else {
            Gateway::here(&config_file, &environment, &clock, canaries).await
        };
        if self.wait_ready {
            gateway.wait_ready().await;
        }
        let http = Http::new(&authority.root_pem(), self.callers_http2);
        World {
            gateway,
            clock,
            sso,
            koodrive,
            collector,
            http,
            authority,
            scratch,
            config,
            config_file,
        }
    }
}

fn usual(sso: &Sso, audience: &str, koodrive: &KooDrive, collector: &Collector) -> Table {
    let text = format!(
        r#"
        [listen]
        address = "127.0.0.1:0"

        [admin]
        address = "127.0.0.1:0"

        [[accept.issuers]]
        issuer = "{issuer}"
        audiences = ["{audience}"]
        algorithms = ["RS256", "ES256", "EdDSA"]

        [token]
        endpoint = "{token_endpoint}"
        client_id = "{client_id}"
        client_secret_file = "client-secret"

        [forward]
        upstream = "{upstream}"
        ca_file = "ca.pem"

        [telemetry]
        otlp_endpoint = "{collector}"
        log_level = "trace"

        [lifecycle]
        linger = "0s"
        drain = "5s"
        reload_every = "1h"
        "#,
        issuer = sso.issuer(),
        token_endpoint = sso.token_endpoint(),
        client_id = sso.client_id(),
        upstream = koodrive.url(),
        collector = collector.url(),
    );
    text.parse().expect("the text above is TOML")
}

/// Writes `changes` over `table`: tables and arrays of tables member by member, the rest whole.
fn merge(table: &mut Table, changes: Table) {
    for (key, change) in changes {
        match (table.get_mut(&key), change) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (Some(Value::Array(old)), Value::Array(new))
                if !new.is_empty() && new.iter().all(Value::is_table) =>
            {
                for (at, item) in new.into_iter().enumerate() {
                    match (old.get_mut(at), item) {
                        (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
                        (_, item) => old.push(item),
                    }
                }
            }
            (_, change) => {
                table.insert(key, change);
            }
        }
    }
}
