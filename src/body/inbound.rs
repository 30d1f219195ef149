//! A body that arrives over a connection.

use std::error::Error as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::{BodyError, Intake};
use crate::places::Place;
use crate::wakes;

/// A body that arrives over a connection, with a bound on the time between two reads.
pub struct InboundBody {
    /// `None` only while it is dropped.
    inner: Option<Incoming>,
    idle_timeout: Duration,
    /// Set while nothing comes.
    deadline: Option<Pin<Box<Sleep>>>,
    /// When all of it must have arrived, and how long that was from the beginning.
    whole_by: Option<(Instant, Duration)>,
    bytes: Option<Arc<AtomicU64>>,
    /// Once somebody wants to know it.
    progress: Option<Progress>,
    trailers: fn(HeaderMap) -> Option<HeaderMap>,
    rest: Option<Box<TakeRest>>,
    intake: Option<Intake>,
    arrived: u64,
    places: Vec<Place>,
    asked: bool,
    ended: bool,
}

/// A body is long when so much of it has arrived.
const LONG_BYTES: u64 = 1024 * 1024;

/// Takes what nobody read, and whether anybody had asked for any of it.
type TakeRest = dyn FnOnce(Incoming, bool) + Send + Sync;

impl InboundBody {
    pub fn new(inner: Incoming, idle_timeout: Duration) -> Self {
        Self {
            ended: inner.is_end_stream(),
            inner: Some(inner),
            idle_timeout,
            deadline: None,
            whole_by: None,
            bytes: None,
            progress: None,
            trailers: Some,
            rest: None,
            intake: None,
            arrived: 0,
            places: Vec::new(),
            asked: false,
        }
    }

    /// Adds the bytes that arrive to `counter`, which outlives the body.
    #[must_use]
    pub fn count_into(mut self, counter: Arc<AtomicU64>) -> Self {
        self.bytes = Some(counter);
        self
    }

    /// Passes trailers through `trailers`; where it says `None` they are dropped.
    #[must_use]
    pub fn map_trailers(mut self, trailers: fn(HeaderMap) -> Option<HeaderMap>) -> Self {
        self.trailers = trailers;
        self
    }

    /// Hands the body to `rest` when it is dropped before its end; with it, whether any of it was
    /// asked for.
    #[must_use]
    pub fn rest_to(mut self, rest: impl FnOnce(Incoming, bool) + Send + Sync + 'static) -> Self {
        self.rest = Some(Box::new(rest));
        self
    }

    /// Decides by what becomes of the body how much of its connection is read at once.
    #[must_use]
    pub fn taken_by(mut self, intake: Intake) -> Self {
        intake.begin_call(!self.ended);
        self.intake = Some(intake);
        self
    }

    /// For a body that is read whole: all of it must arrive within four times the bound on the time
    /// between two reads, or a byte now and then would last for ever.
    pub fn bound_whole(&mut self) {
        let within = 4 * self.idle_timeout;
        self.whole_by = Some((Instant::now() + within, within));
    }

    /// Holds `place` until the body has arrived, or is dropped.
    pub fn hold(&mut self, place: Place) {
        if !self.ended {
            self.places.push(place);
        }
    }

    /// When the body last moved, counted from the first question.
    pub fn progress(&mut self) -> Progress {
        self.progress.get_or_insert_with(Progress::begin).clone()
    }

