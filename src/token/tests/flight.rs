//! Boarding and landing.

use std::time::Duration;

use crate::config::TokenConfig;
use crate::token::cache::{CacheKey, SetupDigest};
use crate::token::error::{Denial, Outage, TokenError};
use crate::token::flight::{Boarding, Departure, Flights, Landing, Seat, Work};
use crate::trace_context::SpanContext;

const NOW: Duration = Duration::from_secs(100);

fn key() -> CacheKey {
    CacheKey::of_process(&SetupDigest::of(&TokenConfig::default()))
}

fn board(flights: &Flights, now: Duration) -> Boarding {
    flights.board(key(), now, || SpanContext::root(true))
}

fn lead(flights: &Flights) -> (Seat, Departure) {
    match board(flights, NOW) {
        Boarding::Leading(seat, departure) => (seat, departure),
        other => panic!("{other:?}"),
    }
}

fn denied() -> Landing {
    let result = Err(TokenError::Denied(Denial::Endpoint { status: 403 }));
    Landing { result, work: Work::First }
}

#[tokio::test]
async fn a_leader_that_is_stopped_leaves_nobody_waiting() {
    let flights = Flights::default();
    let (leader, departure) = lead(&flights);
    let Boarding::Joined(joiner) = board(&flights, NOW) else { panic!("a flight is under way") };
    drop(departure);
    for seat in [leader, joiner] {
        let error = seat.wait().await.result.unwrap_err();
        let abandoned = matches!(error, TokenError::Unavailable { cause: Outage::Abandoned, .. });
        assert!(abandoned, "{error:?}");
    }
    assert_eq!(flights.count(), 0);
    lead(&flights);
}

#[tokio::test]
async fn a_landing_is_told_to_all_and_a_failure_is_remembered_as_long_as_said() {
    let flights = Flights::default();
    let (leader, departure) = lead(&flights);
    let Boarding::Joined(joiner) = board(&flights, NOW) else { panic!("a flight is under way") };
    assert_eq!(leader.span, joiner.span);
    departure.land(denied(), Some(NOW + Duration::from_secs(5)), NOW);
    for seat in [leader, joiner] {
        assert!(matches!(seat.wait().await.result, Err(TokenError::Denied(_))));
    }
    for (after_ms, remembered) in [(0, true), (4999, true), (5000, false)] {
        let boarding = board(&flights, NOW + Duration::from_millis(after_ms));
        assert_eq!(matches!(boarding, Boarding::Failed(_)), remembered, "{after_ms}");
    }
}

#[test]
fn a_failure_not_to_be_remembered_is_not() {
    let flights = Flights::default();
    for until in [None, Some(NOW)] {
        let (_, departure) = lead(&flights);
        departure.land(denied(), until, NOW);
        lead(&flights);
    }
}
