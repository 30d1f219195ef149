//! Leaves KooDrive alone while it throttles: a circuit breaker that opens by KooDrive's own word.
//!
//! Only calls that went out after the last change have a say. An answer to an older one tells of a
//! time that is over: it neither ends a pause nor makes the next one longer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The pause of this process. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Throttle(Arc<Mutex<Pauses>>);

/// A call that may go out. Who drops it without having told of an answer lets the next call try.
#[derive(Debug)]
pub(super) struct Sent {
    throttle: Throttle,
    stretch: Stretch,
}

impl Throttle {
    /// Whether a call may be prepared; else after how long.
    pub(super) fn look(&self, now: Duration) -> Result<(), Duration> {
        self.lock().look(now)
    }

    /// Lets a call go out, or says after how long one may. After a pause the first is the probe.
    pub(super) fn enter(&self, now: Duration) -> Result<Sent, Duration> {
        let stretch = self.lock().enter(now)?;
        Ok(Sent { throttle: self.clone(), stretch })
    }

    fn lock(&self) -> MutexGuard<'_, Pauses> {
        // Every critical section leaves the state whole, even one that panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sent {
    /// KooDrive throttled this call. The pause that begins by it, if one does.
    pub(super) fn throttled(
        &self,
        retry_after: Option<Duration>,
        now: Duration,
    ) -> Option<Duration> {
        self.throttle.lock().throttled(self.stretch, retry_after, now)
    }

    /// KooDrive served this call. Whether that ended the pauses.
    pub(super) fn served(&self) -> bool {
        self.throttle.lock().served(self.stretch)
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.throttle.lock().given_up(self.stretch);
    }
}

/// The state machine. Times are since any fixed moment.
#[derive(Debug, Default)]
struct Pauses {
    state: State,
    stretch: Stretch,
}

/// The time from the end of one pause to the beginning of the next. Within one pause the only call
/// of its stretch is the probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stretch(u64);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// Nothing goes out before `until`. `length` without what KooDrive asked for.
    Paused { until: Duration, length: Duration },
    /// The pause is over, and one call is finding out whether that is true.
    Probing { length: Duration },
}

impl Pauses {
    fn look(&self, now: Duration) -> Result<(), Duration> {
        match self.state {
            State::Paused { until, .. } if now < until => Err(until.saturating_sub(now)),
            State::Open | State::Paused { .. } => Ok(()),
            State::Probing { .. } => Err(PAUSE_MIN),
        }
    }

    fn enter(&mut self, now: Duration) -> Result<Stretch, Duration> {
        self.look(now)?;
        if let State::Paused { length, .. } = self.state {
            self.state = State::Probing { length };
        }
        Ok(self.stretch)
    }

    fn throttled(
        &mut self,
        stretch: Stretch,
        retry_after: Option<Duration>,
        now: Duration,
    ) -> Option<Duration> {
        let asked = retry_after.map(|asked| asked.clamp(PAUSE_MIN, ASKED_MAX));
        if stretch != self.stretch {
            // Many were on their way. KooDrive may ask for more time than the first was told.
            if let (State::Paused { until, .. }, Some(asked)) = (&mut self.state, asked) {
                *until = (*until).max(now + asked);
            }
            return None;
        }
        let length = match self.state {
            State::Open => PAUSE_MIN,
            State::Paused { length, .. } | State::Probing { length } => (length * 2).min(PAUSE_MAX),
        };
        let pause = asked.unwrap_or(length);
        self.state = State::Paused { until: now + pause, length };
        self.stretch = Stretch(self.stretch.0 + 1);
        Some(pause)
    }

    fn served(&mut self, stretch: Stretch) -> bool {
        let ends = stretch == self.stretch && matches!(self.state, State::Probing { .. });
        if ends {
            self.state = State::Open;
        }
        ends
    }

    fn given_up(&mut self, stretch: Stretch) {
        if let (State::Probing { length }, true) = (self.state, stretch == self.stretch) {
            self.state = State::Paused { until: Duration::ZERO, length };
        }
    }
}

