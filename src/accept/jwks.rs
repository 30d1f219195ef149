//! The keys of one issuer: a snapshot that readers take without a lock, and the book-keeping
//! that decides when it is fetched again.
//!
//! Three things cause a fetch: its time has come; a token names a key that is not in the set, or
//! its signature fails under the one it names, at most once per cooldown; the operator changed
//! where the keys are, or asks. All run one after another in [`IssuerKeys::keep_fresh`], never in
//! a caller's task.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::error::FetchFailure;
use super::fetch::KeyFetchCause;
use super::keys::{Candidates, Fingerprint, KeySet, Pick, Skipped, UsableKey};
use super::unknown_kids::UnknownKids;
use crate::clock::Clock;
use crate::config::{AcceptConfig, HttpUrl, IssuerConfig, KeySource, SignatureAlgorithm};

/// Longest time a caller waits for a fetch that an unknown key id caused.
const REFRESH_WAIT: Duration = Duration::from_secs(2);

/// Most callers of one issuer that wait so at once. Each holds a place of `max_in_flight`: whoever
/// sends forged tokens while the SSO is slow must not take them all.
const WAITING_MAX: usize = 1024;

/// Where an issuer's keys come from, and how they age.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeySettings {
    pub(super) source: KeySource,
    pub(super) allow_plain_http: bool,
    pub(super) refresh: Duration,
    pub(super) max_stale: Duration,
    pub(super) cooldown: Duration,
}

impl KeySettings {
    pub(super) fn new(accept: &AcceptConfig, issuer: &IssuerConfig) -> Self {
        Self {
            source: issuer.key_source(),
            allow_plain_http: accept.allow_plain_http,
            refresh: issuer.jwks_refresh,
            max_stale: issuer.jwks_max_stale,
            cooldown: issuer.unknown_kid_cooldown,
        }
    }
}

/// Why there is no key for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyFault {
    /// The issuer's current keys do not include it.
    Unknown,
    /// The key is not for the token's algorithm.
    WrongAlgorithm,
    /// There are no usable keys, or it is unknown and they cannot be fetched.
    Unavailable { retry_after: Duration, cause: Option<FetchFailure> },
}

/// The keys of one issuer. Survives reloads.
#[derive(Debug)]
pub(super) struct IssuerKeys {
    pub(super) issuer: Arc<str>,
    pub(super) clock: Clock,
    pub(super) settings: ArcSwap<KeySettings>,
    pub(super) current: ArcSwapOption<Current>,
    /// Monotonic milliseconds of the next fetch.
    due_ms: AtomicU64,
    state: Mutex<State>,
    /// The last of the asked-for fetches ([`State::refresh_seq`]) that is over.
    completed: watch::Sender<u64>,
    waiting: Semaphore,
    pub(super) wake: Notify,
    /// Ends [`IssuerKeys::keep_fresh`].
    pub(super) stop: CancellationToken,
}

#[derive(Debug)]
pub(super) struct Current {
    pub(super) set: Arc<KeySet>,
    /// Monotonic.
    arrived: Duration,
    /// Came from a file: it is as new as the file, however old that is.
    lasting: bool,
}

/// What a token showed the current keys to lack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Miss {
    /// Its key id is not among them.
    #[default]
    UnknownKid,
    /// Its key id is, but under that key its signature fails, or its algorithm does not fit.
    OtherKey,
}

