//! Places: a bounded number of things at once, shared so that nobody takes them from the others.
//!
//! A place stands for a thing (a call, an upload, an exchange) and comes back when it is dropped.
//! Three quarters of the places are for whoever comes first. Of the last quarter one gets a place
//! who holds less than a quarter of what is still free: one holder alone reaches three quarters, a
//! dozen together leave some, and the others still get in.
//! Knows nothing of what the places are for.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use tokio::sync::oneshot;

/// Who holds places.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A connection whose peer shares its address with everybody, as on loopback.
    Connection(u64),
    /// Before the caller is known: the address it calls from.
    Peer(IpAddr),
    /// A caller, as a digest.
    Caller([u8; 16]),
}

/// Not the digest of a caller: that is for logs that choose to name it.
impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection(_) => "Connection",
            Self::Peer(_) => "Peer",
            Self::Caller(_) => "Caller",
        })
    }
}

/// No place is left for this holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all places for {name} are taken")]
pub struct PlacesTaken {
    pub name: &'static str,
}

/// A number of places. Clones share them.
#[derive(Clone)]
pub struct Places(Arc<Shared>);

struct Shared {
    name: &'static str,
    state: Mutex<State>,
}

struct State {
    total: usize,
    taken: usize,
    /// Only holders of at least one place.
    held: HashMap<Holder, usize, RandomState>,
    /// First come, first served; nobody here may have what is free.
    waiting: VecDeque<Waiter>,
}

struct Waiter {
    holder: Holder,
    turn: oneshot::Sender<Place>,
}

/// A taken place; dropping it gives it back.
pub struct Place {
    places: Places,
    holder: Holder,
}

impl Places {
    /// `name` completes the sentence "all places for … are taken".
    pub fn new(name: &'static str, total: usize) -> Self {
        let state = State { total, taken: 0, held: HashMap::default(), waiting: VecDeque::new() };
        Self(Arc::new(Shared { name, state: Mutex::new(state) }))
    }

    /// Three quarters of `total`, at least one: for things that last as long as a caller likes,
    /// beside others that do not.
    pub fn three_quarters(total: usize) -> usize {
        total - total / 4
    }

    /// Changes the number of places. Whoever holds one beyond it keeps it.
    pub fn resize(&self, total: usize) {
        self.lock().total = total;
        self.hand_on();
    }

    /// How many are taken, and of how many.
    pub fn taken(&self) -> (usize, usize) {
        let state = self.lock();
        (state.taken, state.total)
    }

    /// Takes a place, or says that none is left for this holder.
    pub fn try_take(&self, holder: Holder) -> Result<Place, PlacesTaken> {
        if self.lock().take(holder) {
            Ok(self.place_of(holder))
        } else {
            Err(PlacesTaken { name: self.0.name })
        }
    }

    /// Waits for a place; of those who may have one, whoever came first gets it. Whoever waits
    /// bounds the wait.
    pub async fn take(&self, holder: Holder) -> Place {
        let turn = {
            let mut state = self.lock();
            if state.take(holder) {
                return self.place_of(holder);
            }
            let (turn, place) = oneshot::channel();
            state.forget_who_left();
            state.waiting.push_back(Waiter { holder, turn });
            place
        };
        turn.await.expect("who waits is not dropped before the places are")
    }

    fn place_of(&self, holder: Holder) -> Place {
        Place { places: self.clone(), holder }
    }

