use super::*;
use crate::accept::CallerId;

fn limiter(change: impl FnOnce(&mut LimitConfig)) -> (Limiter, Clock, LimitStores) {
    let mut config = LimitConfig::default();
    change(&mut config);
    let clock = Clock::system();
    let stores = LimitStores::new(&config, clock.clone());
    (Limiter::new(&config, &stores), clock, stores)
}

fn number(value: u32) -> std::num::NonZeroU32 {
    std::num::NonZeroU32::new(value).unwrap()
}

fn caller(name: &str) -> CallerId {
    CallerId::of("https://sso", name)
}

/// How many calls in a row are let through.
fn admitted(limiter: &Limiter, caller: CallerId, calls: u32) -> u32 {
    (0..calls).map(|_| u32::from(limiter.admit_call(caller).is_ok())).sum()
}

#[test]
fn a_burst_passes_and_the_next_call_is_told_when_to_return() {
    let (limiter, clock, _) = limiter(|_| {});
    assert_eq!(admitted(&limiter, caller("alice"), 10), 10);
    let refused = limiter.admit_call(caller("alice")).unwrap_err();
    assert_eq!(refused.policy, Policy::Calls);
    assert!(refused.retry_after <= Duration::from_secs(1));
    clock.advance(refused.retry_after + Duration::from_millis(1));
    assert_eq!(admitted(&limiter, caller("alice"), 1), 1);
}

#[test]
fn over_a_minute_the_rate_holds_within_one_percent() {
    let (limiter, clock, _) = limiter(|config| {
        config.calls_per_minute = number(600);
        config.calls_burst = number(1);
    });
    let mut passed = 0;
    for _ in 0..60_000 {
        passed += admitted(&limiter, caller("alice"), 1);
        clock.advance(Duration::from_millis(1));
    }
    assert!((594..=606).contains(&passed), "{passed}");
}

#[test]
fn a_greedy_caller_costs_another_one_nothing() {
    let (limiter, _, _) = limiter(|config| config.total_burst = number(1000));
    assert_eq!(admitted(&limiter, caller("greedy"), 500), 10);
    assert_eq!(admitted(&limiter, caller("modest"), 10), 10);
}

#[test]
fn the_whole_process_has_a_limit_of_its_own() {
    let (limiter, _, _) = limiter(|config| config.total_burst = number(3));
    let passed: u32 = (0..10).map(|n| admitted(&limiter, caller(&format!("caller {n}")), 1)).sum();
    assert_eq!(passed, 3);
    let refused = limiter.admit_call(caller("one more")).unwrap_err();
    assert_eq!(refused.policy, Policy::Total);
}

#[test]
fn calls_in_flight_are_bounded_and_places_come_free() {
    let (limiter, _, _) = limiter(|config| config.concurrent = number(2));
    let first = limiter.admit_call(caller("a")).unwrap();
    let _second = limiter.admit_call(caller("b")).unwrap();
    let refused = limiter.admit_call(caller("c")).unwrap_err();
    assert_eq!(
        refused,
        LimitExceeded { policy: Policy::Concurrent, retry_after: Duration::from_secs(1) }
    );
    drop(first);
    limiter.admit_call(caller("d")).unwrap();
}

#[test]
fn batches_are_charged_by_their_length() {
    let (limiter, clock, _) = limiter(|_| {});
    for _ in 0..5 {
        assert_eq!(limiter.admit_users(caller("alice"), 1000), Ok(None));
    }
    let refused = limiter.admit_users(caller("alice"), 1000).unwrap_err();
    assert_eq!(refused.policy, Policy::Users);
    assert_eq!(refused.retry_after.as_secs(), 2); // 3 s for 1000 users, less what passed
    clock.advance(refused.retry_after + Duration::from_millis(1));
    assert_eq!(limiter.admit_users(caller("alice"), 1000), Ok(None));
}

#[test]
fn observing_counts_and_refuses_nothing() {
    let (limiter, _, _) = limiter(|config| config.mode = GuardMode::Observe);
    assert_eq!(admitted(&limiter, caller("alice"), 10), 10);
    let admission = limiter.admit_call(caller("alice")).unwrap();
    assert_eq!(admission.observed.map(|exceeded| exceeded.policy), Some(Policy::Calls));
}

#[test]
fn switched_off_nothing_is_counted() {
    let (limiter, _, stores) = limiter(|config| config.mode = GuardMode::Off);
    assert_eq!(admitted(&limiter, caller("alice"), 1000), 1000);
    assert_eq!(stores.tracked_callers(), 0);
    assert!(limiter.standing(caller("alice")).is_none());
}

#[test]
fn beyond_the_bound_newcomers_share_one_bucket_and_regain_nothing() {
    let (limiter, clock, stores) = limiter(|config| {
        config.max_tracked_callers = 2;
        config.total_burst = number(1000);
    });
    assert_eq!(admitted(&limiter, caller("first"), 20), 10);
    assert_eq!(admitted(&limiter, caller("second"), 20), 10);
    let shared: u32 = (0..100).map(|n| admitted(&limiter, caller(&format!("late {n}")), 1)).sum();
    assert_eq!(shared, 10);
    assert_eq!(stores.tracked_callers(), 2);
    assert_eq!(admitted(&limiter, caller("first"), 1), 0);

    clock.advance(Duration::from_mins(1));
    stores.sweep();
    assert_eq!(admitted(&limiter, caller("late 1"), 20), 10);
    assert_eq!(admitted(&limiter, caller("late 2"), 20), 10);
}

#[test]
fn a_hundred_thousand_callers_stay_within_the_bound() {
    let (limiter, _, stores) = limiter(|config| {
        config.max_tracked_callers = 1000;
        config.total_burst = number(1_000_000);
    });
    for n in 0..100_000 {
        let _admission = limiter.admit_call(caller(&n.to_string()));
    }
    assert_eq!(stores.tracked_callers(), 1000);
}

#[test]
fn a_reload_keeps_the_buckets_whose_numbers_stayed() {
    let (limiter, _, stores) = limiter(|_| {});
    assert_eq!(admitted(&limiter, caller("alice"), 20), 10);
    limiter.admit_users(caller("alice"), 1000).unwrap();

    let changed = LimitConfig { users_burst: number(2000), ..LimitConfig::default() };
    let limiter = Limiter::new(&changed, &stores);
    assert_eq!(admitted(&limiter, caller("alice"), 1), 0);
    assert_eq!(limiter.admit_users(caller("alice"), 2000), Ok(None));
}

#[test]
fn the_standing_says_what_is_left() {
    let (limiter, _, _) = limiter(|_| {});
    limiter.admit_call(caller("alice")).unwrap();
    limiter.admit_users(caller("alice"), 1000).unwrap();
    let standing = limiter.standing(caller("alice")).unwrap();
    assert_eq!(standing.policy, "\"calls\";q=10;w=10, \"users\";q=5000;w=15, \"total\";q=50;w=1");
    assert_eq!(standing.limits, "\"calls\";r=9;t=1, \"users\";r=4000;t=3, \"total\";r=49;t=1");
}
