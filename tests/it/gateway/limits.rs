//! Limits of the preverify call: what they refuse, what they charge, and what does not get round.

use std::time::Duration;

use futures_util::future::join;
use http::Method;

use crate::gateway::{SOON, WHO_AM_I, batch_of, metric_becomes, preverify};
use crate::support::caller::Reply;
use crate::support::raw::RawConnection;
use crate::support::world::{GOOD_BATCH, World};

/// Slow enough to refill that a slow machine does not matter.
const TWO_AT_ONCE: &str = "[limit]\ncalls_per_minute = 1\ncalls_burst = 2";

/// `r` of a policy in `RateLimit`.
fn left(reply: &Reply, policy: &str) -> u64 {
    let header = reply.header("ratelimit").expect("RateLimit");
    let item = header.split(", ").find(|item| item.starts_with(&format!("\"{policy}\"")));
    let rest = item.and_then(|item| item.split(";r=").nth(1)).expect("r=");
    rest.split(';').next().and_then(|left| left.parse().ok()).expect("a number")
}

fn retry_after(reply: &Reply) -> u64 {
    let header: u64 = reply.header("retry-after").expect("Retry-After").parse().expect("seconds");
    assert_eq!(reply.json()["retryAfter"], header);
    header
}

fn reason(reply: &Reply) -> (u16, String) {
    (reply.status, reply.reason().unwrap_or_default())
}

#[tokio::test]
async fn a_burst_is_refused_with_its_limits_told_and_obeying_retry_after_works() {
    let world = World::plan().config(TWO_AT_ONCE).start().await;
    let alice = world.caller("alice");
    let policy = "\"calls\";q=2;w=120, \"users\";q=5000;w=15, \"total\";q=50;w=1";
    for expected in [1, 0] {
        let reply = alice.preverify(GOOD_BATCH).await;
        assert_eq!((reply.status, left(&reply, "calls")), (200, expected));
        assert_eq!(reply.header("ratelimit-policy"), Some(policy));
    }
    for round in 0..3 {
        let refused = alice.preverify(GOOD_BATCH).await;
        assert_eq!(reason(&refused), (429, "limit_calls".to_owned()), "round {round}");
        assert_eq!(refused.header("ratelimit-policy"), Some(policy));
        assert_eq!(left(&refused, "calls"), 0);
        let seconds = retry_after(&refused);
        assert!((1..=60).contains(&seconds), "{seconds}");
        world.clock.advance(Duration::from_secs(seconds));
        let obeyed = alice.preverify(GOOD_BATCH).await;
        assert_eq!(obeyed.status, 200, "round {round}: {}", obeyed.text());
    }
    assert_eq!(world.koodrive.verified(), 5);
}

#[tokio::test]
async fn each_caller_has_a_bucket_and_other_calls_have_none() {
    let world = World::plan().config(TWO_AT_ONCE).start().await;
    let (alice, bob) = (world.caller("alice"), world.caller("bob"));
    for expected in [200, 200, 429] {
        assert_eq!(alice.preverify(GOOD_BATCH).await.status, expected);
    }
    assert_eq!(bob.preverify(GOOD_BATCH).await.status, 200);
    for _ in 0..10 {
        let reply = alice.get(WHO_AM_I).await;
        assert_eq!((reply.status, reply.header("ratelimit")), (200, None));
    }
    // Another token of the same subject is the same caller.
    assert_eq!(world.caller("alice").preverify(GOOD_BATCH).await.status, 429);
}

#[tokio::test]
async fn users_are_charged_by_the_length_of_the_batch() {
    let config = "[limit]\nusers_per_minute = 60\nusers_burst = 1000";
    let world = World::plan().config(config).start().await;
    let alice = world.caller("alice");
    let reply = alice.preverify(batch_of(990)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!((10..=12).contains(&left(&reply, "users")), "{:?}", reply.headers);
    let refused = alice.preverify(batch_of(40)).await;
    assert_eq!(reason(&refused), (429, "limit_users".to_owned()));
    let seconds = retry_after(&refused);
    assert!((20..=30).contains(&seconds), "{seconds}");
    assert_eq!(alice.preverify(batch_of(5)).await.status, 200, "a smaller batch still fits");
    let refused = alice.preverify(batch_of(40)).await;
    world.clock.advance(Duration::from_secs(retry_after(&refused)));
    assert_eq!(alice.preverify(batch_of(40)).await.status, 200);
    assert_eq!(world.koodrive.verified(), 3);
}

#[tokio::test]
async fn the_whole_process_has_a_rate_too() {
    let config = "[limit]\ntotal_calls_per_second = 1\ntotal_burst = 3";
    let world = World::plan().config(config).start().await;
    let callers: Vec<_> = (0..4).map(|n| world.caller(&format!("user-{n}"))).collect();
    let replies = futures_util::future::join_all(
        callers.iter().cycle().take(40).map(|caller| caller.preverify(GOOD_BATCH)),
    )
    .await;
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status == 429).collect();
    assert!(20 < refused.len(), "{} refused", refused.len());
    for refused in &refused {
        assert_eq!(reason(refused), (429, "limit_total".to_owned()));
        assert_eq!(retry_after(refused), 1);
    }
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(callers[0].preverify(GOOD_BATCH).await.status, 200);
}

