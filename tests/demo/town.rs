//! The whole town: the simulators, and the real gateway under its shipped configuration.

use std::time::Duration;

use koodrive_gateway::app::{AppOptions, Bound, StartError};
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::Config;
use koodrive_gateway::lifecycle::{Event, Readiness, Workers};
use koodrive_gateway::telemetry::LogWriter;
use koodrive_gateway::{app, config, telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::log::Log;
use crate::options::Options;
use crate::simulators::{Settings, Simulators, StartFailed, collector};
use crate::support::caller::Http;
use crate::support::collector::Collector;
use crate::support::koodrive::KooDrive;
use crate::support::sso::Sso;

/// Longest wait for the gateway to fetch its keys.
const PATIENCE: Duration = Duration::from_secs(10);
const LOG_PATIENCE: Duration = Duration::from_secs(1);

pub struct Town {
    /// `http://127.0.0.1:8080`
    pub gateway: String,
    /// `http://127.0.0.1:9901`
    pub admin: String,
    pub http: Http,
    pub config: Config,
    log: Log,
    logs: LogWriter,
    pub sso: Sso,
    pub koodrive: KooDrive,
    /// None where traces go elsewhere.
    pub collector: Option<Collector>,
    events: mpsc::Sender<Event>,
    ended: JoinHandle<bool>,
}

impl Town {
    pub async fn start(options: &Options) -> Result<Self, StartFailed> {
        // Refused only when somebody has chosen before, and nobody has.
        jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().unwrap_or_default();
        let settings = Settings::read(&options.config)?;
        let Simulators { sso, koodrive } = Simulators::start(&settings, options)?;
        let koodrive = koodrive.expect("without --only both are started");
        let log = Log::default();

        let mut changed = vec![("LIFECYCLE__LINGER", "0s".to_owned())];
        if sso.server.address() != settings.sso {
            changed.push(("ACCEPT__ISSUERS__0__ISSUER", sso.issuer()));
            changed.push(("TOKEN__ENDPOINT", sso.token_endpoint()));
        }
        if koodrive.server.address() != settings.koodrive {
            changed.push(("FORWARD__UPSTREAM", koodrive.url().to_owned()));
        }
        let collector = collector(&settings)?;
        if let Some(collector) = &collector {
            changed.push(("TELEMETRY__OTLP_ENDPOINT", collector.url().to_owned()));
        }
        let logs = LogWriter::to(log.clone()).map_err(StartFailed::Scratch)?;
        let (bound, config) = match bind(options, &changed, &logs).await {
            Err(StartFailed::Gateway(StartError::Listen { .. })) if options.once => {
                changed.push(("LISTEN__ADDRESS", "127.0.0.1:0".to_owned()));
                changed.push(("ADMIN__ADDRESS", "127.0.0.1:0".to_owned()));
                bind(options, &changed, &logs).await?
            }
            bound => bound?,
        };
        let (gateway, admin) = (bound.address.to_string(), bound.admin_address.to_string());
        let readiness = bound.readiness.clone();
        let (events, received) = mpsc::channel(2);
        let ended = TaskTracker::new().spawn(bound.run(received, None));
        wait_ready(&readiness).await?;
        Ok(Self {
            gateway: format!("http://{gateway}"),
            admin: format!("http://{admin}"),
            http: Http::new("", false),
            config,
            log,
            logs,
            sso,
            koodrive,
            collector,
            events,
            ended,
        })
    }

    /// Shows what the gateway wrote during the tour.
    pub fn print_log(&self) {
        self.logs.flush(LOG_PATIENCE);
        self.log.print();
    }

    /// From now on shows what the gateway writes.
    pub fn open_log(&self) {
        self.logs.flush(LOG_PATIENCE); // what belongs to the tour stays there
        self.log.open();
    }

    /// Lets what is in flight finish, then ends.
    pub async fn stop(self) {
        if self.events.send(Event::Stop).await.is_ok() {
            self.ended.await.expect("the gateway does not panic");
        }
    }
}

/// Takes the gateway's addresses; `changed` are keys as the environment would set them.
async fn bind(
    options: &Options,
    changed: &[(&str, String)],
    logs: &LogWriter,
) -> Result<(Bound, Config), StartFailed> {
    let changed = changed.iter();
    let changed =
        changed.map(|(key, value)| (format!("{}{key}", config::ENVIRONMENT_PREFIX), value.clone()));
    let environment = config::environment().chain(changed);
    let loaded = config::load(&options.config, environment).map_err(StartFailed::Config)?;
    let clock = Clock::system();
    // A second attempt finds the log of the first in place.
    telemetry::install(&loaded.config.telemetry, clock.clone(), logs.clone()).unwrap_or(());
    let environment = |name: &str| std::env::var(name).ok();
    let options = AppOptions {
        clock,
        logs: logs.clone(),
        environment: &environment,
        workers: Workers::default(),
    };
    let bound = app::bind(&loaded, options).await.map_err(StartFailed::Gateway)?;
    Ok((bound, loaded.config))
}

async fn wait_ready(readiness: &Readiness) -> Result<(), StartFailed> {
    let mut pause = tokio::time::interval(Duration::from_millis(10));
    let ready = async {
        while !readiness.is_ready() {
            pause.tick().await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, ready).await;
    in_time.map_err(|_| StartFailed::NotReady(readiness.reasons()))
}

/// Waits for Ctrl-C or SIGTERM.
pub async fn interrupted() {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be listened to");
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.expect("signals can be listened to"),
        _ = terminate.recv() => {}
    }
}
