//! The promises of the room `limit`, on a clock that moves.

use std::sync::Arc;
use std::time::Duration;

use koodrive_gateway::accept::CallerId;
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::{GuardMode, LimitConfig};
use koodrive_gateway::lifecycle::Tasks;
use koodrive_gateway::limit::{Decision, LimitExceeded, LimitStores, Limiter, Policy};

fn limiter(change: impl FnOnce(&mut LimitConfig)) -> (Limiter, Clock, LimitStores) {
    let mut config = LimitConfig::default();
    change(&mut config);
    let clock = Clock::system();
    let stores = LimitStores::new(&config, clock.clone(), Tasks::default(), Arc::new(drop));
    (Limiter::new(&config, &stores), clock, stores)
}

fn number(value: u32) -> std::num::NonZeroU32 {
    std::num::NonZeroU32::new(value).unwrap()
}

fn caller(name: &str) -> CallerId {
    CallerId::of("https://sso", name)
}

/// How many calls in a row are let through.
async fn admitted(limiter: &Limiter, caller: CallerId, calls: u32) -> u32 {
    let mut passed = 0;
    for _ in 0..calls {
        passed += u32::from(limiter.for_caller(caller).admit_call().await.is_ok());
    }
    passed
}

#[tokio::test]
async fn a_burst_passes_and_the_next_call_is_told_when_to_return() {
    let (limiter, clock, _) = limiter(|_| {});
    assert_eq!(admitted(&limiter, caller("alice"), 10).await, 10);
    let refused = limiter.for_caller(caller("alice")).admit_call().await.unwrap_err();
    assert_eq!(refused.policy, Policy::Calls);
    assert!(refused.retry_after <= Duration::from_secs(1));
    clock.advance(refused.retry_after + Duration::from_millis(1));
    assert_eq!(admitted(&limiter, caller("alice"), 1).await, 1);
}

#[tokio::test]
async fn over_a_minute_the_rate_holds_within_one_percent() {
    let (limiter, clock, _) = limiter(|config| {
        config.calls_per_minute = number(600);
        config.calls_burst = number(1);
    });
    let (mut passed, started) = (0, clock.monotonic());
    for _ in 0..60_000 {
        passed += admitted(&limiter, caller("alice"), 1).await;
        clock.advance(Duration::from_millis(1));
    }
    // A slow machine adds its own time.
    let due = clock.monotonic().saturating_sub(started).as_secs_f64() * 10.0;
    assert!((0.99..=1.01).contains(&(f64::from(passed) / due)), "{passed} of {due}");
}

#[tokio::test]
async fn a_greedy_caller_costs_another_one_nothing() {
    let (limiter, _, _) = limiter(|config| config.total_burst = number(1000));
    assert_eq!(admitted(&limiter, caller("greedy"), 500).await, 10);
    assert_eq!(admitted(&limiter, caller("modest"), 10).await, 10);
}

#[tokio::test]
async fn the_whole_process_has_a_limit_of_its_own() {
    let (limiter, _, _) = limiter(|config| config.total_burst = number(3));
    let mut passed = 0;
    for n in 0..10 {
        passed += admitted(&limiter, caller(&format!("caller {n}")), 1).await;
    }
    assert_eq!(passed, 3);
    let refused = limiter.for_caller(caller("one more")).admit_call().await.unwrap_err();
    assert_eq!(refused.policy, Policy::Total);
}

#[tokio::test]
async fn calls_in_flight_are_bounded_and_places_come_free() {
    let (limiter, _, _) = limiter(|config| config.concurrent = number(2));
    let first = limiter.for_caller(caller("a")).take_place().unwrap();
    let _second = limiter.for_caller(caller("b")).take_place().unwrap();
    let refused = limiter.for_caller(caller("c")).take_place().unwrap_err();
    assert_eq!(
        refused,
        LimitExceeded { policy: Policy::Concurrent, retry_after: Duration::from_secs(1) }
    );
    drop(first);
    limiter.for_caller(caller("d")).take_place().unwrap();
}

