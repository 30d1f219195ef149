//! RFC 8693: the SSO token is the subject token, the answer is the caller's access token.

use http::Request;

use super::client_auth::OAuthClient;
use super::{Description, ExchangeRequest, ExchangeSetupError};
use crate::body::OutboundBody;
use crate::config::TokenConfig;

#[derive(Debug)]
pub(in crate::token) struct TokenExchange {
    client: OAuthClient,
    subject_token_type: String,
}

impl TokenExchange {
    pub(super) fn new(config: &TokenConfig) -> Result<Self, ExchangeSetupError> {
        let client = OAuthClient::new(config)?;
        Ok(Self { client, subject_token_type: config.subject_token_type.clone() })
    }

    pub(super) fn request(&self, request: &ExchangeRequest<'_>) -> Request<OutboundBody> {
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", request.caller.sso_token.expose()),
            ("subject_token_type", &self.subject_token_type),
        ];
        self.client.request(&fields, request.now)
    }
    pub(super) fn describe(&self) -> Description {
        self.client.describe("RFC 8693 token exchange", "this SSO token as subject_token")
    }
}
