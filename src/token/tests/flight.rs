//! Joining, leading, ending.

use std::time::Duration;

use crate::config::TokenConfig;
use crate::token::error::{Denial, Outage, TokenError};
use crate::token::flight::{Flight, Flights, Leader, Outcome, Waiter, Work};
use crate::token::key::{CacheKey, SetupDigest};
use crate::trace_context::SpanContext;

const NOW: Duration = Duration::from_secs(100);

fn key() -> CacheKey {
    CacheKey::of_process(&SetupDigest::of(&TokenConfig::default()))
}

fn enter(flights: &Flights, now: Duration) -> Flight {
    flights.join_or_lead(key(), now, || SpanContext::root(true))
}

fn lead(flights: &Flights) -> (Waiter, Leader) {
    match enter(flights, NOW) {
        Flight::Led(waiter, leader) => (waiter, leader),
        other => panic!("{other:?}"),
    }
}

fn denied() -> Outcome {
    let result = Err(TokenError::Denied(Denial::Endpoint { status: 403 }));
    Outcome { result, work: Work::First }
}

#[tokio::test]
async fn a_leader_that_is_stopped_leaves_nobody_waiting() {
    let flights = Flights::default();
    let (first, leader) = lead(&flights);
    let Flight::Joined(joiner) = enter(&flights, NOW) else { panic!("a flight is under way") };
    drop(leader);
    for waiter in [first, joiner] {
        let error = waiter.outcome().await.result.unwrap_err();
        let abandoned = matches!(error, TokenError::Unavailable { cause: Outage::Abandoned, .. });
        assert!(abandoned, "{error:?}");
    }
    assert_eq!(flights.count(), 0);
    lead(&flights);
}

#[tokio::test]
async fn an_outcome_is_told_to_all_and_a_failure_is_remembered_as_long_as_said() {
    let flights = Flights::default();
    let (first, leader) = lead(&flights);
    let Flight::Joined(joiner) = enter(&flights, NOW) else { panic!("a flight is under way") };
    assert_eq!(first.span, joiner.span);
    leader.end(denied(), Some(NOW + Duration::from_secs(5)), NOW);
    for waiter in [first, joiner] {
        assert!(matches!(waiter.outcome().await.result, Err(TokenError::Denied(_))));
    }
    for (after_ms, remembered) in [(0, true), (4999, true), (5000, false)] {
        let flight = enter(&flights, NOW + Duration::from_millis(after_ms));
        assert_eq!(matches!(flight, Flight::Failed(_)), remembered, "{after_ms}");
    }
}

#[test]
fn a_failure_not_to_be_remembered_is_not() {
    let flights = Flights::default();
    for until in [None, Some(NOW)] {
        let (_, leader) = lead(&flights);
        leader.end(denied(), until, NOW);
        lead(&flights);
    }
}
