//! `/calls`: calls as they end, as server-sent events (HTML Living Standard, section 9.2).

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use futures_util::stream::BoxStream;
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{Either, StreamBody};

use super::{Page, Pages, TEXT};
use crate::body::{BodyError, OutboundBody};
use crate::telemetry::{CallFeed, FeedItem};

/// A page, or events for as long as somebody reads them.
pub(super) type PageOrEvents = Either<OutboundBody, Events>;

type Events = StreamBody<BoxStream<'static, Result<Frame<Bytes>, BodyError>>>;

pub(super) fn answer(pages: &Pages) -> Response<PageOrEvents> {
    let Some(feed) = (pages.calls)() else {
        let full = Page::ok(TEXT, "too many watch already; try again when one has left\n");
        let full = Page { status: StatusCode::SERVICE_UNAVAILABLE, ..full };
        return full.into_response().map(Either::Left);
    };
    let head = Page::ok("text/event-stream", "").into_response();
    let events: Events = StreamBody::new(Box::pin(stream::unfold(feed, |mut feed| async {
        let event = next(&mut feed).await?;
        Some((Ok(Frame::data(event)), feed))
    })));
    head.map(|_| Either::Right(events))
}

/// The next event, or a comment by which both ends see that the other is there.
async fn next(feed: &mut CallFeed) -> Option<Bytes> {
    let Ok(item) = tokio::time::timeout(SILENCE_MAX, feed.next()).await else {
        return Some(Bytes::from_static(b": nothing has ended\n\n"));
    };
    let event = match item? {
        FeedItem::Call(line) => format!("event: call\ndata: {line}\n\n"),
        FeedItem::Missed(calls) => format!("event: missed\ndata: {calls}\n\n"),
    };
    Some(event.into())
}

pub(super) const PATH: &str = "/calls";
const SILENCE_MAX: Duration = Duration::from_secs(10);