    /// Nothing came: ready when that was so for too long.
    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let (idle_timeout, whole_by) = (self.idle_timeout, self.whole_by);
        let deadline = self.deadline.get_or_insert_with(|| {
            let idle_at = Instant::now() + idle_timeout;
            let at = whole_by.map_or(idle_at, |(whole_at, _)| whole_at.min(idle_at));
            Box::pin(tokio::time::sleep_until(at))
        });
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(match whole_by {
            Some((at, within)) if at <= deadline.deadline() => BodyError::Slow(within),
            _ => BodyError::Idle(idle_timeout),
        })
    }

    fn note_arrival(&mut self, bytes: u64) {
        if let Some(counter) = &self.bytes {
            counter.fetch_add(bytes, Ordering::Relaxed);
        }
        let before = self.arrived;
        self.arrived += bytes;
        if before < LONG_BYTES
            && LONG_BYTES <= self.arrived
            && let Some(intake) = &self.intake
        {
            intake.widen();
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.places = Vec::new();
    }

    fn end_well(&mut self) {
        self.end();
        self.intake.as_ref().inspect(|intake| intake.end_body());
    }

    fn incoming(&mut self) -> &mut Incoming {
        self.inner.as_mut().expect("it is taken by drop alone")
    }
}

impl fmt::Debug for InboundBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundBody").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Drop for InboundBody {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        self.intake.as_ref().inspect(|intake| intake.leave_body());
        if let (Some(inner), Some(rest)) = (self.inner.take(), self.rest.take()) {
            rest(inner, self.asked);
        }
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
        if !this.asked {
            this.asked = true;
            if let (Some(intake), false) = (&this.intake, this.ended) {
                intake.begin_body(this.size_hint().exact());
            }
        }
        loop {
            let (read, woken) = wakes::withheld(|| Pin::new(this.incoming()).poll_frame(cx));
            // hyper has the connection read on, also when nothing more will come.
            if woken && !this.incoming().is_end_stream() {
                cx.waker().wake_by_ref();
            }
            let Poll::Ready(frame) = read else {
                let error = ready!(this.poll_timeout(cx));
                return Poll::Ready(Some(Err(error)));
            };
            this.deadline = None;
            if let Some(progress) = &this.progress {
                progress.moved();
            }
            let frame = match frame {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    this.end();
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => {
                    this.end_well();
                    return Poll::Ready(None);
                }
            };
            match frame.into_data() {
                Ok(data) => {
                    if this.incoming().is_end_stream() {
                        this.end_well();
                    }
                    this.note_arrival(data.len() as u64);
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Err(frame) => {
                    let trailers = frame.into_trailers().ok().and_then(this.trailers);
                    if let Some(trailers) = trailers {
                        return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }
}

/// Tells a body that is framed wrongly from one that just ended: only then somebody is there to
/// learn of it.
impl From<hyper::Error> for BodyError {
    fn from(error: hyper::Error) -> Self {
        let mut cause = error.source();
        while let Some(inner) = cause {
            let kind = inner.downcast_ref().map(io::Error::kind);
            if matches!(kind, Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)) {
                return Self::Malformed(error);
            }
            cause = inner.source();
        }
        Self::Broken(error)
    }
}

/// Reads a body and throws it away: at most `bytes_max` of it, at most for `within`. Whether it has
/// ended.
pub async fn discard(mut body: Incoming, bytes_max: u64, within: Duration) -> bool {
    let mut bytes = 0;
    let reading = async {
        // Once the answer has gone out, hyper says only with the next head that no more will come.
        while !body.is_end_stream() {
            let Some(frame) = body.frame().await else { break };
            let Ok(frame) = frame else { return false };
            // Trailers are the last.
            let Some(data) = frame.data_ref() else { break };
            bytes += data.len() as u64;
            if bytes_max < bytes {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(within, reading).await.unwrap_or_else(|_| {
        tracing::debug!("the rest of a refused body did not arrive in time");
        false
    })
}

/// When a body last moved. Clones see the same.
#[derive(Clone, Debug)]
pub struct Progress {
    begun: Instant,
    moved_after_millis: Arc<AtomicU64>,
}

impl Progress {
    fn begin() -> Self {
        Self { begun: Instant::now(), moved_after_millis: Arc::default() }
    }

    fn moved(&self) {
        let after = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_after_millis.store(after, Ordering::Relaxed);
    }

    /// The last move; the beginning when there was none.
    pub fn last(&self) -> Instant {
        self.begun + Duration::from_millis(self.moved_after_millis.load(Ordering::Relaxed))
    }
}
