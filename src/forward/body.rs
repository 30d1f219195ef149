//! The body of an answer on its way to the caller.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::headers;
use crate::body::BodyError;
use crate::client::PooledBody;

/// Bytes of our own, or KooDrive's as they come.
#[derive(Debug)]
pub enum AnswerBody {
    Whole(Option<Bytes>),
    Streaming(PooledBody),
    /// A stream of which the beginning was read already.
    Begun(VecDeque<Frame<Bytes>>, PooledBody),
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
        *self = match std::mem::replace(self, Self::Whole(None)) {
            Self::Streaming(body) => Self::Begun(VecDeque::new(), body),
            whole_or_begun => whole_or_begun,
        };
        let Self::Begun(begin, body) = self else { return Ok(ReadAhead { ended: true, bytes: 0 }) };
        let mut bytes: usize = begin.iter().filter_map(Frame::data_ref).map(Bytes::len).sum();
        while bytes <= bytes_max {
            if body.is_end_stream() {
                return Ok(ReadAhead { ended: true, bytes });
            }
            let Some(frame) = body.frame().await.transpose()? else {
                return Ok(ReadAhead { ended: true, bytes });
            };
            bytes += frame.data_ref().map_or(0, Bytes::len);
            begin.push_back(frame);
        }
        Ok(ReadAhead { ended: false, bytes })
    }
}

impl From<Bytes> for AnswerBody {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let read = match self.get_mut() {
            Self::Whole(bytes) => return Poll::Ready(bytes.take().map(Frame::data).map(Ok)),
            Self::Begun(begin, body) => match begin.pop_front() {
                Some(frame) => Poll::Ready(Some(Ok(frame))),
                None => Pin::new(body).poll_frame(cx),
            },
            Self::Streaming(body) => Pin::new(body).poll_frame(cx),
        };
        read.map_ok(|frame| match frame.into_trailers() {
            Ok(trailers) => Frame::trailers(headers::trailers_for_caller(trailers)),
            Err(data) => data,
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Begun(begin, body) => begin.is_empty() && body.is_end_stream(),
            Self::Streaming(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Streaming(body) => body.size_hint(),
            Self::Begun(begin, body) => {
                let frames = begin.iter().filter_map(Frame::data_ref);
                let read: u64 = frames.map(|data| data.len() as u64).sum();
                match body.size_hint().exact() {
                    Some(left) => SizeHint::with_exact(read + left),
                    None => SizeHint::default(),
                }
            }
        }
    }
}
