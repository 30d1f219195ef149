//! The exchange itself: one request to the token endpoint, one answer read.
//!
//! One file per method. Knows nothing of caches, flights or pacing.

mod answer;
mod carrier_login;
mod client_auth;
mod client_credentials;
mod custom;
mod jwt_bearer;
mod token_exchange;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Request};
use secrecy::{ExposeSecret as _, SecretString};

pub use self::client_auth::KeyError;
pub(super) use self::custom::Custom;
pub use self::custom::TemplateError;
use super::cache::NewToken;
use super::error::{Denial, Outage, RETRY_AFTER_MIN, TokenError, Unusable};
use crate::accept::Accepted;
use crate::body::{BodyError, OutboundBody};
use crate::client;
use crate::client::{Client, ClientError};
use crate::config::{TokenConfig, TokenMethod};
use crate::trace_context::{SpanContext, TRACEPARENT};

/// How tokens are had, ready to run.
#[derive(Debug)]
pub(super) struct Exchange {
    method: Method,
    client: Client,
    scheme: String,
    timeout: Duration,
}

#[derive(Debug)]
enum Method {
    TokenExchange(token_exchange::TokenExchange),
    JwtBearer(jwt_bearer::JwtBearer),
    ClientCredentials(client_credentials::ClientCredentials),
    Custom(Custom),
    CarrierLogin(carrier_login::CarrierLogin),
}

/// One exchange to run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) caller: &'a Accepted,
    /// What renews the caller's present token, and that token as it is sent.
    pub(super) session: Option<(&'a SecretString, &'a HeaderValue)>,
    pub(super) now: SystemTime,
    pub(super) span: SpanContext,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) result: Result<NewToken, TokenError>,
    pub(super) status: Option<u16>,
    /// By the answer's `Date`.
    pub(super) date: Option<SystemTime>,
}

/// A token as the answer gives it, before the scheme is put in front.
#[derive(Debug)]
struct Given {
    token: SecretString,
    expires_in: Option<Duration>,
    session: Option<SecretString>,
}

