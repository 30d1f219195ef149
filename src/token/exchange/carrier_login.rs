//! KooDrive carrier edition: log in with an account, renew with the session's refresh token.
//!
//! Pages `Login.html` and `RefreshToken.html` of api-koodrive-carrier. The endpoint is the address
//! of `…/auth/login`; renewal goes to `refreshToken` beside it.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::Description;
use crate::body::OutboundBody;
use crate::config::{HttpUrl, TokenConfig};

#[derive(Debug)]
pub(in crate::token) struct CarrierLogin {
    login: Uri,
    renew: Uri,
    account: String,
    password: SecretString,
    agent_name: HeaderValue,
}

impl CarrierLogin {
    pub(super) fn new(config: &TokenConfig) -> Self {
        let carrier = &config.carrier;
        Self {
            login: config.endpoint.uri().clone(),
            renew: beside(&config.endpoint, "refreshToken"),
            account: carrier.account.clone(),
            password: carrier.password_file.password().cloned().unwrap_or_default(),
            agent_name: carrier.agent_name.clone(),
        }
    }

    pub(super) fn describe(&self) -> Description {
        Description {
            how: format!("carrier login at {}", self.login),
            sends: "the configured account, nothing of the caller".to_owned(),
        }
    }

    pub(super) fn login(&self) -> Request<OutboundBody> {
        let body = json!({
            "account": self.account,
            "authType": "1", // by password
            "password": self.password.expose_secret(),
        });
        self.post(&self.login, &body)
    }

    /// Renews the session whose present access token is `token`.
    pub(super) fn renewal(
        &self,
        session: &SecretString,
        token: &HeaderValue,
    ) -> Request<OutboundBody> {
        let body = json!({ "refreshToken": session.expose_secret() });
        let mut request = self.post(&self.renew, &body);
        request.headers_mut().insert(AUTHORIZATION, token.clone());
        request
    }

    fn post(&self, uri: &Uri, body: &serde_json::Value) -> Request<OutboundBody> {
        let mut request = Request::new(OutboundBody::from(bytes::Bytes::from(body.to_string())));
        *request.method_mut() = Method::POST;
        request.uri_mut().clone_from(uri);
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if !self.agent_name.is_empty() {
            headers.insert(AGENT_NAME, self.agent_name.clone());
        }
        request
    }
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