/// The first pause where KooDrive asks for none, and the shortest of all.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Without KooDrive asking for it, no pause is longer.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A pause KooDrive asks for is cut to this, lest a slip of its clock stop all for a day.
const ASKED_MAX: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens at a time, in milliseconds. Calls are named by letters.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        /// Goes out; or is told to wait so many milliseconds.
        Enter(char, Result<(), u64>),
        /// Is throttled, with so many seconds as `Retry-After`; a pause begins or not.
        Throttled(char, Option<u64>, Option<u64>),
        /// Is served; the pauses end by it or not.
        Served(char, bool),
        GivenUp(char),
    }
    use Event::{Enter, GivenUp, Served, Throttled};

    const GOES: Result<(), u64> = Ok(());

    fn play(name: &str, events: &[(u64, Event)]) {
        let mut pauses = Pauses::default();
        let mut sent = std::collections::HashMap::new();
        for (at, event) in events {
            let now = Duration::from_millis(*at);
            let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap();
            match *event {
                Enter(call, expected) => {
                    let looked = pauses.look(now).map_err(millis);
                    assert_eq!(looked, expected, "{name}: look at {at} {event:?}");
                    let entered = pauses.enter(now).map_err(millis);
                    assert_eq!(entered.map(drop), expected, "{name}: at {at} {event:?}");
                    sent.extend(entered.ok().map(|stretch| (call, stretch)));
                }
                Throttled(call, asked, expected) => {
                    let asked = asked.map(Duration::from_secs);
                    let pause = pauses.throttled(sent[&call], asked, now).map(millis);
                    assert_eq!(pause, expected, "{name}: at {at} {event:?}");
                }
                Served(call, expected) => {
                    assert_eq!(pauses.served(sent[&call]), expected, "{name}: at {at} {event:?}");
                }
                GivenUp(call) => pauses.given_up(sent[&call]),
            }
        }
    }

    #[test]
    fn a_pause_ends_by_one_probe() {
        let begin = [(0, Enter('a', GOES)), (0, Throttled('a', None, Some(1000)))];
        let rows: [(&str, &[(u64, Event)]); 5] = [
            (
                "nobody goes before its end, one at it, all after the probe was served",
                &[
                    (0, Enter('b', Err(1000))),
                    (999, Enter('b', Err(1))),
                    (1000, Enter('b', GOES)),
                    (1000, Enter('c', Err(1000))),
                    (1700, Enter('c', Err(1000))),
                    (1800, Served('b', true)),
                    (1800, Enter('c', GOES)),
                    (1800, Enter('d', GOES)),
                    (1900, Served('c', false)),
                ],
            ),
            (
                "a probe without a verdict hands over to the next call",
                &[
                    (1000, Enter('b', GOES)),
                    (1100, GivenUp('b')),
                    (1100, Enter('c', GOES)),
                    (1100, Enter('d', Err(1000))),
                    (1200, Served('c', true)),
                ],
            ),
            (
                "whoever is done after its verdict changes nothing",
                &[
                    (1000, Enter('b', GOES)),
                    (1000, Throttled('b', None, Some(2000))),
                    (1000, GivenUp('b')),
                    (1000, Enter('c', Err(2000))),
                    (3000, Enter('c', GOES)),
                    (3000, Served('c', true)),
                    (3000, GivenUp('c')),
                    (3000, Enter('d', GOES)),
                    (3000, Enter('e', GOES)),
                ],
            ),
            (
                "the first call of all has no say any more",
                &[
                    (500, Served('a', false)),
                    (500, Enter('b', Err(500))),
                    (1000, Enter('b', GOES)),
                    (1000, Served('a', false)),
                    (1000, Throttled('a', Some(60), None)),
                    (1000, Enter('c', Err(1000))),
                ],
            ),
            (
                "after recovery the first pause is short again",
                &[
                    (1000, Enter('b', GOES)),
                    (1000, Throttled('b', None, Some(2000))),
                    (3000, Enter('c', GOES)),
                    (3000, Served('c', true)),
                    (3000, Enter('d', GOES)),
                    (3000, Throttled('d', None, Some(1000))),
                ],
            ),
        ];
        for (name, events) in rows {
            play(name, &[&begin, events].concat());
        }
    }

    #[test]
    fn pauses_double_to_thirty_seconds_while_koodrive_throttles_on() {
        let (mut events, mut at) = (vec![(0, Enter('a', GOES))], 0);
        for pause in [1, 2, 4, 8, 16, 30, 30, 30] {
            events.push((at, Throttled('a', None, Some(pause * 1000))));
            at += pause * 1000;
            events.push((at - 1, Enter('b', Err(1))));
            events.push((at, Enter('a', GOES)));
        }
        play("doubling", &events);
    }

    #[test]
    fn many_calls_on_their_way_make_one_pause_as_long_as_the_longest_asked_for() {
        play(
            "together",
            &[
                (0, Enter('a', GOES)),
                (0, Enter('b', GOES)),
                (0, Enter('c', GOES)),
                (0, Enter('d', GOES)),
                (100, Throttled('a', None, Some(1000))),
                (100, Throttled('b', None, None)),
                (100, Enter('e', Err(1000))),
                (200, Throttled('c', Some(7), None)),
                (200, Throttled('d', Some(3), None)),
                (200, Enter('e', Err(7000))),
            ],
        );
    }

    #[test]
    fn what_koodrive_asks_for_is_obeyed_within_bounds() {
        for (asked, pause) in [(0, 1), (1, 1), (7, 7), (300, 300), (301, 300), (u64::MAX, 300)] {
            play(
                "asked",
                &[
                    (5, Enter('a', GOES)),
                    (5, Throttled('a', Some(asked), Some(pause * 1000))),
                    (5, Enter('b', Err(pause * 1000))),
                ],
            );
        }
    }
}