/// Why the method cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeSetupError {
    #[error("`token.endpoint` is required by this method")]
    EndpointMissing,
    #[error("`token.client_id` is required by this method")]
    ClientIdMissing,
    #[error("`token.private_key_file` is not usable")]
    PrivateKey(#[source] KeyError),
    #[error("`token.custom` is not usable")]
    Custom(#[source] TemplateError),
    #[error("`token.carrier.account` and `token.carrier.password_file` are required")]
    CarrierAccountMissing,
    #[error("`token.carrier.agent_name` is no header value")]
    CarrierAgentName,
    #[error("`token.scheme` is no header value")]
    Scheme,
}

impl Exchange {
    /// The method of `config`; `None` for `app_signature`, which exchanges nothing.
    pub(super) fn new(
        config: &TokenConfig,
        client: Client,
    ) -> Result<Option<Self>, ExchangeSetupError> {
        let method = match config.method {
            TokenMethod::TokenExchange => {
                Method::TokenExchange(token_exchange::TokenExchange::new(config)?)
            }
            TokenMethod::JwtBearer => Method::JwtBearer(jwt_bearer::JwtBearer::new(config)?),
            TokenMethod::ClientCredentials => {
                Method::ClientCredentials(client_credentials::ClientCredentials::new(config)?)
            }
            TokenMethod::Custom => Method::Custom(Custom::new(config)?),
            TokenMethod::CarrierLogin => {
                Method::CarrierLogin(carrier_login::CarrierLogin::new(config)?)
            }
            TokenMethod::AppSignature => return Ok(None),
        };
        let scheme = match &method {
            // The carrier edition knows no `Bearer`; it is only the default of the other methods.
            Method::CarrierLogin(_) if config.scheme == "Bearer" => "AT".to_owned(),
            _ => config.scheme.clone(),
        };
        HeaderValue::from_str(&scheme).map_err(|_| ExchangeSetupError::Scheme)?;
        Ok(Some(Self { method, client, scheme, timeout: config.timeout }))
    }

    /// Whether all callers share one token.
    pub(super) fn is_per_process(&self) -> bool {
        matches!(self.method, Method::ClientCredentials(_) | Method::CarrierLogin(_))
    }

    /// Whether what is sent tells who the caller is, so that his SSO token must be valid.
    pub(super) fn speaks_for_caller(&self) -> bool {
        !self.is_per_process()
    }

    /// Asks the token endpoint once. A session that can be renewed is renewed; only when the
    /// endpoint does not take it any more, a new login follows.
    pub(super) async fn run(&self, ask: &Ask<'_>) -> Answered {
        if let (Method::CarrierLogin(carrier), Some((session, token))) = (&self.method, ask.session)
        {
            let renewed = self.send(Ok(carrier.renewal(session, token)), ask).await;
            let session_ended = matches!(
                renewed.result,
                Err(TokenError::AnswerUnusable(_) | TokenError::Denied(_))
            );
            if !session_ended {
                return renewed;
            }
        }
        let request = match &self.method {
            Method::TokenExchange(method) => Ok(method.request(ask)),
            Method::JwtBearer(method) => Ok(method.request(ask)),
            Method::ClientCredentials(method) => Ok(method.request(ask)),
            Method::Custom(method) => method.request(ask),
            Method::CarrierLogin(method) => Ok(method.login()),
        };
        self.send(request, ask).await
    }

    async fn send(
        &self,
        request: Result<Request<OutboundBody>, Denial>,
        ask: &Ask<'_>,
    ) -> Answered {
        let mut request = match request {
            Ok(request) => request,
            Err(denial) => {
                return Answered {
                    result: Err(TokenError::Denied(denial)),
                    status: None,
                    date: None,
                };
            }
        };
        request.headers_mut().insert(TRACEPARENT, ask.span.to_traceparent());
        let answer = self.client.send_small(request, ANSWER_BYTES_MAX, self.timeout).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                return Answered { result: Err(self.no_answer(error)), status: None, date: None };
            }
        };
        let given = match &self.method {
            Method::Custom(method) => method.read(&answer),
            Method::TokenExchange(_) => answer::read_exchange(&answer),
            _ => answer::read(&answer),
        };
        let result = given.and_then(|given| self.dress(given)).map_err(|error| self.blame(error));
        let date = client::answer_date(&answer.headers);
        Answered { result, status: Some(answer.status.as_u16()), date }
    }

    /// Puts the scheme in front.
    fn dress(&self, given: Given) -> Result<NewToken, TokenError> {
        if given.expires_in == Some(Duration::ZERO) {
            return Err(TokenError::AnswerUnusable(Unusable::Expired));
        }
        let token = given.token.expose_secret();
        let text = SecretString::from(match self.scheme.as_str() {
            "" => token.to_owned(),
            scheme => format!("{scheme} {token}"),
        });
        let mut header = HeaderValue::from_str(text.expose_secret())
            .map_err(|_| TokenError::AnswerUnusable(Unusable::TokenIllegal))?;
        header.set_sensitive(true);
        Ok(NewToken { header, expires_in: given.expires_in, session: given.session })
    }

    /// Where the gateway itself logs in, a refusal is no fault of the caller.
    fn blame(&self, error: TokenError) -> TokenError {
        match error {
            TokenError::Denied(Denial::Endpoint { status }) if self.is_per_process() => {
                TokenError::AnswerUnusable(Unusable::Refused { status })
            }
            other => other,
        }
    }

    fn no_answer(&self, error: ClientError) -> TokenError {
        match error {
            ClientError::TimedOut(_) | ClientError::Body(BodyError::Idle(_)) => {
                TokenError::TimedOut { after: self.timeout, retry_after: RETRY_AFTER_MIN }
            }
            ClientError::TooLarge(_) => TokenError::AnswerUnusable(Unusable::TooLarge),
            ClientError::Connect(_)
            | ClientError::Saturated
            | ClientError::Forgotten
            | ClientError::Broken { .. }
            | ClientError::Body(_) => {
                let cause = Outage::Unreachable(Arc::new(error));
                TokenError::Unavailable { retry_after: RETRY_AFTER_MIN, cause }
            }
        }
    }
}

/// Largest answer read: a token of 64 KiB, escaped, with room for the rest.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