#[tokio::test]
async fn batches_are_charged_by_their_length() {
    let (limiter, clock, _) = limiter(|_| {});
    for _ in 0..5 {
        assert_eq!(limiter.for_caller(caller("alice")).admit_users(1000).await, Ok(()));
    }
    let refused = limiter.for_caller(caller("alice")).admit_users(1000).await.unwrap_err();
    assert_eq!(refused.policy, Policy::Users);
    assert_eq!(refused.retry_after.as_secs(), 2); // 3 s for 1000 users, less what passed
    clock.advance(refused.retry_after + Duration::from_millis(1));
    assert_eq!(limiter.for_caller(caller("alice")).admit_users(1000).await, Ok(()));
}

#[tokio::test]
async fn observing_counts_and_refuses_nothing() {
    let (limiter, _, _) = limiter(|config| config.mode = GuardMode::Observe);
    assert_eq!(admitted(&limiter, caller("alice"), 10).await, 10);
    let mut limits = limiter.for_caller(caller("alice"));
    limits.admit_call().await.unwrap();
    let decisions: Vec<_> = limits.decisions().iter().collect();
    let expected = [(Policy::Upstream, Decision::Allowed), (Policy::Calls, Decision::Observed)];
    assert_eq!(decisions, expected);
}

#[tokio::test]
async fn switched_off_nothing_is_counted() {
    let (limiter, _, stores) = limiter(|config| config.mode = GuardMode::Off);
    assert_eq!(admitted(&limiter, caller("alice"), 1000).await, 1000);
    assert_eq!(stores.tracked_callers(), 0);
    assert!(limiter.for_caller(caller("alice")).standing().is_none());
}

#[tokio::test]
async fn beyond_the_bound_newcomers_share_one_bucket_and_regain_nothing() {
    let (limiter, clock, stores) = limiter(|config| {
        config.max_tracked_callers = 2;
        config.total_burst = number(1000);
    });
    assert_eq!(admitted(&limiter, caller("first"), 20).await, 10);
    assert_eq!(admitted(&limiter, caller("second"), 20).await, 10);
    let mut shared = 0;
    for n in 0..100 {
        shared += admitted(&limiter, caller(&format!("late {n}")), 1).await;
    }
    assert_eq!(shared, 10);
    assert_eq!(stores.tracked_callers(), 2);
    assert_eq!(admitted(&limiter, caller("first"), 1).await, 0);

    clock.advance(Duration::from_mins(1));
    stores.sweep();
    assert_eq!(admitted(&limiter, caller("late 1"), 20).await, 10);
    assert_eq!(admitted(&limiter, caller("late 2"), 20).await, 10);
}

#[tokio::test]
async fn a_hundred_thousand_callers_stay_within_the_bound() {
    let (limiter, _, stores) = limiter(|config| {
        config.max_tracked_callers = 1000;
        config.total_burst = number(1_000_000);
    });
    let mut most = 0;
    for n in 0..100_000 {
        limiter.for_caller(caller(&n.to_string())).admit_call().await.unwrap_or_default();
        most = most.max(stores.tracked_callers());
    }
    assert_eq!(most, 1000);
}

#[tokio::test]
async fn a_reload_keeps_the_buckets_whose_numbers_stayed() {
    let (limiter, _, stores) = limiter(|_| {});
    assert_eq!(admitted(&limiter, caller("alice"), 20).await, 10);
    limiter.for_caller(caller("alice")).admit_users(1000).await.unwrap();

    let changed = LimitConfig { users_burst: number(2000), ..LimitConfig::default() };
    let limiter = Limiter::new(&changed, &stores);
    assert_eq!(admitted(&limiter, caller("alice"), 1).await, 0);
    assert_eq!(limiter.for_caller(caller("alice")).admit_users(2000).await, Ok(()));
}

#[tokio::test]
async fn the_standing_says_what_is_left() {
    let (limiter, _, _) = limiter(|_| {});
    limiter.for_caller(caller("alice")).admit_call().await.unwrap();
    limiter.for_caller(caller("alice")).admit_users(1000).await.unwrap();
    let standing = limiter.for_caller(caller("alice")).standing().unwrap();
    assert_eq!(standing.policy, "\"calls\";q=10;w=10, \"users\";q=5000;w=15, \"total\";q=50;w=1");
    assert_eq!(standing.limits, "\"calls\";r=9;t=1, \"users\";r=4000;t=3, \"total\";r=49;t=1");
}
