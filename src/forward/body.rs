//! The body of an answer on its way to the caller.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::headers;
use crate::body::{BodyError, OutboundBody};
use crate::client::PooledBody;

/// Bytes of our own, or KooDrive's as they come.
pub type AnswerBody = OutboundBody<Relayed>;

/// KooDrive's answer, of which the beginning may have been read already.
#[derive(Debug)]
pub struct Relayed {
    begun: VecDeque<Frame<Bytes>>,
    rest: PooledBody,
}

impl Relayed {
    pub(super) fn new(begun: VecDeque<Frame<Bytes>>, rest: PooledBody) -> Self {
        Self { begun, rest }
    }
}

impl From<PooledBody> for Relayed {
    fn from(body: PooledBody) -> Self {
        Self::new(VecDeque::new(), body)
    }
}

/// How far an answer was read before its caller asked for it.
#[derive(Clone, Copy, Debug)]
pub struct ReadAhead {
    pub ended: bool,
    /// What waits here.
    pub bytes: usize,
}

impl AnswerBody {
    /// Reads on until the answer has ended, or until more than `bytes_max` of it wait here.
    pub(super) async fn read_ahead(&mut self, bytes_max: usize) -> Result<ReadAhead, BodyError> {
        let Self::Streaming(Relayed { begun, rest }) = self else {
            return Ok(ReadAhead { ended: true, bytes: 0 });
        };
        let mut bytes: usize = begun.iter().filter_map(Frame::data_ref).map(Bytes::len).sum();
        while bytes <= bytes_max {
            if rest.is_end_stream() {
                return Ok(ReadAhead { ended: true, bytes });
            }
            let Some(frame) = rest.frame().await.transpose()? else {
                return Ok(ReadAhead { ended: true, bytes });
            };
            bytes += frame.data_ref().map_or(0, Bytes::len);
            begun.push_back(frame);
        }
        Ok(ReadAhead { ended: false, bytes })
    }
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { begun, rest } = self.get_mut();
        let read = match begun.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(rest).poll_frame(cx),
        };
        read.map_ok(|frame| match frame.into_trailers() {
            Ok(trailers) => Frame::trailers(headers::trailers_for_caller(trailers)),
            Err(data) => data,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.begun.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.begun.is_empty() {
            return self.rest.size_hint();
        }
        let begun = self.begun.iter().filter_map(Frame::data_ref);
        let begun: u64 = begun.map(|data| data.len() as u64).sum();
        let whole = self.rest.size_hint().exact().map(|left| SizeHint::with_exact(begun + left));
        whole.unwrap_or_default()
    }
}
