//! Which connections are idle, and whose they are, so that one can make room for another.
//!
//! First those go on which nobody was accepted: strangers take no place from callers, however many
//! they come. Then those of the caller who has most.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::unwritten::{Piece, Unwritten};
use crate::clock::Clock;
use crate::places::Holder;

/// The connections that are open. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Roster(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started: Instant,
    clock: Clock,
    next: AtomicU64,
    present: Mutex<HashMap<u64, Arc<Activity>>>,
}

/// What one connection does. Only a full house looks at that of others.
#[derive(Debug, Default)]
struct Activity {
    exchanges: AtomicUsize,
    has_called: AtomicBool,
    /// Milliseconds since the start of the roster.
    idle_since: AtomicU64,
    /// Whoever was accepted on it last, as a number; 0 for nobody yet.
    caller: AtomicU64,
    leave: CancellationToken,
}

/// One open connection.
#[derive(Debug)]
pub(super) struct Presence {
    id: u64,
    ip: Option<IpAddr>,
    roster: Roster,
    activity: Arc<Activity>,
}

/// The caller of a connection on which no call was accepted.
const NOBODY: u64 = 0;

/// A request and its answer, until the answer has gone out.
#[derive(Debug)]
pub(super) struct Exchange {
    roster: Roster,
    activity: Arc<Activity>,
}

impl Roster {
    pub(super) fn new(clock: Clock) -> Self {
        Self(Arc::new(Shared {
            started: Instant::now(),
            clock,
            next: AtomicU64::new(0),
            present: Mutex::default(),
        }))
    }

    /// A connection that was just accepted.
    pub(super) fn enter(&self, ip: Option<IpAddr>) -> Presence {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let activity = Arc::new(Activity::default());
        activity.idle_since.store(self.now(), Ordering::Relaxed);
        self.present().insert(id, Arc::clone(&activity));
        Presence { id, ip, roster: self.clone(), activity }
    }

