//! Asks the servers a configuration names whether they answer as they should: `check-config
//! --online`.
//!
//! Changes nothing and logs nobody in. No answer is shown but for its status and error word.

mod protocol;

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request};

use self::protocol::{at_path, other_protocol};
use super::network::{Outside, network_client, token_client, upstream_options};
use super::{FetchedKeys, fetch_keys};
use crate::accept::{KeyFetch, KeyFetchOutcome};
use crate::body::OutboundBody;
use crate::call;
use crate::client;
use crate::client::{Client, ClientError, SmallAnswer};
use crate::clock::{Clock, Span};
use crate::config::{
    Config, File, ForwardConfig, HttpUrl, IssuerConfig, KeySource, Roots, TelemetryConfig,
    TokenConfig,
};
use crate::telemetry::{CollectorAddress, chain};
use crate::token;
use crate::token::{Trial, TrialVerdict};

/// What came of asking one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub ok: bool,
    text: String,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.ok { "ok    " } else { "FAILED" }, self.text)
    }
}

/// Fetches the keys of every issuer, shows the client's credentials to the token endpoint, knocks
/// at KooDrive's door, sends no spans to the collector, and compares all their clocks with ours.
pub async fn preflight(
    config: &Config,
    outside: Outside,
    collector: Option<CollectorAddress>,
) -> Vec<Probe> {
    let mut asking =
        Asking { outside, clock: Clock::system(), probes: Vec::new(), clocks: Vec::new() };
    asking.keys(config).await;
    if let Some(endpoint) = &config.token.endpoint {
        asking.token_endpoint(&config.token, endpoint).await;
    }
    asking.koodrive(&config.forward).await;
    if let Some(collector) = collector {
        asking.collector(&config.telemetry, collector).await;
    }
    asking.compare_clocks();
    asking.probes
}

/// What was found so far.
struct Asking {
    outside: Outside,
    clock: Clock,
    probes: Vec<Probe>,
    /// Whose clock, and by how many seconds it is ahead of ours.
    clocks: Vec<(String, i64)>,
}

impl Asking {
    fn ok(&mut self, text: String) {
        self.probes.push(Probe { ok: true, text });
    }

    fn failed(&mut self, text: String) {
        self.probes.push(Probe { ok: false, text });
    }

    async fn keys(&mut self, config: &Config) {
        let fetched = fetch_keys(&config.accept, &self.outside).await;
        for fetch in &fetched.fetches {
            let text = told(fetch, &fetched);
            if fetch.outcome == KeyFetchOutcome::Fetched {
                self.ok(text);
            } else {
                let issuer = config.accept.issuers.iter().find(|i| *i.issuer == *fetch.issuer);
                let source = issuer.map(IssuerConfig::key_source);
                let url = source.as_ref().and_then(KeySource::url);
                let client = network_client(&self.outside, 1, &config.accept.ca_file);
                let hint = match url {
                    Some(url) if fetch.outcome == KeyFetchOutcome::Unreachable => {
                        other_protocol(url, &client).await
                    }
                    _ => None,
                };
                let roots = untrusted(&text, "accept.ca_file", &config.accept.ca_file);
                self.failed(text + hint.unwrap_or_default() + &roots);
            }
            if let Some(skew) = fetch.skew_seconds {
                self.clocks.push((format!("the SSO {}", fetch.issuer), skew));
            }
        }
        for issuer in &fetched.silent {
            self.failed(format!("keys of {issuer}: no answer"));
        }
    }

    async fn token_endpoint(&mut self, config: &TokenConfig, endpoint: &HttpUrl) {
        let client = token_client(&self.outside, config);
        let started = self.clock.now();
        let trial = token::try_client(config, client.clone(), started).await;
        let Some(Trial { verdict, date }) = trial else {
            let mut request = Request::new(OutboundBody::empty());
            *request.method_mut() = Method::HEAD;
            *request.uri_mut() = endpoint.uri().clone();
            let roots = (ROOTS_OF_TOKEN, &config.ca_file);
            let asked = Asked {
                name: "token endpoint",
                url: endpoint,
                well: "reached",
                judge: judged,
                roots,
            };
            return self.ask(&asked, request, &client).await;
        };
        self.note_clock("the token endpoint", date, started);
        let name = format!("token endpoint {endpoint}");
        match verdict {
            TrialVerdict::Known(how) => self.ok(format!("{name}: {how}")),
            TrialVerdict::Refused(why) => self.failed(format!("{name}: {why}")),
            TrialVerdict::Unanswered(error) => {
                let hint = other_protocol(endpoint, &client).await.unwrap_or_default();
                let why = chain(&error);
                let roots = untrusted(&why, ROOTS_OF_TOKEN, &config.ca_file);
                self.failed(format!("{name}: {why}{hint}{roots}"));
            }
        }
    }

    /// Whoever comes without a token is turned away, if the path leads to KooDrive's API at all.
    async fn koodrive(&mut self, config: &ForwardConfig) {
        let upstream: &HttpUrl = &config.upstream;
        let options = upstream_options(&self.outside, config, config.max_connections);
        let client = Client::new(&options);
        let path = format!("{}{}", upstream.base_path(), call::PREVERIFY_PATH);
        let mut request = Request::new(OutboundBody::from(Bytes::from_static(b"{}")));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = at_path(upstream, &path);
        request.headers_mut().insert(CONTENT_TYPE, JSON);
        let roots = ("forward.ca_file", &config.ca_file);
        let (well, judge) = ("its API answers", api_answered as Judge);
        let asked = Asked { name: "KooDrive", url: upstream, well, judge, roots };
        self.ask(&asked, request, &client).await;
    }

