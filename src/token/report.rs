//! What is told of an exchange once it is over.

use std::error::Error;
use std::time::SystemTime;

use super::error::TokenError;
use crate::accept::CallerId;
use crate::trace_context::SpanContext;
use crate::words::words;

/// One exchange with the token endpoint. Queueing is not part of it.
#[derive(Clone, Debug)]
pub struct ExchangeReport {
    /// The exchange's own span; the token endpoint saw it as `traceparent`.
    pub span: SpanContext,
    /// The token stage of the call that led it.
    pub parent: SpanContext,
    pub started: SystemTime,
    pub ended: SystemTime,
    pub outcome: ExchangeOutcome,
    /// Why there is no token.
    pub error: Option<TokenError>,
    /// Of the answer, if there was one.
    pub status: Option<u16>,
    /// The token endpoint's clock minus ours by the answer's `Date`, in seconds.
    pub skew_seconds: Option<i64>,
    /// Whether it was a renewal ahead of need, for which the call did not wait.
    pub background: bool,
}

impl ExchangeReport {
    /// Of whom, and what came of it; never a token.
    pub(super) fn log(&self, caller: CallerId) {
        let took = self.ended.duration_since(self.started).unwrap_or_default();
        tracing::debug!(
            outcome = self.outcome.as_str(),
            status = self.status,
            caller = %caller,
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            background = self.background,
            error = self.error.as_ref().map(|error| error as &(dyn Error + 'static)),
            "exchange"
        );
    }
}

words! {
    /// How an exchange ended.
    pub enum ExchangeOutcome {
        Issued = "issued",
        Denied = "denied",
        AnswerUnusable = "answer_unusable",
        Busy = "busy",
        Unavailable = "unavailable",
        TimedOut = "timed_out",
    }
}

impl ExchangeOutcome {
    pub(super) fn of(error: Option<&TokenError>) -> Self {
        match error {
            None => Self::Issued,
            Some(TokenError::Denied(_)) => Self::Denied,
            Some(TokenError::AnswerUnusable(_)) => Self::AnswerUnusable,
            Some(TokenError::Busy { .. }) => Self::Busy,
            Some(TokenError::Unavailable { .. }) => Self::Unavailable,
            Some(TokenError::TimedOut { .. }) => Self::TimedOut,
        }
    }
}

words! {
    /// What an answer of KooDrive says of the token it was asked with.
    pub enum TokenVerdict {
        /// KooDrive took the token: its idle life begins anew.
        Accepted = "accepted",
        /// KooDrive does not take this token any more.
        Refused = "refused",
        /// Nothing is known: the answer was not read, or KooDrive failed or is throttling.
        Unread = "unread",
    }
}