impl Miss {
    pub(super) fn cause(self) -> KeyFetchCause {
        match self {
            Self::UnknownKid => KeyFetchCause::UnknownKid,
            Self::OtherKey => KeyFetchCause::FailedSignature,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Fetches that tokens have caused, so far.
    pub(super) refresh_seq: u64,
    /// What the last of them is for.
    pub(super) requested_for: Miss,
    /// Before it (monotonic), no further one.
    next_request: Duration,
    /// Key ids that tokens named and a fetch did not bring.
    unknown: UnknownKids,
    /// Key ids whose keys did not change when a signature had failed under them.
    unchanged: UnknownKids,
    /// Fetches that failed since the last that did not.
    pub(super) failures: u32,
    /// Why the last of those failed.
    pub(super) failure: Option<FetchFailure>,
    /// The operator wants a fetch now.
    pub(super) is_requested: bool,
    /// Keys of the last set that are not used.
    pub(super) skipped: Skipped,
    /// The issuer's clock minus ours, in seconds.
    pub(super) skew: Option<i64>,
    /// What discovery found last.
    pub(super) discovered: Option<HttpUrl>,
}

impl State {
    fn misses(&mut self, miss: Miss) -> &mut UnknownKids {
        match miss {
            Miss::UnknownKid => &mut self.unknown,
            Miss::OtherKey => &mut self.unchanged,
        }
    }
}

impl IssuerKeys {
    pub(super) fn new(issuer: Arc<str>, settings: KeySettings, clock: Clock) -> Self {
        Self {
            issuer,
            clock,
            settings: ArcSwap::from_pointee(settings),
            current: ArcSwapOption::empty(),
            due_ms: AtomicU64::new(0),
            state: Mutex::default(),
            completed: watch::Sender::new(0),
            waiting: Semaphore::new(WAITING_MAX),
            wake: Notify::new(),
            stop: CancellationToken::new(),
        }
    }

    /// The keys a token's header can mean. An unknown one may cause a fetch and wait for it.
    pub(super) async fn find(
        &self,
        kid: Option<&str>,
        algorithm: SignatureAlgorithm,
    ) -> Result<Candidates, KeyFault> {
        let miss = match self.pick(kid, algorithm)? {
            Pick::Found(keys) => return Ok(keys),
            Pick::WrongAlgorithm => Miss::OtherKey,
            Pick::Unknown => Miss::UnknownKid,
        };
        let kid_or_none = kid.unwrap_or_default();
        let seq = self.request_refresh(kid_or_none, miss);
        let in_time = match seq {
            Some(seq) => self.wait_for(seq).await,
            None => true,
        };
        let fault = match self.pick(kid, algorithm)? {
            Pick::Found(keys) => return Ok(keys),
            Pick::WrongAlgorithm => KeyFault::WrongAlgorithm,
            Pick::Unknown if !in_time || self.state().failures != 0 => {
                return Err(self.unavailable());
            }
            Pick::Unknown => KeyFault::Unknown,
        };
        if seq.is_some() {
            self.note_miss(kid_or_none, miss);
        }
        Err(fault)
    }

    /// A signature failed under `tried`. Whatever has taken their place since, if it is time to
    /// look: an issuer may change a key and keep its id.
    pub(super) async fn find_changed(
        &self,
        kid: Option<&str>,
        algorithm: SignatureAlgorithm,
        tried: &Candidates,
    ) -> Candidates {
        let kid_or_none = kid.unwrap_or_default();
        let Some(seq) = self.request_refresh(kid_or_none, Miss::OtherKey) else {
            return Candidates::new();
        };
        if !self.wait_for(seq).await {
            return Candidates::new();
        }
        let mut found = match self.pick(kid, algorithm) {
            Ok(Pick::Found(keys)) => keys,
            _ => Candidates::new(),
        };
        found.retain(|key| tried.iter().all(|old| old.fingerprint != key.fingerprint));
        if found.is_empty() {
            self.note_miss(kid_or_none, Miss::OtherKey);
        }
        found
    }

    /// The same without ever causing a fetch.
    pub(super) fn pick(
        &self,
        kid: Option<&str>,
        algorithm: SignatureAlgorithm,
    ) -> Result<Pick, KeyFault> {
        match &*self.current.load() {
            Some(current) if self.is_usable(current) => Ok(current.set.pick(kid, algorithm)),
            _ => Err(self.unavailable()),
        }
    }

    /// Whether this very key is among the usable ones.
    pub(super) fn holds(&self, fingerprint: &Fingerprint) -> bool {
        let current = self.current.load();
        current
            .as_ref()
            .is_some_and(|current| self.is_usable(current) && current.set.holds(fingerprint))
    }

    /// Whether there are keys to verify with.
    pub(super) fn is_ready(&self) -> bool {
        self.current.load().as_ref().is_some_and(|current| self.is_usable(current))
    }

    /// The keys there are to verify with, for people.
    pub(super) fn describe(&self) -> Vec<UsableKey> {
        let current = self.current.load();
        let usable = current.as_ref().filter(|current| self.is_usable(current));
        usable.map(|current| current.set.describe()).unwrap_or_default()
    }

    /// Time since the keys arrived; zero for those from a file.
    pub(super) fn age(&self) -> Option<Duration> {
        let current = self.current.load();
        let current = current.as_ref()?;
        Some(if current.lasting { Duration::ZERO } else { self.since(current.arrived) })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// New keys take the place of the old ones at once.
    pub(super) fn install(&self, set: KeySet, lasting: bool) {
        let arrived = self.clock.monotonic();
        self.current.store(Some(Arc::new(Current { set: Arc::new(set), arrived, lasting })));
        let mut state = self.state();
        (state.failures, state.failure) = (0, None);
    }

    /// No new keys came. What came from a file ages from now on.
    pub(super) fn keep_stale(&self) -> u32 {
        if let Some(current) = self.current.load_full().filter(|current| current.lasting) {
            let (set, arrived) = (Arc::clone(&current.set), self.clock.monotonic());
            self.current.store(Some(Arc::new(Current { set, arrived, lasting: false })));
        }
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        state.failures
    }

    pub(super) fn fetch_in(&self, wait: Duration) {
        let due = self.clock.monotonic() + wait;
        self.due_ms.store(u64::try_from(due.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Until the next fetch; zero when it should begin now.
    pub(super) fn until_due(&self) -> Duration {
        let seq = self.state().refresh_seq;
        if self.is_pending(seq) {
            return Duration::ZERO;
        }
        self.due().saturating_sub(self.clock.monotonic())
    }

    /// Whether somebody waits for the fetch of this number.
    pub(super) fn is_pending(&self, seq: u64) -> bool {
        *self.completed.borrow() < seq
    }

    /// Lets everyone go who waits for a fetch asked for up to `seq`.
    pub(super) fn complete(&self, seq: u64) {
        self.completed.send_replace(seq);
    }

    fn due(&self) -> Duration {
        Duration::from_millis(self.due_ms.load(Ordering::Relaxed))
    }

    fn since(&self, monotonic: Duration) -> Duration {
        self.clock.monotonic().saturating_sub(monotonic)
    }

    fn is_usable(&self, current: &Current) -> bool {
        if current.lasting {
            return true;
        }
        let now = self.clock.monotonic();
        if self.due() < now {
            // The timer of a suspended machine, or of a test, may not have noticed.
            self.wake.notify_one();
        }
        now.saturating_sub(current.arrived) <= self.settings.load().max_stale
    }

    fn unavailable(&self) -> KeyFault {
        let wait = self.due().saturating_sub(self.clock.monotonic());
        let cause = self.state().failure.clone();
        KeyFault::Unavailable { retry_after: wait.max(Duration::from_secs(1)), cause }
    }

    /// The number of the fetch that will show whether the key exists; none if there will be none.
    fn request_refresh(&self, kid: &str, miss: Miss) -> Option<u64> {
        let settings = self.settings.load();
        if matches!(settings.source, KeySource::File(_)) {
            return None;
        }
        let now = self.clock.monotonic();
        let mut state = self.state();
        if state.misses(miss).is_known(kid, now) {
            return None;
        }
        if self.is_pending(state.refresh_seq) {
            return Some(state.refresh_seq);
        }
        if now < state.next_request {
            return None;
        }
        // Taken before the fetch, so that failures count too.
        state.next_request = now + settings.cooldown;
        state.refresh_seq += 1;
        state.requested_for = miss;
        self.wake.notify_one();
        Some(state.refresh_seq)
    }

    fn note_miss(&self, kid: &str, miss: Miss) {
        let cooldown = self.settings.load().cooldown;
        self.state().misses(miss).add(kid, self.clock.monotonic(), cooldown);
    }

    async fn wait_for(&self, seq: u64) -> bool {
        let Ok(_place) = self.waiting.try_acquire() else { return false };
        let mut completed = self.completed.subscribe();
        let over = completed.wait_for(|completed| seq <= *completed);
        tokio::time::timeout(REFRESH_WAIT, over).await.is_ok()
    }
}
