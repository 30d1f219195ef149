//! How each server is reached, and by whose certificates it is known.

use std::fmt;

use http::Uri;
use koodrive_gateway::client::{Egress, ProxyFailures, ProxyVariables, Way};
use koodrive_gateway::config::{Config, File, Roots};
use koodrive_gateway::telemetry::CollectorAddress;

use super::failure::Failure;

/// A server that would be asked, and what of the configuration says whom to believe.
pub(super) struct Server<'a> {
    /// Scheme, host and port.
    pub(super) origin: String,
    /// The key of further roots, and their file.
    roots: Option<(&'static str, &'a File<Roots>)>,
}

/// The servers behind each section, in the order in which a call meets them.
pub(super) struct Servers<'a> {
    /// The SSOs whose keys come over the network.
    pub(super) accept: Vec<Server<'a>>,
    pub(super) token: Option<Server<'a>>,
    pub(super) forward: Server<'a>,
    pub(super) telemetry: Option<Server<'a>>,
    pub(super) limit: Option<Server<'a>>,
}

impl<'a> Servers<'a> {
    pub(super) fn of(config: &'a Config, collector: Option<&CollectorAddress>) -> Self {
        let server = |url: &Uri, key, file| Server {
            origin: origin(url),
            roots: (url.scheme_str() == Some("https")).then_some((key, file)),
        };
        let (accept, token, forward) = (&config.accept, &config.token, &config.forward);
        let sso = accept.issuers.iter().filter_map(|issuer| {
            let source = issuer.key_source();
            Some(server(source.url()?.uri(), "accept.ca_file", &accept.ca_file))
        });
        let endpoint = token.endpoint.as_ref();
        let store = config.limit.store.address();
        Self {
            accept: sso.collect(),
            token: endpoint.map(|url| server(url.uri(), "token.ca_file", &token.ca_file)),
            forward: server(forward.upstream.uri(), "forward.ca_file", &forward.ca_file),
            telemetry: collector.map(|collector| {
                server(&collector.url, "telemetry.ca_file", &config.telemetry.ca_file)
            }),
            limit: store.map(|store| Server { origin: store.to_string(), roots: None }),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Server<'a>> {
        let (behind, last) = (self.accept.iter().chain(&self.token), [&self.forward]);
        behind.chain(last).chain(&self.telemetry).chain(&self.limit)
    }
}

impl Server<'_> {
    /// How it is reached.
    pub(super) fn way(&self, egress: &Egress) -> Way {
        self.origin.parse().map_or(Way::Direct, |origin| egress.way_to(&origin))
    }

    /// By whose certificates it is known; `None` where there is no TLS.
    pub(super) fn roots(&self) -> Option<impl fmt::Display> {
        let (key, file) = self.roots?;
        let own = file.is_set().then(|| format!(" and {key} {}", file.path().display()));
        Some(format!("the system{}", own.unwrap_or_default()))
    }
}

/// The way out of this process.
pub(super) fn egress(config: &Config) -> Result<Egress, Failure> {
    let variables = ProxyVariables::read(&super::environment);
    let egress = Egress::new(&config.egress, &variables, &ProxyFailures::default());
    egress.map_err(|error| Failure::Usage(error.to_string()))
}

/// Where spans would go.
pub(super) fn collector(config: &Config) -> Result<Option<CollectorAddress>, Failure> {
    let found = CollectorAddress::find(&config.telemetry, &super::environment);
    found.map_err(|error| Failure::Usage(error.to_string()))
}

fn origin(url: &Uri) -> String {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}", url.scheme_str().unwrap_or_default())
}
