//! Why a call was not accepted: one variant per reason, with what an operator needs to act.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why a call was not accepted. No variant holds more of a token than issuer, key id, algorithm,
/// audience and claim names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    #[error("no bearer token in the request: {0}")]
    TokenMissing(MissingToken),
    #[error("the token is malformed")]
    TokenMalformed(#[from] MalformedToken),
    #[error("the signature does not fit key {kid} with {algorithm}")]
    SignatureInvalid { issuer: Arc<str>, kid: Shown, algorithm: &'static str },
    #[error("the token expired {seconds} s ago{hint}")]
    Expired { seconds: u64, hint: SkewHint },
    #[error("the token is not valid for another {seconds} s{hint}")]
    NotYetValid { seconds: u64, hint: SkewHint },
    #[error("issuer {found} is not configured")]
    IssuerUnknown { found: Shown },
    #[error("none of the audiences of {issuer} ({wanted}) is in {found}")]
    AudienceMismatch { issuer: Arc<str>, found: Shown, wanted: Shown },
    #[error("algorithm {algorithm} is not allowed for {issuer}, key {kid}")]
    AlgorithmRefused { issuer: Arc<str>, algorithm: Shown, kid: Shown },
    #[error("{issuer} publishes no usable key {kid}")]
    KeyUnknown { issuer: Arc<str>, kid: Shown },
    #[error("claim {claim} {fault}{hint}")]
    ClaimRefused { claim: Shown, fault: ClaimFault, hint: SkewHint },
    #[error("no usable keys of {issuer}")]
    KeysUnavailable {
        issuer: Arc<str>,
        /// Until the next attempt to fetch them.
        retry_after: Duration,
        /// Why the last attempt failed, if there was one.
        #[source]
        cause: Option<FetchFailure>,
    },
}

/// Why keys could not be fetched, causes included.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchFailure(pub(super) Arc<str>);

impl AcceptError {
    /// Adds how far the issuer's clock was from ours, where that may explain the refusal.
    pub(super) fn with_skew(mut self, skew_seconds: Option<i64>) -> Self {
        if let Self::Expired { hint, .. }
        | Self::NotYetValid { hint, .. }
        | Self::ClaimRefused { fault: ClaimFault::InFuture, hint, .. } = &mut self
        {
            *hint = SkewHint(skew_seconds);
        }
        self
    }
}

/// What stands in the place of the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MissingToken {
    #[error("the header is absent")]
    NoHeader,
    #[error("the header is empty")]
    Empty,
    #[error("a token without a scheme before it")]
    NoScheme,
    #[error("another scheme than Bearer")]
    OtherScheme,
}

/// What is wrong with the form of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedToken {
    #[error("more than one header carries credentials")]
    HeaderRepeated,
    #[error("nothing stands behind the scheme")]
    Empty,
    #[error("it stands in quotes")]
    Quoted,
    #[error("the scheme stands there twice")]
    SchemeTwice,
    #[error("it is the name of a variable, or another stand-in")]
    Placeholder,
    #[error("it is JSON, such as the whole answer of a token endpoint")]
    WholeAnswer,
    #[error("it has illegal characters")]
    Characters,
    #[error("it has not exactly three parts")]
    NotThreeParts,
    #[error("its {0} is not unpadded base64url")]
    NotBase64url(&'static str),
    #[error("its {0} is not one JSON object with distinct names and modest depth")]
    NotJson(&'static str),
    #[error("header member {0} is missing or of the wrong form")]
    Member(&'static str),
    #[error("header member {0} asks for what is not supported")]
    Extension(&'static str),
    #[error("its typ is neither JWT nor at+jwt")]
    Type,
}

/// What is wrong with one claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimFault {
    #[error("is missing")]
    Missing,
    #[error("is of the wrong type or form")]
    Mistyped,
    #[error("lies in the future")]
    InFuture,
    #[error("makes the token live longer than {0} s")]
    LivesTooLong(u64),
    #[error("binds the token to a key or certificate, and accept_bound_tokens is false")]
    Bound,
    #[error("binds the token to another certificate than the caller's")]
    OtherCertificate,
    #[error("has not the required value")]
    NotTheRequiredValue,
}

/// The issuer's clock minus ours, in seconds, at the last fetch of its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SkewHint(pub Option<i64>);

impl fmt::Display for SkewHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(seconds @ 1..) => write!(f, "; the issuer's clock is {seconds} s ahead of ours"),
            Some(seconds @ ..0) => {
                write!(f, "; the issuer's clock is {} s behind ours", seconds.unsigned_abs())
            }
            Some(0) | None => Ok(()),
        }
    }
}

/// Text from outside, made safe to show: cut at 128 characters, control characters escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown(Box<str>);

impl Shown {
    pub(super) fn new(text: &str) -> Self {
        let mut shown = String::from("\"");
        shown.extend(text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug));
        shown.push_str(if text.chars().nth(SHOWN_CHARS_MAX).is_some() { "…\"" } else { "\"" });
        Self(shown.into())
    }

    /// Our own words.
    pub(super) fn plain(text: &str) -> Self {
        Self(text.into())
    }

    pub(super) fn kid(kid: Option<&str>) -> Self {
        kid.map_or_else(|| Self::plain("(none named)"), Self::new)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const SHOWN_CHARS_MAX: usize = 128;
