//! What of a connection's answers hyper has and the socket has not taken.
//!
//! hyper bounds it by the same number as what it reads at once, which is large for the sake of long
//! uploads. Slow readers of answers would make that much.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::{Buf, Bytes};

#[derive(Debug, Default)]
pub(super) struct Unwritten {
    bytes: AtomicUsize,
    /// It was as much as may be, and not all of that is written.
    full: AtomicBool,
    /// Somebody wanted to add more meanwhile.
    wanted: AtomicBool,
}

/// A part of it.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Bytes,
    unwritten: Arc<Unwritten>,
}

impl Unwritten {
    /// Whether more may be added. If not, whoever polls the connection sees when that has changed.
    pub(super) fn has_room(&self) -> bool {
        let full = self.full.load(Ordering::Relaxed);
        if full {
            self.wanted.store(true, Ordering::Relaxed);
        }
        !full
    }

    /// Whether there is room for somebody who found none.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
            && !self.full.load(Ordering::Relaxed)
            && self.wanted.swap(false, Ordering::Relaxed)
    }

    pub(super) fn add(self: &Arc<Self>, bytes: Bytes) -> Piece {
        let before = self.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        if BYTES_MAX <= before + bytes.len() {
            self.full.store(true, Ordering::Relaxed);
        }
        Piece { bytes, unwritten: Arc::clone(self) }
    }

    fn written(&self, bytes: usize) {
        if self.bytes.fetch_sub(bytes, Ordering::Relaxed) == bytes {
            self.full.store(false, Ordering::Relaxed);
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
    use super::*;

    #[test]
    fn more_is_added_once_the_socket_has_taken_all() {
        let unwritten = Arc::new(Unwritten::default());
        let mut first = unwritten.add(Bytes::from(vec![0; BYTES_MAX - 10]));
        assert!(unwritten.has_room() && !unwritten.is_wanted());
        let second = unwritten.add(Bytes::from(vec![0; 10]));
        first.advance(BYTES_MAX - 20);
        assert!(!unwritten.has_room() && !unwritten.is_wanted());
        drop((first, second));
        assert!(unwritten.is_wanted() && !unwritten.is_wanted(), "once");
        assert!(unwritten.has_room());
    }
}
