//! Whose token it is: what makes two calls two callers, whom a denial concerns, what is forgotten.

use std::time::Duration;

use futures_util::future::join_all;
use koodrive_gateway::accept::Accepted;
use koodrive_gateway::token::{TokenError, TokenSource};
use serde_json::json;

use super::endpoint::Answer;
use super::methods::CLIENT_CREDENTIALS;
use super::{World, caller, caller_of, text_of, with_sso_token};

const CUSTOM: &str = "method = \"custom\"\n[token.custom]\nbody = { t = [{ u = \"x-{claim:tenant}\" }] }\n\
                      headers = { x-r = \"{claim:region}\" }";
const SECOND: Duration = Duration::from_secs(1);

/// Claims of the first caller, then of callers who must be someone else, then of the same one.
type Row<'a> = (&'a str, serde_json::Value, Vec<serde_json::Value>, Vec<serde_json::Value>);

#[tokio::test]
async fn every_claim_that_decides_makes_another_caller_and_no_other_claim_does() {
    let rows: [Row<'_>; 4] = [
        (
            "",
            json!({}),
            ["azp", "client_id", "scope", "scp", "acr", "act"]
                .map(|name| json!({ name: "x" }))
                .into(),
            vec![json!({ "jti": "x" }), json!({ "exp": 7, "tenant": "x", "sid": "y" })],
        ),
        (
            "",
            json!({ "azp": "tool", "scope": "a b" }),
            vec![
                json!({ "azp": "tool2", "scope": "a b" }),
                json!({ "azp": "tool", "scope": "a" }),
                json!({ "azp": "tool" }),
                json!({ "azp": "", "scope": "a b" }),
                json!({ "client_id": "tool", "scope": "a b" }),
            ],
            vec![json!({ "scope": "a b", "azp": "tool", "iat": 1 })],
        ),
        (
            "cache_claims = [\"tenant\", \"role\"]",
            json!({ "azp": "x" }),
            vec![
                json!({ "tenant": "x" }),
                json!({ "role": "x" }),
                json!({ "tenant": "" }),
                json!({ "tenant": 1 }),
                json!({ "tenant": "1" }),
                json!({ "tenant": ["x"], "role": "x" }),
                json!({ "tenant": null }),
            ],
            vec![json!({ "azp": "y" }), json!({ "mail": "m" })],
        ),
        (
            CUSTOM,
            json!({ "tenant": "A", "region": "eu" }),
            vec![
                json!({ "tenant": "B", "region": "eu" }),
                json!({ "tenant": "A", "region": "us" }),
                json!({ "tenant": "A", "region": "eu", "azp": "tool" }),
            ],
            vec![json!({ "tenant": "A", "region": "eu", "role": "x" })],
        ),
    ];
    for (lines, first, others, same) in rows {
        let world = World::with(lines).await;
        world.endpoint.answers(|asked| Answer::token(&format!("at-{}", asked.number), 3600));
        let of = |claims: &serde_json::Value| caller_of("a", "bc", claims.clone());
        assert_eq!(world.ask(&of(&first)).await.unwrap().source, TokenSource::Exchanged);
        for claims in &others {
            let issued = world.ask(&of(claims)).await.unwrap();
            assert_eq!(issued.source, TokenSource::Exchanged, "{lines}: {claims}");
        }
        for claims in same.iter().chain([&first]).chain(&others) {
            let issued = world.ask(&of(claims)).await.unwrap();
            assert_eq!(issued.source, TokenSource::Cached, "{lines}: {claims}");
        }
        for (issuer, subject) in [("ab", "c"), ("a", "b"), ("", "abc"), ("abc", "")] {
            let other = caller_of(issuer, subject, first.clone());
            assert_eq!(world.ask(&other).await.unwrap().source, TokenSource::Exchanged);
        }
    }
}

