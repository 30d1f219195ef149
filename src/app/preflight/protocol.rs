//! TLS or plain HTTP: which of the two a server speaks that does not understand us.

use std::time::Duration;

use http::uri::Scheme;
use http::{Method, Request, Uri};

use crate::body::OutboundBody;
use crate::client::Client;
use crate::config::HttpUrl;
use crate::telemetry::chain;

/// What to write instead, if the server at `url` speaks the other protocol on that port.
pub(super) async fn other_protocol(url: &HttpUrl, client: &Client) -> Option<&'static str> {
    let mut request = Request::new(OutboundBody::empty());
    *request.method_mut() = Method::HEAD;
    *request.uri_mut() = other_scheme(url)?;
    let answer = client.send_small(request, ANSWER_BYTES_MAX, PATIENCE).await;
    match answer {
        Ok(_) if url.is_https() => Some(SPEAKS_PLAIN),
        Ok(_) => Some(SPEAKS_TLS),
        // A certificate that is not trusted is one all the same.
        Err(error) if !url.is_https() && chain(&error).contains("certificate") => Some(SPEAKS_TLS),
        Err(_) => None,
    }
}

/// The same host and port by the other scheme.
fn other_scheme(url: &HttpUrl) -> Option<Uri> {
    let (scheme, port) = if url.is_https() { (Scheme::HTTP, 443) } else { (Scheme::HTTPS, 80) };
    let port = url.uri().port_u16().unwrap_or(port);
    let mut parts = at_path(url, "/").into_parts();
    parts.scheme = Some(scheme);
    parts.authority = format!("{}:{port}", url.host()).parse().ok();
    Uri::from_parts(parts).ok()
}

/// Another path at the same server.
pub(super) fn at_path(url: &HttpUrl, path: &str) -> Uri {
    let mut parts = url.uri().clone().into_parts();
    parts.path_and_query = path.parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| url.uri().clone())
}

const SPEAKS_PLAIN: &str =
    "; what listens there speaks plain HTTP: write http://, or the port that has TLS";
const SPEAKS_TLS: &str = "; what listens there wants TLS: write https://";
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_scheme_keeps_host_and_port() {
        for (url, expected) in [
            ("https://host/a?b", "http://host:443/"),
            ("https://host:8443", "http://host:8443/"),
            ("http://127.0.0.1:80/x", "https://127.0.0.1:80/"),
            ("http://host", "https://host:80/"),
            ("https://[::1]:1/", "http://[::1]:1/"),
        ] {
            let other = other_scheme(&url.parse().unwrap()).unwrap();
            assert_eq!(other.to_string(), expected, "{url}");
        }
    }
}
