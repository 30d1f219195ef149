//! Why there is no credential for a call: one variant per row of the contract's table.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::client::ClientError;

/// Why a caller gets no KooDrive credential. Cloned to everyone who waited for the same exchange.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TokenError {
    /// The caller may not use KooDrive.
    #[error("the caller is denied: {0}")]
    Denied(Denial),
    /// The token endpoint does not take the gateway for a client, or answered nothing we can use.
    #[error("the token endpoint's answer is unusable: {0}")]
    AnswerUnusable(Unusable),
    /// Too many exchanges.
    #[error("too many token exchanges at once: {who}")]
    Busy { retry_after: Duration, who: Crowded },
    /// The token endpoint is down or out of reach.
    #[error("the token endpoint{at} is unavailable")]
    Unavailable {
        at: At,
        retry_after: Duration,
        #[source]
        cause: Outage,
    },
    /// The token endpoint did not answer in time.
    #[error("the token endpoint{at} did not answer within {after:?}")]
    TimedOut { at: At, after: Duration, retry_after: Duration },
}

/// The endpoint's host and port, where no cause names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct At(pub(super) Option<Arc<str>>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |at| write!(f, " at {at}"))
    }
}

/// Where there are too many exchanges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Crowded {
    /// The endpoint asks to be left alone.
    Endpoint { at: At, said: Said },
    /// Our own queue is too long. That says nothing about the endpoint.
    Gateway,
}

impl fmt::Display for Crowded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint { at, said } => write!(f, "the token endpoint{at} answered {said}"),
            Self::Gateway => f.write_str("the gateway has no place for another"),
        }
    }
}

/// What an answer without a token says: its status and, if known, its OAuth `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    pub status: u16,
    /// A word of the table in `exchange/answer.rs`; never the endpoint's own text.
    pub error: Option<&'static str>,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        self.error.map_or(Ok(()), |error| write!(f, " {error}"))
    }
}

/// Who denied the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    #[error("the token endpoint answered {0}")]
    Endpoint(Said),
    #[error("the SSO token has no claim the configuration asks for")]
    ClaimMissing,
    #[error("the SSO token makes the login longer than an address may be")]
    ClaimTooLong,
    #[error("no KooDrive user id is known for the subject")]
    UserUnknown,
}

/// What is wrong with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error(
        "the token endpoint answered {0}, which refuses the gateway's own credentials or request"
    )]
    Refused(Said),
    #[error("the body is no JSON object")]
    NotJson,
    #[error("the body is too large")]
    TooLarge,
    #[error("the envelope's code or the success rule says it failed")]
    NotSuccess,
    #[error("there is no token")]
    TokenAbsent,
    #[error("the token is no string")]
    TokenNotText,
    #[error("the token is empty or only a scheme")]
    TokenEmpty,
    #[error("the token holds characters no header may carry")]
    TokenIllegal,
    #[error("the token is over 64 KiB")]
    TokenTooLong,
    #[error("the token is of a type that is not sent as a bearer")]
    NotBearer,
    #[error("the token is a refresh or id token, not an access token")]
    NoAccessToken,
    #[error("token.assertion_file holds no token that can be sent")]
    AssertionFile,
    #[error("token.actor_token_file holds no token that can be sent")]
    ActorTokenFile,
    #[error("the token has expired on arrival")]
    Expired,
}

/// What kind of outage.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Outage {
    #[error("it answered {0}")]
    Status(Said),
    #[error(transparent)]
    Unreachable(Arc<ClientError>),
    /// The task that ran it was stopped.
    #[error("the exchange was abandoned")]
    Abandoned,
}

impl TokenError {
    pub(super) fn lost() -> Self {
        let (at, retry_after) = (At::default(), RETRY_AFTER_MIN);
        Self::Unavailable { at, retry_after, cause: Outage::Abandoned }
    }

    /// The same failure for one who learns of it later: `left` is how long it is still remembered.
    pub(super) fn after_waiting(&self, left: Duration) -> Self {
        let mut error = self.clone();
        match &mut error {
            Self::Busy { retry_after, .. }
            | Self::Unavailable { retry_after, .. }
            | Self::TimedOut { retry_after, .. } => *retry_after = left.max(RETRY_AFTER_MIN),
            Self::Denied(_) | Self::AnswerUnusable(_) => {}
        }
        error
    }

    /// When trying again may help, if time can help at all.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. }
            | Self::Unavailable { retry_after, .. }
            | Self::TimedOut { retry_after, .. } => Some(*retry_after),
            Self::Denied(_) | Self::AnswerUnusable(_) => None,
        }
    }
}

/// Header values are whole seconds; zero would invite the caller to try again at once.
pub(super) const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);
