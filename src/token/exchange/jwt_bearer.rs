//! RFC 7523 section 2.1: the SSO token is the authorization grant.

use http::Request;

use super::client_auth::OAuthClient;
use super::{Ask, ExchangeSetupError};
use crate::body::OutboundBody;
use crate::config::TokenConfig;

#[derive(Debug)]
pub(super) struct JwtBearer {
    client: OAuthClient,
}

impl JwtBearer {
    pub(super) fn new(config: &TokenConfig) -> Result<Self, ExchangeSetupError> {
        Ok(Self { client: OAuthClient::new(config)? })
    }

    pub(super) fn request(&self, ask: &Ask<'_>) -> Request<OutboundBody> {
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", ask.caller.sso_token.expose()),
        ];
        self.client.request(&fields, ask.now)
    }
}