/// Denies SSO tokens that say they are dead.
async fn denying() -> World {
    let world = World::start().await;
    world.endpoint.answers(|asked| {
        let shown = asked.form()["subject_token"].clone();
        if shown.contains("dead") {
            Answer::json(400, r#"{"error":"invalid_grant"}"#)
        } else {
            Answer::token(&format!("at-{}", asked.number), 3600)
        }
    });
    world
}

fn is_denied<T: std::fmt::Debug>(result: &Result<T, TokenError>) -> bool {
    matches!(result, Err(TokenError::Denied(_)))
}

#[tokio::test]
async fn a_dead_sso_tokens_denial_is_remembered_for_it_and_not_for_a_live_one() {
    let world = denying().await;
    let alice = caller("alice");
    let (dead, dead_too) = (with_sso_token(&alice, "dead-1"), with_sso_token(&alice, "dead-2"));
    for _ in 0..3 {
        assert!(is_denied(&world.ask(&dead).await) && is_denied(&world.ask(&dead_too).await));
    }
    assert_eq!(world.endpoint.count(), 2);
    assert_eq!(world.ask(&alice).await.unwrap().source, TokenSource::Exchanged);
    // The person's KooDrive token is there now: whoever is accepted may use it.
    assert_eq!(world.ask(&dead).await.unwrap().source, TokenSource::Cached);
    assert_eq!(world.endpoint.count(), 3);
}

#[tokio::test]
async fn who_waited_for_a_flight_that_was_denied_for_another_sso_token_leads_once() {
    let world = denying().await;
    world.endpoint.hold(true);
    let alice = caller("alice");
    let dead = with_sso_token(&alice, "dead");
    let first = world.ask(&dead);
    let others = async {
        world.endpoint.wait_for(1).await;
        let callers: Vec<Accepted> =
            [&dead, &alice].into_iter().cycle().take(100).cloned().collect();
        let (issued, ()) = tokio::join!(join_all(callers.iter().map(|c| world.ask(c))), async {
            world.endpoint.hold(false);
        });
        issued
    };
    let (first, others) = tokio::join!(first, others);
    assert!(is_denied(&first));
    for (at, issued) in others.iter().enumerate() {
        assert!(is_denied(issued) || at % 2 == 1, "{at}: {issued:?}");
        assert!(issued.is_ok() || at % 2 == 0, "{at}: {issued:?}");
    }
    assert_eq!(world.endpoint.count(), 2);
}

#[tokio::test]
async fn a_forgotten_caller_starts_anew_and_others_do_not() {
    let world = denying().await;
    let (alice, bob) = (caller("alice"), caller("bob"));
    let dead = with_sso_token(&bob, "dead");
    let (first, of_bob) = (text_of(&world.ask(&alice).await.unwrap()), world.ask(&dead).await);
    assert!(is_denied(&of_bob));
    assert_eq!(world.tokens.forget(Some(alice.identity.caller)).await, 1);
    assert_eq!(world.tokens.forget(Some(alice.identity.caller)).await, 0);
    let issued = world.ask(&alice).await.unwrap();
    assert_eq!(issued.source, TokenSource::Exchanged);
    assert_ne!(text_of(&issued), first);
    assert!(is_denied(&world.ask(&dead).await));
    assert_eq!(world.endpoint.count(), 3);
    assert_eq!(world.tokens.forget(None).await, 2); // alice's token and bob's denial
    assert!(is_denied(&world.ask(&dead).await));
    world.ask(&alice).await.unwrap();
    assert_eq!(world.endpoint.count(), 5);
}

#[tokio::test]
async fn what_was_forgotten_during_an_exchange_does_not_come_back_with_it() {
    let world = World::start().await;
    let alice = caller("alice");
    world.endpoint.hold(true);
    let waiting = world.ask(&alice);
    let forgetting = async {
        world.endpoint.wait_for(1).await;
        world.tokens.forget(Some(alice.identity.caller)).await;
        world.endpoint.hold(false);
    };
    let (waited, ()) = tokio::join!(waiting, forgetting);
    let waited = text_of(&waited.unwrap()); // a call under way keeps what it has
    let issued = world.ask(&alice).await.unwrap();
    assert_eq!(issued.source, TokenSource::Exchanged);
    assert_ne!(text_of(&issued), waited);
}

#[tokio::test]
async fn only_forgetting_all_forgets_a_token_that_all_share() {
    let world = World::with(CLIENT_CREDENTIALS).await;
    world.endpoint.answers(|asked| Answer::token(&format!("at-{}", asked.number), 3600));
    let alice = caller("alice");
    world.ask(&alice).await.unwrap();
    assert_eq!(world.tokens.forget(Some(alice.identity.caller)).await, 0);
    assert_eq!(world.ask(&alice).await.unwrap().source, TokenSource::Cached);
    assert_eq!(world.tokens.forget(None).await, 1);
    assert_eq!(world.ask(&alice).await.unwrap().source, TokenSource::Exchanged);
}

#[tokio::test]
async fn a_denial_is_asked_again_after_its_time() {
    let world = denying().await;
    let dead = with_sso_token(&caller("alice"), "dead");
    assert!(is_denied(&world.ask(&dead).await));
    world.advance(4 * SECOND);
    assert!(is_denied(&world.ask(&dead).await));
    assert_eq!(world.endpoint.count(), 1);
    world.advance(SECOND);
    assert!(is_denied(&world.ask(&dead).await));
    assert_eq!(world.endpoint.count(), 2);
}