    /// Asks an idle connection to leave: one of those that have had no accepted call, else one of
    /// the caller who has most; of several the one that has been idle longest. Whether there was one.
    pub(super) fn send_one_away(&self) -> bool {
        let present = self.present();
        let mut of_callers: HashMap<u64, usize> = HashMap::new();
        for activity in present.values() {
            *of_callers.entry(activity.caller.load(Ordering::Relaxed)).or_default() += 1;
        }
        // Before all others.
        of_callers.insert(NOBODY, usize::MAX);
        let idle = present.values().filter(|activity| {
            activity.exchanges.load(Ordering::Relaxed) == 0 && !activity.leave.is_cancelled()
        });
        let first = idle.min_by_key(|activity| {
            let of_caller = of_callers.get(&activity.caller.load(Ordering::Relaxed)).copied();
            (Reverse(of_caller), activity.idle_since.load(Ordering::Relaxed))
        });
        first.inspect(|activity| activity.leave.cancel()).is_some()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn present(&self) -> MutexGuard<'_, HashMap<u64, Arc<Activity>>> {
        self.0.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presence {
    /// Who holds the places of its calls before their callers are known: its address, unless all
    /// callers may have the same.
    pub(super) fn holder(&self) -> Holder {
        match self.ip {
            Some(ip) if !ip.to_canonical().is_loopback() => Holder::Peer(ip),
            _ => Holder::Connection(self.id),
        }
    }

    /// A call of this holder was accepted on it.
    pub(super) fn accepted(&self, holder: Holder) {
        if let Holder::Caller([a, b, c, d, e, f, g, h, ..]) = holder {
            let caller = u64::from_be_bytes([a, b, c, d, e, f, g, h]).max(NOBODY + 1);
            self.activity.caller.store(caller, Ordering::Relaxed);
        }
    }

    pub(super) fn begin_exchange(&self) -> Exchange {
        self.activity.exchanges.fetch_add(1, Ordering::Relaxed);
        self.activity.has_called.store(true, Ordering::Relaxed);
        Exchange { roster: self.roster.clone(), activity: Arc::clone(&self.activity) }
    }

    /// Whether an exchange was begun on it yet.
    pub(super) fn has_called(&self) -> bool {
        self.activity.has_called.load(Ordering::Relaxed)
    }

    /// Whether an exchange is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.activity.exchanges.load(Ordering::Relaxed) != 0
    }

    /// Returns once no exchange was under way for `timeout`. One timer for all of them: it finds
    /// by itself that something has happened meanwhile.
    pub(super) async fn idle_for(&self, timeout: Duration) {
        loop {
            let since = self.activity.idle_since.load(Ordering::Relaxed);
            let idle = Duration::from_millis(self.roster.now().saturating_sub(since));
            let busy = self.is_busy();
            if !busy && timeout <= idle {
                return;
            }
            let left = if busy { timeout } else { timeout.saturating_sub(idle) };
            tokio::time::sleep(left).await;
        }
    }

    /// How long connections live is measured on this.
    pub(super) fn clock(&self) -> &Clock {
        &self.roster.0.clock
    }

    /// Cancelled when the connection is to make room.
    pub(super) fn leave(&self) -> &CancellationToken {
        &self.activity.leave
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.roster.present().remove(&self.id);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.activity.idle_since.store(self.roster.now(), Ordering::Relaxed);
        self.activity.exchanges.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer on an HTTP/1 connection, which is idle again when the answer has gone out.
#[derive(Debug)]
pub(super) struct ExchangeBody<B> {
    inner: B,
    /// The length that the head names is not that of this body, which is empty: of an answer to a
    /// conditional request, for example.
    hides_length: bool,
    unwritten: Arc<Unwritten>,
    _exchange: Exchange,
}

impl Exchange {
    pub(super) fn carry<B>(
        self,
        inner: B,
        hides_length: bool,
        unwritten: Arc<Unwritten>,
    ) -> ExchangeBody<B> {
        ExchangeBody { inner, hides_length, unwritten, _exchange: self }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ExchangeBody<B> {
    type Data = Piece;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, B::Error>>> {
        let Self { inner, unwritten, .. } = self.get_mut();
        if !unwritten.has_room() {
            return Poll::Pending;
        }
        let frame = ready!(Pin::new(inner).poll_frame(cx));
        Poll::Ready(frame.map(|frame| Ok(frame?.map_data(|data| unwritten.add(data)))))
    }

    fn is_end_stream(&self) -> bool {
        !self.hides_length && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.hides_length { SizeHint::default() } else { self.inner.size_hint() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That began a minute ago: what happens now is later than what was set to an earlier time.
    fn roster() -> Roster {
        let Roster(shared) = Roster::new(Clock::system());
        let shared = Arc::into_inner(shared).expect("nobody else has it");
        Roster(Arc::new(Shared { started: shared.started - Duration::from_mins(1), ..shared }))
    }

    fn idle_since(presence: &Presence, second: u64) {
        presence.activity.idle_since.store(1000 * second, Ordering::Relaxed);
    }

    #[test]
    fn strangers_go_first_then_those_of_whoever_has_most() {
        let roster = roster();
        let enter = |caller: u8, second: u64| {
            let presence = roster.enter(None);
            presence.accepted(Holder::Caller([caller; 16]));
            idle_since(&presence, second);
            presence
        };
        let (kept, older, newer) = (enter(1, 1), enter(2, 2), enter(2, 3));
        let stranger = roster.enter(None);
        for expected in [&stranger, &older, &newer] {
            assert!(!expected.leave().is_cancelled());
            assert!(roster.send_one_away());
            assert!(expected.leave().is_cancelled());
            assert!(
                !kept.leave().is_cancelled(),
                "it has been idle longest, but is its caller's only one"
            );
        }
        assert!(roster.send_one_away());
        assert!(kept.leave().is_cancelled());
    }

    #[test]
    fn the_longest_idle_is_sent_away_and_nobody_who_is_busy() {
        let roster = roster();
        let (first, second, third) = (roster.enter(None), roster.enter(None), roster.enter(None));
        let busy = first.begin_exchange();
        for presence in [&first, &second, &third] {
            idle_since(presence, 1);
        }
        drop(second.begin_exchange());
        assert!(roster.send_one_away());
        assert!(third.leave().is_cancelled(), "idle since it came");
        assert!(roster.send_one_away());
        assert!(second.leave().is_cancelled());
        assert!(!roster.send_one_away(), "one is busy, the others are leaving");
        drop(busy);
        assert!(roster.send_one_away());
        assert!(first.leave().is_cancelled());
        drop((first, second, third));
        assert_eq!(roster.present().len(), 0);
    }
}
