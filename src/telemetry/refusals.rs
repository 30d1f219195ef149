//! The last refusals, one by one and by reason and caller, for the admin pages.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use http::Method;

use crate::accept::CallerId;
use crate::rejection::Reason;

/// One refusal, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub time: SystemTime,
    /// The 58 characters the caller was told.
    pub x_trace_id: String,
    /// 32 hex digits: where Jaeger has the trace, whatever the caller's X-Traceid was.
    pub trace: String,
    /// None when the caller was not known yet.
    pub caller: Option<CallerId>,
    pub reason: Reason,
    pub method: Method,
    /// Without the query, at most 256 bytes of it.
    pub path: String,
    pub detail: String,
}

/// Refusals of one caller for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalGroup {
    pub count: u64,
    pub first: SystemTime,
    pub last: Arc<Refusal>,
}

/// Bounded in number, and with it in bytes: the texts are clipped.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Newest first.
    ring: VecDeque<Arc<Refusal>>,
    /// Newest last refusal last.
    groups: Vec<RefusalGroup>,
}

impl Refusals {
    pub(super) fn add(&self, refusal: Refusal) {
        let refusal = Arc::new(refusal);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.ring.len() == REFUSALS_MAX {
            kept.ring.pop_back();
        }
        kept.ring.push_front(Arc::clone(&refusal));
        let is_same = |group: &RefusalGroup| {
            group.last.reason == refusal.reason && group.last.caller == refusal.caller
        };
        let group = match kept.groups.iter().rposition(is_same) {
            Some(index) => {
                let group = kept.groups.remove(index);
                RefusalGroup { count: group.count + 1, last: refusal, ..group }
            }
            None => RefusalGroup { count: 1, first: refusal.time, last: refusal },
        };
        if kept.groups.len() == GROUPS_MAX {
            kept.groups.remove(0);
        }
        kept.groups.push(group);
    }

    /// Newest first.
    pub(super) fn newest_first(&self) -> Vec<Arc<Refusal>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.ring.iter().cloned().collect()
    }

    /// The one that was added to last first.
    pub(super) fn groups(&self) -> Vec<RefusalGroup> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.groups.iter().rev().cloned().collect()
    }
}

/// A path for a list of a hundred, which a caller must not make long.
pub(super) fn cut_path(path: &str) -> &str {
    path.split_at(path.floor_char_boundary(PATH_BYTES_MAX)).0
}

const PATH_BYTES_MAX: usize = 256;
const REFUSALS_MAX: usize = 100;
/// Reasons and callers; the one not added to for longest makes room.
const GROUPS_MAX: usize = 100;
