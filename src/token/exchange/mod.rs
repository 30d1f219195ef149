//! The exchange itself: one request to the token endpoint, one answer read.
//!
//! One file per method that needs more than a form. Knows nothing of caches, flights or pacing.

mod answer;
mod carrier_login;
mod client_auth;
mod custom;
mod token_exchange;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Request};
use secrecy::{ExposeSecret as _, SecretString};

use self::client_auth::Post;
use super::cache::NewToken;
use super::error::{At, Crowded, Denial, Outage, RETRY_AFTER_MIN, TokenError, Unusable};
use crate::accept::Accepted;
use crate::blocking::Blocking;
use crate::body::{BodyError, OutboundBody};
use crate::client;
use crate::client::{Client, ClientError, retry_after};
use crate::config::{Grant, HttpUrl, TokenConfig};
use crate::trace_context::{SpanContext, TRACEPARENT};

/// How tokens are obtained, ready to run.
#[derive(Debug)]
pub(super) struct Exchange {
    endpoint: HttpUrl,
    grant: Grant,
    client: Client,
    /// Reads the files that somebody else keeps fresh.
    files: Blocking,
    scheme: String,
    at: At,
    timeout: Duration,
}

/// What a grant does, for people.
#[derive(Debug)]
pub(super) struct Description {
    /// What it is, where it goes, as whom.
    pub(super) how: String,
    /// What of the caller and of the gateway's wishes is sent; no value of a claim, no secret.
    pub(super) sends: String,
}

/// One exchange to run.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExchangeRequest<'a> {
    pub(super) caller: &'a Accepted,
    /// What renews the caller's present token, and that token as it is sent.
    pub(super) session: Option<(&'a SecretString, &'a HeaderValue)>,
    pub(super) now: SystemTime,
    pub(super) span: SpanContext,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct ExchangeResult {
    pub(super) result: Result<NewToken, TokenError>,
    pub(super) status: Option<u16>,
    /// How long the endpoint asks to be left alone, by the `Retry-After` of a refusal.
    pub(super) pause: Option<Duration>,
    /// By the answer's `Date`.
    pub(super) date: Option<SystemTime>,
}

impl ExchangeResult {
    /// Without an answer.
    fn unsent(error: TokenError) -> Self {
        Self { result: Err(error), status: None, pause: None, date: None }
    }
}

/// A token as the answer gives it, before the scheme is put in front.
#[derive(Debug)]
struct TokenResponse {
    token: SecretString,
    expires_in: Option<Duration>,
    session: Option<SecretString>,
}

/// What `grant` does at `endpoint`.
pub(super) fn describe(endpoint: &HttpUrl, grant: &Grant) -> Description {
    let (client, what, sends) = match grant {
        Grant::TokenExchange(grant) => {
            let sends = match grant.actor {
                Some(_) => "this SSO token as subject_token, the actor's token as actor_token",
                None => "this SSO token as subject_token",
            };
            (&grant.client, "RFC 8693 token exchange", sends)
        }
        Grant::JwtBearer(client) => (client, "RFC 7523 grant", "this SSO token as assertion"),
        Grant::ClientCredentials(client) => (client, "client credentials", "nothing of the caller"),
        Grant::Custom(login) => {
            let fields: Vec<&str> = login.keys.body.iter().map(|(name, _)| name.as_str()).collect();
            let sends = if fields.is_empty() { "no fields".to_owned() } else { fields.join(", ") };
            return Description { how: format!("custom login at {}", endpoint.uri()), sends };
        }
        Grant::CarrierLogin(_) => {
            return Description {
                how: format!("carrier login at {}", endpoint.uri()),
                sends: "the configured account, nothing of the caller".to_owned(),
            };
        }
    };
    client_auth::describe(endpoint, client, what, sends)
}

impl Exchange {
    pub(super) fn new(
        config: &TokenConfig,
        endpoint: &HttpUrl,
        grant: &Grant,
        client: Client,
    ) -> Self {
        let at = At(endpoint.uri().authority().map(|authority| authority.as_str().into()));
        let (endpoint, grant, scheme) = (endpoint.clone(), grant.clone(), config.scheme.clone());
        let (files, timeout) = (Blocking::new(READS_MAX), config.timeout);
        Self { endpoint, grant, client, files, scheme, at, timeout }
    }

