//! RFC 8693: the SSO token is the subject token, the answer is the caller's access token.

use http::Request;

use super::client_auth::OAuthClient;
use super::{Ask, ExchangeSetupError};
use crate::body::OutboundBody;
use crate::config::TokenConfig;

#[derive(Debug)]
pub(super) struct TokenExchange {
    client: OAuthClient,
    subject_token_type: String,
}

impl TokenExchange {
    pub(super) fn new(config: &TokenConfig) -> Result<Self, ExchangeSetupError> {
        let client = OAuthClient::new(config)?;
        Ok(Self { client, subject_token_type: config.subject_token_type.clone() })
    }

    pub(super) fn request(&self, ask: &Ask<'_>) -> Request<OutboundBody> {
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", ask.caller.sso_token.expose()),
            ("subject_token_type", &self.subject_token_type),
        ];
        self.client.request(&fields, ask.now)
    }
}
