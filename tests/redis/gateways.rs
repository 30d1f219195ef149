//! Two gateways, each the real binary in a process of its own, over one real store.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::store::Store;
use crate::support::caller::{Caller, Http, Reply};
use crate::support::gateway::Gateway;
use crate::support::world::{GOOD_BATCH, World};

const PATIENCE: Duration = Duration::from_secs(20);
const SHARED: &str = "limit store connected";
const AWAY: &str = "limit store failing";
const ERRORS: &str = "koodrive_gateway_limit_store_errors_total";

/// The gateway of the world, and another one under the same configuration.
struct Pair {
    world: World,
    other: Gateway,
}

impl Pair {
    async fn start(store: &Store, limits: &str) -> Self {
        let config = format!("[limit]\nstore = \"{}\"\n{limits}", store.address());
        let world = World::plan().config(&config).child().start().await;
        let (config, canaries) = (world.config_file(), world.canaries());
        let other = Gateway::child(config, &BTreeMap::new(), None, canaries).await;
        other.wait_ready().await;
        let pair = Self { world, other };
        pair.both_say(SHARED).await;
        pair
    }

    fn gateways(&self) -> [&Gateway; 2] {
        [&self.world.gateway, &self.other]
    }

    /// The same user at each of the gateways.
    fn callers(&self, subject: &str) -> [Caller; 2] {
        let token = self.world.sso.token_for(subject);
        self.gateways().map(|gateway| {
            Caller::new(
                &self.world.http,
                &format!("http://{}", gateway.address),
                Some(token.clone()),
            )
        })
    }

    /// Waits until both have written this message.
    async fn both_say(&self, message: &str) {
        for gateway in self.gateways() {
            let said = gateway.logs.wait_for(PATIENCE, |line| line["msg"] == message).await;
            assert!(said.is_some(), "{}", gateway.logs.lines().join("\n"));
        }
    }

    async fn errors(&self) -> [u64; 2] {
        let mut errors = [0; 2];
        for (gateway, errors) in self.gateways().into_iter().zip(&mut errors) {
            let admin = format!("http://{}", gateway.admin);
            let page = Caller::new(&Http::new("", false), &admin, None).get("/metrics").await;
            let page = page.text();
            let value = page.lines().find_map(|line| line.strip_prefix(ERRORS));
            *errors =
                value.and_then(|value| value.trim().parse().ok()).expect("the metric is there");
        }
        errors
    }
}

fn count(gateway: &Gateway, message: &str) -> usize {
    gateway.logs.json().iter().filter(|line| line["msg"] == message).count()
}

fn warnings(gateway: &Gateway) -> Vec<Value> {
    let is_warning = |line: &Value| {
        line["level"].as_str().is_some_and(|level| level.eq_ignore_ascii_case("warn"))
    };
    gateway.logs.json().into_iter().filter(is_warning).collect()
}

/// Limits that only one caller can reach.
fn few_calls_each(burst: u32) -> String {
    format!(
        "calls_per_minute = 6\ncalls_burst = {burst}\n\
         total_calls_per_second = 100000\ntotal_burst = 100000"
    )
}

