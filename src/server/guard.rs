//! Watches the raw bytes of an HTTP/1 connection for requests that two parsers could read
//! differently, and for heads that never end.
//!
//! hyper is lenient where a gateway must not be: it takes bare LF, several Hosts, and a
//! Content-Length beside a Transfer-Encoding, of which it then hides one. So the guard follows the
//! framing itself (RFC 9112 sections 2 to 7) and leaves one [`Verdict`] for each head. Where both
//! could lose each other, in the lines between chunks, the guard ends the stream instead. And what
//! hyper would refuse by itself, without a body, it does not get to see: a `Transfer-Encoding` other
//! than one `chunked` goes on under a name that means nothing, so that the call is refused as it
//! should be.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::framing::{Fault, Framing, Told, Verdict};
use crate::body::Intake;
use crate::lifecycle::{DrainWatch, Phase};

/// What the guard of a connection tells whoever serves it.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched(Arc<Facts>);

#[derive(Debug, Default)]
struct Facts {
    /// On heads that hyper has not yet handed to the service, oldest first.
    verdicts: Mutex<VecDeque<Verdict>>,
    /// All that was read are whole requests.
    between: AtomicBool,
    /// The socket takes no more for now.
    blocked: AtomicBool,
}

impl Watched {
    /// The verdict on the head that is being served now. A head that was never judged is faulty.
    pub(super) fn next_verdict(&self) -> Verdict {
        self.verdicts().pop_front().unwrap_or(Some(Fault::AfterUnknown))
    }

    /// Whether only whole requests were read, each was taken up, and no write waits.
    pub(super) fn is_at_rest(&self) -> bool {
        let Facts { between, blocked, .. } = &*self.0;
        between.load(Ordering::Relaxed)
            && !blocked.load(Ordering::Relaxed)
            && self.verdicts().is_empty()
    }

    fn verdicts(&self) -> MutexGuard<'_, VecDeque<Verdict>> {
        self.0.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
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
    intake: Intake,
    framing: Framing,
    watched: Watched,
    header_timeout: Duration,
    deadline: Pin<Box<Sleep>>,
    awaits_head: bool,
    /// No head has arrived on this connection yet.
    awaits_first: bool,
    broken: bool,
    leaving: Leaving,
    /// The beginning of a line that hyper may not get to see as it is; already followed.
    held: Vec<u8>,
}

/// Whether a connection is to end: then a head that has not arrived is not waited for, a first one at
/// most `until`.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    pub(super) drain: DrainWatch,
    pub(super) leave: CancellationToken,
    pub(super) until: Instant,
}

impl Leaving {
    /// How long a head is waited for; `None` while nobody has asked the connection to end.
    fn waits_until(&self, first_head: bool) -> Option<Instant> {
        if self.leave.is_cancelled() {
            return Some(Instant::now());
        }
        let draining = Phase::Draining <= self.drain.phase();
        draining.then(|| if first_head { self.until } else { Instant::now() })
    }

