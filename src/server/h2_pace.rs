//! Reads an HTTP/2 connection no faster than its streams are answered, unless an accepted call is
//! under way on it.
//!
//! A head is a dozen bytes, what is kept for its stream some kilobytes. An accepted call holds a place
//! that is counted with all of that. Whoever has none is read frame by frame, a head only when the
//! stream of the one before is answered and the answer has been taken: so few of his streams are
//! there at once, whatever he sends and does not read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::guard::Rewind;
use super::h2_streams::Streams;

/// A connection that is not always read as soon as something comes.
#[derive(Debug)]
pub(super) struct Paced<T> {
    inner: Rewind<T>,
    streams: Streams,
    /// The other side does not take what was written last.
    blocked: bool,
    frames: Frames,
    /// A head was read that is not answered yet; and how many streams had been begun at the last
    /// flush.
    head: Option<usize>,
}

/// Where in the stream of frames the connection is (RFC 9113 sections 3.4 and 4.1).
#[derive(Debug)]
struct Frames {
    /// Of the preface, or of the frame whose header was read.
    left: usize,
    header: [u8; HEADER_BYTES],
    /// How much of it has been read.
    known: usize,
}

impl Frames {
    fn new() -> Self {
        Self { left: PREFACE_BYTES, header: [0; HEADER_BYTES], known: 0 }
    }

    /// Whether a head comes next, of which nothing has been read but the frame's header.
    fn begin_head(&self) -> bool {
        let whole = self.left == self.length();
        self.known == HEADER_BYTES && self.header[3] == HEADERS && whole
    }

    /// How much belongs together with what was read last.
    fn missing(&self) -> usize {
        if self.left == 0 { HEADER_BYTES - self.known } else { self.left }
    }

    fn length(&self) -> usize {
        let [first, second, third, ..] = self.header;
        u32::from_be_bytes([0, first, second, third]) as usize
    }

    /// Goes on behind `bytes`; whether the last of them ends a piece of a head.
    fn follow(&mut self, mut bytes: &[u8]) -> bool {
        let mut ends_head = false;
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(self.missing().min(bytes.len()));
            bytes = rest;
            if self.left == 0 {
                self.header[self.known..][..now.len()].copy_from_slice(now);
                self.known += now.len();
                if self.known < HEADER_BYTES {
                    return false;
                }
                self.left = self.length();
            } else {
                self.left -= now.len();
            }
            ends_head = false;
            if self.left == 0 {
                ends_head = self.known != 0 && matches!(self.header[3], HEADERS | CONTINUATION);
                self.known = 0;
            }
        }
        ends_head
    }
}

impl<T> Paced<T> {
    pub(super) fn new(inner: Rewind<T>, streams: Streams) -> Self {
        Self { inner, streams, blocked: false, frames: Frames::new(), head: None }
    }

    fn written(&mut self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let was_blocked = std::mem::replace(&mut self.blocked, outcome.is_pending());
        if was_blocked && !self.blocked {
            self.streams.accepted().wake();
        }
        outcome
    }

    /// All that h2 has to say so far has been written. It begins a stream after that, if the head
    /// was whole: it is over when nothing more is begun, and nothing is unanswered.
    fn flushed(&mut self) {
        let Some(begun_before) = self.head else { return };
        if self.streams.are_unanswered() {
            return;
        }
        let begun = self.streams.begun();
        self.head = (begun != begun_before).then_some(begun);
        self.streams.accepted().wake();
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Paced<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.streams.are_behind() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = into.filled().len();
        let accepted = this.streams.accepted();
        accepted.watch(cx.waker());
        if !accepted.is_empty() {
            this.head = None;
            ready!(Pin::new(&mut this.inner).poll_read(cx, into))?;
            this.frames.follow(&into.filled()[before..]);
            return Poll::Ready(Ok(()));
        }
        let early = this.blocked || this.head.is_some() || this.streams.are_unanswered();
        if early && this.frames.begin_head() {
            return Poll::Pending;
        }
        let wanted = this.frames.missing().min(into.remaining());
        let mut piece = ReadBuf::new(into.initialize_unfilled_to(wanted));
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut piece))?;
        let read = piece.filled().len();
        into.advance(read);
        if this.frames.follow(&into.filled()[before..]) {
            this.head = Some(this.streams.begun());
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Paced<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.written(outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(cx);
        if matches!(outcome, Poll::Ready(Ok(()))) {
            self.flushed();
        }
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.written(outcome)
    }
}

const PREFACE_BYTES: usize = 24;
const HEADER_BYTES: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, 0, 0, 0, 0, 1];
        frame.resize(HEADER_BYTES + usize::from(length), 0);
        frame
    }

    #[test]
    fn heads_are_found_however_the_bytes_arrive() {
        let kinds = [(4, 0), (1, 20), (0, 200), (9, 1), (6, 8), (1, 0), (8, 4)];
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let mut heads = Vec::new();
        for (kind, length) in kinds {
            bytes.extend(frame(kind, length));
            heads.extend([HEADERS, CONTINUATION].contains(&kind).then_some(bytes.len()));
        }
        for size in 1..bytes.len() {
            let mut frames = Frames::new();
            let mut at = 0;
            for piece in bytes.chunks(size) {
                at += piece.len();
                assert_eq!(frames.follow(piece), heads.contains(&at), "{size} bytes at {at}");
            }
            assert_eq!(frames.missing(), HEADER_BYTES);
        }
        let mut frames = Frames::new();
        let (mut at, mut found) = (0, Vec::new());
        while at < bytes.len() {
            let missing = frames.missing();
            if frames.follow(&bytes[at..][..missing]) {
                found.push(at + missing);
            }
            at += missing;
        }
        assert_eq!(found, heads, "read piece by piece, none is passed over");
    }
}
