//! The token endpoint is spared, and its failures are kept from those who do not need it.

use std::time::Duration;

use futures_util::future::join_all;
use koodrive_gateway::token::{Crowded, TokenError, TokenSource};

use super::endpoint::Answer;
use super::{World, caller};

#[tokio::test]
async fn a_hanging_endpoint_costs_others_one_timeout_then_nothing_and_cached_callers_never() {
    let lines = "timeout = \"2s\"\nmax_concurrent = 4\nunavailable_for = \"1m\"";
    let world = World::with(lines).await;
    let cached = caller("cached");
    world.ask(&cached).await.unwrap();
    world.endpoint.always(Answer::Hang);

    let cold: Vec<_> = (0..50).map(|number| caller(&format!("cold-{number}"))).collect();
    let asking = join_all(cold.iter().map(|caller| world.ask(caller)));
    let serving = async {
        world.endpoint.wait_for(5).await;
        for _ in 0..1000 {
            assert_eq!(world.ask(&cached).await.unwrap().source, TokenSource::Cached);
        }
    };
    let (answers, ()) = tokio::join!(asking, serving);
    assert!(answers.iter().all(Result::is_err));
    // Of the four that were sent, none has been tried again, and nobody took their places.
    assert_eq!((world.endpoint.count(), world.endpoint.most_at_once()), (1 + 4, 4));

    let again = join_all(cold.iter().map(|caller| world.ask(caller))).await;
    let at_once = |answer: &Result<_, TokenError>| match answer {
        Err(error) => error.retry_after().is_some_and(|after| after <= Duration::from_mins(1)),
        Ok(_) => false,
    };
    assert!(again.iter().all(at_once));
    assert_eq!(world.endpoint.count(), 5);

    // Back again: one probe, then everybody.
    world.endpoint.issues(None);
    world.advance(Duration::from_mins(1));
    world.ask(&cold[0]).await.unwrap();
    let back = join_all(cold.iter().map(|caller| world.ask(caller))).await;
    assert!(back.iter().all(Result::is_ok));
}

#[tokio::test]
async fn after_an_outage_one_exchange_tries_first_and_everyone_else_is_answered_at_once() {
    let world = World::start().await;
    world.endpoint.always(Answer::json(500, ""));
    world.ask(&caller("first")).await.unwrap_err();
    world.advance(Duration::from_secs(1));
    world.endpoint.hold(true);
    let probe_caller = caller("probe");
    let probe = world.ask(&probe_caller);
    let others = async {
        world.endpoint.wait_for(2).await;
        for number in 0..20 {
            let error = world.ask(&caller(&format!("other-{number}"))).await.unwrap_err();
            assert!(matches!(error, TokenError::Unavailable { .. }), "{error:?}");
        }
        world.endpoint.issues(None);
        world.endpoint.hold(false);
    };
    let (probe, ()) = tokio::join!(probe, others);
    assert_eq!(probe.unwrap().source, TokenSource::Exchanged);
    assert_eq!(world.endpoint.count(), 2);
    world.ask(&caller("other-0")).await.unwrap();
}

