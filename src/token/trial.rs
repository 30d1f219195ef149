//! Whether the token endpoint knows this client, found out without a token of anybody:
//! `koodrive-gateway check-config --online`.

use std::time::SystemTime;

use super::error::{Denial, TokenError, Unusable};
use super::exchange::{Exchange, ExchangeRequest};
use crate::accept::Accepted;
use crate::client::Client;
use crate::config::{ACCESS_TOKEN_TYPE, Grant, Login, TokenConfig, TokenExchange};
use crate::trace_context::SpanContext;

/// What a trial has shown.
#[derive(Clone, Debug)]
pub struct Trial {
    pub verdict: TrialVerdict,
    /// When the endpoint answered, by its own clock.
    pub date: Option<SystemTime>,
}

/// What the endpoint makes of the client's credentials.
#[derive(Clone, Debug)]
pub enum TrialVerdict {
    /// It refused the nonsense, not the client.
    Known(String),
    /// It refused the client, the grant or one of the parameters; or it did not answer at all.
    Refused(String),
    Unanswered(TokenError),
}

/// Shows a subject token that is none. None for the methods that log in in a way of their own: it
/// would be a real login, or count as a failed one.
pub async fn try_client(config: &TokenConfig, client: Client, now: SystemTime) -> Option<Trial> {
    let Login::Exchange { endpoint, grant } = &*config.login else { return None };
    let (shown, is_another) = match grant {
        // Its own request would be granted: this one shows the same credentials.
        Grant::ClientCredentials(client) => {
            let another = TokenExchange {
                client: client.clone(),
                subject_token_type: ACCESS_TOKEN_TYPE.to_owned(),
                requested_token_type: String::new(),
                actor: None,
            };
            (Grant::TokenExchange(another), true)
        }
        Grant::TokenExchange(_) | Grant::JwtBearer(_) => (grant.clone(), false),
        Grant::Custom(_) | Grant::CarrierLogin(_) => return None,
    };
    let exchange = Exchange::new(config, endpoint, &shown, client);
    let nobody = Accepted::nobody(now);
    let span = SpanContext::root(false);
    let request = ExchangeRequest { caller: &nobody, session: None, now, span };
    let answer = exchange.run(&request).await;
    let verdict = match answer.result {
        Ok(_) => TrialVerdict::Refused(
            "it gave a token for a subject token that is none: anybody could get one".to_owned(),
        ),
        Err(TokenError::Denied(Denial::Endpoint(said))) if said.error.is_some() => {
            TrialVerdict::Known(format!(
                "it knows the client, and refuses a nonsense subject token ({said})"
            ))
        }
        Err(TokenError::AnswerUnusable(Unusable::Refused(said)))
            if is_another && is_about_the_grant(said.error) =>
        {
            TrialVerdict::Known(format!("it knows the client ({said} to another grant)"))
        }
        Err(TokenError::Denied(Denial::Endpoint(said))) => {
            TrialVerdict::Refused(format!("it refuses the request ({said})"))
        }
        Err(TokenError::AnswerUnusable(Unusable::Refused(said))) => {
            TrialVerdict::Refused(format!("{} ({said})", cure(said.status, said.error)))
        }
        Err(TokenError::AnswerUnusable(why)) => TrialVerdict::Refused(format!(
            "what it answers is not what a token endpoint does: {why}; is the path right?"
        )),
        Err(error) => TrialVerdict::Unanswered(error),
    };
    Some(Trial { verdict, date: answer.date })
}

/// The client was let in, and may only not use this grant.
fn is_about_the_grant(error: Option<&str>) -> bool {
    matches!(error, Some("unauthorized_client" | "unsupported_grant_type"))
}

/// What an error of RFC 6749 section 5.2 or RFC 8693 section 2.2.2 means here, or a status alone.
fn cure(status: u16, error: Option<&str>) -> &'static str {
    match (error, status) {
        (Some("invalid_client"), _) => {
            "the secret or key is wrong, or the client is not known: see token.client_id and the \
             file of its secret"
        }
        (Some("unauthorized_client"), _) => {
            "the client is known but may not use this grant: allow it at the token endpoint"
        }
        (Some("unsupported_grant_type"), _) => {
            "the endpoint does not offer this grant: see token.method"
        }
        (Some("invalid_scope"), _) => "it refuses token.scope",
        (Some("invalid_target"), _) => "it refuses token.audience or token.resource",
        (_, 404 | 405 | 410) => "nothing takes tokens there: is the path right?",
        (_, 300..=399) => "it redirects, which is not followed: write the address it leads to",
        (_, 401) => "it does not accept the client's credentials",
        _ => "it refuses the request",
    }
}
