//! The task that keeps one issuer's keys fresh.

use std::sync::Arc;
use std::time::Duration;

use super::error::FetchFailure;
use super::fetch::{Fetch, FetchError, Fetched, KeyFetch, KeyFetchCause, KeyFetchOutcome};
use super::jwks::{IssuerKeys, KeySettings};
use super::keys::{KeySet, Skipped};
use super::stores::Fetching;
use crate::client;
use crate::clock::chance;
use crate::config::{File, HttpUrl, KeySetDocument, KeySource};

/// An answer's `max-age` may bring the next fetch nearer than `jwks_refresh`, but not below this.
const REFRESH_MIN: Duration = Duration::from_mins(1);

/// Waits after failures: doubled from the first to the last.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

impl IssuerKeys {
    /// Fetches whenever it is time, until [`IssuerKeys::stop`].
    pub(super) async fn keep_fresh(self: Arc<Self>, fetching: Arc<Fetching>) {
        let stop = self.stop.clone();
        let work = async {
            loop {
                let settings = self.settings.load_full();
                let server = settings.source.url();
                let wait = if server.is_some() { self.until_due() } else { Duration::MAX };
                match server {
                    Some(server) if wait.is_zero() => {
                        self.fetch_once(&settings, server, &fetching).await;
                    }
                    // Woken, or time is up: the next round sees which.
                    _ => drop(tokio::time::timeout(wait, self.wake.notified()).await),
                }
            }
        };
        stop.run_until_cancelled(work).await;
    }

    /// Takes over a key set file, at start and whenever its content changed.
    pub(super) fn read_file(&self, file: &File<KeySetDocument>) -> KeyFetch {
        let now = self.clock.now();
        let mut fetch = KeyFetch::begin(&self.issuer, KeyFetchCause::File, now);
        let set = file.content().map(|document| KeySet::read(document));
        let (set, skipped) = set.unwrap_or_default();
        (fetch.keys, fetch.skipped) = (set.len(), skipped);
        if fetch.keys == 0 {
            self.keep_stale();
            fetch.outcome = KeyFetchOutcome::NoUsableKeys;
            let (outcome, path) = (fetch.outcome.as_str(), file.path().display());
            let failure = format!("{outcome} in the key set file {path}: {}", fetch.skipped);
            fetch.failure = Some(FetchFailure(failure.into()));
            self.state().failure.clone_from(&fetch.failure);
        } else {
            fetch.outcome = KeyFetchOutcome::Fetched;
            self.note_rotation(&set);
            self.install(set, true);
            self.note_skipped(&fetch.skipped);
        }
        fetch
    }

    async fn fetch_once(&self, settings: &KeySettings, server: &HttpUrl, fetching: &Fetching) {
        let seq = self.state().refresh_seq;
        let asked = self.is_pending(seq);
        let cause = self.cause(asked);
        let mut fetch = KeyFetch::begin(&self.issuer, cause, self.clock.now());
        let fetched = self.fetch_from(settings, server, fetching, asked).await;
        fetch.ended = self.clock.now();
        match fetched {
            Ok(fetched) => self.succeed(fetched, settings, &mut fetch),
            Err(error) => self.fail(&error, settings, &mut fetch),
        }
        // What came from where the configuration pointed before does not put off what is wanted now.
        if *settings != **self.settings.load() {
            self.fetch_in(Duration::ZERO);
        }
        self.complete(seq);
        (fetching.report)(fetch);
    }

    fn cause(&self, asked: bool) -> KeyFetchCause {
        let mut state = self.state();
        let is_requested = std::mem::take(&mut state.is_requested);
        match (asked, is_requested) {
            (true, _) => state.requested_for.cause(),
            (false, true) => KeyFetchCause::Requested,
            (false, false) => KeyFetchCause::Schedule,
        }
    }

    async fn fetch_from(
        &self,
        settings: &KeySettings,
        server: &HttpUrl,
        fetching: &Fetching,
        asked: bool,
    ) -> Result<Fetched, FetchError> {
        let allow_plain_http = settings.allow_plain_http;
        let fetch = Fetch { client: &fetching.client, allow_plain_http };
        if let KeySource::Url(url) = &settings.source {
            return fetch.keys_at(url).await;
        }
        // Somebody waits for a key: where the keys were a while ago will do.
        let known = self.state().discovered.take().filter(|_| asked);
        let url = match known {
            Some(url) => url,
            None => fetch.discover(server).await?,
        };
        let fetched = fetch.keys_at(&url).await?;
        self.state().discovered = Some(url);
        Ok(fetched)
    }

    fn succeed(&self, fetched: Fetched, settings: &KeySettings, fetch: &mut KeyFetch) {
        let refresh = settings.refresh;
        let wait = fetched.fresh_for.unwrap_or(refresh).clamp(REFRESH_MIN.min(refresh), refresh);
        self.fetch_in(wait.mul_f64(1.0 - 0.1 * chance()));
        fetch.outcome = KeyFetchOutcome::Fetched;
        fetch.keys = fetched.set.len();
        fetch.skipped = fetched.skipped;
        fetch.skew_seconds =
            fetched.date.map(|date| client::clock_skew(date, fetch.started, fetch.ended));
        if fetch.skew_seconds.is_some() {
            self.state().skew = fetch.skew_seconds;
        }
        self.note_rotation(&fetched.set);
        self.install(fetched.set, false);
        self.note_skipped(&fetch.skipped);
    }

    /// A rotation of keys leaves a line: which ids came and which went.
    fn note_rotation(&self, new: &KeySet) {
        let Some(current) = self.current.load_full() else { return };
        let (before, now) = (current.set.names(), new.names());
        if before != now {
            let added = now.difference(&before).cloned().collect::<Vec<_>>().join(", ");
            let removed = before.difference(&now).cloned().collect::<Vec<_>>().join(", ");
            tracing::info!(issuer = %self.issuer, added, removed, "signing keys changed");
        }
    }

    /// Told once, not with every fetch.
    fn note_skipped(&self, skipped: &Skipped) {
        let old = std::mem::replace(&mut self.state().skipped, skipped.clone());
        if old != *skipped && !skipped.is_empty() {
            tracing::warn!(issuer = %self.issuer, %skipped, "some published keys are not used");
        }
    }

    fn fail(&self, error: &FetchError, settings: &KeySettings, fetch: &mut KeyFetch) {
        let failures = self.keep_stale();
        let doubled = RETRY_FIRST.saturating_mul(1 << (failures - 1).min(8));
        let wait = doubled.min(RETRY_MAX).min(settings.refresh);
        self.fetch_in(wait.mul_f64(0.75 + 0.5 * chance()));
        fetch.outcome = KeyFetchOutcome::of(error);
        if let FetchError::NoUsableKeys { skipped, .. } = error {
            fetch.skipped.clone_from(skipped);
        }
        fetch.failure = Some(FetchFailure(client::told(error).into()));
        self.state().failure.clone_from(&fetch.failure);
        let error = error as &dyn std::error::Error;
        tracing::debug!(issuer = %self.issuer, error, failures, "keys not fetched");
    }
}
