//! SSO and KooDrive on loopback, where the gateway's configuration expects them.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use koodrive_gateway::app::StartError;
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config;
use koodrive_gateway::config::ConfigError;
use secrecy::ExposeSecret as _;

use crate::options::{Options, Part};
use crate::support::caller::{Caller, Http};
use crate::support::canary::Canaries;
use crate::support::collector::Collector;
use crate::support::koodrive::KooDrive;
use crate::support::server::{Listen, Listener};
use crate::support::sessions::Sessions;
use crate::support::sso::{Sso, SsoOptions};
use crate::support::time::OwnClock;

/// Long enough to play with the curl lines for a working day.
const TOKEN_SECONDS: i64 = 8 * 3600;

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum StartFailed {
    #[error("{0}")]
    Config(#[source] ConfigError),
    #[error("{path}: {reason}")]
    Settings { path: PathBuf, reason: &'static str },
    #[error(
        "{address} ({what}) is taken: {source}\n\
         Stop what listens there (another demo?), or use `-- --once`, which takes free ports."
    )]
    Taken { what: &'static str, address: SocketAddr, source: io::Error },
    #[error("koodrive alone knows no tokens, the SSO hands them out: --only sso,koodrive")]
    KooDriveAlone,
    #[error("no demo answers at {0}; start one first: cargo run --example demo")]
    NotRunning(String),
    #[error("`{0}` is not the name of a peer and a mood")]
    Mood(String),
    #[error("a file cannot be written: {0}")]
    Scratch(#[source] io::Error),
    #[error("the gateway: {0}")]
    Gateway(#[source] StartError),
    #[error("the gateway is not ready: {}", .0.join(", "))]
    NotReady(Vec<String>),
}

impl StartFailed {
    /// As the gateway's own commands exit.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotRunning(_) => 1,
            Self::Config(_) | Self::Settings { .. } | Self::KooDriveAlone | Self::Mood(_) => 2,
            Self::Taken { .. } | Self::Scratch(_) | Self::Gateway(_) | Self::NotReady(_) => 3,
        }
    }
}

/// What the simulators must know of the gateway's configuration.
pub struct Settings {
    pub config: config::Config,
    pub sso: SocketAddr,
    pub koodrive: SocketAddr,
    realm: String,
}

impl Settings {
    /// As the gateway itself would read it, environment included.
    pub fn read(path: &Path) -> Result<Self, StartFailed> {
        let loaded = config::load(path, config::environment()).map_err(StartFailed::Config)?;
        let config = loaded.config;
        let wrong = |reason| StartFailed::Settings { path: path.to_owned(), reason };
        let issuer = config.accept.issuers.first().map(|issuer| issuer.issuer.clone());
        let issuer = issuer.ok_or_else(|| wrong("the demo needs one issuer"))?;
        let (sso, realm) = loopback(&issuer)
            .and_then(|(address, path)| Some((address, path.strip_prefix("realms/")?.to_owned())))
            .ok_or_else(|| wrong("the demo's issuer is http://127.0.0.1:PORT/realms/NAME"))?;
        let upstream = config.forward.upstream.written().map(|url| url.as_str().to_owned());
        let koodrive = upstream.as_deref().and_then(loopback);
        let (koodrive, _) =
            koodrive.ok_or_else(|| wrong("the demo's upstream is http://127.0.0.1:PORT"))?;
        Ok(Self { config, sso, koodrive, realm })
    }

    pub fn issuer(&self) -> String {
        format!("http://{}/realms/{}", self.sso, self.realm)
    }
}

/// Address and path of an `http://` URL.
fn loopback(url: &str) -> Option<(SocketAddr, String)> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = host.to_socket_addrs().ok()?.find(|address| address.ip().is_loopback())?;
    Some((address, path.to_owned()))
}

/// SSO and KooDrive, sharing what tokens are alive.
pub struct Simulators {
    pub sso: Sso,
    pub koodrive: Option<KooDrive>,
}

impl Simulators {
    pub fn start(settings: &Settings, options: &Options) -> Result<Self, StartFailed> {
        let with_koodrive = options.only.is_empty() || options.only.contains(&Part::Koodrive);
        let clock = Clock::system();
        let sessions = Sessions::new(&clock, Canaries::default());
        let free = options.once;
        let sso = bind("SSO", settings.sso, &clock, free)?;
        let issuer = settings.config.accept.issuers.first();
        let token = &settings.config.token;
        let secret = token.client_secret_file.password();
        let sso_options = SsoOptions {
            realm: settings.realm.clone(),
            audience: issuer
                .and_then(|issuer| issuer.audiences.first().cloned())
                .unwrap_or_default(),
            client_id: token.client_id.clone(),
            client_secret: secret
                .map(|secret| secret.expose_secret().to_owned())
                .unwrap_or_default(),
            token_seconds: TOKEN_SECONDS,
            demo_tokens: true,
            ..SsoOptions::default()
        };
        let koodrive = if with_koodrive {
            let listener = bind("KooDrive simulator", settings.koodrive, &clock, free)?;
            Some(KooDrive::start(listener, &sessions))
        } else {
            None
        };
        Ok(Self { sso: Sso::start(sso, sso_options, &sessions), koodrive })
    }
}

/// Takes the gateway's traces, unless they have another place to go to.
pub fn collector(settings: &Settings) -> Result<Option<Collector>, StartFailed> {
    let elsewhere = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
    let named = settings.config.telemetry.otlp_endpoint.is_some();
    if named || elsewhere.iter().any(|name| std::env::var_os(name).is_some()) {
        return Ok(None);
    }
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = bind("collector", address, &Clock::system(), true)?;
    Ok(Some(Collector::start(listener, &Canaries::default())))
}

/// Takes an address, or, where that is allowed, any free one if it is taken.
fn bind(
    what: &'static str,
    address: SocketAddr,
    clock: &Clock,
    free: bool,
) -> Result<Listener, StartFailed> {
    let listen = |address| Listen { address, tls: None, clock: OwnClock::new(clock) };
    match listen(address).bind() {
        Err(_) if free => listen(SocketAddr::new(address.ip(), 0)).bind(),
        bound => bound,
    }
    .map_err(|source| StartFailed::Taken { what, address, source })
}

/// Asks a running demo for a token.
pub async fn fresh_token(
    http: &Http,
    settings: &Settings,
    subject: &str,
) -> Result<String, StartFailed> {
    let issuer = settings.issuer();
    let query: String = form_urlencoded::byte_serialize(subject.as_bytes()).collect();
    let target = format!("/demo-token?subject={query}");
    let anyone = Caller::new(http, &issuer, None);
    match anyone.call(http::Method::GET, &target).try_send().await {
        Ok(reply) if reply.status == 200 => Ok(reply.text()),
        Ok(_) | Err(_) => Err(StartFailed::NotRunning(issuer)),
    }
}
