//! One exchange per caller, whatever happens around it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use koodrive_gateway::token::{Refusal, TokenError, TokenSource, Tokens};
use proptest::prelude::*;

use super::endpoint::Answer;
use super::{World, caller, caller_of, client, text_of, token_of, with_sso_token};

#[tokio::test]
async fn a_thousand_parallel_cold_calls_cost_one_exchange() {
    let world = World::start().await;
    let alice = caller("alice");
    let issued = join_all((0..1000).map(|_| world.ask(&alice))).await;
    assert_eq!(world.endpoint.count(), 1);
    let sources = |wanted| issued.iter().filter(|i| i.as_ref().unwrap().source == wanted).count();
    let (joined, cached) = (sources(TokenSource::Joined), sources(TokenSource::Cached));
    assert_eq!((sources(TokenSource::Exchanged), joined + cached), (1, 999));
    let span = world.reports()[0].span;
    let led = issued.iter().filter(|i| i.as_ref().unwrap().exchange == Some(span)).count();
    assert_eq!(led, 1 + joined);
    assert!(100 < joined, "{joined} joined");
}

#[tokio::test]
async fn a_thousand_parallel_cold_calls_cost_one_exchange_also_when_it_fails() {
    for answer in [
        Answer::json(500, ""),
        Answer::json(403, ""),
        Answer::json(401, ""),
        Answer::json(200, "{}"),
        Answer::json(429, ""),
        Answer::Reset,
    ] {
        let world = World::start().await;
        world.endpoint.always(answer.clone());
        let alice = caller("alice");
        let issued = join_all((0..1000).map(|_| world.ask(&alice))).await;
        assert!(issued.iter().all(Result::is_err), "{answer:?}");
        let late = join_all((0..100).map(|_| world.ask(&alice))).await;
        assert!(late.iter().all(Result::is_err), "{answer:?}");
        assert_eq!(world.endpoint.count(), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn the_first_caller_hanging_up_costs_the_others_nothing() {
    let world = World::start().await;
    world.endpoint.hold(true);
    let alice = caller("alice");
    {
        let first = world.ask(&alice);
        tokio::select! {
            _ = first => panic!("the answer is held back"),
            () = world.endpoint.wait_for(1) => {}
        }
    }
    let others = join_all((0..100).map(|_| world.ask(&alice)));
    let release = async { world.endpoint.hold(false) };
    let (issued, ()) = tokio::join!(others, release);
    assert!(issued.iter().all(|i| i.as_ref().unwrap().source == TokenSource::Joined));
    assert_eq!(world.endpoint.count(), 1);
}

#[tokio::test]
async fn a_revocation_under_200_calls_costs_one_exchange_and_late_refusals_none() {
    let world = World::start().await;
    let alice = caller("alice");
    let old = world.token(&alice).await;
    for _ in 0..200 {
        assert_eq!(world.tokens.refused(&old, &alice), Refusal::Renew);
    }
    let renewed = join_all((0..200).map(|_| world.ask(&alice))).await;
    assert_eq!(world.endpoint.count(), 2);
    let new = token_of(renewed[0].as_ref().unwrap());
    assert_ne!(old.header(), new.header());
    for issued in &renewed {
        assert_eq!(token_of(issued.as_ref().unwrap()).header(), new.header());
    }
    for _ in 0..200 {
        assert_eq!(world.tokens.refused(&old, &alice), Refusal::Renew);
        world.accept(&old, &alice);
        let issued = world.ask(&alice).await.unwrap();
        assert_eq!(issued.source, TokenSource::Cached);
        assert_eq!(token_of(&issued).header(), new.header());
    }
    assert_eq!(world.endpoint.count(), 2);
}

#[tokio::test]
async fn a_refusal_during_an_exchange_does_not_start_another() {
    let world = World::start().await;
    let alice = caller("alice");
    let old = world.token(&alice).await;
    world.tokens.refused(&old, &alice);
    world.endpoint.hold(true);
    let renewal = world.ask(&alice);
    let refusal = async {
        world.endpoint.wait_for(2).await;
        world.tokens.refused(&old, &alice);
        world.endpoint.hold(false);
    };
    let (issued, ()) = tokio::join!(renewal, refusal);
    assert_eq!(issued.unwrap().source, TokenSource::Refreshed);
    assert_eq!(world.ask(&alice).await.unwrap().source, TokenSource::Cached);
    assert_eq!(world.endpoint.count(), 2);
}

#[tokio::test]
async fn a_denied_caller_is_denied_from_memory_for_a_while_and_others_are_not() {
    let world = World::start().await;
    world.endpoint.answers(|asked| {
        if asked.form()["subject_token"].ends_with("mallory") {
            Answer::json(400, r#"{"error":"access_denied"}"#)
        } else {
            Answer::token("at-1", 1200)
        }
    });
    for _ in 0..10 {
        let error = world.ask(&caller("mallory")).await.unwrap_err();
        assert!(matches!(error, TokenError::Denied(_)), "{error:?}");
        world.ask(&caller("alice")).await.unwrap();
    }
    assert_eq!(world.endpoint.count(), 2);
    world.advance(Duration::from_secs(5));
    world.ask(&caller("mallory")).await.unwrap_err();
    assert_eq!(world.endpoint.count(), 3);
}

#[tokio::test]
async fn a_reload_keeps_tokens_unless_their_origin_changed() {
    let world = World::start().await;
    let alice = caller("alice");
    let first = text_of(&world.ask(&alice).await.unwrap());
    for (lines, kept) in [
        ("", true),
        ("freshness_margin = \"30s\"", true),
        ("max_per_second = 10", true),
        ("scope = \"files\"", false),
        ("client_id = \"other\"\nclient_auth = \"post\"", false),
        ("audience = \"other\"", false),
        ("scheme = \"AT\"", false),
        ("method = \"jwt_bearer\"", false),
        ("cache_claims = [\"tenant\"]", false),
    ] {
        let config = super::config(&world.endpoint, lines);
        world.endpoint.always(Answer::token("another", 1200));
        let tokens = Tokens::new(&config, &[], &world.store, client());
        let span = koodrive_gateway::trace_context::SpanContext::root(true);
        let issued = tokens.token_for(&alice, &span).await.unwrap();
        assert_eq!(text_of(&issued) == first, kept, "{lines}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// These callers ask at once, the bits being how the endpoint answers.
    Ask(Vec<usize>, u8),
    Accept(usize),
    Refuse(usize),
    Advance(u16),
    /// One caller, or all.
    Forget(Option<usize>),
    /// With another pace, which makes another gate.
    Reload(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (prop::collection::vec(0..4_usize, 1..12), any::<u8>())
            .prop_map(|(callers, answers)| Step::Ask(callers, answers)),
        1 => (0..32_usize).prop_map(Step::Accept),
        2 => (0..32_usize).prop_map(Step::Refuse),
        1 => (0..1500_u16).prop_map(Step::Advance),
        1 => prop::option::of(0..4_usize).prop_map(Step::Forget),
        1 => (100..103_u32).prop_map(Step::Reload),
        2 => (0..100_u16).prop_map(Step::Advance), // so that tokens in use come to be due
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_caller_ever_gets_the_token_of_another_or_a_refused_one(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(interleave(steps));
    }
}

async fn interleave(steps: Vec<Step>) {
    let mut world = World::with("unavailable_for = \"0s\"\ndenied_for = \"1s\"").await;
    let callers = [
        caller_of("a", "bc", serde_json::json!({})),
        caller_of("ab", "c", serde_json::json!({})),
        caller_of("a", "b", serde_json::json!({})),
        // The first one's person by another client: a token of its own.
        with_sso_token(&caller_of("a", "bc", serde_json::json!({ "azp": "t" })), "sso.by-a-tool"),
    ];
    let answers = Arc::new(std::sync::atomic::AtomicU8::new(0));
    let script = Arc::clone(&answers);
    world.endpoint.answers(move |asked| {
        let answers = script.load(std::sync::atomic::Ordering::Relaxed);
        match (answers >> (asked.number % 4 * 2)) & 3 {
            0 if asked.number % 2 == 0 => Answer::json(500, ""),
            0 => Answer::json(400, r#"{"error":"invalid_grant"}"#),
            1 => Answer::token(&format!("{}/{}", asked.form()["subject_token"], asked.number), 300),
            _ => {
                let token = format!("{}/{}", asked.form()["subject_token"], asked.number);
                Answer::json(200, format!(r#"{{"data":{{"accessToken":"{token}"}}}}"#))
            }
        }
    });
    let mut held = Vec::new();
    let mut refused = std::collections::HashSet::new();
    for step in steps {
        match step {
            Step::Ask(asking, bits) => {
                answers.store(bits, std::sync::atomic::Ordering::Relaxed);
                let issued = join_all(asking.iter().map(|who| world.ask(&callers[*who]))).await;
                for (who, issued) in asking.iter().zip(issued) {
                    let Ok(issued) = issued else { continue };
                    let own = format!("Bearer {}/", callers[*who].sso_token.expose());
                    assert!(text_of(&issued).starts_with(&own));
                    let token = token_of(&issued);
                    assert!(!refused.contains(&text_of(&issued)));
                    held.push((token, *who));
                }
            }
            Step::Accept(at) if at < held.len() => {
                let (token, who) = &held[at];
                world.accept(token, &callers[*who]);
            }
            Step::Refuse(at) if at < held.len() => {
                let (token, who) = &held[at];
                // A damped refusal says nothing: the token goes on.
                if world.tokens.refused(token, &callers[*who]) == Refusal::Renew {
                    refused.insert(token.header().to_str().unwrap().to_owned());
                }
            }
            Step::Forget(who) => {
                let who = who.map(|who| callers[who].identity.caller);
                world.tokens.forget(who).await;
            }
            Step::Reload(per_second) => {
                let mut config = world.config.clone();
                config.max_per_second = std::num::NonZeroU32::new(per_second).unwrap();
                world.tokens = Tokens::new(&config, &[], &world.store, client());
            }
            Step::Accept(_) | Step::Refuse(_) => {}
            Step::Advance(seconds) => world.advance(Duration::from_secs(seconds.into())),
        }
    }
}
