//! KooDrive throttles: preverify leaves it alone for as long as it asks, and no longer.

use std::time::Duration;

use futures_util::future::{join, join_all};
use serde_json::json;

use crate::gateway::{SOON, WHO_AM_I, metric_becomes};
use crate::support::caller::{Caller, Reply};
use crate::support::faults::Behaviour;
use crate::support::koodrive::PREVERIFY;
use crate::support::raw::RawConnection;
use crate::support::world::{GOOD_BATCH, World};

/// Preverify is refused in KooDrive's name, and KooDrive is not asked; the seconds to wait.
async fn paused(world: &World, caller: &Caller) -> u64 {
    let asked = world.koodrive.switch.calls();
    let refused = caller.preverify(GOOD_BATCH).await;
    assert_eq!((refused.status, refused.reason().as_deref()), (429, Some("limit_upstream")));
    assert_eq!(refused.json()["origin"], "upstream");
    assert_eq!(world.koodrive.switch.calls(), asked, "KooDrive is left alone");
    let seconds = refused.header("retry-after").expect("Retry-After").parse().expect("seconds");
    assert_eq!(refused.json()["retryAfter"], seconds);
    seconds
}

/// What KooDrive itself said, unchanged.
fn is_koodrives_own(reply: &Reply, status: u16) {
    assert_eq!((reply.status, reply.reason()), (status, None), "{}", reply.text());
}

#[tokio::test]
async fn preverify_waits_as_long_as_koodrive_asks_then_one_call_goes_first() {
    let world = World::plan().start().await;
    let (alice, bob) = (world.caller("alice"), world.caller("bob"));
    let throttled = Behaviour::status(429).retry_after(70).header("x-hint", "slow down");
    world.koodrive.switch.next(1, throttled);
    let first = alice.preverify(GOOD_BATCH).await;
    is_koodrives_own(&first, 429);
    assert_eq!(
        (first.header("retry-after"), first.header("x-hint")),
        (Some("70"), Some("slow down"))
    );

    let seconds = paused(&world, &bob).await;
    assert!((2..=70).contains(&seconds), "{seconds}");
    assert_eq!(bob.get(WHO_AM_I).await.status, 200, "other calls have nothing to do with it");

    world.clock.advance(Duration::from_secs(seconds));
    world.koodrive.switch.gate.close();
    let others = async {
        assert!(world.koodrive.switch.gate.wait_for(1, SOON).await);
        assert_eq!(paused(&world, &bob).await, 1, "the probe is on its way");
        world.koodrive.switch.gate.open();
    };
    let (probe, ()) = join(alice.preverify(GOOD_BATCH), others).await;
    assert_eq!(probe.status, 200);
    // One probe, and KooDrive is asked again, by one after the other.
    for _ in 0..3 {
        world.clock.advance(Duration::from_millis(125));
        assert_eq!(bob.preverify(GOOD_BATCH).await.status, 200);
    }
}

#[tokio::test]
async fn obeying_works_while_koodrive_throttles_on_in_status_or_code() {
    let code = json!({"error_code": "APIGW.0308", "error_msg": "The throttling threshold has been reached."});
    for (throttled, status) in [
        (Behaviour::status(429), 429),
        (Behaviour::json(200, &code), 200),
        (Behaviour::json(503, &code), 503),
    ] {
        let world = World::plan().config("[limit]\ncalls_burst = 100").start().await;
        let alice = world.caller("alice");
        world.koodrive.switch.set(throttled);
        for longest in [1, 2, 4, 8, 16, 30, 30] {
            let reply = alice.preverify(GOOD_BATCH).await;
            is_koodrives_own(&reply, status);
            let seconds = paused(&world, &alice).await;
            assert!((1..=longest).contains(&seconds), "{seconds} of {longest}");
            world.clock.advance(Duration::from_secs(seconds));
        }
        assert_eq!(world.koodrive.switch.calls(), 7);
        world.koodrive.switch.clear();
        for _ in 0..3 {
            assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
            world.clock.advance(Duration::from_millis(125));
        }
    }
}

#[tokio::test]
async fn a_probe_that_ends_without_a_verdict_hands_over_to_the_next_call() {
    let world = World::plan().start().await;
    let alice = world.caller("alice");
    world.koodrive.switch.next(1, Behaviour::status(429).retry_after(60));
    is_koodrives_own(&alice.preverify(GOOD_BATCH).await, 429);
    world.clock.advance(Duration::from_mins(1));
    // Refused here, broken off there, failed there: none of them tells anything.
    assert_eq!(alice.preverify("{}").await.status, 400);
    world.koodrive.switch.next(1, Behaviour::close());
    assert_eq!(alice.preverify(GOOD_BATCH).await.reason().as_deref(), Some("upstream_broken"));
    world.koodrive.switch.next(1, Behaviour::status(503));
    is_koodrives_own(&alice.preverify(GOOD_BATCH).await, 503);
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
}