    /// An empty batch of spans is a legal one.
    async fn collector(&mut self, config: &TelemetryConfig, collector: CollectorAddress) {
        let client = network_client(&self.outside, 1, &config.ca_file);
        let Ok(url) = collector.url.to_string().parse() else { return };
        let mut request = Request::new(OutboundBody::empty());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = collector.url;
        *request.headers_mut() = collector.headers;
        request.headers_mut().insert(CONTENT_TYPE, PROTOBUF);
        let roots = ("telemetry.ca_file", &config.ca_file);
        let asked =
            Asked { name: "collector", url: &url, well: "it answers", judge: judged, roots };
        self.ask(&asked, request, &client).await;
    }

    async fn ask(&mut self, asked: &Asked<'_>, request: Request<OutboundBody>, client: &Client) {
        let Asked { name, url, well, judge, roots: (key, file) } = asked;
        let started = self.clock.now();
        let answer = client.send_small(request, ANSWER_BYTES_MAX, PATIENCE).await;
        if let Ok(answer) = &answer {
            self.note_clock(name, client::answer_date(&answer.headers), started);
        }
        let hint = match &answer {
            // What servers say in the clear to one who should have begun with TLS.
            Ok(answer) if answer.status != 400 || url.is_https() => None,
            _ => other_protocol(url, client).await,
        };
        match (judge(&answer), hint) {
            (Ok(status), None) => self.ok(format!("{name} {url}: {well}, status {status}")),
            (Ok(status), Some(hint)) => self.failed(format!("{name} {url}: status {status}{hint}")),
            (Err(why), hint) => {
                let (hint, roots) = (hint.unwrap_or_default(), untrusted(&why, key, file));
                self.failed(format!("{name} {url}: {why}{hint}{roots}"));
            }
        }
    }

    fn note_clock(&mut self, whose: &str, date: Option<SystemTime>, started: SystemTime) {
        if let Some(date) = date {
            let skew = client::clock_skew(date, started, self.clock.now());
            self.clocks.push((whose.to_owned(), skew));
        }
    }

    fn compare_clocks(&mut self) {
        let Some(worst) = self.clocks.iter().map(|(_, skew)| skew.unsigned_abs()).max() else {
            return;
        };
        let told = self.clocks.iter().map(|(whose, skew)| {
            let apart = Span(Duration::from_secs(skew.unsigned_abs()));
            match skew {
                -1..=1 => format!("{whose} as ours"),
                ..-1 => format!("{whose} {apart} behind ours"),
                _ => format!("{whose} {apart} ahead of ours"),
            }
        });
        let told = told.collect::<Vec<_>>().join(", ");
        if worst < SKEW_SECONDS_MAX {
            self.ok(format!("clocks: {told}"));
        } else {
            self.failed(format!(
                "clocks: {told}: tokens would be refused as expired or not yet valid; correct the \
                 clock that is wrong"
            ));
        }
    }
}

type Judge = fn(&Result<SmallAnswer, ClientError>) -> Result<u16, String>;

/// A server, and what it means when it answers.
struct Asked<'a> {
    name: &'a str,
    url: &'a HttpUrl,
    well: &'a str,
    judge: Judge,
    /// The key of roots besides the system's, and their file.
    roots: (&'static str, &'a File<Roots>),
}

/// Of a failure because of a certificate that no root of ours stands behind: where to put one.
fn untrusted(why: &str, key: &str, file: &File<Roots>) -> String {
    let unknown = ["UnknownIssuer", "BadSignature"];
    if !why.contains("invalid peer certificate") || !unknown.iter().any(|word| why.contains(word)) {
        return String::new();
    }
    let path = file.path().display();
    if file.is_set() {
        format!("; neither the system's roots nor those of {key} {path} signed its certificate")
    } else {
        format!(
            "; none of the system's roots signed its certificate: set {key} to the one that did"
        )
    }
}

/// The status of an answer that something behind the very path has given, or what is wrong.
fn judged(answer: &Result<SmallAnswer, ClientError>) -> Result<u16, String> {
    let answer = answer.as_ref().map_err(|error| chain(error))?;
    match answer.status.as_u16() {
        status @ 300..400 => Err(format!(
            "status {status}: it redirects, which is not followed; write the address it leads to"
        )),
        status @ (404 | 410) => Err(format!("status {status}: is the path right?")),
        status @ 500.. => Err(format!("status {status}: it is there, but not well")),
        status => Ok(status),
    }
}

/// As [`judged`], of a call without a token: a page for everybody is no answer of an API's.
fn api_answered(answer: &Result<SmallAnswer, ClientError>) -> Result<u16, String> {
    let status = judged(answer)?;
    let kind = answer.as_ref().ok().and_then(|answer| answer.headers.get(CONTENT_TYPE));
    let is_json =
        kind.is_some_and(|kind| String::from_utf8_lossy(kind.as_bytes()).contains("json"));
    if !is_json && (200..300).contains(&status) {
        return Err(format!(
            "status {status} without a token, and no JSON: is that KooDrive's API?"
        ));
    }
    Ok(status)
}

/// Which keys arrived and which of them are of no use, or why none did.
fn told(fetch: &KeyFetch, fetched: &FetchedKeys) -> String {
    let (issuer, outcome) = (&fetch.issuer, fetch.outcome.as_str());
    let failure = fetch.failure.as_ref().map(|failure| format!("; {failure}"));
    let failure = failure.unwrap_or_default();
    format!("keys of {issuer}: {outcome}, {}{failure}", fetched.usable(fetch))
}

const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// As much as the leeway for the dates of SSO tokens.
const SKEW_SECONDS_MAX: u64 = 30;
const ROOTS_OF_TOKEN: &str = "token.ca_file";
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
