//! RFC 8693: the SSO token is the subject token, the answer is the caller's access token.

use http::Request;
use secrecy::ExposeSecret as _;

use super::client_auth::{LiveToken, OAuthClient};
use super::{Description, ExchangeRequest};
use crate::body::OutboundBody;
use crate::config::TokenConfig;
use crate::token::error::{TokenError, Unusable};

#[derive(Debug)]
pub(in crate::token) struct TokenExchange {
    client: OAuthClient,
    subject_token_type: String,
    requested_token_type: String,
    actor: Option<Actor>,
}

/// Who acts for the caller.
#[derive(Debug)]
struct Actor {
    token_file: LiveToken,
    token_type: String,
}

impl TokenExchange {
    pub(super) fn new(config: &TokenConfig) -> Self {
        let file = &config.actor_token_file;
        let actor = file.is_set().then(|| Actor {
            token_file: LiveToken::new(file),
            token_type: config.actor_token_type.clone(),
        });
        Self {
            client: OAuthClient::new(config),
            subject_token_type: config.subject_token_type.clone(),
            requested_token_type: config.requested_token_type.clone(),
            actor,
        }
    }

    pub(super) async fn request(
        &self,
        request: &ExchangeRequest<'_>,
    ) -> Result<Request<OutboundBody>, TokenError> {
        let actor_token = match &self.actor {
            Some(actor) => Some(actor.token_file.read(Unusable::ActorTokenFile).await?),
            None => None,
        };
        let mut fields = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", request.caller.sso_token.expose()),
            ("subject_token_type", &self.subject_token_type),
        ];
        if !self.requested_token_type.is_empty() {
            fields.push(("requested_token_type", &self.requested_token_type));
        }
        if let (Some(actor), Some(token)) = (&self.actor, &actor_token) {
            fields.push(("actor_token", token.expose_secret()));
            fields.push(("actor_token_type", &actor.token_type));
        }
        self.client.request(&fields, request.now).await
    }

    pub(super) fn describe(&self) -> Description {
        let actor = if self.actor.is_some() { ", the actor's token as actor_token" } else { "" };
        let sends = format!("this SSO token as subject_token{actor}");
        self.client.describe("RFC 8693 token exchange", &sends)
    }
}
