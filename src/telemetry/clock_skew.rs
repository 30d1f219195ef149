//! The clock sentinel: how far other clocks are from ours.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;

use super::event::SkewedPeer;
use super::metrics::Metrics;

/// From here on tokens are refused that should not be, or accepted: worth a warning.
const WARN_SECONDS: u64 = 30;

/// KooDrive's clock is looked at this often, in seconds; it answers far more often.
const UPSTREAM_EVERY: u64 = 10;

/// Warns once when a clock goes wrong, and once when it is right again.
#[derive(Debug, Default)]
pub(super) struct Skews {
    warned: [AtomicBool; SkewedPeer::ALL.len()],
    upstream_seen: AtomicU64,
}

impl Skews {
    pub(super) fn note(&self, peer: SkewedPeer, seconds: i64, metrics: &Metrics) {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 seconds")]
        metrics.set_clock_skew(peer, seconds as f64);
        let wrong = WARN_SECONDS <= seconds.unsigned_abs();
        let before = self.warned[peer as usize].swap(wrong, Ordering::Relaxed);
        match (before, wrong) {
            (false, true) => {
                tracing::warn!(
                    peer = peer.as_str(),
                    seconds,
                    "clocks differ; check time synchronization"
                );
            }
            (true, false) => tracing::info!(peer = peer.as_str(), seconds, "clocks agree again"),
            _ => {}
        }
    }

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
