//! Watches the raw bytes of an HTTP/1 connection for requests that two parsers could read
//! differently, and for heads that never end.
//!
//! hyper is lenient where a gateway must not be: it takes bare LF, several Hosts, and a
//! Content-Length beside a Transfer-Encoding, of which it then hides one. So the guard follows the
//! framing itself (RFC 9112 sections 2 to 7) and leaves one [`Verdict`] for each head. Where both
//! could lose each other, in the lines between chunks, the guard ends the stream instead.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::framing::{Fault, Framing, Verdict};
use crate::lifecycle::{DrainWatch, Phase};

/// Verdicts on heads that hyper has not yet handed to the service, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct FramingFaults(Arc<Mutex<VecDeque<Verdict>>>);

impl FramingFaults {
    /// The verdict on the head that is being served now. A head that was never judged is faulty.
    pub(super) fn next(&self) -> Verdict {
        let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        next.unwrap_or(Some(Fault::AfterUnknown))
    }

    fn push(&self, verdict: Verdict) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(verdict);
    }
}

/// A connection whose first bytes were read to detect the protocol: they are read once more.
#[derive(Debug)]
pub(super) struct Rewind<T> {
    pub(super) prefix: Bytes,
    pub(super) inner: T,
}

impl<T: AsyncRead + Unpin> AsyncRead for Rewind<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.prefix.is_empty() {
            return Pin::new(&mut this.inner).poll_read(cx, into);
        }
        let now = this.prefix.split_to(this.prefix.len().min(into.remaining()));
        into.put_slice(&now);
        Poll::Ready(Ok(()))
    }
}

/// A connection under watch.
#[derive(Debug)]
pub(super) struct Guarded<T> {
    inner: Rewind<T>,
    framing: Framing,
    faults: FramingFaults,
    header_timeout: Duration,
    deadline: Pin<Box<Sleep>>,
    awaits_head: bool,
    broken: bool,
    leaving: Leaving,
}

/// Whether a connection is asked to end: then a head that has not arrived is not waited for.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    pub(super) drain: DrainWatch,
    pub(super) leave: CancellationToken,
}

impl Leaving {
    fn is_asked(&self) -> bool {
        self.leave.is_cancelled() || Phase::Draining <= self.drain.phase()
    }

    /// Returns when it is.
    pub(super) async fn asked(&mut self) {
        tokio::select! {
            () = self.leave.cancelled() => {}
            () = self.drain.reached(Phase::Draining) => {}
        }
    }
}

impl<T> Guarded<T> {
    /// `deadline` is for the first head; each further one has `header_timeout` from its first
    /// byte.
    pub(super) fn new(
        inner: T,
        prefix: Bytes,
        header_timeout: Duration,
        deadline: Instant,
        leaving: Leaving,
    ) -> (Self, FramingFaults) {
        let faults = FramingFaults::default();
        let guarded = Self {
            inner: Rewind { prefix, inner },
            framing: Framing::default(),
            faults: faults.clone(),
            header_timeout,
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
            awaits_head: true,
            broken: false,
            leaving,
        };
        (guarded, faults)
    }

    /// Returns how many of the bytes may be passed on.
    fn watch(&mut self, bytes: &[u8]) -> usize {
        let Self { framing, faults, .. } = self;
        let believed = framing.follow(bytes, |verdict| faults.push(verdict));
        self.broken = believed < bytes.len();
        let awaits_head = self.framing.awaits_head();
        if awaits_head && !self.awaits_head {
            self.deadline.as_mut().reset(Instant::now() + self.header_timeout);
        }
        self.awaits_head = awaits_head;
        believed
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.broken {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let before = into.filled().len();
        match Pin::new(&mut this.inner).poll_read(cx, into) {
            Poll::Ready(outcome) => outcome?,
            Poll::Pending if this.awaits_head && this.deadline.as_mut().poll(cx).is_ready() => {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            Poll::Pending if this.awaits_head && this.leaving.is_asked() => {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            Poll::Pending => return Poll::Pending,
        }
        let believed = this.watch(&into.filled()[before..]);
        if believed == 0 && this.broken {
            // To pass nothing on would say that the caller has finished.
            into.set_filled(before);
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        into.set_filled(before + believed);
        Poll::Ready(Ok(()))
    }
}

macro_rules! writes_through {
    ($name:ident) => {
        impl<T: AsyncWrite + Unpin> AsyncWrite for $name<T> {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.inner).poll_write(cx, bytes)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.inner).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.inner).poll_shutdown(cx)
            }

            fn is_write_vectored(&self) -> bool {
                self.inner.is_write_vectored()
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
            }
        }
    };
}

writes_through!(Rewind);
writes_through!(Guarded);