    /// Returns when a first head is not waited for any longer.
    pub(super) async fn over(mut self) {
        let drained = async {
            self.drain.reached(Phase::Draining).await;
            tokio::time::sleep_until(self.until).await;
        };
        tokio::select! {
            () = self.leave.cancelled() => {}
            () = drained => {}
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
        intake: Intake,
    ) -> (Self, Watched) {
        let watched = Watched::default();
        let guarded = Self {
            inner: Rewind { prefix, inner },
            intake,
            framing: Framing::default(),
            watched: watched.clone(),
            header_timeout,
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
            awaits_head: true,
            awaits_first: true,
            broken: false,
            leaving,
            held: Vec::new(),
        };
        (guarded, watched)
    }

    fn note_write(&self, blocked: bool) {
        self.watched.0.blocked.store(blocked, Ordering::Relaxed);
    }

    /// `bytes` have the first `known` ones behind them; returns how many of them may be passed on.
    fn watch(&mut self, bytes: &mut [u8], known: usize) -> usize {
        let Self { framing, watched, .. } = self;
        let mut unfit = Vec::new();
        let new = bytes.get(known..).unwrap_or_default();
        let believed = framing.follow(new, |followed, told| match told {
            Told::Judged(verdict) => watched.verdicts().push_back(verdict),
            Told::Unfit { back } => unfit.extend((known + followed).checked_sub(back)),
        });
        self.broken = believed < new.len();
        self.intake.note(new.len());
        self.watched.0.between.store(self.framing.is_between(), Ordering::Relaxed);
        for at in unfit {
            if let Some(first) = bytes.get_mut(at) {
                *first = b'x';
            }
        }
        let awaits_head = self.framing.awaits_head();
        if awaits_head && !self.awaits_head {
            self.deadline.as_mut().reset(Instant::now() + self.header_timeout);
        }
        self.awaits_head = awaits_head;
        self.awaits_first &= awaits_head;
        known + believed
    }
}

impl<T: AsyncRead + Unpin> Guarded<T> {
    /// Adds what was read to `into`: nothing when the stream has ended, or when all of it is held.
    fn poll_watched(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Passed>> {
        let before = into.filled().len();
        if into.remaining() <= self.held.len() {
            // Hardly any room is left: it goes on as it is.
            let now: Vec<u8> = self.held.drain(..into.remaining()).collect();
            into.put_slice(&now);
            return Poll::Ready(Ok(Passed::Some));
        }
        let known = self.held.len();
        into.put_slice(&self.held);
        let mut some = (&mut self.inner).take(self.intake.bytes_max() as u64);
        match Pin::new(&mut some).poll_read(cx, into) {
            Poll::Ready(outcome) => outcome?,
            Poll::Pending => {
                into.set_filled(before);
                return self.poll_patience(cx);
            }
        }
        self.held.clear();
        if into.filled().len() == before + known {
            return Poll::Ready(Ok(Passed::Some));
        }
        let passed = self.watch(&mut into.filled_mut()[before..], known);
        if self.broken {
            into.set_filled(before + passed);
            return Poll::Ready(Ok(if passed == 0 { Passed::Nothing } else { Passed::Some }));
        }
        let held_from = into.filled().len() - self.framing.undecided().min(passed);
        self.held.extend_from_slice(&into.filled()[held_from..]);
        into.set_filled(held_from);
        Poll::Ready(Ok(if held_from == before { Passed::Nothing } else { Passed::Some }))
    }

    /// Pending, unless a head has been waited for too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Passed>> {
        if !self.awaits_head {
            return Poll::Pending;
        }
        if let Some(until) = self.leaving.waits_until(self.awaits_first) {
            if until <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            if until < self.deadline.deadline() {
                self.deadline.as_mut().reset(until);
            }
        }
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

/// What came of a read.
enum Passed {
    /// Bytes, or the end.
    Some,
    /// No byte may be passed on yet; that would say that the caller has finished.
    Nothing,
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.broken {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            match ready!(this.poll_watched(cx, into))? {
                Passed::Some => return Poll::Ready(Ok(())),
                Passed::Nothing => {}
            }
        }
    }
}

macro_rules! writes_through {
    ($name:ident $(, $note:ident)?) => {
        impl<T: AsyncWrite + Unpin> AsyncWrite for $name<T> {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                let outcome = Pin::new(&mut self.inner).poll_write(cx, bytes);
                $(self.$note(outcome.is_pending());)?
                outcome
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let outcome = Pin::new(&mut self.inner).poll_flush(cx);
                $(self.$note(outcome.is_pending());)?
                outcome
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                let outcome = Pin::new(&mut self.inner).poll_shutdown(cx);
                $(self.$note(outcome.is_pending());)?
                outcome
            }

            fn is_write_vectored(&self) -> bool {
                self.inner.is_write_vectored()
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
                $(self.$note(outcome.is_pending());)?
                outcome
            }
        }
    };
}

writes_through!(Rewind);
writes_through!(Guarded, note_write);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;
    use crate::body::Budget;
    use crate::lifecycle::Drain;

    /// A connection of a process that drains, whose first head is waited for so long.
    async fn draining(waits: Duration) -> (DuplexStream, Guarded<DuplexStream>) {
        let drain = Drain::default();
        let watch = drain.watch();
        drain.run(Duration::ZERO, Duration::ZERO).await;
        let until = Instant::now() + waits;
        let leaving = Leaving { drain: watch, leave: CancellationToken::new(), until };
        let (caller, inner) = tokio::io::duplex(1024);
        let patient = Instant::now() + Duration::from_secs(10);
        let intake = Intake::new(Budget::new(0));
        let (guarded, _) =
            Guarded::new(inner, Bytes::new(), Duration::from_secs(10), patient, leaving, intake);
        (caller, guarded)
    }

    #[tokio::test]
    async fn only_a_first_head_is_waited_for_while_draining_and_briefly() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let (mut caller, mut guarded) = draining(Duration::from_secs(5)).await;
        let late = async {
            tokio::task::yield_now().await;
            caller.write_all(head).await
        };
        let mut read = [0; 64];
        let (length, written) = tokio::join!(guarded.read(&mut read), late);
        written.unwrap();
        assert_eq!(length.unwrap(), head.len());
        caller.write_all(b"GET").await.unwrap();
        assert_eq!(guarded.read(&mut read).await.unwrap(), 3);
        let aborted = guarded.read(&mut read).await.unwrap_err();
        assert_eq!(aborted.kind(), io::ErrorKind::ConnectionAborted, "a second head");

        let (_caller, mut guarded) = draining(Duration::ZERO).await;
        let aborted = guarded.read(&mut read).await.unwrap_err();
        assert_eq!(
            aborted.kind(),
            io::ErrorKind::ConnectionAborted,
            "a first head that stays away"
        );
    }
}
