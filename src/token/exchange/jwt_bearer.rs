//! RFC 7523 section 2.1: the SSO token is the authorization grant.

use http::Request;

use super::client_auth::OAuthClient;
use super::{Description, ExchangeRequest};
use crate::body::OutboundBody;
use crate::config::TokenConfig;
use crate::token::error::TokenError;

#[derive(Debug)]
pub(in crate::token) struct JwtBearer {
    client: OAuthClient,
}

impl JwtBearer {
    pub(super) fn new(config: &TokenConfig) -> Self {
        Self { client: OAuthClient::new(config) }
    }

    pub(super) async fn request(
        &self,
        request: &ExchangeRequest<'_>,
    ) -> Result<Request<OutboundBody>, TokenError> {
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", request.caller.sso_token.expose()),
        ];
        self.client.request(&fields, request.now).await
    }
    pub(super) fn describe(&self) -> Description {
        self.client.describe("RFC 7523 grant", "this SSO token as assertion")
    }
}
