//! The last refusals, for the admin pages.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// One refusal, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub time: SystemTime,
    /// The 58 characters the caller was told.
    pub x_trace_id: String,
    /// 32 hex digits: where Jaeger has the trace, whatever the caller's X-Traceid was.
    pub trace: String,
    /// Digest of issuer and subject; none when the caller was not known yet.
    pub caller: Option<String>,
    pub reason: &'static str,
    pub status: u16,
    pub detail: String,
}

/// A ring of the last refusals.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    ring: Mutex<VecDeque<Refusal>>,
}

impl Refusals {
    pub(super) fn add(&self, refusal: Refusal) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() == REFUSALS_MAX {
            ring.pop_back();
        }
        ring.push_front(refusal);
    }

    /// Newest first.
    pub(super) fn newest_first(&self) -> Vec<Refusal> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.iter().cloned().collect()
    }
}

const REFUSALS_MAX: usize = 100;
