//! The body of an answer to a caller: what was recorded, and what it still occupies.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::context::Held;
use crate::body::BodyError;
use crate::forward::AnswerBody;
use crate::places::{Holder, Place};
use crate::telemetry::RecordedBody;

/// Frees what the request held when the answer has gone out. The default is an empty body.
#[derive(Debug, Default)]
pub struct ResponseBody {
    recorded: Option<RecordedBody<AnswerBody>>,
    held: Held,
}

impl ResponseBody {
    pub(super) fn new(recorded: RecordedBody<AnswerBody>, held: Held) -> Self {
        Self { recorded: Some(recorded), held }
    }

    /// Whose call it answers, if its caller was accepted.
    pub fn holder(&self) -> Option<Holder> {
        self.held.in_flight.as_ref().map(Place::holder)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().recorded {
            Some(recorded) => Pin::new(recorded).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.recorded.as_ref().is_none_or(RecordedBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.recorded.as_ref().map_or(SizeHint::with_exact(0), RecordedBody::size_hint)
    }
}
