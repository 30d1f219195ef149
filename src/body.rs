//! Bodies: what callers send, what we send on, what goes back.
//!
//! Knows nothing of stages; it only moves bytes, bounds them and notices when they stop coming.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio::time::Sleep;

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("no byte of the body arrived for {0:?}")]
    Idle(Duration),
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
}

/// A body that arrives over a connection, with a bound on the time between two reads.
#[derive(Debug)]
pub struct InboundBody {
    inner: Incoming,
    idle_timeout: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    bytes: u64,
}

impl InboundBody {
    pub fn new(inner: Incoming, idle_timeout: Duration) -> Self {
        Self { inner, idle_timeout, deadline: None, bytes: 0 }
    }
}

impl Body for InboundBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                this.deadline = None;
                if let Some(Ok(frame)) = &frame
                    && let Some(data) = frame.data_ref()
                {
                    this.bytes += data.len() as u64;
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)))
            }
            Poll::Pending => {
                let idle_timeout = this.idle_timeout;
                let deadline = this.deadline.get_or_insert_with(|| {
                    Box::pin(tokio::time::sleep_until(Instant::now() + idle_timeout))
                });
                ready!(deadline.as_mut().poll(cx));
                Poll::Ready(Some(Err(BodyError::Idle(idle_timeout))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A body we send: nothing, bytes in memory, or a stream passed on.
#[derive(Debug)]
pub enum OutboundBody {
    Whole(Option<Bytes>),
    Streaming(InboundBody),
}

impl OutboundBody {
    pub fn empty() -> Self {
        Self::Whole(None)
    }
}

impl From<Bytes> for OutboundBody {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl Body for OutboundBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streaming(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Streaming(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Streaming(body) => body.size_hint(),
        }
    }
}

/// Reads a body into memory, at most `bytes_max` of it.
pub async fn read_whole<B>(body: B, bytes_max: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes, Error = BodyError>,
{
    let mut body = std::pin::pin!(body);
    let announced = body.size_hint().lower();
    if (bytes_max as u64) < announced {
        return Err(BodyError::TooLarge(bytes_max));
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if bytes_max - first.len() - rest.len() < data.len() {
            return Err(BodyError::TooLarge(bytes_max));
        }
        if first.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                let announced = usize::try_from(announced).unwrap_or(0);
                rest.reserve(announced.saturating_sub(first.len()).max(data.len()));
            }
            rest.extend_from_slice(&data);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok(whole.freeze())
}
