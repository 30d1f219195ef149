//! How long tokens live.

use std::collections::HashMap;
use std::time::Duration;

use koodrive_gateway::accept::Accepted;
use koodrive_gateway::token::{TokenError, TokenSource};

use super::endpoint::Answer;
use super::{World, caller, text_of, token_of, with_sso_token};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

async fn accepted_call(world: &World, caller: &Accepted) -> TokenSource {
    let issued = world.ask(caller).await.unwrap();
    world.accept(&token_of(&issued), caller);
    issued.source
}

#[tokio::test]
async fn a_call_every_19_minutes_for_8_hours_costs_one_exchange_and_20_idle_minutes_another() {
    let world = World::start().await;
    let alice = caller("alice");
    assert_eq!(accepted_call(&world, &alice).await, TokenSource::Exchanged);
    for _ in 0..8 * 60 / 19 {
        world.advance(19 * MINUTE);
        assert_eq!(accepted_call(&world, &alice).await, TokenSource::Cached);
    }
    world.settle().await;
    assert_eq!(world.endpoint.count(), 1);

    world.advance(20 * MINUTE);
    assert_eq!(accepted_call(&world, &alice).await, TokenSource::Refreshed);
    assert_eq!(world.endpoint.count(), 2);
}

#[tokio::test]
async fn calls_koodrive_did_not_accept_do_not_extend_a_token() {
    let world = World::start().await;
    let alice = caller("alice");
    assert_eq!(accepted_call(&world, &alice).await, TokenSource::Exchanged);
    for _ in 0..19 {
        world.advance(MINUTE);
        assert_eq!(world.ask(&alice).await.unwrap().source, TokenSource::Cached);
    }
    world.advance(MINUTE);
    assert_eq!(world.ask(&alice).await.unwrap().source, TokenSource::Refreshed);
}

#[tokio::test]
async fn the_idle_life_counts_from_the_sending_of_the_accepted_call() {
    let world = World::start().await;
    let alice = caller("alice");
    let token = world.token(&alice).await;
    world.advance(10 * MINUTE);
    let sent_at = world.clock.moment();
    world.advance(9 * MINUTE); // a long call
    world.tokens.accepted(&token, &alice, sent_at);
    world.advance(10 * MINUTE);
    assert_eq!(world.ask(&alice).await.unwrap().source, TokenSource::Cached);
    world.advance(MINUTE);
    assert_eq!(world.ask(&alice).await.unwrap().source, TokenSource::Refreshed);
}

#[tokio::test]
async fn acceptance_out_of_order_never_shortens_a_life() {
    let world = World::start().await;
    let alice = caller("alice");
    let token = world.token(&alice).await;
    let early = world.clock.moment();
    world.advance(15 * MINUTE);
    world.accept(&token, &alice);
    world.tokens.accepted(&token, &alice, early);
    world.advance(15 * MINUTE);
    assert_eq!(world.ask(&alice).await.unwrap().source, TokenSource::Cached);
}

#[tokio::test]
async fn no_amount_of_use_carries_a_token_past_its_absolute_life() {
    let world = World::with("absolute_lifetime = \"1h\"\nrefresh_ahead = 0.999").await;
    let alice = caller("alice");
    accepted_call(&world, &alice).await;
    for _ in 0..5 {
        world.advance(10 * MINUTE);
        assert_eq!(accepted_call(&world, &alice).await, TokenSource::Cached);
    }
    world.advance(10 * MINUTE);
    assert_eq!(accepted_call(&world, &alice).await, TokenSource::Refreshed);
}

#[tokio::test]
async fn expires_in_is_a_fixed_end_that_no_call_moves_however_long_it_is() {
    for (expires_in, alive_after, dead_after) in
        [(3600, 50, 60), (1200, 15, 20), (600, 7, 10), (300, 3, 5), (60, 0, 1)]
    {
        let world = World::with("refresh_ahead = 0.999").await;
        world.endpoint.issues(Some(expires_in));
        let alice = caller("alice");
        accepted_call(&world, &alice).await;
        for _ in 0..alive_after {
            world.advance(MINUTE);
            assert_eq!(accepted_call(&world, &alice).await, TokenSource::Cached, "{expires_in}");
        }
        world.advance((dead_after - alive_after) * MINUTE);
        assert_eq!(accepted_call(&world, &alice).await, TokenSource::Refreshed, "{expires_in}");
    }
}

#[tokio::test]
async fn where_expires_in_slides_it_takes_the_place_of_the_idle_lifetime() {
    for minutes in [5, 20, 60] {
        let world = World::with("expires_in = \"slides\"").await;
        world.endpoint.issues(Some(u64::from(minutes) * 60));
        let alice = caller("alice");
        accepted_call(&world, &alice).await;
        for _ in 0..5 {
            world.advance((minutes - 1) * MINUTE);
            assert_eq!(accepted_call(&world, &alice).await, TokenSource::Cached, "{minutes}");
        }
        world.advance(minutes * MINUTE);
        assert_eq!(accepted_call(&world, &alice).await, TokenSource::Refreshed, "{minutes}");
    }
}

