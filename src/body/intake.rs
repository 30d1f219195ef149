//! How much of a connection is read at once.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures_util::task::AtomicWaker;

use super::{Budget, Reservation};

/// How much of an HTTP/1 connection is read at once: its bodies decide, its socket keeps to it.
///
/// Whatever parses the connection keeps a buffer as large as the largest reads. So a stranger gets
/// little, and more is taken from what the memory for bodies can spare. Clones are the same.
#[derive(Clone, Debug)]
pub struct Intake(Arc<State>);

#[derive(Debug)]
struct State {
    budget: Arc<Budget>,
    bytes_max: AtomicUsize,
    /// Some read was larger than a stranger's may be.
    grown: AtomicBool,
    calls: AtomicU64,
    /// The number of the last call if it has a body that was not read to its end, else 0.
    in_body: AtomicU64,
    /// Whom it wakes when the rest of a body has been taken in.
    watcher: AtomicWaker,
    /// For a buffer that may grow, or has grown.
    memory: Mutex<Option<Reservation>>,
}

impl Intake {
    /// The most that is ever read at once.
    pub const BYTES_MAX: usize = 256 * 1024;

    /// `budget` is the memory for bodies.
    pub fn new(budget: Arc<Budget>) -> Self {
        Self(Arc::new(State {
            budget,
            bytes_max: AtomicUsize::new(STRANGER_BYTES),
            grown: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            in_body: AtomicU64::new(0),
            watcher: AtomicWaker::new(),
            memory: Mutex::default(),
        }))
    }

    /// How many bytes may be read now.
    pub fn bytes_max(&self) -> usize {
        self.0.bytes_max.load(Ordering::Relaxed)
    }

    /// So many were.
    pub fn note(&self, bytes: usize) {
        if STRANGER_BYTES < bytes {
            self.0.grown.store(true, Ordering::Relaxed);
        }
    }

    /// A call begins, and nobody knows yet whose.
    pub(super) fn begin_call(&self, has_body: bool) {
        self.0.bytes_max.store(STRANGER_BYTES, Ordering::Relaxed);
        let call = self.0.calls.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.in_body.store(if has_body { call } else { 0 }, Ordering::Relaxed);
    }

    /// Somebody wants to have the body, of which there are `bytes`, if it says so.
    pub(super) fn begin_body(&self, bytes: Option<u64>) {
        // A stranger's reads will do, and most calls are so small.
        if bytes.is_some_and(|bytes| bytes <= STRANGER_BYTES as u64) {
            return;
        }
        let mut memory = self.memory();
        if memory.is_none() {
            *memory = self.0.budget.take_spare(WARM_BYTES, 8);
        }
        let bytes_max = if memory.is_some() { WARM_BYTES_MAX } else { COLD_BYTES_MAX };
        self.0.bytes_max.store(bytes_max, Ordering::Relaxed);
    }

    /// It was read to its end.
    pub(super) fn end_body(&self) {
        self.0.in_body.store(0, Ordering::Relaxed);
        if !self.has_grown() {
            self.leave_body();
        }
    }

    /// Nobody wants to have more of it. A buffer that has not grown needs no memory: an idle connection
    /// would only keep it from others.
    pub(super) fn leave_body(&self) {
        self.0.bytes_max.store(STRANGER_BYTES, Ordering::Relaxed);
        if !self.has_grown() {
            *self.memory() = None;
        }
    }

    /// The body of the last call, of which the rest is taken in beside the connection.
    pub fn rest(&self) -> Rest {
        Rest { intake: self.clone(), call: self.0.in_body.load(Ordering::Relaxed) }
    }

    /// For a body that turns out long.
    pub(super) fn widen(&self) {
        if let Some(memory) = self.0.budget.take_spare(WIDE_BYTES, 4) {
            *self.memory() = Some(memory);
            self.0.bytes_max.store(Self::BYTES_MAX, Ordering::Relaxed);
        }
    }

    pub fn is_in_body(&self) -> bool {
        self.0.in_body.load(Ordering::Acquire) != 0
    }

    /// Whom it wakes when the rest of a body has been taken in.
    pub fn watch(&self, watcher: &Waker) {
        self.0.watcher.register(watcher);
    }

    /// Whether the buffer has grown.
    pub fn has_grown(&self) -> bool {
        self.0.grown.load(Ordering::Relaxed)
    }

    /// Whether a grown buffer may be kept for the next call.
    pub fn may_keep(&self) -> bool {
        self.memory().as_ref().is_some_and(|memory| memory.bytes <= WARM_BYTES)
    }

    /// The buffer is a new one.
    pub fn renew(&self) {
        *self.memory() = None;
        self.0.bytes_max.store(STRANGER_BYTES, Ordering::Relaxed);
        self.0.grown.store(false, Ordering::Relaxed);
    }

    fn memory(&self) -> MutexGuard<'_, Option<Reservation>> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rest of a refused body.
#[derive(Debug)]
pub struct Rest {
    intake: Intake,
    call: u64,
}

impl Rest {
    /// All of it was taken in. By now the next call may be under way: its body has not ended.
    pub fn end(self) {
        let State { in_body, watcher, .. } = &*self.intake.0;
        let ended = in_body.compare_exchange(self.call, 0, Ordering::Release, Ordering::Relaxed);
        if ended.is_ok() {
            watcher.wake();
        }
    }
}

/// Until somebody wants the body.
const STRANGER_BYTES: usize = 16 * 1024;
/// Where no memory is to spare. One more byte, and hyper would go on with twice the room.
const COLD_BYTES_MAX: usize = 64 * 1024 - 1;
/// A batch of a thousand users and its head are one read.
const WARM_BYTES_MAX: usize = 112 * 1024;
/// What is kept between calls for such reads.
const WARM_BYTES: usize = 160 * 1024;
/// Of a long body at once: being read, waiting to be sent, being sent.
const WIDE_BYTES: usize = 3 * Intake::BYTES_MAX;
