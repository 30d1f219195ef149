//! KooDrive carrier edition: log in with an account, renew with the session's refresh token.
//!
//! Pages `Login.html` and `RefreshToken.html` of api-koodrive-carrier. The endpoint is the address
//! of `…/auth/login`; renewal goes to `refreshToken` beside it.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::body::OutboundBody;
use crate::config::{CarrierLogin, HttpUrl};

pub(super) fn login(endpoint: &HttpUrl, carrier: &CarrierLogin) -> Request<OutboundBody> {
    let body = json!({
        "account": carrier.account,
        "authType": "1", // by password
        "password": carrier.password.expose_secret(),
    });
    post(endpoint.uri().clone(), carrier, &body)
}

/// Renews the session whose present access token is `token`.
pub(super) fn renewal(
    endpoint: &HttpUrl,
    carrier: &CarrierLogin,
    session: &SecretString,
    token: &HeaderValue,
) -> Request<OutboundBody> {
    let body = json!({ "refreshToken": session.expose_secret() });
    let mut request = post(beside(endpoint, "refreshToken"), carrier, &body);
    request.headers_mut().insert(AUTHORIZATION, token.clone());
    request
}

fn post(uri: Uri, carrier: &CarrierLogin, body: &serde_json::Value) -> Request<OutboundBody> {
    let mut request = Request::new(OutboundBody::from(bytes::Bytes::from(body.to_string())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if !carrier.agent_name.is_empty() {
        headers.insert(AGENT_NAME, carrier.agent_name.clone());
    }
    request
}

/// The address whose last path segment is `name` instead.
fn beside(url: &HttpUrl, name: &str) -> Uri {
    let path = url.base_path();
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let mut parts = url.uri().clone().into_parts();
    parts.path_and_query = format!("{parent}/{name}").parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| url.uri().clone())
}

const AGENT_NAME: HeaderName = HeaderName::from_static("x-hw-agentname");
