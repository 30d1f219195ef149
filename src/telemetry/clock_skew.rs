//! The clock sentinel: how far other clocks are from ours.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;

use super::event::SkewedPeer;
use super::metrics::Metrics;
use super::neighbours::Neighbours;

/// From here on tokens are refused that should not be, or accepted: worth a warning.
const WARN_SECONDS: u64 = 30;

/// KooDrive's clock is looked at this often, in seconds; it answers far more often.
const UPSTREAM_EVERY: u64 = 10;

/// Notes each clock that was seen; those that are wrong fail as neighbours do.
#[derive(Debug, Default)]
pub(super) struct Skews {
    upstream_seen: AtomicU64,
}

/// How far one clock is ahead of ours, seen in an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Skew<'a> {
    pub(super) peer: SkewedPeer,
    /// Of an SSO: which.
    pub(super) issuer: Option<&'a str>,
    pub(super) seconds: i64,
}

impl Skew<'_> {
    pub(super) fn note(self, metrics: &Metrics, neighbours: &Neighbours) {
        let Self { peer, issuer, seconds } = self;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 seconds")]
        metrics.set_clock_skew(peer, seconds as f64);
        let apart = seconds.unsigned_abs();
        if apart < WARN_SECONDS {
            neighbours.good(peer.clock(), issuer, neighbours.now(), None);
        } else {
            let way = if 0 < seconds { "ahead of" } else { "behind" };
            neighbours.failed(peer.clock(), issuer, || {
                format!("it is {apart} s {way} ours; check time synchronization on both sides")
            });
        }
    }
}

impl Skews {
    /// Seconds the upstream's clock is ahead, when it is time to look.
    pub(super) fn of_upstream(&self, date: &HeaderValue, now: SystemTime) -> Option<i64> {
        let seconds = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let seen = self.upstream_seen.load(Ordering::Relaxed);
        if seconds.abs_diff(seen) < UPSTREAM_EVERY {
            return None;
        }
        self.upstream_seen.store(seconds, Ordering::Relaxed);
        let theirs = httpdate::parse_http_date(date.to_str().ok()?).ok()?;
        let theirs = theirs.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let skew = i64::try_from(theirs).ok()? - i64::try_from(seconds).ok()?;
        // The header has whole seconds: one more or less is no difference.
        Some(if skew.abs() <= 1 { 0 } else { skew })
    }
}
