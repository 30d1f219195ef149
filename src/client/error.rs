//! What can go wrong with a client and its requests.

use std::error::Error;
use std::time::Duration;

use hyper_util::client::legacy;

use super::connect::NoPlace;
use crate::body::BodyError;

/// Why a client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientSetupError {
    #[error("the extra root certificates are not usable PEM")]
    Roots(#[source] rustls::pki_types::pem::Error),
    #[error("a root certificate is not usable")]
    Root(#[source] rustls::Error),
    #[error("the client certificate or its key is not usable PEM")]
    Identity(#[source] rustls::pki_types::pem::Error),
    #[error("the client certificate does not go with its key")]
    IdentityPair(#[source] rustls::Error),
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no connection could be made")]
    Connect(#[source] legacy::Error),
    #[error("all connections are in use")]
    Saturated,
    #[error("the connection closed before the request was written")]
    Forgotten,
    #[error("the connection broke before the answer")]
    Broken {
        #[source]
        cause: legacy::Error,
        /// Whether the connection had served a request before: the peer may have closed it while
        /// this one was on its way.
        reused: bool,
    },
    #[error("the answer broke off")]
    Body(#[source] BodyError),
    #[error("no complete answer within {0:?}")]
    TimedOut(Duration),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

impl ClientError {
    pub(super) fn of(error: legacy::Error, reused: bool) -> Self {
        if cause_of::<NoPlace>(&error).is_some() {
            Self::Saturated
        } else if error.is_connect() {
            Self::Connect(error)
        } else {
            Self::Broken { cause: error, reused }
        }
    }

    /// The failure of the body we were sending, if that is what broke the request.
    pub fn body_error(&self) -> Option<&BodyError> {
        match self {
            Self::Broken { cause, .. } => cause_of(cause),
            Self::Body(_)
            | Self::Connect(_)
            | Self::Saturated
            | Self::Forgotten
            | Self::TimedOut(_)
            | Self::TooLarge(_) => None,
        }
    }

    /// Whether the request was lost on a connection that had served others and that the peer may
    /// have been closing: it sent nothing that could be an answer.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Broken { cause, reused } => {
                let answered = cause_of::<hyper::Error>(cause).is_some_and(hyper::Error::is_parse);
                *reused && !answered
            }
            Self::Forgotten => true,
            Self::Body(_)
            | Self::Connect(_)
            | Self::Saturated
            | Self::TimedOut(_)
            | Self::TooLarge(_) => false,
        }
    }
}

/// The first cause of this type.
fn cause_of<E: Error + 'static>(error: &legacy::Error) -> Option<&E> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