#[tokio::test]
async fn observing_counts_and_refuses_nothing() {
    let config = "[limit]\nmode = 'observe'\ncalls_per_minute = 1\ncalls_burst = 1\n\
        users_per_minute = 1\nusers_burst = 1000";
    let world = World::plan().config(config).start().await;
    let alice = world.caller("alice");
    for _ in 0..3 {
        assert_eq!(alice.preverify(batch_of(600)).await.status, 200);
    }
    for (policy, decision, expected) in [
        ("calls", "allowed", 1.0),
        ("calls", "observed", 2.0),
        ("calls", "refused", 0.0),
        ("users", "allowed", 1.0),
        ("users", "observed", 2.0),
        ("users", "refused", 0.0),
    ] {
        let name = format!(
            "koodrive_gateway_limit_decisions_total{{policy=\"{policy}\",decision=\"{decision}\"}}"
        );
        metric_becomes(&world, &name, expected).await;
    }
    let off = World::plan().config("[limit]\nmode = 'off'\ncalls_burst = 1").start().await;
    let alice = off.caller("alice");
    for _ in 0..3 {
        let reply = alice.preverify(GOOD_BATCH).await;
        assert_eq!((reply.status, reply.header("ratelimit")), (200, None));
    }
}

#[tokio::test]
async fn a_malformed_batch_counts_as_a_call_and_a_401_costs_nothing() {
    let world = World::plan().config(TWO_AT_ONCE).start().await;
    let alice = world.caller("alice");
    let expired = world.caller_with(Some(world.sso.mint("alice").expires_in(-60).sign()));
    for _ in 0..10 {
        let refused = expired.preverify(GOOD_BATCH).await;
        assert_eq!(reason(&refused), (401, "token_expired".to_owned()));
        assert_eq!(refused.header("ratelimit"), None);
        assert_eq!(world.caller_with(None).preverify(GOOD_BATCH).await.status, 401);
    }
    let malformed = alice.preverify("{}").await;
    assert_eq!((malformed.status, left(&malformed, "calls")), (400, 1));
    let wrong_type = preverify(&alice, GOOD_BATCH).without("content-type");
    let wrong_type = wrong_type.header("content-type", "text/plain").send().await;
    assert_eq!((wrong_type.status, left(&wrong_type, "calls")), (415, 0));
    assert_eq!(reason(&alice.preverify(GOOD_BATCH).await), (429, "limit_calls".to_owned()));
    assert_eq!((world.koodrive.received.total(), world.sso.token.calls()), (0, 0));
}

/// Spellings some server on the way might read as the preverify path.
const SPELLINGS: [&str; 24] = [
    "/koodrive/ose/v1/users/batchimport/preverify/",
    "/koodrive/ose/v1/users/batchimport/Preverify",
    "/KOODRIVE/OSE/V1/USERS/BATCHIMPORT/PREVERIFY",
    "//koodrive/ose/v1/users/batchimport/preverify",
    "/koodrive/ose/v1/users//batchimport/preverify",
    "/koodrive/ose/v1/users/batchimport/preverify//",
    "/koodrive/ose/v1/users/batchimport/%70reverify",
    "/koodrive/ose/v1/users/batchimport/%50reverify",
    "/koodrive/ose/v1/users/batchimport/p%72everif%79",
    "/koodrive/ose/v1/./users/batchimport/preverify",
    "/koodrive/ose/v1/x/../users/batchimport/preverify",
    "/koodrive/ose/v1/%2e/users/batchimport/preverify",
    "/koodrive/ose/v1/x/%2E%2e/users/batchimport/preverify",
    "/koodrive/ose/v1/users/batchimport/preverify/.",
    "/koodrive/ose/v1/users/batchimport/preverify/x/..",
    "/x/../koodrive/ose/v1/users/batchimport/preverify",
    "/koodrive/ose/v1/users/batchimport/preverify?x=1",
    "/koodrive/ose/v1/users/batchimport%2fpreverify",
    "/koodrive/ose/v1/users/batchimport%5Cpreverify",
    "/koodrive/ose/v1/users/batchimport\\preverify",
    "/koodrive/ose/v1/users/batchimport/preverify;x=1",
    "/koodrive/ose/v1/users/batchimport/preverify%20",
    "/koodrive/ose/v1/users/batchimport/%2570reverify",
    "/koodrive/ose/v1/users/batchimport%c0%afpreverify",
];

