//! The access tokens of callers, against a token endpoint on loopback and a clock we move.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test that wants it")]

mod answers;
mod certificate;
mod damping;
mod endpoint;
mod flights;
mod gateway;
mod life;
mod methods;
mod protection;
mod whose;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use koodrive_gateway::accept::{Accepted, CallerId, Identity, Memo, Met, SsoToken};
use koodrive_gateway::client::{Client, ClientOptions, SystemRoots};
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::{Config, TokenConfig};
use koodrive_gateway::lifecycle::Tasks;
use koodrive_gateway::token::{
    AccessToken, Credential, ExchangeReport, Issued, TokenError, TokenStore, Tokens,
};
use koodrive_gateway::trace_context::SpanContext;

use self::endpoint::Endpoint;
use crate::support::telemetry::direct;

/// The token room with everything it needs.
struct World {
    clock: Clock,
    endpoint: Endpoint,
    store: TokenStore,
    tokens: Tokens,
    config: TokenConfig,
    reports: Arc<Mutex<Vec<ExchangeReport>>>,
}

impl World {
    async fn start() -> Self {
        Self::with("").await
    }

    /// With lines of `[token]` besides the endpoint's address.
    async fn with(lines: &str) -> Self {
        let (clock, tasks) = (Clock::system(), Tasks::default());
        let endpoint = Endpoint::start(&tasks).await;
        let config = config(&endpoint, lines);
        let reports = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&reports);
        let report = Arc::new(move |report| told.lock().unwrap().push(report));
        let store = TokenStore::new(clock.clone(), tasks, report);
        let tokens = Tokens::new(&config, &[], &store, client());
        Self { clock, endpoint, store, tokens, config, reports }
    }

    async fn ask(&self, caller: &Accepted) -> Result<Issued, TokenError> {
        self.tokens.token_for(caller, &SpanContext::root(true)).await
    }

    async fn token(&self, caller: &Accepted) -> AccessToken {
        token_of(&self.ask(caller).await.unwrap())
    }

    /// KooDrive accepts a call that carries `token`, sent now.
    fn accept(&self, token: &AccessToken, caller: &Accepted) {
        self.tokens.accepted(token, caller, self.clock.moment());
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Waits until no exchange is under way.
    async fn settle(&self) {
        while self.tokens.flights() != 0 {
            tokio::task::yield_now().await;
        }
    }

    fn reports(&self) -> Vec<ExchangeReport> {
        self.reports.lock().unwrap().clone()
    }
}

fn config(endpoint: &Endpoint, lines: &str) -> TokenConfig {
    config_in(Path::new(""), &format!("http://{}/token", endpoint.address), lines)
}

/// `[token]`, read as an operator's configuration is.
fn config_in(folder: &Path, endpoint: &str, lines: &str) -> TokenConfig {
    let document = format!(
        "[[accept.issuers]]\nissuer = \"https://sso.example.com\"\naudiences = [\"g\"]\n\
         [forward]\nupstream = \"https://koodrive.example.com\"\n\
         [token]\nendpoint = \"{endpoint}\"\n{lines}"
    );
    let loaded = Config::parse(&document, "gateway.toml", folder, std::iter::empty());
    loaded.unwrap_or_else(|error| panic!("{error}\n{document}")).config.token
}

fn client() -> Client {
    Client::new(&ClientOptions {
        connect_timeout: Duration::from_secs(3),
        pool_idle_timeout: Duration::from_secs(30),
        pool_max_idle: 64,
        connections_max: 16,
        roots: &SystemRoots::load(),
        extra_roots: None,
        identity: None,
        egress: &direct(),
    })
}

fn caller(subject: &str) -> Accepted {
    caller_of("https://sso.example.com", subject, serde_json::json!({}))
}

fn caller_of(issuer: &str, subject: &str, claims: serde_json::Value) -> Accepted {
    let serde_json::Value::Object(claims) = claims else { panic!("claims are an object") };
    Accepted {
        identity: Arc::new(Identity {
            issuer: issuer.into(),
            subject: subject.into(),
            claims: claims.into(),
            met: Met::default(),
            expires_at: far_future(),
            caller: CallerId::of(issuer, subject),
            memo: Memo::default(),
        }),
        sso_token: Arc::new(SsoToken::new(format!("sso.{issuer}.{subject}"))),
        cached: false,
    }
}

/// The same caller with another SSO token.
fn with_sso_token(caller: &Accepted, token: &str) -> Accepted {
    Accepted { sso_token: Arc::new(SsoToken::new(token)), ..caller.clone() }
}

fn far_future() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 100)
}

fn token_of(issued: &Issued) -> AccessToken {
    match &issued.credential {
        Credential::Token(token) => token.clone(),
        Credential::Signature(_) => panic!("a token was expected, not a signature"),
    }
}

fn text_of(issued: &Issued) -> String {
    token_of(issued).header().to_str().unwrap().to_owned()
}
