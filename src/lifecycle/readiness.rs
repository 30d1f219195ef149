//! Whether the process should receive calls: ready when nobody holds a guard and nothing is
//! missing.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Named reasons for not being ready. Clones share them.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Mutex<Reasons>>);

#[derive(Default)]
struct Reasons {
    held: Vec<Arc<str>>,
    watched: Vec<Arc<Watched>>,
    draining: bool,
}

type Watched = dyn Fn() -> Vec<String> + Send + Sync;

impl Readiness {
    /// Not ready until the guard is dropped.
    pub fn waiting_for(&self, name: impl Into<Arc<str>>) -> ReadyGuard {
        let name = name.into();
        self.lock().held.push(name.clone());
        ReadyGuard { readiness: self.clone(), name }
    }

    /// Asks `missing` for further reasons whenever reasons are asked for.
    pub fn watch(&self, missing: impl Fn() -> Vec<String> + Send + Sync + 'static) {
        self.lock().watched.push(Arc::new(missing));
    }

    /// From now on, and for good, unready: the process is stopping.
    pub fn drain(&self) {
        self.lock().draining = true;
    }

    pub fn is_draining(&self) -> bool {
        self.lock().draining
    }

    pub fn is_ready(&self) -> bool {
        self.reasons().is_empty()
    }

    /// Why not ready, each reason once; empty when ready.
    pub fn reasons(&self) -> Vec<String> {
        let reasons = self.lock();
        let mut all: Vec<String> =
            reasons.held.iter().map(|name| name.as_ref().to_owned()).collect();
        let watched = reasons.watched.clone();
        if reasons.draining {
            all.push("draining".to_owned());
        }
        // The lock is not held while others are asked: they may drop a guard meanwhile.
        drop(reasons);
        all.extend(watched.iter().flat_map(|missing| missing()));
        all.sort_unstable();
        all.dedup();
        all
    }

    fn lock(&self) -> MutexGuard<'_, Reasons> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Readiness").field(&self.reasons()).finish()
    }
}

/// Keeps the process unready while it lives.
#[derive(Debug)]
#[must_use = "dropping the guard says that what was awaited is there"]
pub struct ReadyGuard {
    readiness: Readiness,
    name: Arc<str>,
}

impl Drop for ReadyGuard {
    fn drop(&mut self) {
        let mut reasons = self.readiness.lock();
        if let Some(at) = reasons.held.iter().position(|name| *name == self.name) {
            reasons.held.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_once_no_guard_is_held_and_nothing_is_missing() {
        let readiness = Readiness::default();
        let (first, second) = (readiness.waiting_for("keys:a"), readiness.waiting_for("keys:a"));
        drop(first);
        assert_eq!(readiness.reasons(), ["keys:a"]);
        drop(second);
        assert!(readiness.is_ready());
    }

    #[test]
    fn a_watched_reason_comes_and_goes_with_what_it_watches() {
        let readiness = Readiness::default();
        let missing = Arc::new(Mutex::new(vec!["keys:b".to_owned()]));
        let watched = missing.clone();
        readiness.watch(move || watched.lock().unwrap().clone());
        assert_eq!(readiness.reasons(), ["keys:b"]);
        missing.lock().unwrap().clear();
        assert!(readiness.is_ready());
    }

    #[test]
    fn draining_cannot_be_taken_back() {
        let readiness = Readiness::default();
        let guard = readiness.waiting_for("keys:a");
        readiness.drain();
        assert_eq!(readiness.reasons(), ["draining", "keys:a"]);
        drop(guard);
        assert_eq!(readiness.reasons(), ["draining"]);
        assert!(readiness.is_draining());
    }
}
