//! The gateway's log: kept back during the tour, shown afterwards.

use std::collections::VecDeque;
use std::io;
use std::io::Write;
use std::sync::{Arc, Mutex};

const KEPT_MAX: usize = 200;

/// Clones share it.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    open: bool,
    pieces: VecDeque<Vec<u8>>,
}

impl Log {
    /// From now on everything goes to standard output; what was kept is forgotten.
    pub fn open(&self) {
        let mut held = self.0.lock().expect("no holder panics");
        held.open = true;
        held.pieces.clear();
    }

    /// Shows what was kept.
    pub fn print(&self) {
        let mut held = self.0.lock().expect("no holder panics");
        for piece in std::mem::take(&mut held.pieces) {
            // Whoever closed standard output does not want it.
            io::stdout().write_all(&piece).unwrap_or(());
        }
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut held = self.0.lock().expect("no holder panics");
        if held.open {
            return io::stdout().write(bytes);
        }
        held.pieces.push_back(bytes.to_vec());
        if KEPT_MAX < held.pieces.len() {
            held.pieces.pop_front();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}
