//! RFC 8693: the SSO token is the subject token, the answer is the caller's access token.

use http::Request;
use secrecy::ExposeSecret as _;

use super::client_auth::{Post, live_token};
use crate::accept::Accepted;
use crate::body::OutboundBody;
use crate::config::TokenExchange;
use crate::token::error::{TokenError, Unusable};

pub(super) async fn request(
    grant: &TokenExchange,
    post: &Post<'_>,
    caller: &Accepted,
) -> Result<Request<OutboundBody>, TokenError> {
    let actor_token = match &grant.actor {
        Some(actor) => {
            Some(live_token(&actor.token_file, post.files, Unusable::ActorTokenFile).await?)
        }
        None => None,
    };
    let mut fields = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", caller.sso_token.expose()),
        ("subject_token_type", &grant.subject_token_type),
    ];
    if !grant.requested_token_type.is_empty() {
        fields.push(("requested_token_type", &grant.requested_token_type));
    }
    if let (Some(actor), Some(token)) = (&grant.actor, &actor_token) {
        fields.push(("actor_token", token.expose_secret()));
        fields.push(("actor_token_type", &actor.token_type));
    }
    post.request(&fields).await
}
