//! The limits themselves over a real store: exact times, many callers, logins, reloads.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use koodrive_gateway::accept::CallerId;
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::LimitConfig;
use koodrive_gateway::lifecycle::Tasks;
use koodrive_gateway::limit::{
    CallerLimits, LimitExceeded, LimitStores, Limiter, Policy, StoreNews,
};

use crate::store::Store;

/// The limits of one process.
pub(crate) struct Replica {
    limiter: Limiter,
    stores: LimitStores,
    failures: Arc<AtomicU32>,
}

impl Replica {
    pub(crate) fn with(config: &LimitConfig) -> Self {
        let failures = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&failures);
        let report = Arc::new(move |news| {
            if let StoreNews::Failed = news {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let stores = LimitStores::new(config, Clock::system(), Tasks::default(), report);
        Self { limiter: Limiter::new(config, &stores), stores, failures }
    }

    async fn call(&self, name: &str) -> Result<(), LimitExceeded> {
        self.limiter.for_caller(caller(name)).admit_call().await
    }

    async fn users(&self, name: &str, users: u32) -> Result<(), LimitExceeded> {
        self.limiter.for_caller(caller(name)).admit_users(users).await.map(drop)
    }

    /// A preverify call up to where it goes out.
    async fn goes_out(&self, name: &str) -> Result<CallerLimits, LimitExceeded> {
        let mut limits = self.limiter.for_caller(caller(name));
        limits.admit_call().await?;
        limits.take_place()?;
        Ok(limits)
    }

    /// Refused because KooDrive throttles; after how long it is worth another try.
    async fn waits(&self) -> Duration {
        let refused = self.goes_out("waiting").await.err().expect("KooDrive throttles");
        assert_eq!(refused.policy, Policy::Upstream);
        refused.retry_after
    }

    /// How many calls in a row are let through.
    pub(crate) async fn admitted(&self, name: &str, calls: u32) -> u32 {
        let mut passed = 0;
        for _ in 0..calls {
            passed += u32::from(self.call(name).await.is_ok());
        }
        passed
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }
}

fn caller(name: &str) -> CallerId {
    CallerId::of("https://sso", name)
}

fn number(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).expect("not zero")
}

/// Slow enough that nothing comes back during a test.
fn slow(address: &str) -> LimitConfig {
    LimitConfig {
        calls_per_minute: number(1),
        users_per_minute: number(1),
        total_burst: number(1_000_000),
        store: address.parse().expect("an address as operators write it"),
        ..LimitConfig::default()
    }
}

#[tokio::test]
async fn what_one_replica_lets_through_is_gone_for_the_other() {
    let store = Store::start();
    let config = slow(&store.address());
    let (a, b) = (Replica::with(&config), Replica::with(&config));
    assert_eq!(a.admitted("alice", 7).await + b.admitted("alice", 7).await, 10);
    assert_eq!(b.admitted("bob", 20).await, 10);
    assert_eq!(a.admitted("bob", 1).await, 0);

    a.users("alice", 3000).await.unwrap();
    b.users("alice", 2000).await.unwrap();
    assert_eq!(a.users("alice", 1).await.unwrap_err().policy, Policy::Users);
    assert_eq!(a.failures() + b.failures(), 0);
}

/// Asks until the answer is as wished: what replicas tell each other travels in the background.
async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(told) = ask().await {
            return told;
        }
        assert!(Instant::now() < deadline, "it never came to that");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_throttles_one_replica_pauses_all_and_one_call_of_all_goes_first() {
    let store = Store::start();
    let config = LimitConfig { calls_burst: number(10_000), ..slow(&store.address()) };
    let [a, b, c] = [(); 3].map(|()| Replica::with(&config));
    let sent = a.goes_out("alice").await.unwrap();
    sent.throttled(Some(Duration::from_secs(3)));
    assert!(a.waits().await <= Duration::from_secs(3));
    let told = until(async || b.goes_out("bob").await.err()).await;
    assert_eq!(told.policy, Policy::Upstream);
    assert!(told.retry_after <= Duration::from_secs(3));

    // B asks the store no more until then; C never heard of it. One of them is the probe.
    let mut others = [&c, &b, &a];
    let probe = until(async || {
        for at in 0..others.len() {
            if let Ok(probe) = others[at].goes_out("probe").await {
                others.swap(0, at);
                return Some(probe);
            }
        }
        None
    })
    .await;
    let [prober, waiting @ ..] = others;
    // The probe is on its way. Who was told of the pause waits for its own end of it first.
    for replica in [prober, waiting[0], waiting[1], waiting[0]] {
        let second = Duration::from_secs(1);
        until(async || (replica.waits().await == second).then_some(())).await;
    }
    // Throttled again: twice as long, for all.
    probe.throttled(None);
    let doubled = until(async || {
        let told = waiting[1].goes_out("bob").await.err()?;
        // While somebody probes, it is a second.
        (told.retry_after != Duration::from_secs(1)).then_some(told.retry_after)
    })
    .await;
    assert!(doubled <= Duration::from_secs(2), "{doubled:?}");
    tokio::time::sleep(doubled).await;
    let probe = until(async || prober.goes_out("probe").await.ok()).await;
    probe.served();
    // All go on, by turns, and nobody probes again.
    for replica in others {
        let first = until(async || replica.goes_out("first").await.ok()).await;
        let second = until(async || replica.goes_out("second").await.ok()).await;
        drop((first, second));
    }
    assert_eq!(a.failures() + b.failures() + c.failures(), 0);
}

#[tokio::test]
async fn a_replica_that_never_ends_its_probe_keeps_the_others_waiting_for_five_seconds() {
    let store = Store::start();
    let config = LimitConfig { calls_burst: number(10_000), ..slow(&store.address()) };
    let [a, b] = [(); 2].map(|()| Replica::with(&config));
    a.goes_out("alice").await.unwrap().throttled(None);
    until(async || b.goes_out("bob").await.err()).await;
    let began = Instant::now();
    let probe = until(async || a.goes_out("alice").await.ok()).await;
    until(async || b.goes_out("bob").await.ok()).await.served();
    assert!(Duration::from_secs(4) < began.elapsed(), "{:?}", began.elapsed());
    drop(probe);
}

#[tokio::test]
async fn without_its_store_each_replica_pauses_for_itself() {
    let mut store = Store::start();
    let config = LimitConfig { calls_burst: number(10_000), ..slow(&store.address()) };
    let [a, b] = [(); 2].map(|()| Replica::with(&config));
    assert_eq!(a.admitted("alice", 1).await + b.admitted("bob", 1).await, 2);
    store.kill();
    let sent = a.goes_out("alice").await.unwrap();
    sent.throttled(None);
    assert!(a.waits().await <= Duration::from_secs(1));
    b.goes_out("bob").await.expect("nobody told it");
    let probe = until(async || a.goes_out("alice").await.ok()).await;
    assert_eq!(a.waits().await, Duration::from_secs(1), "the probe is on its way");
    probe.served();
    until(async || a.goes_out("alice").await.ok()).await;
}

#[tokio::test]
async fn the_total_is_one_for_all_replicas() {
    let store = Store::start();
    let config = LimitConfig {
        total_calls_per_second: number(1),
        total_burst: number(5),
        ..slow(&store.address())
    };
    let (a, b) = (Replica::with(&config), Replica::with(&config));
    assert_eq!(a.admitted("alice", 3).await + b.admitted("bob", 4).await, 5);
    assert_eq!(a.call("carol").await.unwrap_err().policy, Policy::Total);
}

#[tokio::test]
async fn the_standing_is_that_of_all_replicas() {
    let store = Store::start();
    let config = LimitConfig { store: store.address().parse().unwrap(), ..LimitConfig::default() };
    let (a, b) = (Replica::with(&config), Replica::with(&config));
    a.admitted("alice", 3).await;
    a.users("alice", 1000).await.unwrap();
    let mut limits = b.limiter.for_caller(caller("alice"));
    limits.admit_call().await.unwrap();
    let standing = limits.standing().unwrap().limits;
    // The total comes back within milliseconds.
    let standing = standing.to_str().unwrap();
    assert!(standing.starts_with("\"calls\";r=6;t=4, \"users\";r=4000;t=3, "), "{standing}");
}

#[tokio::test]
async fn whoever_returns_when_told_is_let_through_and_not_before() {
    let store = Store::start();
    let config = LimitConfig { calls_per_minute: number(120), ..slow(&store.address()) };
    let (a, b) = (Replica::with(&config), Replica::with(&config));
    assert_eq!(a.admitted("alice", 10).await, 10);
    for (asked, told) in [(&a, &b), (&b, &a), (&a, &a)] {
        let refused = asked.call("alice").await.unwrap_err();
        let told_at = Instant::now();
        // Two thirds of the time are too early; the timer never fires early.
        tokio::time::sleep(refused.retry_after * 2 / 3).await;
        let early = told.call("alice").await;
        if told_at.elapsed() < refused.retry_after {
            early.unwrap_err();
        }
        tokio::time::sleep(refused.retry_after.saturating_sub(told_at.elapsed())).await;
        told.call("alice").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_callers_take_bounded_memory_and_regain_nothing() {
    let store = Store::start();
    let config = LimitConfig {
        calls_per_minute: number(60),
        max_tracked_callers: 1000,
        concurrent: number(1000),
        total_calls_per_second: number(1_000_000),
        ..slow(&store.address())
    };
    let replica = Replica::with(&config);
    replica.call("warm").await.unwrap();
    replica.users("alice", 5000).await.unwrap();
    let before = store.info("used_memory");
    let started = Instant::now();
    let callers = (0..64).map(async |part| {
        for n in (part..100_000).step_by(64) {
            replica.call(&n.to_string()).await.unwrap();
        }
    });
    futures_util::future::join_all(callers).await;
    let (took, grown) = (started.elapsed(), store.info("used_memory").saturating_sub(before));
    eprintln!("100 000 callers: {took:?}, {grown} bytes more in the store");
    assert!(grown < 64 << 20, "{grown}");
    assert!(replica.stores.tracked_callers() <= 1000);
    assert_eq!(replica.users("alice", 1).await.unwrap_err().policy, Policy::Users);
    assert_eq!(replica.failures(), 0);

    // A call is worth a second: then its bucket is full, and no key is left of it.
    let mut pause = tokio::time::interval(Duration::from_millis(50));
    while 3 < store.ask::<u64>(&["DBSIZE"]) {
        pause.tick().await;
        assert!(started.elapsed() < took + Duration::from_secs(30));
    }
}

#[tokio::test]
async fn a_password_and_a_database_are_heeded() {
    let store = Store::start_with(Some("hun-ter.2"));
    let replica = Replica::with(&slow(&format!("{}/3", store.address())));
    assert_eq!(replica.admitted("alice", 20).await, 10);
    assert_eq!(replica.failures(), 0);
    let keyspace: String = store.ask(&["INFO", "keyspace"]);
    assert!(keyspace.contains("db3:"), "{keyspace}");

    let wrong = store.address().replace("hun-ter.2", "wrong");
    let replica = Replica::with(&slow(&wrong));
    assert_eq!(replica.admitted("alice", 20).await, 10); // locally: of its own
    assert!(1 <= replica.failures());
}

#[tokio::test]
async fn a_reload_changes_the_store_only_when_its_address_changes() {
    let (first, second) = (Store::start(), Store::start());
    let config = slow(&first.address());
    let mut replica = Replica::with(&config);
    assert_eq!(replica.admitted("alice", 20).await, 10);

    replica.limiter = Limiter::new(&config, &replica.stores);
    assert_eq!(replica.admitted("alice", 1).await, 0);
    assert_eq!(first.info("connected_clients"), 2); // this question, and the gateway

    replica.limiter = Limiter::new(&slow(&second.address()), &replica.stores);
    assert_eq!(replica.admitted("alice", 20).await, 10);
    assert_eq!(second.info("connected_clients"), 2); // this question, and the gateway

    replica.limiter = Limiter::new(&slow("local"), &replica.stores);
    assert_eq!(replica.admitted("alice", 1).await, 0); // what was let through weighed here too
    assert_eq!(replica.failures(), 0);
}

#[tokio::test]
async fn a_store_that_takes_no_writes_is_away() {
    let store = Store::start();
    let config = slow(&store.address());
    let replica = Replica::with(&config);
    assert_eq!(replica.admitted("alice", 3).await, 3);
    let _done: String = store.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    // The connection is tried anew, and found wanting.
    assert_eq!(replica.admitted("alice", 20).await, 7);
    assert!(2 <= replica.failures());
}
