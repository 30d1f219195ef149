//! RFC 6749 section 4.4: the gateway's own token, one for the process.

use http::Request;

use super::client_auth::OAuthClient;
use super::{Description, ExchangeRequest};
use crate::body::OutboundBody;
use crate::config::TokenConfig;
use crate::token::error::TokenError;

#[derive(Debug)]
pub(in crate::token) struct ClientCredentials {
    client: OAuthClient,
}

impl ClientCredentials {
    pub(super) fn new(config: &TokenConfig) -> Self {
        Self { client: OAuthClient::new(config) }
    }

    pub(super) async fn request(
        &self,
        request: &ExchangeRequest<'_>,
    ) -> Result<Request<OutboundBody>, TokenError> {
        self.client.request(&[("grant_type", "client_credentials")], request.now).await
    }
    pub(super) fn describe(&self) -> Description {
        self.client.describe("client credentials", "nothing of the caller")
    }
}
