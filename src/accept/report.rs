//! What is told of a fetch of keys once it is over.

use std::sync::Arc;
use std::time::SystemTime;

use super::error::FetchFailure;
use super::fetch::FetchError;
use super::keys::Skipped;
use crate::client::ClientError;
use crate::trace_context::SpanContext;
use crate::words::words;

/// One attempt to get an issuer's keys, for metrics, spans and the clock sentinel.
#[derive(Clone, Debug)]
pub struct KeyFetch {
    pub issuer: Arc<str>,
    pub cause: KeyFetchCause,
    pub outcome: KeyFetchOutcome,
    pub started: SystemTime,
    pub ended: SystemTime,
    /// Usable keys that arrived.
    pub keys: usize,
    /// Published keys that are not used, and why.
    pub skipped: Skipped,
    /// Why none arrived, causes included.
    pub failure: Option<FetchFailure>,
    /// The issuer's clock minus ours by the answer's `Date`, in seconds; one second is noise.
    pub skew_seconds: Option<i64>,
    /// The CLIENT span `jwks.fetch`, the first of its trace; telemetry decides whether it is kept.
    /// A file is read without one.
    pub span: SpanContext,
}

impl KeyFetch {
    pub(super) fn begin(issuer: &Arc<str>, cause: KeyFetchCause, now: SystemTime) -> Self {
        Self {
            issuer: Arc::clone(issuer),
            cause,
            outcome: KeyFetchOutcome::Unreachable,
            started: now,
            ended: now,
            keys: 0,
            skipped: Skipped::default(),
            failure: None,
            skew_seconds: None,
            span: SpanContext::root(true),
        }
    }
}

words! {
    /// What made us fetch.
    pub enum KeyFetchCause {
        /// Its time had come.
        Schedule = "schedule",
        /// A token named a key that is not in the set.
        UnknownKid = "unknown_kid",
        /// A signature failed under the key its token names.
        FailedSignature = "failed_signature",
        /// The operator asked.
        Requested = "requested",
        /// A key set file was read, at start or because it changed.
        File = "file",
    }
}

words! {
    /// How an attempt ended.
    pub enum KeyFetchOutcome {
        Fetched = "fetched",
        /// No connection, or a broken one.
        Unreachable = "unreachable",
        TimedOut = "timed_out",
        /// Neither 200 nor anything that could be used; redirects too.
        Status = "status",
        TooLarge = "too_large",
        /// Plain http to a host that is not loopback.
        PlainHttp = "plain_http",
        /// The discovery document is malformed or speaks for another issuer.
        Discovery = "discovery",
        NotAKeySet = "not_a_key_set",
        NoUsableKeys = "no_usable_keys",
    }
}

impl KeyFetchOutcome {
    pub(super) fn of(error: &FetchError) -> Self {
        match error {
            FetchError::PlainHttp => Self::PlainHttp,
            FetchError::Client { error: ClientError::TimedOut(_), .. } => Self::TimedOut,
            FetchError::Client { error: ClientError::TooLarge(_), .. }
            | FetchError::Inflated { .. } => Self::TooLarge,
            FetchError::Client { .. } => Self::Unreachable,
            FetchError::Redirected { .. }
            | FetchError::Status { .. }
            | FetchError::Coding { .. } => Self::Status,
            FetchError::DiscoveryMalformed { .. } | FetchError::DiscoveryOfAnother { .. } => {
                Self::Discovery
            }
            FetchError::NotAKeySet { .. } => Self::NotAKeySet,
            FetchError::NoUsableKeys { .. } => Self::NoUsableKeys,
        }
    }
}
