//! What needs no server: a store that is away, or does not answer.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::accept::CallerId;
use crate::config::LimitConfig;
use crate::limit::{LimitStores, Limiter};

struct Lone {
    limiter: Limiter,
    clock: Clock,
    failures: Arc<AtomicU32>,
}

impl Lone {
    fn with_store_at(port: u16) -> Self {
        let store = format!("redis://127.0.0.1:{port}").parse().unwrap();
        let config = LimitConfig { store, ..LimitConfig::default() };
        let (clock, failures) = (Clock::system(), Arc::new(AtomicU32::new(0)));
        let counted = Arc::clone(&failures);
        let report = Arc::new(move |news| {
            counted.fetch_add(u32::from(news == StoreNews::Failed), Ordering::Relaxed);
        });
        let stores = LimitStores::new(&config, clock.clone(), Tasks::default(), report);
        Self { limiter: Limiter::new(&config, &stores), clock, failures }
    }

    /// How many of 20 calls are let through.
    async fn admitted(&self) -> u32 {
        let mut passed = 0;
        for _ in 0..20 {
            let mut limits = self.limiter.for_caller(CallerId::of("https://sso", "alice"));
            passed += u32::from(limits.admit_call().await.is_ok());
            assert!(limits.standing().is_some());
        }
        passed
    }
}

#[tokio::test]
async fn without_its_store_the_local_limits_hold() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lone = Lone::with_store_at(closed.port());
    assert_eq!(lone.admitted().await, 10);
    assert!(0 < lone.failures.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_store_that_does_not_answer_costs_one_call_its_timeout() {
    // Connections are taken by the system; nobody reads them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let lone = Lone::with_store_at(silent.local_addr().unwrap().port());
    assert_eq!(lone.admitted().await, 10);
    assert_eq!(lone.failures.load(Ordering::Relaxed), 1, "the others did not ask");

    lone.clock.advance(Duration::from_mins(1)); // a probe is due: in the background
    assert_eq!(lone.admitted().await, 10);
    assert_eq!(lone.failures.load(Ordering::Relaxed), 1, "nobody waited for its end");
}

#[test]
fn microseconds_keep_their_fraction() {
    for (nanos, expected) in [(1, "0.001"), (1_000_000, "1000.000"), (8_571_428_571, "8571428.571")]
    {
        assert_eq!(micros(Duration::from_nanos(nanos)), expected);
    }
}