    /// Gives what is free to those who wait for it.
    fn hand_on(&self) {
        loop {
            let Some(Waiter { holder, turn }) = self.lock().next() else { return };
            // Who has left this moment gives it back, and so hands it on.
            drop(turn.send(self.place_of(holder)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole, even one that panicked.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn may_take(&self, holder: Holder) -> bool {
        let free = self.total.saturating_sub(self.taken);
        let held = || self.held.get(&holder).copied().unwrap_or(0);
        self.total / 4 < free || 4 * held() < free
    }

    fn take(&mut self, holder: Holder) -> bool {
        let may = self.may_take(holder);
        if may {
            self.taken += 1;
            *self.held.entry(holder).or_default() += 1;
        }
        may
    }

    /// Takes a place for the first who waits and may have it.
    fn next(&mut self) -> Option<Waiter> {
        self.forget_who_left();
        let at = self.waiting.iter().position(|waiter| self.may_take(waiter.holder))?;
        let waiter = self.waiting.remove(at)?;
        self.take(waiter.holder);
        Some(waiter)
    }

    fn forget_who_left(&mut self) {
        self.waiting.retain(|waiter| !waiter.turn.is_closed());
    }

    fn give_back(&mut self, holder: Holder) {
        self.taken -= 1;
        if let Entry::Occupied(mut held) = self.held.entry(holder) {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
    }
}

impl Place {
    pub fn holder(&self) -> Holder {
        self.holder
    }

    /// From now on the place is `holder`'s, who was not known before. Fails, and gives the place
    /// back, when `holder` could not have taken it.
    pub fn hand_to(mut self, holder: Holder) -> Result<Self, PlacesTaken> {
        let mut state = self.places.lock();
        state.give_back(self.holder);
        let taken = state.take(holder);
        if !taken {
            // Dropping the place is to give it back, once.
            state.taken += 1;
            *state.held.entry(self.holder).or_default() += 1;
        }
        let nobody_waits = state.waiting.is_empty();
        drop(state);
        if !nobody_waits {
            // Whose it was holds less now, and may wait for another.
            self.places.hand_on();
        }
        if !taken {
            return Err(PlacesTaken { name: self.places.0.name });
        }
        self.holder = holder;
        Ok(self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.lock();
        state.give_back(self.holder);
        let nobody_waits = state.waiting.is_empty();
        drop(state);
        if !nobody_waits {
            self.places.hand_on();
        }
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Places")
            .field("name", &self.0.name)
            .field("total", &state.total)
            .field("taken", &state.taken)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("of", &self.places.0.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    fn caller(n: u8) -> Holder {
        Holder::Caller([n; 16])
    }

    fn take_all(places: &Places, holder: Holder) -> Vec<Place> {
        std::iter::from_fn(|| places.try_take(holder).ok()).collect()
    }

    #[test]
    fn one_holder_takes_three_quarters_and_the_last_is_for_the_others() {
        for (total, alone) in [(1, 1), (3, 3), (4, 3), (5, 4), (32, 24), (4096, 3072)] {
            let places = Places::new("tests", total);
            let hoard = take_all(&places, caller(0));
            assert_eq!((hoard.len(), Places::three_quarters(total)), (alone, alone), "{total}");
            let others: Vec<_> =
                (1..=255).filter_map(|n| places.try_take(caller(n)).ok()).collect();
            assert_eq!(others.len(), (total - alone).min(255), "{total}");
        }
    }

    #[test]
    fn of_the_last_quarter_one_gets_less_than_a_quarter_of_what_is_free() {
        let places = Places::new("tests", 64);
        let _hoard = take_all(&places, caller(0));
        let second = take_all(&places, caller(1));
        assert_eq!(second.len(), 4, "of 16");
        assert_eq!(take_all(&places, caller(2)).len(), 3, "of 12");
        assert_eq!(
            places.try_take(caller(1)).unwrap_err().to_string(),
            "all places for tests are taken"
        );
    }

    #[test]
    fn a_dozen_together_leave_some_for_whoever_holds_nothing() {
        let places = Places::new("tests", 192);
        let hoards: Vec<_> = (0..12).map(|n| take_all(&places, caller(n))).collect();
        let held: usize = hoards.iter().map(Vec::len).sum();
        assert!(held < 192, "{held}");
        places.try_take(caller(200)).expect("one is left");
    }

    #[test]
    fn a_place_comes_back_when_it_is_dropped_and_wakes_who_waits() {
        let places = Places::new("tests", 1);
        let first = places.try_take(caller(0)).unwrap();
        let mut waiting = pin!(places.take(caller(1)));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        let second = waiting.now_or_never();
        assert!(second.is_some());
        assert_eq!(places.lock().taken, 1);
        drop(second);
        let state = places.lock();
        assert_eq!((state.taken, state.held.len()), (0, 0));
    }

    #[test]
    fn of_those_who_wait_the_first_who_may_have_it_is_next_and_who_left_is_passed_over() {
        let places = Places::new("tests", 4);
        let mut hoard = take_all(&places, caller(0));
        let other = places.try_take(caller(1)).unwrap();
        let mut greedy = pin!(places.take(caller(0)));
        let mut left = Box::pin(places.take(caller(2)));
        let mut second = pin!(places.take(caller(2)));
        let mut third = pin!(places.take(caller(3)));
        assert!(greedy.as_mut().now_or_never().is_none());
        assert!(left.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        drop(left);
        drop(other);
        assert!(greedy.as_mut().now_or_never().is_none(), "the last quarter is for the others");
        let _second = second.now_or_never().expect("the first who may have it");
        assert!(third.as_mut().now_or_never().is_none());
        hoard.pop();
        let _third = third.now_or_never().expect("it holds nothing");
        assert!(greedy.as_mut().now_or_never().is_none(), "two of four are still its own");
        hoard.clear();
        let _greedy = greedy.now_or_never().expect("it came first, but holds nothing only now");
        assert_eq!(places.lock().taken, 3);
    }

    #[test]
    fn a_place_is_handed_to_a_holder_who_may_have_it() {
        let places = Places::new("tests", 8);
        let _hoard: Vec<_> = take_all(&places, caller(0));
        let stranger = places.try_take(Holder::Connection(1)).unwrap();
        stranger.hand_to(caller(0)).expect_err("it holds three quarters");
        assert_eq!(places.lock().taken, 6, "what was refused is free again");
        let stranger = places.try_take(Holder::Connection(1)).unwrap();
        let _second = stranger.hand_to(caller(1)).unwrap();
        assert_eq!(places.lock().taken, 7);
    }

    #[test]
    fn fewer_places_are_given_out_after_a_change_and_none_is_taken_away() {
        let places = Places::new("tests", 8);
        let mut held = take_all(&places, caller(0));
        places.resize(4);
        places.try_take(caller(1)).expect_err("six are taken");
        held.truncate(3);
        places.try_take(caller(1)).expect("one is left for others");
    }

    proptest! {
        /// Whatever is taken and dropped: never more than the total, and nobody is refused who
        /// holds less than a quarter of what is free.
        #[test]
        fn shares_hold_in_any_order(
            total in 1..40_usize,
            steps in prop::collection::vec((0..6_u8, any::<bool>()), 0..300),
        ) {
            let places = Places::new("tests", total);
            let mut held: Vec<(u8, Place)> = Vec::new();
            for (who, takes) in steps {
                if takes {
                    let own = held.iter().filter(|(holder, _)| *holder == who).count();
                    match places.try_take(caller(who)) {
                        Ok(place) => held.push((who, place)),
                        Err(_) => {
                            prop_assert!(total - held.len() <= 4 * own);
                        }
                    }
                } else if let Some(at) = held.iter().position(|(holder, _)| *holder == who) {
                    held.swap_remove(at);
                }
                prop_assert!(held.len() <= total);
                prop_assert_eq!(places.lock().taken, held.len());
            }
        }
    }
}