#[tokio::test]
async fn a_paused_call_is_refused_before_its_body_and_costs_its_caller_nothing() {
    let world =
        World::plan().config("[limit]\ncalls_per_minute = 1\ncalls_burst = 2").start().await;
    let alice = world.caller("alice");
    world.koodrive.switch.next(1, Behaviour::status(429).retry_after(10));
    is_koodrives_own(&alice.preverify(GOOD_BATCH).await, 429);
    let head = format!(
        "POST {PREVERIFY} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 1000\r\n\r\n",
        alice.token().unwrap(),
    );
    let mut connection = RawConnection::open(world.gateway.address).await.unwrap();
    connection.send(head).await.unwrap();
    let answer = connection.answer().await.unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, &problem["reason"]), (429, &json!("limit_upstream")));
    let seconds = paused(&world, &alice).await;
    world.clock.advance(Duration::from_secs(seconds));
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200, "the second of two");
}

#[tokio::test]
async fn observing_counts_pauses_and_switched_off_there_are_none() {
    for (config, observed) in [
        ("[limit]\nmode = 'observe'", 1.0),
        ("[limit]\nmode = 'off'", 0.0),
        ("[limit]\nobey_throttling = false", 0.0),
    ] {
        let world = World::plan().config(config).start().await;
        let alice = world.caller("alice");
        world.koodrive.switch.next(1, Behaviour::status(429).retry_after(60));
        is_koodrives_own(&alice.preverify(GOOD_BATCH).await, 429);
        assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200, "{config}");
        for (decision, expected) in [("observed", observed), ("refused", 0.0)] {
            let name = format!(
                "koodrive_gateway_limit_decisions_total{{policy=\"upstream\",decision=\"{decision}\"}}"
            );
            metric_becomes(&world, &name, expected).await;
        }
    }
}

/// Two hundred callers who never wait, for half a minute of the gateway's clock, by which KooDrive
/// counts as well.
#[tokio::test]
async fn koodrive_is_asked_for_little_more_than_it_bears_however_eager_callers_are() {
    const SECONDS: u64 = 30;
    let limits = "[limit]\ncalls_burst = 1000\ntotal_burst = 1000\ntotal_calls_per_second = 1000";
    let world = World::plan().config(limits).start().await;
    let callers: Vec<Caller> = (0..200).map(|n| world.caller(&format!("eager-{n}"))).collect();
    let mut eager = callers.iter().cycle();
    let (mut served, mut asked, mut second) = (0, 0, None);
    let began = world.clock.monotonic();
    loop {
        let now = world.clock.monotonic().saturating_sub(began);
        if SECONDS <= now.as_secs() {
            break;
        }
        if second.replace(now.as_secs()) != Some(now.as_secs()) {
            // KooDrive's next second, with ten calls to be had.
            world.koodrive.switch.clear();
            world.koodrive.switch.next(10, Behaviour::default());
            world.koodrive.switch.set(Behaviour::status(429).retry_after(1));
        }
        let calls = eager.by_ref().take(4).map(|caller| caller.preverify(GOOD_BATCH));
        for reply in join_all(calls).await {
            let ours = reply.reason().as_deref() == Some("limit_upstream");
            assert!(matches!((reply.status, ours), (200, false) | (429, _)), "{}", reply.text());
            served += u64::from(reply.status == 200);
            asked += u64::from(!ours);
        }
        world.clock.advance(Duration::from_millis(50));
    }
    assert!(asked <= SECONDS * 11, "asked {asked} times in {SECONDS} s, served {served}");
    assert!(SECONDS * 8 <= served, "served {served} in {SECONDS} s of 10 each");
}

#[tokio::test]
async fn what_koodrives_gateway_says_of_its_limits_is_shown_to_operators() {
    let world = World::plan().start().await;
    let admin = world.admin();
    let shown = async |accept: &str| {
        admin.call(http::Method::GET, "/").header("accept", accept).send().await.text()
    };
    assert!(!shown("text/plain").await.contains("API gateway"));
    let told = "remain:9,limit:10,time:10 second";
    let answer = Behaviour::status(200).header("x-apig-ratelimit-api", told);
    world.koodrive.switch.next(1, answer);
    let reply = world.caller("alice").get(WHO_AM_I).await;
    assert_eq!(reply.header("x-apig-ratelimit-api"), Some(told), "it is the caller's, too");
    for accept in ["text/plain", "text/html"] {
        let page = shown(accept).await;
        assert!(page.contains("KooDrive's API gateway") && page.contains(told), "{page}");
    }
}

#[tokio::test]
async fn a_reload_ends_no_pause() {
    let mut world = World::plan().start().await;
    let alice = world.caller("alice");
    world.koodrive.switch.next(1, Behaviour::status(429).retry_after(60));
    is_koodrives_own(&alice.preverify(GOOD_BATCH).await, 429);
    assert!(world.reconfigure("[limit]\ncalls_burst = 11").await);
    paused(&world, &alice).await;
}
