//! Joining, leading, ending.

use std::time::Duration;

use crate::accept::CallerId;
use crate::token::error::{Denial, Outage, TokenError, Unusable};
use crate::token::flight::{Claimant, Flight, Flights, Leader, Outcome, Waiter, Work};
use crate::token::key::{CacheKey, SsoDigest};
use crate::trace_context::SpanContext;

const NOW: Duration = Duration::from_secs(100);

/// A caller of the one key, with this SSO token.
fn claimant(sso: u8) -> Claimant {
    let caller = CallerId::of("i", "alice");
    Claimant { key: CacheKey([0; 32]), caller, sso: SsoDigest([sso; 32]) }
}

fn enter(flights: &Flights, now: Duration) -> Flight {
    flights.join_or_lead(claimant(1), now, || SpanContext::root(true))
}

fn lead(flights: &Flights) -> (Waiter, Leader) {
    match enter(flights, NOW) {
        Flight::Led(waiter, leader) => (waiter, leader),
        other => panic!("{other:?}"),
    }
}

fn denied() -> Outcome {
    let result = Err(TokenError::Denied(Denial::ClaimMissing));
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

#[test]
fn a_denial_is_that_of_one_sso_token_and_any_other_failure_that_of_the_key() {
    let unusable =
        Outcome { result: Err(TokenError::AnswerUnusable(Unusable::NotJson)), work: Work::First };
    for (outcome, other_fails_too) in [(denied(), false), (unusable, true)] {
        let flights = Flights::default();
        let (_, leader) = lead(&flights);
        leader.end(outcome, Some(NOW + Duration::from_secs(5)), NOW);
        assert!(matches!(enter(&flights, NOW), Flight::Failed(_)));
        let other = flights.join_or_lead(claimant(2), NOW, || SpanContext::root(true));
        assert_eq!(matches!(other, Flight::Failed(_)), other_fails_too);
    }
}

#[test]
fn a_forgotten_callers_flight_is_not_joined_any_more_and_its_failure_not_remembered() {
    let flights = Flights::default();
    let (_, first) = lead(&flights);
    assert_eq!(flights.forget(|caller| *caller == CallerId::of("i", "bob")), 0);
    assert!(first.is_seen());
    flights.forget(|_| true);
    assert!(!first.is_seen());
    let (_, second) = lead(&flights);
    first.end(denied(), Some(NOW + Duration::from_secs(5)), NOW);
    assert!(second.is_seen());
    assert!(matches!(enter(&flights, NOW), Flight::Joined(_)));
    second.end(denied(), Some(NOW + Duration::from_secs(5)), NOW);
    assert_eq!(flights.forget(|_| true), 1);
    lead(&flights);
}