#[tokio::test]
async fn fresh_tokens_keep_serving_while_the_token_endpoint_is_down_and_expired_ones_never_do() {
    let world = World::start().await;
    let alice = caller("alice");
    let first = text_of(&world.ask(&alice).await.unwrap());
    world.endpoint.always(Answer::json(503, ""));
    world.advance(19 * MINUTE);
    assert_eq!(text_of(&world.ask(&alice).await.unwrap()), first);
    world.advance(45 * SECOND); // within the margin: a newer one is wanted, this one still lives
    let rescued = world.ask(&alice).await.unwrap();
    assert_eq!((text_of(&rescued), rescued.source), (first, TokenSource::Cached));
    assert_eq!(world.endpoint.count(), 2);
    world.advance(15 * SECOND);
    let error = world.ask(&alice).await.unwrap_err();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn five_hundred_active_callers_see_no_foreground_exchange_after_their_first() {
    let world = World::start().await;
    world.endpoint.issues(Some(600));
    let callers: Vec<_> = (0..500).map(|number| caller(&format!("caller-{number}"))).collect();
    let mut renewals: HashMap<u32, usize> = HashMap::new();
    let mut reported = 0;
    let begun = world.clock.monotonic();
    for second in 0..3600 {
        for (number, caller) in (0..).zip(&callers) {
            // Fifty newcomers a second, then each calls at its own pace of 10 to 50 s.
            let (start, pace) = (number / 50, 10 + number * 7 % 41);
            if second < start || (second - start) % pace != 0 {
                continue;
            }
            let expected =
                if second == start { TokenSource::Exchanged } else { TokenSource::Cached };
            assert_eq!(accepted_call(&world, caller).await, expected, "{number} at {second}");
            // Nobody's renewal waits for a place because this machine is too slow for the others.
            world.settle().await;
        }
        let reports = world.reports.lock().unwrap();
        for report in &reports[reported..] {
            assert_eq!(report.background, 10 <= second);
            if report.background {
                *renewals.entry(second).or_default() += 1;
            }
        }
        reported = reports.len();
        drop(reports);
        // What a busy machine took for the calls is part of the second.
        let end = begun + SECOND * (second + 1);
        world.advance(end.saturating_sub(world.clock.monotonic()));
    }
    let total: usize = renewals.values().sum();
    let busiest = renewals.values().max().copied().unwrap_or_default();
    assert!(500 * 6 < total && total < 500 * 10, "{total} renewals");
    assert!(busiest * 20 <= 500, "{busiest} of 500 renewals in one second");
}

#[tokio::test]
async fn nobody_renews_for_a_caller_who_went_away() {
    let world = World::start().await;
    world.endpoint.issues(Some(600));
    let alice = caller("alice");
    accepted_call(&world, &alice).await;
    world.advance(500 * SECOND);
    world.settle().await;
    assert_eq!(world.endpoint.count(), 1);
    // One renewal for the call that found it due, none for the silence after it.
    assert_eq!(accepted_call(&world, &alice).await, TokenSource::Cached);
    world.settle().await;
    assert_eq!(world.endpoint.count(), 2);
    world.advance(30 * MINUTE);
    world.settle().await;
    assert_eq!(world.endpoint.count(), 2);
}

#[tokio::test]
async fn a_thousand_calls_that_find_a_token_due_start_one_renewal() {
    let world = World::start().await;
    world.endpoint.issues(Some(600));
    let alice = caller("alice");
    let old = text_of(&world.ask(&alice).await.unwrap());
    world.advance(500 * SECOND);
    world.endpoint.hold(true);
    for _ in 0..1000 {
        let issued = world.ask(&alice).await.unwrap();
        assert_eq!((issued.source, text_of(&issued)), (TokenSource::Cached, old.clone()));
    }
    world.endpoint.hold(false);
    world.settle().await;
    assert_eq!(world.endpoint.count(), 2);
    assert_ne!(text_of(&world.ask(&alice).await.unwrap()), old);
}

#[tokio::test]
async fn a_renewal_ahead_sends_the_sso_token_of_the_call_that_found_it_due() {
    let world = World::start().await;
    world.endpoint.issues(Some(600));
    let alice = caller("alice");
    accepted_call(&world, &alice).await;
    world.advance(500 * SECOND);
    accepted_call(&world, &with_sso_token(&alice, "a later one")).await;
    world.settle().await;
    assert_eq!(world.endpoint.asked().pop().unwrap().form()["subject_token"], "a later one");
}

#[tokio::test]
async fn an_expired_sso_token_is_not_sent_for_a_renewal() {
    let world = World::start().await;
    world.endpoint.issues(Some(600));
    let mut alice = caller("alice");
    let mut identity = (*alice.identity).clone();
    identity.expires_at = world.clock.now() + 502 * SECOND;
    alice.identity = identity.into();
    accepted_call(&world, &alice).await;
    world.advance(500 * SECOND);
    assert_eq!(accepted_call(&world, &alice).await, TokenSource::Cached);
    world.settle().await;
    assert_eq!(world.endpoint.count(), 1);
    // The next call brings a valid one, which the renewal then uses.
    assert_eq!(accepted_call(&world, &caller("alice")).await, TokenSource::Cached);
    world.settle().await;
    assert_eq!(world.endpoint.count(), 2);
}

#[tokio::test]
async fn a_renewal_ahead_that_fails_is_tried_again_and_disturbs_nobody() {
    let world = World::start().await;
    world.endpoint.issues(Some(600));
    let alice = caller("alice");
    accepted_call(&world, &alice).await;
    world.endpoint.always(Answer::json(500, ""));
    world.advance(490 * SECOND);
    for _ in 0..100 {
        assert_eq!(accepted_call(&world, &alice).await, TokenSource::Cached);
        world.settle().await;
    }
    assert_eq!(world.endpoint.count(), 2);
    world.endpoint.issues(Some(600));
    // The endpoint counts as down until somebody tried; a renewal may be that probe.
    world.advance(11 * SECOND);
    assert_eq!(accepted_call(&world, &alice).await, TokenSource::Cached);
    world.settle().await;
    assert_eq!(world.endpoint.count(), 3);
    world.advance(2 * MINUTE);
    assert_eq!(accepted_call(&world, &alice).await, TokenSource::Cached);
}
