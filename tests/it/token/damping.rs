//! A path that refuses whatever it is asked with says nothing about the token.

use std::time::Duration;

use koodrive_gateway::accept::Accepted;
use koodrive_gateway::token::Refusal;

use super::endpoint::Answer;
use super::methods::CLIENT_CREDENTIALS;
use super::{World, caller, text_of, token_of};

/// A call of a path that always refuses: how the pipeline treats it. Upstream calls made.
async fn refused_call(world: &World, caller: &Accepted) -> usize {
    let token = world.token(caller).await;
    if world.tokens.refused(&token, caller) == Refusal::Damped {
        return 1;
    }
    let renewed = world.token(caller).await;
    world.tokens.refused(&renewed, caller);
    2
}

#[tokio::test]
async fn a_thousand_calls_of_a_path_that_always_refuses_cost_few_exchanges_and_nobody_elses_token()
{
    for (lines, own) in [("", true), (CLIENT_CREDENTIALS, false)] {
        let world = World::with(lines).await;
        world.endpoint.answers(|asked| Answer::token(&format!("at-{}", asked.number), 86_400));
        let (alice, bob) = (caller("alice"), caller("bob"));
        let of_bob = world.token(&bob).await;
        let mut upstream = 0;
        for _ in 0..1000 {
            if own {
                world.accept(&world.token(&bob).await, &bob);
            }
            upstream += refused_call(&world, &alice).await;
            world.advance(Duration::from_millis(3600)); // all in an hour
        }
        let exchanges = world.endpoint.count() - usize::from(own);
        assert!(exchanges <= 12, "{lines}: {exchanges} exchanges");
        assert!(upstream <= 1012, "{lines}: {upstream} upstream calls");
        if own {
            assert_eq!(world.token(&bob).await.header(), of_bob.header());
        }
    }
}

#[tokio::test]
async fn at_once_a_thousand_such_calls_cost_two_exchanges() {
    let world = World::start().await;
    let alice = caller("alice");
    for _ in 0..1000 {
        refused_call(&world, &alice).await;
    }
    assert_eq!(world.endpoint.count(), 2);
}

#[tokio::test]
async fn good_calls_between_do_not_make_each_refusal_cost_an_exchange() {
    let world = World::start().await;
    let alice = caller("alice");
    for _ in 0..100 {
        refused_call(&world, &alice).await;
        let token = world.token(&alice).await;
        world.accept(&token, &alice);
        world.advance(Duration::from_secs(1));
    }
    // In 100 s one exchange each 30 s: a token proves itself for that long.
    assert!(world.endpoint.count() <= 5, "{}", world.endpoint.count());
}

#[tokio::test]
async fn a_token_that_dies_later_is_renewed_at_once_also_for_a_caller_who_was_damped() {
    let world = World::start().await;
    let alice = caller("alice");
    refused_call(&world, &alice).await;
    let token = world.token(&alice).await;
    assert_eq!(world.tokens.refused(&token, &alice), Refusal::Damped);
    world.accept(&token, &alice); // another path
    world.advance(Duration::from_secs(31));
    assert_eq!(world.tokens.refused(&token, &alice), Refusal::Renew);
    assert_ne!(text_of(&world.ask(&alice).await.unwrap()), token.header().to_str().unwrap());
    assert_eq!(world.endpoint.count(), 3);
}

#[tokio::test]
async fn one_callers_damping_does_not_keep_another_from_renewing_a_token_they_share() {
    let world = World::with(CLIENT_CREDENTIALS).await;
    world.endpoint.answers(|asked| Answer::token(&format!("at-{}", asked.number), 86_400));
    let (alice, bob) = (caller("alice"), caller("bob"));
    refused_call(&world, &alice).await;
    let shared = token_of(&world.ask(&bob).await.unwrap());
    world.advance(Duration::from_secs(31)); // it has proved itself, and alice's pause is over
    refused_call(&world, &alice).await;
    world.advance(Duration::from_secs(31)); // alice is damped for 60 s
    let before = world.endpoint.count();
    let now = token_of(&world.ask(&bob).await.unwrap());
    assert_ne!(now.header(), shared.header());
    assert_eq!(world.tokens.refused(&now, &alice), Refusal::Damped);
    assert_eq!(world.tokens.refused(&now, &bob), Refusal::Renew);
    world.ask(&bob).await.unwrap();
    assert_eq!(world.endpoint.count(), before + 1);
}
