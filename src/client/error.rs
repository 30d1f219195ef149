//! What can go wrong with a client and its requests.

use std::error::Error;
use std::time::Duration;

use hyper_util::client::legacy;

use super::connector::{BoxError, History, NoPlace};
use super::proxy::ProxyError;
use crate::body::BodyError;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no connection could be made")]
    Connect(#[source] BoxError),
    #[error("all connections are in use")]
    Saturated,
    #[error("the connection broke before the answer")]
    Broken {
        #[source]
        cause: BoxError,
        /// The request was lost on a connection that had served another, before any byte of an
        /// answer: the peer may have been closing it.
        closed_while_idle: bool,
    },
    #[error("the answer broke off")]
    Body(#[source] BodyError),
    #[error("no complete answer within {0:?}")]
    TimedOut(Duration),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

impl From<ProxyError> for ClientError {
    fn from(error: ProxyError) -> Self {
        Self::Connect(error.into())
    }
}

impl ClientError {
    /// Of a connection of ours.
    pub(super) fn broken(error: hyper::Error, history: &History) -> Self {
        let closed_while_idle = !error.is_parse() && history.closed_while_idle();
        Self::Broken { cause: error.into(), closed_while_idle }
    }

    /// The failure of the body we were sending, if that is what broke the request.
    pub fn body_error(&self) -> Option<&BodyError> {
        match self {
            Self::Broken { cause, .. } => cause_of(cause.as_ref()),
            Self::Body(_)
            | Self::Connect(_)
            | Self::Saturated
            | Self::TimedOut(_)
            | Self::TooLarge(_) => None,
        }
    }

    /// Whether the request was lost on a connection that had served others and that the peer may
    /// have been closing: nothing came that could be an answer.
    pub fn closed_while_idle(&self) -> bool {
        matches!(self, Self::Broken { closed_while_idle: true, .. })
    }
}

impl From<legacy::Error> for ClientError {
    fn from(error: legacy::Error) -> Self {
        if cause_of::<NoPlace>(&error).is_some() {
            Self::Saturated
        } else if error.is_connect() {
            Self::Connect(error.into())
        } else {
            let mut extensions = http::Extensions::new();
            if let Some(connected) = error.connect_info() {
                connected.get_extras(&mut extensions);
            }
            let idle = extensions.get().is_some_and(History::closed_while_idle);
            let answered = cause_of::<hyper::Error>(&error).is_some_and(hyper::Error::is_parse);
            Self::Broken { closed_while_idle: idle && !answered, cause: error.into() }
        }
    }
}

/// An error with its causes, each once; what only says that there is a cause is left out.
pub fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        cause = error.source();
        let said = error.to_string();
        let says_nothing = error.is::<legacy::Error>() || said == "tcp connect error";
        if !(says_nothing && cause.is_some() || text.contains(&said)) {
            text.push_str(": ");
            text.push_str(&said);
        }
    }
    text
}

/// The first cause of this type.
fn cause_of<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