#[tokio::test]
async fn a_failed_probe_starts_the_pause_anew() {
    let world = World::start().await;
    world.endpoint.always(Answer::json(500, ""));
    for round in 1..=5 {
        for number in 0..10 {
            world.ask(&caller(&format!("caller-{number}"))).await.unwrap_err();
        }
        assert_eq!(world.endpoint.count(), round);
        world.advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn the_pause_the_endpoint_asks_for_is_told_to_all_alike_and_kept_within_bounds() {
    const HOUR: u64 = 3600;
    let date = "Sun, 06 Nov 1994 08:49:37 GMT"; // the answer's own date is 20 s earlier
    for (status, error, header, pause) in [
        (429, "", Some("7"), 7),
        (429, "", Some("0"), 1),
        (429, "", None, 1),
        (429, "", Some("soon"), 1),
        (429, "", Some("99999999"), HOUR),
        (429, "", Some(date), 20),
        (503, "", Some("120"), 120),
        (503, "", Some(date), 20),
        (503, "", None, 1),
        (503, "", Some("99999999"), HOUR),
        (400, "slow_down", Some("9"), 9),
        (400, "temporarily_unavailable", Some("9"), 9),
        (400, "server_error", None, 1),
    ] {
        let row = format!("{status} {error} {header:?}");
        let world = World::start().await;
        let mut headers = vec![("date", "Sun, 06 Nov 1994 08:49:17 GMT".to_owned())];
        headers.extend(header.map(|value| ("retry-after", value.to_owned())));
        let body = format!(r#"{{"error":"{error}"}}"#);
        world.endpoint.always(Answer::Reply { status, headers, body });
        let (alice, bob) = (caller("alice"), caller("bob"));
        let pause = Duration::from_secs(pause);
        let first = join_all((0..10).map(|_| world.ask(&alice))).await;
        for error in first.iter().map(|issued| issued.as_ref().unwrap_err()) {
            let told = error.retry_after().unwrap();
            let nearly = pause.saturating_sub(Duration::from_secs(1));
            assert!(nearly <= told && told <= pause, "{row}: {error:?}");
        }
        world.endpoint.issues(None);
        world.advance(pause.saturating_sub(Duration::from_millis(500)));
        world.ask(&bob).await.unwrap_err();
        assert_eq!(world.endpoint.count(), 1, "{row}");
        world.advance(Duration::from_millis(500));
        world.ask(&bob).await.unwrap();
    }
}

#[tokio::test]
async fn our_own_lack_of_connections_is_no_outage_of_the_endpoint() {
    let world = World::with("max_concurrent = 40\nmax_per_second = 1000\ntimeout = \"5s\"").await;
    world.endpoint.hold(true);
    // The client has 16 connections and waits 3 s for one.
    let callers: Vec<_> = (0..24).map(|number| caller(&number.to_string())).collect();
    let asking = join_all(callers.iter().map(|caller| world.ask(caller)));
    let release = async {
        world.endpoint.wait_for(16).await;
        // Until all others have given up.
        while world.reports().len() < 24 - 16 {
            tokio::task::yield_now().await;
        }
        world.endpoint.hold(false);
    };
    let (issued, ()) = tokio::join!(asking, release);
    assert_eq!(issued.iter().filter(|issued| issued.is_ok()).count(), 16);
    for error in issued.iter().filter_map(|issued| issued.as_ref().err()) {
        let own = matches!(error, TokenError::Busy { who: Crowded::Gateway, .. });
        assert!(own, "{error:?}");
    }
    // So the next one is served at once.
    world.ask(&caller("next")).await.unwrap();
}

#[tokio::test]
async fn no_more_exchanges_run_at_once_than_allowed_and_all_get_their_turn() {
    let world = World::with("max_concurrent = 3\nmax_per_second = 1000").await;
    let callers: Vec<_> = (0..60).map(|number| caller(&number.to_string())).collect();
    world.endpoint.hold(true);
    let asking = join_all(callers.iter().map(|caller| world.ask(caller)));
    let release = async {
        world.endpoint.wait_for(3).await;
        world.endpoint.hold(false);
    };
    let (issued, ()) = tokio::join!(asking, release);
    assert!(issued.iter().all(Result::is_ok));
    assert_eq!((world.endpoint.count(), world.endpoint.most_at_once()), (60, 3));
}

#[tokio::test]
async fn who_cannot_have_a_turn_in_time_is_told_to_come_back() {
    let world = World::with("timeout = \"300ms\"\nmax_per_second = 10").await;
    let callers: Vec<_> = (0..25).map(|number| caller(&number.to_string())).collect();
    let issued = join_all(callers.iter().map(|caller| world.ask(caller))).await;
    assert_eq!(issued.iter().filter(|issued| issued.is_ok()).count(), 10);
    assert_eq!(world.endpoint.count(), 10);
    for error in issued.iter().filter_map(|issued| issued.as_ref().err()) {
        assert!(matches!(error, TokenError::Busy { .. }), "{error:?}");
        assert!(error.retry_after().is_some_and(|after| Duration::from_secs(1) <= after));
    }
    // The queue is no outage: the next second is free again.
    world.advance(Duration::from_secs(2));
    world.ask(&callers[24]).await.unwrap();
}

#[tokio::test]
async fn a_rollout_is_paced_and_nobody_waits_longer_than_the_timeout() {
    let world = World::with("timeout = \"1500ms\"\nmax_per_second = 40").await;
    let callers: Vec<_> = (0..500).map(|number| caller(&number.to_string())).collect();
    let issued = join_all(callers.iter().map(|caller| world.ask(caller))).await;
    let served = issued.iter().filter(|issued| issued.is_ok()).count();
    // A burst of one second's, and what can have its turn within the timeout.
    assert!((80..=120).contains(&served), "{served}");
    assert_eq!(world.endpoint.count(), served);
}

#[tokio::test]
async fn the_least_recently_used_token_makes_room() {
    let world = World::with("max_entries = 20").await;
    for number in 0..200 {
        world.ask(&caller(&number.to_string())).await.unwrap();
        world.advance(Duration::from_millis(100));
    }
    assert_eq!(world.ask(&caller("199")).await.unwrap().source, TokenSource::Cached);
    assert_eq!(world.ask(&caller("0")).await.unwrap().source, TokenSource::Exchanged);
}
