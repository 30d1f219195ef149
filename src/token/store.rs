//! What outlives a reload: tokens, flights, remembered failures, the gate.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use moka::future::Cache;

use super::ahead::Ahead;
use super::cache::{CacheKey, CachedToken};
use super::flight::Flights;
use super::pace::{Gate, GateNumbers};
use super::report::ExchangeReport;
use super::{Inner, cache};
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
    pub(super) ahead: Ahead,
    generations: AtomicU64,
    cache: Mutex<Option<BoundedCache>>,
    gate: Mutex<Option<Arc<Gate>>>,
    /// The configuration in force, for the work no call asks for.
    current: Mutex<Weak<Inner>>,
}

#[derive(Debug)]
struct BoundedCache {
    numbers: (usize, Duration),
    tokens: Cache<CacheKey, Arc<CachedToken>>,
}

impl TokenStore {
    /// Starts the background work of the room on `tasks`; `report` is told of every exchange.
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
            ahead: Ahead::default(),
            generations: AtomicU64::new(0),
            cache: Mutex::default(),
            gate: Mutex::default(),
            current: Mutex::default(),
        });
        shared.tasks.spawn("token-upkeep", upkeep(Arc::downgrade(&shared)));
        Self { shared }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    pub(super) fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The cache with these numbers; another one, empty, when they changed.
    pub(super) fn cache(
        &self,
        max_entries: usize,
        idle: Duration,
    ) -> Cache<CacheKey, Arc<CachedToken>> {
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

    pub(super) fn set_current(&self, inner: &Arc<Inner>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(inner);
    }

    fn current(&self) -> Option<Arc<Inner>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("flights", &self.flights.count()).finish_non_exhaustive()
    }
}

/// Renews ahead of need, and keeps the cache's books, as long as the store exists.
async fn upkeep(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(UPKEEP_EVERY).await;
        let Some(shared) = shared.upgrade() else { return };
        if let Some(current) = shared.current() {
            current.refresh_due();
            current.cache.run_pending_tasks().await;
        }
    }
}

/// The second of `Gate::background_per_second`.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);
