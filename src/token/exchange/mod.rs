//! The exchange itself: one request to the token endpoint, one answer read.
//!
//! One file per method that needs more than a form. Knows nothing of caches, flights or pacing.

mod answer;
mod carrier_login;
mod client_auth;
mod custom;
mod token_exchange;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Request};
use secrecy::{ExposeSecret as _, SecretString};

use self::client_auth::OAuthClient;
use self::custom::Custom;
use super::cache::NewToken;
use super::error::{At, Crowded, Denial, Outage, RETRY_AFTER_MIN, TokenError, Unusable};
use crate::accept::Accepted;
use crate::body::{BodyError, OutboundBody};
use crate::client;
use crate::client::{Client, ClientError, retry_after};
use crate::config::{TokenConfig, TokenMethod};
use crate::trace_context::{SpanContext, TRACEPARENT};

/// How tokens are obtained, ready to run.
#[derive(Debug)]
pub(super) struct Exchange {
    grant: Grant,
    client: Client,
    scheme: String,
    at: At,
    timeout: Duration,
}

/// What is shown to the token endpoint in return for a token: `token.method`.
#[derive(Debug)]
pub(super) enum Grant {
    TokenExchange(token_exchange::TokenExchange),
    /// RFC 7523 §2.1: the SSO token is the authorization grant.
    JwtBearer(OAuthClient),
    /// RFC 6749 §4.4: the gateway's own token, one for the process.
    ClientCredentials(OAuthClient),
    Custom(Custom),
    CarrierLogin(carrier_login::CarrierLogin),
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

impl Grant {
    /// The grant of `config`; `None` for `app_signature`, which exchanges nothing.
    pub(super) fn new(config: &TokenConfig) -> Option<Self> {
        Some(match config.method {
            TokenMethod::TokenExchange => {
                Self::TokenExchange(token_exchange::TokenExchange::new(config))
            }
            TokenMethod::JwtBearer => Self::JwtBearer(OAuthClient::new(config)),
            TokenMethod::ClientCredentials => Self::ClientCredentials(OAuthClient::new(config)),
            TokenMethod::Custom => Self::Custom(Custom::new(config)),
            TokenMethod::CarrierLogin => {
                Self::CarrierLogin(carrier_login::CarrierLogin::new(config))
            }
            TokenMethod::AppSignature => return None,
        })
    }

    /// Whether all callers share one token. What is sent for it tells nothing of the caller, so
    /// the caller's SSO token need not be valid any more.
    pub(super) fn is_per_process(&self) -> bool {
        matches!(self, Self::ClientCredentials(_) | Self::CarrierLogin(_))
    }

    /// The claims it reads: a caller without one is denied.
    pub(super) fn claims(&self) -> BTreeSet<&str> {
        match self {
            Self::Custom(grant) => grant.claims(),
            Self::TokenExchange(_)
            | Self::JwtBearer(_)
            | Self::ClientCredentials(_)
            | Self::CarrierLogin(_) => BTreeSet::new(),
        }
    }

    pub(super) fn describe(&self) -> Description {
        match self {
            Self::TokenExchange(grant) => grant.describe(),
            Self::JwtBearer(client) => {
                client.describe("RFC 7523 grant", "this SSO token as assertion")
            }
            Self::ClientCredentials(client) => {
                client.describe("client credentials", "nothing of the caller")
            }
            Self::Custom(grant) => grant.describe(),
            Self::CarrierLogin(grant) => grant.describe(),
        }
    }
}

impl Exchange {
    /// `None` for `app_signature`, which exchanges nothing.
    pub(super) fn new(config: &TokenConfig, client: Client) -> Option<Self> {
        let grant = Grant::new(config)?;
        let scheme = match &grant {
            // The carrier edition knows no `Bearer`; it is only the default of the other methods.
            Grant::CarrierLogin(_) if config.scheme == "Bearer" => "AT".to_owned(),
            _ => config.scheme.clone(),
        };
        let endpoint = config.endpoint.written().and_then(|url| url.uri().authority());
        let at = At(endpoint.map(|authority| authority.as_str().into()));
        Some(Self { grant, client, scheme, at, timeout: config.timeout })
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
            let renewed = self.send(carrier.renewal(session, token), request.span).await;
            let session_ended = matches!(
                renewed.result,
                Err(TokenError::AnswerUnusable(_) | TokenError::Denied(_))
            );
            if !session_ended {
                return renewed;
            }
        }
        let message = match &self.grant {
            Grant::TokenExchange(grant) => grant.request(request).await,
            Grant::JwtBearer(client) => {
                let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
                let assertion = ("assertion", request.caller.sso_token.expose());
                client.request(&[grant, assertion], request.now).await
            }
            Grant::ClientCredentials(client) => {
                client.request(&[("grant_type", "client_credentials")], request.now).await
            }
            Grant::Custom(grant) => grant.request(request).map_err(TokenError::Denied),
            Grant::CarrierLogin(grant) => Ok(grant.login()),
        };
        match message {
            Ok(message) => self.send(message, request.span).await,
            Err(error) => ExchangeResult::unsent(error),
        }
    }

    async fn send(&self, mut message: Request<OutboundBody>, span: SpanContext) -> ExchangeResult {
        message.headers_mut().insert(TRACEPARENT, span.to_traceparent());
        let answer = self.client.send_small(message, ANSWER_BYTES_MAX, self.timeout).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return ExchangeResult::unsent(self.no_answer(error)),
        };
        let response = match &self.grant {
            Grant::Custom(grant) => grant.read(&answer),
            _ => answer::read(&answer),
        };
        let result = response
            .and_then(|response| self.with_scheme(response))
            .map_err(|error| self.attribute(error));
        let pause = if answer.status.is_success() { None } else { retry_after(&answer.headers) };
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
