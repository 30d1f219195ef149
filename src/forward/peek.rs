//! Reads as much of an answer as it takes to judge it, and no more.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::response;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;

use super::answer::{AnswerRules, ENVELOPE_BYTES_MAX, Judgement};
use crate::body::{BodyError, InboundBody, OutboundBody};

/// An answer of unknown length may be a stream: it is held back no longer than this.
const PATIENCE: Duration = Duration::from_millis(250);

/// Judges an answer and hands back its body, whole.
pub(super) async fn judge(
    rules: &AnswerRules,
    head: &response::Parts,
    body: InboundBody,
) -> (Judgement, OutboundBody) {
    let content_type = head.headers.get(CONTENT_TYPE);
    if body.is_end_stream() || !rules.worth_reading(head.status, &head.headers) {
        return (rules.judge(head.status, None, &[]), OutboundBody::Streaming(body));
    }
    let mut begun = Begun { frames: VecDeque::new(), bytes: 0, complete: false };
    let mut body = body;
    if body.size_hint().exact().is_some() {
        begun.read(&mut body).await;
    } else if tokio::time::timeout(PATIENCE, begun.read(&mut body)).await.is_err() {
        tracing::trace!("answer is streamed before it could be judged whole");
    }
    let judgement = match (begun.complete, begun.contiguous()) {
        (true, Some(whole)) => rules.judge(head.status, content_type, &whole),
        _ => rules.judge(head.status, None, &[]),
    };
    (judgement, OutboundBody::Begun(begun.frames, body))
}

/// What was read so far.
struct Begun {
    frames: VecDeque<Result<Frame<Bytes>, BodyError>>,
    bytes: usize,
    complete: bool,
}

impl Begun {
    /// Reads to the end, or until it is too much. Whatever was read stays when this is cut short.
    async fn read(&mut self, body: &mut InboundBody) {
        while self.bytes <= ENVELOPE_BYTES_MAX {
            let Some(frame) = body.frame().await else {
                self.complete = true;
                return;
            };
            let failed = frame.is_err();
            if let Ok(frame) = &frame {
                self.bytes += frame.data_ref().map_or(0, Bytes::len);
            }
            self.frames.push_back(frame);
            if failed {
                return;
            }
        }
    }

    fn contiguous(&self) -> Option<Bytes> {
        let mut parts = self.frames.iter().filter_map(|frame| frame.as_ref().ok()?.data_ref());
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
