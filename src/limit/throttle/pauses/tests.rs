//! When calls go out, event by event.

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
                let pause = match pauses.throttled(sent[&call], asked, now) {
                    Some(Throttling::Begins(pause)) => Some(millis(pause.lasts)),
                    Some(Throttling::Longer(_)) | None => None,
                };
                assert_eq!(pause, expected, "{name}: at {at} {event:?}");
            }
            Served(call, expected) => {
                assert_eq!(pauses.served(sent[&call], now), expected, "{name}: at {at} {event:?}");
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
            "nobody goes before its end, one at it, one by one after the probe was served",
            &[
                (0, Enter('b', Err(1000))),
                (999, Enter('b', Err(1))),
                (1000, Enter('b', GOES)),
                (1000, Enter('c', Err(1000))),
                (1700, Enter('c', Err(1000))),
                (1800, Served('b', true)),
                (1800, Enter('c', Err(125))),
                (1925, Enter('c', GOES)),
                (1925, Enter('d', Err(125))),
                (1950, Served('c', false)),
                (2050, Enter('d', GOES)),
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
                (3125, Enter('d', GOES)),
                (3125, Enter('e', Err(125))),
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
                (3125, Enter('d', GOES)),
                (3125, Throttled('d', None, Some(1000))),
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

/// Paused at 0 for a second, as far as this process knows.
fn paused() -> Pauses {
    let mut pauses = Pauses::default();
    let sent = pauses.enter(Duration::ZERO).unwrap();
    pauses.throttled(sent, None, Duration::ZERO).unwrap();
    pauses
}

const SECOND: Duration = Duration::from_secs(1);
const FIVE: Pause = Pause { lasts: Duration::from_secs(5), length: Duration::from_secs(4) };

#[test]
fn a_pause_that_began_elsewhere_holds_here_and_its_length_counts() {
    for mut pauses in [Pauses::default(), paused()] {
        pauses.paused_elsewhere(FIVE, Duration::ZERO);
        assert_eq!(pauses.look(SECOND), Err(SECOND * 4));
        let probe = pauses.enter(SECOND * 5).unwrap();
        let twice = Pause { lasts: SECOND * 8, length: SECOND * 8 };
        let throttled = pauses.throttled(probe, None, SECOND * 5);
        assert_eq!(throttled, Some(Throttling::Begins(twice)));
    }
    let mut pauses = Pauses::default();
    pauses.paused_elsewhere(Pause { lasts: Duration::MAX / 2, ..FIVE }, Duration::ZERO);
    assert_eq!(pauses.look(Duration::ZERO), Err(ASKED_MAX));
}

#[test]
fn what_was_served_elsewhere_ends_only_a_pause_that_is_known_there() {
    let mut pauses = paused();
    pauses.none_elsewhere(SECOND);
    pauses.enter(SECOND).expect("the probe");
    assert_eq!(pauses.look(SECOND), Err(PAUSE_MIN), "nobody else may know");

    let mut pauses = paused();
    pauses.told();
    pauses.none_elsewhere(SECOND / 2);
    assert_eq!(pauses.look(SECOND / 2), Err(SECOND / 2), "it lasts");
    pauses.none_elsewhere(SECOND);
    assert_eq!(pauses.look(SECOND), Err(Duration::from_millis(125)), "one by one");
    pauses.enter(SECOND * 2).unwrap();
    pauses.enter(SECOND * 2).expect("no probe is under way");
}

#[test]
fn while_another_one_finds_out_nothing_rushes_out_here() {
    let mut pauses = Pauses::default();
    let theirs = Pause { lasts: Duration::ZERO, ..FIVE };
    pauses.paused_elsewhere(theirs, SECOND);
    pauses.none_elsewhere(SECOND);
    assert_eq!(pauses.look(SECOND), Err(Duration::from_millis(125)), "one by one");

    let mut pauses = Pauses::default();
    pauses.probe_for_all(SECOND, SECOND);
    pauses.enter(SECOND).expect("the probe");
    pauses.paused_elsewhere(theirs, SECOND);
    assert_eq!(pauses.look(SECOND), Err(PAUSE_MIN));
}

#[test]
fn what_keeps_nobody_waiting_for_a_minute_is_over() {
    let mut pauses = paused();
    let probe = pauses.enter(SECOND).unwrap();
    assert!(pauses.served(probe, SECOND));
    assert!(pauses.look(SECOND * 2).is_ok());
    for _ in 0..100 {
        pauses.enter(SECOND * 61).expect("as many as like");
    }
}
