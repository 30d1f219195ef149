//! Many calls while KooDrive closes connections whenever it likes.
//!
//! `KOODRIVE_STORM_CALLS` sets how many; the default suits every run of the tests.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;

use crate::support::server::Closing;
use crate::support::world::World;

const ECHO: &str = "/koodrive/test/echo";
const CALLERS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_post_runs_twice_and_no_harmless_call_fails_while_connections_close_at_random() {
    let calls: u64 = std::env::var("KOODRIVE_STORM_CALLS")
        .map_or(4_000, |calls| calls.parse().expect("a number of calls"));
    let world = World::plan()
        .config("[limit]\nmode = 'off'\n[forward]\nresponse_timeout = '10s'\n[telemetry]\nsample_ratio = 0.0\naccess_log = false")
        .start()
        .await;
    world.koodrive.received.keep(usize::try_from(calls * 2).unwrap());
    let within = Duration::from_millis(4);
    world.koodrive.server.set_closing(Closing::AtRandom { probability: 0.3, within });
    let next = Arc::new(AtomicU64::new(0));
    let callers = (0..CALLERS).map(|_| {
        let (alice, next) = (world.caller("alice"), next.clone());
        async move {
            let mut lost_posts = 0_u64;
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if calls <= at {
                    return lost_posts;
                }
                let method = [Method::GET, Method::POST, Method::PUT, Method::DELETE]
                    [usize::try_from(at % 4).unwrap()]
                .clone();
                let target = format!("{ECHO}?{at}");
                let mut call = alice.call(method.clone(), &target);
                if method == Method::POST {
                    call = call.body(format!("{at}"));
                }
                let reply = call.send().await;
                match (&method, reply.status) {
                    (_, 200) => {}
                    (&Method::POST, 502) => lost_posts += 1,
                    (_, status) => panic!("{method} {at}: {status} {}", reply.text()),
                }
                if at % 16 == 0 {
                    // Time for a connection to be closed while it is idle.
                    tokio::time::sleep(Duration::from_millis(at % 5)).await;
                }
            }
        }
    });
    let lost: u64 = join_all(callers).await.into_iter().sum();
    let mut runs = HashMap::<String, u32>::new();
    for received in world.koodrive.received.all() {
        if received.method == Method::POST {
            *runs.entry(received.target.clone()).or_default() += 1;
        }
    }
    let twice: Vec<_> = runs.iter().filter(|(_, runs)| 1 < **runs).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert!(calls / 100 < world.koodrive.server.connections(), "connections were closed");
    let replays = world.metric("koodrive_gateway_upstream_replays_total").await;
    tracing::info!(
        calls,
        lost,
        ?replays,
        connections = world.koodrive.server.connections(),
        "storm"
    );
    assert!(lost <= calls / 20, "{lost} of {} POSTs had no answer", calls / 4);
}
