//! Reads as much of an answer as it takes to judge it, and no more.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::response;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;

use super::answer::{AnswerRules, ENVELOPE_BYTES_MAX, Judgement, is_too_large};
use super::body::{AnswerBody, Relayed};
use super::inflate::Coding;
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
) -> Result<(Judgement, AnswerBody), BodyError> {
    if body.is_end_stream() || !rules.may_carry_envelope(head.status, &head.headers) {
        return Ok((rules.by_status(head.status), AnswerBody::Streaming(body.into())));
    }
    let readable = Coding::of(&head.headers).filter(|_| !is_too_large(&head.headers));
    let Some(coding) = readable else {
        return Ok((rules.unread(head.status), AnswerBody::Streaming(body.into())));
    };
    let mut begun = Begun { frames: VecDeque::new(), bytes: 0, complete: false };
    if body.size_hint().exact().is_some() {
        begun.read(&mut body).await?;
    } else {
        // Not whole by then, it is streamed unjudged.
        tokio::time::timeout(HELD_BACK_MAX, begun.read(&mut body)).await.unwrap_or(Ok(()))?;
    }
    let whole = begun.complete.then(|| begun.contiguous());
    let plain = whole.and_then(|whole| coding.plain(whole, ENVELOPE_BYTES_MAX));
    let judgement = match plain {
        Some(plain) => rules.by_envelope(head.status, &plain),
        None => rules.unread(head.status),
    };
    Ok((judgement, AnswerBody::Streaming(Relayed::new(begun.frames, body))))
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

    fn contiguous(&self) -> Bytes {
        let mut parts = self.frames.iter().filter_map(Frame::data_ref);
        let Some(first) = parts.next() else { return Bytes::new() };
        let mut rest = parts.peekable();
        if rest.peek().is_none() {
            return first.clone();
        }
        let mut whole = Vec::with_capacity(self.bytes);
        whole.extend_from_slice(first);
        for part in rest {
            whole.extend_from_slice(part);
        }
        whole.into()
    }
}
