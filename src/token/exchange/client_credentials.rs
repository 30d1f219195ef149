//! RFC 6749 section 4.4: the gateway's own token, one for the process.

use http::Request;

use super::client_auth::OAuthClient;
use super::{Description, ExchangeRequest, ExchangeSetupError};
use crate::body::OutboundBody;
use crate::config::TokenConfig;

#[derive(Debug)]
pub(in crate::token) struct ClientCredentials {
    client: OAuthClient,
}

impl ClientCredentials {
    pub(super) fn new(config: &TokenConfig) -> Result<Self, ExchangeSetupError> {
        if config.client_id.is_empty() {
            return Err(ExchangeSetupError::ClientIdMissing);
        }
        Ok(Self { client: OAuthClient::new(config)? })
    }

    pub(super) fn request(&self, request: &ExchangeRequest<'_>) -> Request<OutboundBody> {
        self.client.request(&[("grant_type", "client_credentials")], request.now)
    }
    pub(super) fn describe(&self) -> Description {
        self.client.describe("client credentials", "nothing of the caller")
    }
}
