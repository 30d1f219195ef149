//! Reads as much of an answer as it takes to judge it, and no more.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::response;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;

use super::answer::{AnswerRules, ENVELOPE_BYTES_MAX, TokenVerdict};
use super::body::AnswerBody;
use crate::body::BodyError;
use crate::client::PooledBody;

/// An answer of unknown length may be a stream: it is held back no longer than this.
const HELD_BACK_MAX: Duration = Duration::from_millis(250);

/// Judges an answer and hands back its body, whole. An error while the head is still held is the
/// answer's: the caller can be told.
pub(super) async fn judge(
    rules: &AnswerRules,
    head: &response::Parts,
    mut body: PooledBody,
) -> Result<(TokenVerdict, AnswerBody), BodyError> {
    if body.is_end_stream() || !rules.may_carry_envelope(head.status, &head.headers) {
        return Ok((rules.judge(head.status, None, &[]), AnswerBody::Streaming(body)));
    }
    let content_type = head.headers.get(CONTENT_TYPE);
    let mut begun = Begun { frames: VecDeque::new(), bytes: 0, complete: false };
    if body.size_hint().exact().is_some() {
        begun.read(&mut body).await?;
    } else {
        // If there is no end in time, it is streamed unjudged.
        tokio::time::timeout(HELD_BACK_MAX, begun.read(&mut body)).await.unwrap_or(Ok(()))?;
    }
    let verdict = match (begun.complete, begun.contiguous()) {
        (true, Some(whole)) => rules.judge(head.status, content_type, &whole),
        _ => rules.judge(head.status, None, &[]),
    };
    Ok((verdict, AnswerBody::Begun(begun.frames, body)))
}

/// What was read so far.
struct Begun {
    frames: VecDeque<Frame<Bytes>>,
    bytes: usize,
    complete: bool,
}

impl Begun {
    /// Reads to the end, or until it is too much. Whatever was read stays when this is cut short.
    async fn read(&mut self, body: &mut PooledBody) -> Result<(), BodyError> {
        while self.bytes <= ENVELOPE_BYTES_MAX {
            let Some(frame) = body.frame().await.transpose()? else {
                self.complete = true;
                return Ok(());
            };
            self.bytes += frame.data_ref().map_or(0, Bytes::len);
            self.frames.push_back(frame);
        }
        Ok(())
    }

    fn contiguous(&self) -> Option<Bytes> {
        let mut parts = self.frames.iter().filter_map(Frame::data_ref);
        let first = parts.next()?;
        let mut rest = parts.peekable();
        if rest.peek().is_none() {
            return Some(first.clone());
        }
        let mut whole = Vec::with_capacity(self.bytes);
        whole.extend_from_slice(first);
        for part in rest {
            whole.extend_from_slice(part);
        }
        Some(whole.into())
    }
}
