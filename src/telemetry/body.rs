//! A response body that closes its record.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http::{Method, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::record::{Ending, RequestRecord};

/// Counts what goes out, and closes the record at the end of the body or when it is dropped.
#[derive(Debug)]
pub struct RecordedBody<B: Body> {
    record: RequestRecord,
    status: StatusCode,
    body: B,
    /// HEAD, 204, 304: nobody will read the body, and that is no hanging up.
    bodiless: bool,
    bytes_out: u64,
    /// The size announced at the start: a server stops reading once it has that much.
    announced: Option<u64>,
}

impl RequestRecord {
    /// Hands the record to the response body; it closes when that body ends or is dropped.
    pub fn close_with<B: Body>(self, status: StatusCode, body: B) -> RecordedBody<B> {
        let to_head = self.facts.as_ref().is_some_and(|facts| facts.opened.method == Method::HEAD);
        let bodiless =
            to_head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        let announced = body.size_hint().exact();
        RecordedBody { record: self, status, body, bodiless, bytes_out: 0, announced }
    }
}

impl<B: Body> RecordedBody<B> {
    fn close(&mut self, ending: Ending) {
        self.record.close(self.status.as_u16(), self.bytes_out, ending);
    }
}

impl<B> Body for RecordedBody<B>
where
    B: Body + Unpin,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            None => this.close(Ending::Whole),
            Some(Err(_)) => this.close(Ending::Broken),
            // Nothing follows them, so a server does not ask again.
            Some(Ok(frame)) if frame.is_trailers() => this.close(Ending::Whole),
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Buf::remaining);
                this.bytes_out += bytes as u64;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Body> Drop for RecordedBody<B> {
    fn drop(&mut self) {
        let whole = self.bodiless
            || self.body.is_end_stream()
            || self.announced.is_some_and(|bytes| bytes <= self.bytes_out);
        self.close(if whole { Ending::Whole } else { Ending::CallerGone });
    }
}
