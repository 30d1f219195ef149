//! Renewal ahead of need: which tokens in use are due, earliest first.
//!
//! Only tokens that somebody uses in the time before their renewal are listed; see
//! [`CachedToken::touch`]. A token that was dropped from the cache leaves the list by itself.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use super::cache::CachedToken;

/// Tokens in use, by the time of their renewal.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    due: Mutex<BinaryHeap<Reverse<Due>>>,
}

#[derive(Debug)]
struct Due {
    at: SystemTime,
    token: Weak<CachedToken>,
}

impl Ahead {
    /// Lists `token` for `at`. At most `max` are listed; beyond, the token is renewed when its
    /// time is up instead of ahead of it.
    pub(super) fn schedule(&self, token: &Arc<CachedToken>, at: SystemTime, max: usize) {
        let mut due = self.lock();
        if due.len() < max {
            due.push(Reverse(Due { at, token: Arc::downgrade(token) }));
        }
    }

    /// The next token due, taken off the list.
    pub(super) fn take_due(&self, now: SystemTime) -> Option<Arc<CachedToken>> {
        let mut due = self.lock();
        while due.peek().is_some_and(|Reverse(first)| first.at <= now) {
            let token = due.pop().and_then(|Reverse(first)| first.token.upgrade());
            if token.is_some() {
                return token;
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, BinaryHeap<Reverse<Due>>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}