    pub(super) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Asks the token endpoint once. A session that can be renewed is renewed; only when the
    /// endpoint does not take it any more, a new login follows.
    pub(super) async fn run(&self, request: &ExchangeRequest<'_>) -> ExchangeResult {
        if let (Grant::CarrierLogin(carrier), Some((session, token))) =
            (&self.grant, request.session)
        {
            let renewal = carrier_login::renewal(&self.endpoint, carrier, session, token);
            let renewed = self.send(renewal, request).await;
            let session_ended = matches!(
                renewed.result,
                Err(TokenError::AnswerUnusable(_) | TokenError::Denied(_))
            );
            if !session_ended {
                return renewed;
            }
        }
        let (endpoint, caller) = (&self.endpoint, request.caller);
        let post = |client| Post { endpoint, client, files: &self.files, now: request.now };
        let message = match &self.grant {
            Grant::TokenExchange(grant) => {
                token_exchange::request(grant, &post(&grant.client), caller).await
            }
            Grant::JwtBearer(client) => {
                let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
                let assertion = ("assertion", caller.sso_token.expose());
                post(client).request(&[grant, assertion]).await
            }
            Grant::ClientCredentials(client) => {
                post(client).request(&[("grant_type", "client_credentials")]).await
            }
            Grant::Custom(login) => {
                custom::request(endpoint, login, caller).map_err(TokenError::Denied)
            }
            Grant::CarrierLogin(carrier) => Ok(carrier_login::login(endpoint, carrier)),
        };
        match message {
            Ok(message) => self.send(message, request).await,
            Err(error) => ExchangeResult::unsent(error),
        }
    }

    async fn send(
        &self,
        mut message: Request<OutboundBody>,
        request: &ExchangeRequest<'_>,
    ) -> ExchangeResult {
        message.headers_mut().insert(TRACEPARENT, request.span.to_traceparent());
        let answer = self.client.send_small(message, ANSWER_BYTES_MAX, self.timeout).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return ExchangeResult::unsent(self.no_answer(error)),
        };
        let response = match &self.grant {
            Grant::Custom(login) => custom::read(&login.keys, &answer),
            _ => answer::read(&answer),
        };
        let result = response
            .and_then(|response| self.with_scheme(response))
            .map_err(|error| self.attribute(error));
        let refused = !answer.status.is_success();
        let pause = if refused { retry_after(&answer.headers, request.now) } else { None };
        let (status, date) = (Some(answer.status.as_u16()), client::answer_date(&answer.headers));
        ExchangeResult { result, status, pause, date }
    }

    /// Puts the scheme in front.
    fn with_scheme(&self, response: TokenResponse) -> Result<NewToken, TokenError> {
        if response.expires_in == Some(Duration::ZERO) {
            return Err(TokenError::AnswerUnusable(Unusable::Expired));
        }
        let token = response.token.expose_secret();
        let text = SecretString::from(format!("{} {token}", self.scheme));
        let mut header = HeaderValue::from_str(text.expose_secret())
            .map_err(|_| TokenError::AnswerUnusable(Unusable::TokenIllegal))?;
        header.set_sensitive(true);
        Ok(NewToken { header, expires_in: response.expires_in, session: response.session })
    }

    /// Where the gateway itself logs in, a refusal is no fault of the caller; and an endpoint that
    /// fails has an address.
    fn attribute(&self, error: TokenError) -> TokenError {
        match error {
            TokenError::Denied(Denial::Endpoint(said)) if self.grant.is_per_process() => {
                TokenError::AnswerUnusable(Unusable::Refused(said))
            }
            TokenError::Unavailable { retry_after, cause, .. } => {
                TokenError::Unavailable { at: self.at.clone(), retry_after, cause }
            }
            TokenError::Busy { retry_after, who: Crowded::Endpoint { said, .. } } => {
                TokenError::Busy {
                    retry_after,
                    who: Crowded::Endpoint { at: self.at.clone(), said },
                }
            }
            other => other,
        }
    }

    fn no_answer(&self, error: ClientError) -> TokenError {
        match error {
            ClientError::TimedOut(_) | ClientError::Body(BodyError::Idle(_)) => {
                let (at, after) = (self.at.clone(), self.timeout);
                TokenError::TimedOut { at, after, retry_after: RETRY_AFTER_MIN }
            }
            // Our own bound: the endpoint was not even asked.
            ClientError::Saturated => {
                TokenError::Busy { retry_after: RETRY_AFTER_MIN, who: Crowded::Gateway }
            }
            ClientError::TooLarge(_) => TokenError::AnswerUnusable(Unusable::TooLarge),
            ClientError::Connect(_) | ClientError::Broken { .. } | ClientError::Body(_) => {
                let says_where = matches!(error, ClientError::Connect(_));
                let at = if says_where { At::default() } else { self.at.clone() };
                let cause = Outage::Unreachable(Arc::new(error));
                TokenError::Unavailable { at, retry_after: RETRY_AFTER_MIN, cause }
            }
        }
    }
}

/// Largest answer read: a token of 64 KiB, escaped, with room for the rest.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Files at once: more do not help where one hangs.
const READS_MAX: usize = 4;
