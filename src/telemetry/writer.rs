//! A bounded way to stdout: who writes a line never waits, and what does not fit is counted.

use std::io::{IsTerminal as _, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fmt, io, thread};

/// Hands whole lines to a thread of its own. Clones share it; it ends with the last of them.
#[derive(Clone)]
pub struct LogWriter(Arc<Handle>);

impl LogWriter {
    /// Most bytes held: lines that wait, and those being written.
    pub const BYTES_MAX: usize = 2 * WAITING_BYTES_MAX;

    /// The log of a process.
    pub fn stdout() -> io::Result<Self> {
        let stdout = io::stdout();
        // https://no-color.org
        let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        let has_colours = stdout.is_terminal() && !plain;
        Self::start(stdout, has_colours)
    }

    /// # Errors
    /// When no thread can be started.
    pub fn to(sink: impl Write + Send + 'static) -> io::Result<Self> {
        Self::start(sink, false)
    }

    /// Whether lines for people go to a terminal that shows colours.
    pub(super) fn has_colours(&self) -> bool {
        self.0.has_colours
    }

    fn start(sink: impl Write + Send + 'static, has_colours: bool) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let for_thread = shared.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || drain(&for_thread, sink))?;
        Ok(Self(Arc::new(Handle { shared, has_colours })))
    }

    /// Queues one line, its newline included; drops and counts it when too much is waiting.
    pub fn write(&self, line: &[u8]) {
        let mut queue = self.0.shared.lock();
        if WAITING_BYTES_MAX < queue.bytes.len() + line.len() {
            queue.dropped += 1;
            return;
        }
        let before = queue.bytes.len();
        queue.bytes.extend_from_slice(line);
        let after = queue.bytes.len();
        drop(queue);
        let batch_full = before < BATCH_BYTES && BATCH_BYTES <= after;
        if before == 0 || batch_full {
            self.0.shared.work.notify_one();
        }
    }

    /// Waits until everything queued is written, at most `within`. Blocks.
    pub fn flush(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let mut queue = self.0.shared.lock();
        queue.urgent = true;
        self.0.shared.work.notify_one();
        while !queue.bytes.is_empty() || queue.writing {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.0.shared.idle.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.urgent = false;
    }
}

impl fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogWriter")
    }
}

/// Its drop tells the thread that no more lines come.
struct Handle {
    shared: Arc<Shared>,
    has_colours: bool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_one();
    }
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    idle: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    dropped: u64,
    writing: bool,
    /// Somebody waits in `flush`.
    urgent: bool,
    closed: bool,
}

/// The thread: takes what has gathered, writes it, and lets it gather again.
fn drain(shared: &Shared, mut sink: impl Write) {
    let mut batch = Vec::new();
    loop {
        let mut queue = shared.lock();
        queue.writing = false;
        shared.idle.notify_all();
        while queue.bytes.is_empty() && !queue.closed {
            queue = shared.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        // One wake-up for all lines of a few milliseconds instead of one each.
        if queue.bytes.len() < BATCH_BYTES && !queue.closed && !queue.urgent {
            let waited = shared.work.wait_timeout(queue, GATHER);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if queue.bytes.is_empty() && queue.closed {
            return;
        }
        std::mem::swap(&mut queue.bytes, &mut batch);
        let dropped = std::mem::take(&mut queue.dropped);
        queue.writing = true;
        drop(queue);
        if dropped != 0 {
            let note = format!(
                "{{\"level\":\"warn\",\"msg\":\"log lines dropped\",\"lines\":{dropped}}}\n"
            );
            batch.extend_from_slice(note.as_bytes());
        }
        // A closed pipe is no reason to stop serving, and there is nowhere to say so.
        sink.write_all(&batch).and_then(|()| sink.flush()).unwrap_or_default();
        batch.clear();
        batch.shrink_to(2 * BATCH_BYTES);
    }
}

const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;
const BATCH_BYTES: usize = 64 * 1024;
const GATHER: Duration = Duration::from_millis(5);
