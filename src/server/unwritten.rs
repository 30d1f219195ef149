//! What of a connection's answers hyper has and the socket has not taken.
//!
//! hyper bounds it by the same number as what it reads at once, which is large for the sake of long
//! uploads. Slow readers of answers would make that much.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;

#[derive(Debug, Default)]
pub(super) struct Unwritten {
    bytes: AtomicUsize,
    /// It was as much as may be, and not all of that is written.
    full: AtomicBool,
    /// Whoever waits to add more.
    waiting: AtomicWaker,
}

/// A part of it.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Bytes,
    unwritten: Arc<Unwritten>,
}

impl Unwritten {
    /// Ready when more may be added.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.full.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        self.waiting.register(cx.waker());
        if self.full.load(Ordering::Relaxed) { Poll::Pending } else { Poll::Ready(()) }
    }

    pub(super) fn add(self: &Arc<Self>, bytes: Bytes) -> Piece {
        let before = self.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        if BYTES_MAX <= before + bytes.len() {
            self.full.store(true, Ordering::Relaxed);
        }
        Piece { bytes, unwritten: Arc::clone(self) }
    }

    fn written(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before == bytes && self.full.swap(false, Ordering::Relaxed) {
            self.waiting.wake();
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
        self.unwritten.written(bytes);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.unwritten.written(self.bytes.len());
    }
}

/// As much as is read of KooDrive's answers at once.
const BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn more_is_added_once_the_socket_has_taken_enough() {
        let unwritten = Arc::new(Unwritten::default());
        let room = || poll_fn(|cx| unwritten.poll_room(cx));
        let mut first = unwritten.add(Bytes::from(vec![0; BYTES_MAX - 10]));
        room().await;
        let second = unwritten.add(Bytes::from(vec![0; 10]));
        first.advance(BYTES_MAX - 20);
        assert_eq!(room().now_or_never(), None, "all of it is to be written first");
        let told = tokio::time::timeout(Duration::from_secs(5), room());
        tokio::join!(told, async { drop((first, second)) }).0.expect("the last byte makes room");
    }
}
