//! Whether the process should receive calls: ready when nothing is missing and it is not stopping.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Named reasons for not being ready. Clones share them.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Mutex<Reasons>>);

#[derive(Default)]
struct Reasons {
    watched: Vec<Arc<Watched>>,
    draining: bool,
}

type Watched = dyn Fn() -> Vec<String> + Send + Sync;

impl Readiness {
    /// Asks `missing` for reasons whenever reasons are asked for.
    pub fn watch(&self, missing: impl Fn() -> Vec<String> + Send + Sync + 'static) {
        self.lock().watched.push(Arc::new(missing));
    }

    /// From now on, and for good, unready: the process is stopping.
    pub fn drain(&self) {
        self.lock().draining = true;
    }

    pub fn is_ready(&self) -> bool {
        self.reasons().is_empty()
    }

    /// Why not ready, each reason once; empty when ready.
    pub fn reasons(&self) -> Vec<String> {
        let reasons = self.lock();
        let mut all = Vec::new();
        if reasons.draining {
            all.push("draining".to_owned());
        }
        let watched = reasons.watched.clone();
        // The lock is not held while others are asked.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_once_nothing_is_missing() {
        let readiness = Readiness::default();
        let missing = Arc::new(Mutex::new(vec!["keys:b".to_owned(), "keys:a".to_owned()]));
        let watched = missing.clone();
        readiness.watch(move || watched.lock().unwrap().clone());
        readiness.watch(|| vec!["keys:a".to_owned()]);
        assert_eq!(readiness.reasons(), ["keys:a", "keys:b"]);
        missing.lock().unwrap().clear();
        assert_eq!(readiness.reasons(), ["keys:a"]);
        assert!(!readiness.is_ready());
    }

    #[test]
    fn draining_cannot_be_taken_back() {
        let readiness = Readiness::default();
        assert!(readiness.is_ready());
        readiness.drain();
        readiness.drain();
        assert_eq!(readiness.reasons(), ["draining"]);
    }
}
