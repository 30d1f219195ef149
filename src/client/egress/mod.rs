//! The way out: direct, or by a forward proxy; and which destinations go which way.

use std::fmt;
use std::sync::Arc;

use http::header::PROXY_AUTHORIZATION;
use http::{Request, StatusCode, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use secrecy::ExposeSecret as _;

use super::proxy::{Proxy, ProxyError, ProxyFailures, basic};
use crate::config::{EgressConfig, EgressProxy, is_loopback};

/// Which destinations are reached by which proxy. Clones share it.
#[derive(Clone, Debug)]
pub struct Egress(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    https: Option<Proxy>,
    http: Option<Proxy>,
    exempt: Exempt,
}

/// Why the environment cannot say which proxy to use. Never repeats a value: it may hold a
/// password.
#[derive(Debug, thiserror::Error)]
#[error(
    "{variable}: expected a proxy such as \"http://proxy.example:3128\"; others than http:// ones \
     are not supported"
)]
pub struct EgressError {
    variable: &'static str,
}

/// What the environment says of proxies, upper case before lower case; an empty value says
/// nothing.
#[derive(Clone, Default)]
pub struct ProxyVariables {
    https: Option<(&'static str, String)>,
    http: Option<(&'static str, String)>,
    no_proxy: String,
}

impl ProxyVariables {
    pub fn read(environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| {
                let value = environment(name)?;
                (!value.trim().is_empty()).then_some((name, value))
            })
        };
        Self {
            https: first(["HTTPS_PROXY", "https_proxy"]),
            http: first(["HTTP_PROXY", "http_proxy"]),
            no_proxy: first(["NO_PROXY", "no_proxy"]).map(|(_, value)| value).unwrap_or_default(),
        }
    }
}

/// Proxies may be written with their password.
impl fmt::Debug for ProxyVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyVariables").finish_non_exhaustive()
    }
}

impl Egress {
    /// As configured; what is not, as the environment says. `failures` counts what proxies do.
    ///
    /// # Errors
    /// A variable that is needed names no usable proxy.
    pub fn new(
        config: &EgressConfig,
        variables: &ProxyVariables,
        failures: &ProxyFailures,
    ) -> Result<Self, EgressError> {
        let password = config.password_file.password();
        let authorization = password.map(|word| basic(&config.username, word.expose_secret()));
        let (https, http) = match &config.proxy {
            EgressProxy::Direct => (None, None),
            EgressProxy::Address(address) => {
                let proxy = Proxy::new(address, authorization, failures);
                (Some(proxy.clone()), Some(proxy))
            }
            EgressProxy::Environment => {
                let proxy = |variable: &Option<(&'static str, String)>| {
                    let parsed = variable.as_ref().map(|(name, value)| {
                        Proxy::parse(value, authorization.as_ref(), failures)
                            .ok_or(EgressError { variable: name })
                    });
                    parsed.transpose()
                };
                (proxy(&variables.https)?, proxy(&variables.http)?)
            }
        };
        let exempt = if config.no_proxy.is_empty() {
            Exempt::new(variables.no_proxy.split([',', ' ', '\t']))
        } else {
            Exempt::new(config.no_proxy.iter().map(String::as_str))
        };
        Ok(Self(Arc::new(Rules { https, http, exempt })))
    }

    /// How `destination` is reached. Loopback never goes through a proxy.
    pub fn way_to(&self, destination: &Uri) -> Way {
        let host = destination.host().unwrap_or_default();
        if is_loopback(host) || self.0.exempt.covers(host) {
            return Way::Direct;
        }
        let way = match destination.scheme_str() {
            Some("https") => self.0.https.clone().map(Way::Tunnel),
            Some("http") => self.0.http.clone().map(Way::Relay),
            _ => None,
        };
        way.unwrap_or(Way::Direct)
    }
}

/// How one destination is reached.
#[derive(Clone, Debug)]
pub enum Way {
    Direct,
    /// The proxy passes bytes on (CONNECT, RFC 9110 section 9.3.6): TLS is end to end.
    Tunnel(Proxy),
    /// The proxy passes requests on: they are sent in absolute form (RFC 9112 section 3.2.2).
    Relay(Proxy),
}

/// For operators: `direct`, or `proxy http://proxy.example:3128`.
impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("direct"),
            Self::Tunnel(proxy) | Self::Relay(proxy) => write!(f, "proxy {proxy}"),
        }
    }
}

impl Way {
    /// Puts a request to `origin` into the form that is sent this way.
    pub(super) fn address<B>(&self, request: &mut Request<B>, origin: &Uri) {
        let Self::Relay(proxy) = self else { return };
        let mut parts = origin.clone().into_parts();
        parts.path_and_query = request.uri().path_and_query().cloned();
        if let Ok(absolute) = Uri::from_parts(parts) {
            *request.uri_mut() = absolute;
        }
        if let Some(authorization) = proxy.authorization() {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
    }

    /// Of an answer that came this way: whether it is the proxy's own. Its other refusals cannot be
    /// told from the destination's.
    pub(super) fn check(&self, status: StatusCode) -> Result<(), ProxyError> {
        match self {
            Self::Relay(proxy) if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Err(proxy.failed(proxy.credentials_wanted()))
            }
            _ => Ok(()),
        }
    }
}

/// Destinations that no proxy is asked for, as curl understands `NO_PROXY`: a name stands for
/// itself and what is below it, with or without a dot before it. As in Go, a `*.` before it is such
/// a dot.
#[derive(Debug)]
struct Exempt {
    /// `*`. The matcher takes it for names alone.
    all: bool,
    matcher: Matcher,
}

impl Exempt {
    fn new<'e>(entries: impl Iterator<Item = &'e str>) -> Self {
        let (mut all, mut list) = (false, String::new());
        for entry in entries.map(str::trim).filter(|entry| !entry.is_empty()) {
            all |= entry == "*";
            let entry = entry.strip_prefix('*').unwrap_or(entry);
            let entry =
                entry.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(entry);
            list += entry.strip_suffix('.').unwrap_or(entry);
            list.push(',');
        }
        // The matcher asks for a proxy only where it knows one; which, does not matter here.
        Self { all, matcher: Matcher::builder().http("http://proxy").no(list).build() }
    }

    /// `host` as it stands in an address: IPv6 in brackets.
    fn covers(&self, host: &str) -> bool {
        let named = format!("http://{}", host.strip_suffix('.').unwrap_or(host)).parse();
        self.all || named.is_ok_and(|uri: Uri| self.matcher.intercept(&uri).is_none())
    }
}

#[cfg(test)]
mod tests;
