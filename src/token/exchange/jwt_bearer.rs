//! RFC 7523 section 2.1: the SSO token is the authorization grant.

use http::Request;

use super::client_auth::OAuthClient;
use super::{Description, ExchangeRequest, ExchangeSetupError};
use crate::body::OutboundBody;
use crate::config::TokenConfig;

#[derive(Debug)]
pub(in crate::token) struct JwtBearer {
    client: OAuthClient,
}

impl JwtBearer {
    pub(super) fn new(config: &TokenConfig) -> Result<Self, ExchangeSetupError> {
        Ok(Self { client: OAuthClient::new(config)? })
    }

    pub(super) fn request(&self, request: &ExchangeRequest<'_>) -> Request<OutboundBody> {
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", request.caller.sso_token.expose()),
        ];
        self.client.request(&fields, request.now)
    }
    pub(super) fn describe(&self) -> Description {
        self.client.describe("RFC 7523 grant", "this SSO token as assertion")
    }
}
