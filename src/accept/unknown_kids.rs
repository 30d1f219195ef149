//! Key ids that tokens named and a fetch did not bring.
//!
//! Without it one stale client would spend every cooldown on the same dead key, and a genuine new
//! key would have to wait for its turn.

use std::collections::HashMap;
use std::time::Duration;

/// Most key ids remembered.
const KIDS_MAX: usize = 64;

/// Longest time until a fetch may be spent on the same key id again: a key that is published
/// after its first tokens must be found.
const RECHECK_MAX: Duration = Duration::from_mins(5);

#[derive(Debug, Default)]
pub(super) struct UnknownKids(HashMap<Box<str>, Unknown>);

#[derive(Debug)]
struct Unknown {
    times: u32,
    /// Monotonic.
    recheck: Duration,
}

impl UnknownKids {
    /// Whether the id was unknown lately, so that no fetch should be spent on it.
    pub(super) fn is_known(&self, kid: &str, now: Duration) -> bool {
        self.0.get(kid).is_some_and(|unknown| now < unknown.recheck)
    }

    /// A fetch did not bring the id: the next may be spent on it after one cooldown, then after
    /// two, four, and so on.
    pub(super) fn add(&mut self, kid: &str, now: Duration, cooldown: Duration) {
        if !self.0.contains_key(kid) && self.0.len() == KIDS_MAX {
            let oldest = self.0.iter().min_by_key(|(_, unknown)| unknown.recheck);
            if let Some(oldest) = oldest.map(|(kid, _)| kid.clone()) {
                self.0.remove(&oldest);
            }
        }
        let unknown =
            self.0.entry(kid.into()).or_insert(Unknown { times: 0, recheck: Duration::ZERO });
        if now < unknown.recheck {
            // Another caller of the same flight was here first.
            return;
        }
        let wait = cooldown.saturating_mul(1 << unknown.times.min(16));
        unknown.recheck = now + wait.min(RECHECK_MAX.max(cooldown));
        unknown.times += 1;
    }
}
