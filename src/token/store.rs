//! What outlives a reload: tokens, flights, remembered failures, the gate.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::cache;
use super::cache::{CachedToken, TokenCache};
use super::damping::Damping;
use super::flight::Flights;
use super::gate::{Gate, GateNumbers};
use super::report::ExchangeReport;
use crate::clock::Clock;
use crate::lifecycle::Tasks;

/// The memory behind [`super::Tokens`]. One per process.
#[derive(Debug)]
pub struct TokenStore {
    shared: Arc<Shared>,
}

/// Told of every exchange.
pub(super) type Report = Arc<dyn Fn(ExchangeReport) + Send + Sync>;

pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) report: Report,
    pub(super) flights: Flights,
    pub(super) damping: Damping,
    generations: AtomicU64,
    cache: Mutex<Option<BoundedCache>>,
    gate: Mutex<Option<Arc<Gate>>>,
}

#[derive(Debug)]
struct BoundedCache {
    numbers: (usize, Duration),
    tokens: TokenCache,
}

impl TokenStore {
    /// Bytes for each of `token.max_entries`: an access token longer than 1.4 KiB takes the place
    /// of several.
    pub const ENTRY_BYTES: usize = CachedToken::BYTES;

    /// Exchanges run on `tasks`; `report` is told of each.
    pub fn new(
        clock: Clock,
        tasks: Tasks,
        report: Arc<dyn Fn(ExchangeReport) + Send + Sync>,
    ) -> Self {
        let shared = Arc::new(Shared {
            clock,
            tasks,
            report,
            flights: Flights::default(),
            damping: Damping::default(),
            generations: AtomicU64::new(0),
            cache: Mutex::default(),
            gate: Mutex::default(),
        });
        Self { shared }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Counts, and lets go of what has expired; the cache does neither while nobody calls.
    pub async fn tidy(&self) {
        let cache = self.shared.held_cache();
        if let Some(cache) = cache {
            cache.run_pending_tasks().await;
        }
    }
}

impl Shared {
    pub(super) fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The cache with these numbers; another one, empty, when they changed.
    pub(super) fn cache(&self, max_entries: usize, idle: Duration) -> TokenCache {
        let mut held = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers = (max_entries, idle);
        match &*held {
            Some(cache) if cache.numbers == numbers => cache.tokens.clone(),
            _ => {
                let tokens = cache::bounded(max_entries, idle);
                *held = Some(BoundedCache { numbers, tokens: tokens.clone() });
                tokens
            }
        }
    }

    fn held_cache(&self) -> Option<TokenCache> {
        let held = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().map(|cache| cache.tokens.clone())
    }

    /// The gate with these numbers; a new one when they changed.
    pub(super) fn gate(&self, numbers: GateNumbers) -> Arc<Gate> {
        let mut held = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        match &*held {
            Some(gate) if *gate.numbers() == numbers => Arc::clone(gate),
            _ => {
                let gate = Arc::new(Gate::new(self.clock.clone(), numbers));
                *held = Some(Arc::clone(&gate));
                gate
            }
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("flights", &self.flights.count()).finish_non_exhaustive()
    }
}
