//! Bodies: what callers send, what we send on, what goes back.
//!
//! Knows nothing of stages; it only moves bytes, bounds them and notices when they stop coming.

mod inbound;
mod intake;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

pub use self::inbound::{InboundBody, Progress, discard};
pub use self::intake::Intake;

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("no byte of the body arrived for {0:?}")]
    Idle(Duration),
    #[error("the body did not arrive within {0:?}")]
    Slow(Duration),
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("all memory for bodies is in use")]
    NoBudget,
    #[error("the body is framed wrongly")]
    Malformed(#[source] hyper::Error),
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
}

/// A body we send: nothing, bytes in memory, or a stream passed on.
#[derive(Debug)]
pub enum OutboundBody<S = Box<InboundBody>> {
    Whole(Option<Bytes>),
    Streaming(S),
}

impl OutboundBody {
    pub fn empty() -> Self {
        Self::Whole(None)
    }

    /// When a body that is passed on last moved; `None` for one in memory.
    pub fn progress(&mut self) -> Option<Progress> {
        match self {
            Self::Whole(_) => None,
            Self::Streaming(body) => Some(body.progress()),
        }
    }
}

impl<S> From<Bytes> for OutboundBody<S> {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl<S: Body<Data = Bytes, Error = BodyError> + Unpin> Body for OutboundBody<S> {
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

/// Memory that all bodies held at once share.
#[derive(Debug)]
pub struct Budget {
    total: usize,
    free: AtomicUsize,
}

impl Budget {
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { total: bytes_max, free: AtomicUsize::new(bytes_max) })
    }

    /// Bytes that nobody has taken.
    pub fn free(&self) -> usize {
        self.free.load(Ordering::Relaxed)
    }

    /// So many bytes of it, if it has them.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Option<Reservation> {
        self.take_above(0, bytes)
    }

    /// The same for what can do without: only while all but a `share`th stays free.
    fn take_spare(self: &Arc<Self>, bytes: usize, share: usize) -> Option<Reservation> {
        self.take_above(self.total - self.total / share, bytes)
    }

    fn take_above(self: &Arc<Self>, rest_min: usize, bytes: usize) -> Option<Reservation> {
        let rest = |free: usize| free.checked_sub(bytes).filter(|rest| rest_min <= *rest);
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest).ok()?;
        Some(Reservation { budget: Arc::clone(self), bytes })
    }
}

/// A part of a [`Budget`], given back on drop.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Reservation {
    /// Gives back all but `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let more = self.bytes.saturating_sub(bytes);
        self.bytes -= more;
        self.budget.free.fetch_add(more, Ordering::Relaxed);
    }

    fn grow(&mut self, bytes: usize) -> bool {
        match self.budget.take(bytes) {
            Some(mut more) => {
                self.bytes += std::mem::take(&mut more.bytes);
                true
            }
            None => false,
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.free.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// A body in memory, and the memory it was granted.
#[derive(Debug)]
pub struct WholeBody {
    pub bytes: Bytes,
    _reservation: Reservation,
}

/// Reads a body into memory, at most `bytes_max` of it and within what the budget still has.
pub async fn read_budgeted<B>(
    body: B,
    bytes_max: usize,
    budget: &Arc<Budget>,
) -> Result<WholeBody, BodyError>
where
    B: Body<Data = Bytes, Error = BodyError>,
{
    let mut reservation = budget.take(0).ok_or(BodyError::NoBudget)?;
    let grant = |bytes| reservation.grow(bytes);
    let bytes = gather(body, bytes_max, grant).await?;
    Ok(WholeBody { bytes, _reservation: reservation })
}

/// Reads a body into memory, at most `bytes_max` of it.
pub async fn read_whole<B>(body: B, bytes_max: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes, Error = BodyError>,
{
    gather(body, bytes_max, |_| true).await
}

/// `grant` is asked before each further number of bytes is held or kept free.
async fn gather<B>(
    body: B,
    bytes_max: usize,
    mut grant: impl FnMut(usize) -> bool,
) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes, Error = BodyError>,
{
    let mut body = std::pin::pin!(body);
    let announced = body.size_hint().lower();
    if (bytes_max as u64) < announced {
        return Err(BodyError::TooLarge(bytes_max));
    }
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let held = first.len() + whole.len();
        if bytes_max - held < data.len() {
            return Err(BodyError::TooLarge(bytes_max));
        }
        if held == 0 {
            // Most bodies are one frame: kept as it came, without a copy.
            if !grant(data.len()) {
                return Err(BodyError::NoBudget);
            }
            first = data;
            continue;
        }
        let needed = held + data.len();
        if whole.capacity() < needed {
            // What was announced is not reserved at once: a slow caller holds what it has sent.
            let granted = first.len() + whole.capacity();
            let most = usize::try_from(announced).ok().filter(|bytes| *bytes != 0);
            let room = (2 * needed).max(ROOM_MIN).min(most.unwrap_or(bytes_max)).max(needed);
            if !grant(room - granted) {
                return Err(BodyError::NoBudget);
            }
            let mut larger = BytesMut::with_capacity(room);
            larger.extend_from_slice(&std::mem::take(&mut first));
            larger.extend_from_slice(&whole);
            whole = larger;
        }
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// Room for a body of more than one frame; nearly every batch fits without being moved.
const ROOM_MIN: usize = 128 * 1024;

#[cfg(test)]
mod tests;