#[tokio::test]
async fn no_spelling_of_the_path_gets_round_limit_or_validation() {
    let config = "[limit]\ncalls_per_minute = 1\ncalls_burst = 40\ntotal_burst = 1000";
    let world = World::plan().config(config).start().await;
    let address = world.gateway.address;
    let (alice, spent) = (world.sso.token_for("alice"), world.caller("spent"));
    for _ in 0..40 {
        assert_eq!(spent.preverify("{}").await.status, 400);
    }
    let spent = spent.token().unwrap();
    let mut limited = 0;
    for path in SPELLINGS {
        for (token, body, if_preverify) in
            [(&*alice, "{}", "batch_malformed"), (spent, GOOD_BATCH, "limit_calls")]
        {
            let request = format!(
                "POST {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {token}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let mut connection = RawConnection::open(address).await.unwrap();
            connection.send(request).await.unwrap();
            let answer = connection.answer().await.unwrap();
            let problem: serde_json::Value =
                serde_json::from_slice(&answer.body).unwrap_or_default();
            let reason = problem["reason"].as_str();
            limited += usize::from(reason == Some("limit_calls"));
            let expected = [Some(if_preverify), Some("route_unknown")];
            // A backslash is no legal character of a target: then there is no rejection body.
            let bare = answer.status == 400 && path.contains('\\');
            assert!(bare || expected.contains(&reason), "{path}: {} {problem}", answer.status);
        }
    }
    assert_eq!(limited, 17, "spellings that are preverify");
    assert_eq!((world.koodrive.received.total(), world.sso.token.calls()), (0, 0));
}

#[tokio::test]
async fn spellings_of_preverify_go_upstream_in_the_canonical_one() {
    let world = World::plan().config("[limit]\nmode = 'off'").start().await;
    let alice = world.caller("alice");
    for path in &SPELLINGS[..17] {
        world.koodrive.received.clear();
        let reply = alice.call(Method::POST, path).json(GOOD_BATCH).send().await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let target = world.koodrive.received.all()[0].target.clone();
        assert_eq!(target.split('?').next(), Some(crate::support::koodrive::PREVERIFY), "{path}");
    }
}

#[tokio::test]
async fn only_so_many_preverify_calls_run_at_once() {
    let world = World::plan().config("[limit]\nconcurrent = 2").start().await;
    let (alice, bob) = (world.caller("alice"), world.caller("bob"));
    world.koodrive.switch.gate.close();
    let held = join(alice.preverify(GOOD_BATCH), alice.preverify(GOOD_BATCH));
    let third = async {
        assert!(world.koodrive.switch.gate.wait_for(2, SOON).await);
        let refused = bob.preverify(GOOD_BATCH).await;
        assert_eq!(reason(&refused), (429, "limit_concurrent".to_owned()));
        assert_eq!(retry_after(&refused), 1);
        world.koodrive.switch.gate.open();
    };
    let ((first, second), ()) = join(held, third).await;
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(bob.preverify(GOOD_BATCH).await.status, 200, "places are free again");
    assert_eq!(world.koodrive.verified(), 3);
}

#[tokio::test]
async fn a_caller_who_hangs_up_frees_his_place() {
    let world = World::plan().config("[limit]\nconcurrent = 1").start().await;
    let alice = world.caller("alice");
    world.koodrive.switch.gate.close();
    let hung_up = tokio::time::timeout(SOON, async {
        tokio::select! {
            reply = alice.preverify(GOOD_BATCH) => panic!("{reply:?}"),
            at_gate = world.koodrive.switch.gate.wait_for(1, SOON) => at_gate,
        }
    });
    assert!(hung_up.await.unwrap());
    assert!(world.koodrive.server.wait_abandoned(1, SOON).await, "the upstream call is cancelled");
    world.koodrive.switch.gate.open();
    metric_becomes(&world, "koodrive_gateway_inflight_requests", 0.0).await;
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
}