/// A call, and how long it took.
async fn timed(caller: &Caller) -> (Reply, Duration) {
    let started = Instant::now();
    let reply = caller.preverify(GOOD_BATCH).await;
    (reply, started.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_hold_one_rule_within_one_percent_and_a_greedy_caller_costs_nobody_a_call() {
    let store = Store::start();
    let limits = "calls_per_minute = 1800\ncalls_burst = 20\ntotal_calls_per_second = 1000\n\
                  total_burst = 1000\nusers_per_minute = 1000000\nusers_burst = 100000\n\
                  concurrent = 1000";
    let pair = Pair::start(&store, limits).await;
    let greedy = pair.callers("greedy");
    let modest = pair.callers("modest");
    let (began, length) = (Instant::now(), Duration::from_secs(20));
    let floods = greedy.iter().cycle().take(8).map(async |caller| {
        let (mut passed, mut last) = (0_u32, Duration::ZERO);
        while began.elapsed() < length {
            match caller.preverify(GOOD_BATCH).await.status {
                200 => (passed, last) = (passed + 1, began.elapsed()),
                status => assert_eq!(status, 429),
            }
        }
        (passed, last)
    });
    let visits = async {
        let mut pause = tokio::time::interval(Duration::from_millis(200));
        for visit in 0..80 {
            pause.tick().await;
            assert_eq!(modest[visit % 2].preverify(GOOD_BATCH).await.status, 200);
        }
    };
    let (floods, ()) = tokio::join!(futures_util::future::join_all(floods), visits);
    let passed: u32 = floods.iter().map(|(passed, _)| passed).sum();
    let last = floods.iter().map(|(_, last)| *last).max().unwrap();
    let rule = 20.0 + last.as_secs_f64() * 30.0;
    let off = (f64::from(passed) / rule - 1.0) * 100.0;
    eprintln!("{passed} calls passed, the rule allows {rule:.1}: {off:+.2} %");
    assert_eq!(pair.errors().await, [0, 0]);
    assert!(off.abs() <= 1.0, "{passed} passed, {rule:.1} are allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_killed_in_mid_run_fails_no_call_and_is_shared_again_when_it_returns() {
    let mut store = Store::start();
    let pair = Pair::start(&store, &few_calls_each(10)).await;
    let call_round = async |round: &str| {
        for user in 0..5 {
            for caller in pair.callers(&format!("{round}-{user}")) {
                let (reply, took) = timed(&caller).await;
                assert_eq!(reply.status, 200, "{round}: {}", reply.text());
                assert!(reply.header("ratelimit").is_some());
                assert!(took < Duration::from_secs(2), "{round}: {took:?}");
            }
        }
    };
    call_round("before").await;
    let running = pair.callers("running");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let in_mid_run = async {
        let mut calls = 0_u32;
        while !*stopped.borrow() {
            // New users all the time: none comes near the rule.
            let [a, b] = pair.callers(&format!("running-{calls}"));
            let (a, b) = tokio::join!(a.preverify(GOOD_BATCH), b.preverify(GOOD_BATCH));
            assert_eq!((a.status, b.status), (200, 200), "{}{}", a.text(), b.text());
            calls += 1;
        }
        calls
    };
    let killing = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        store.kill();
        pair.both_say(AWAY).await;
        tokio::time::sleep(Duration::from_millis(2500)).await; // some probes fail
        stop.send(true).unwrap();
    };
    let (calls, ()) = tokio::join!(in_mid_run, killing);
    assert!(10 < calls, "{calls}");
    call_round("away").await;
    for gateway in pair.gateways() {
        let warnings = warnings(gateway);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let detail = warnings[0]["detail"].as_str().expect("a line names its cause");
        assert!(detail.starts_with("no "), "{detail}");
    }
    let errors = pair.errors().await;
    assert!(errors.iter().all(|errors| (2..20).contains(errors)), "{errors:?}");
    // Each on its own now: what they know of alice is theirs alone.
    let [at_a, at_b] = pair.callers("alice");
    let mut passed = (0, 0);
    for _ in 0..12 {
        passed.0 += u32::from(at_a.preverify(GOOD_BATCH).await.status == 200);
        passed.1 += u32::from(at_b.preverify(GOOD_BATCH).await.status == 200);
    }
    assert_eq!(passed, (10, 10));

    store.restart();
    let mut pause = tokio::time::interval(Duration::from_millis(100));
    while pair.gateways().iter().any(|gateway| count(gateway, SHARED) < 2) {
        pause.tick().await;
        for caller in &running {
            caller.preverify(GOOD_BATCH).await; // probes need calls
        }
    }
    let [at_a, at_b] = pair.callers("bob");
    let mut passed = 0;
    for _ in 0..10 {
        passed += u32::from(at_a.preverify(GOOD_BATCH).await.status == 200);
        passed += u32::from(at_b.preverify(GOOD_BATCH).await.status == 200);
    }
    assert_eq!(passed, 10);
    for gateway in pair.gateways() {
        assert_eq!(warnings(gateway).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_slows_one_call_and_no_other() {
    let store = Store::start();
    let pair = Pair::start(&store, &few_calls_each(100)).await;
    let [caller, other] = pair.callers("alice");
    for caller in [&caller, &other] {
        assert_eq!(caller.preverify(GOOD_BATCH).await.status, 200);
    }
    store.hang();
    let (reply, took) = timed(&caller).await;
    assert_eq!(reply.status, 200);
    assert!((Duration::from_millis(250)..Duration::from_secs(1)).contains(&took), "{took:?}");
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    while began.elapsed() < Duration::from_secs(3) {
        let subject = format!("user {}", began.elapsed().as_millis() / 300);
        let [caller, _] = pair.callers(&subject);
        let (reply, took) = timed(&caller).await;
        assert!(matches!(reply.status, 200 | 429), "{}", reply.text());
        slowest = slowest.max(took);
    }
    eprintln!("slowest call while the store hangs: {slowest:?}");
    assert!(slowest < Duration::from_millis(250), "{slowest:?}");
    assert_eq!(warnings(&pair.world.gateway).len(), 1);

    store.resume();
    let mut pause = tokio::time::interval(Duration::from_millis(100));
    while count(&pair.world.gateway, SHARED) < 2 {
        pause.tick().await;
        caller.preverify(GOOD_BATCH).await;
    }
}
