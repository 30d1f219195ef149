//! Stopping: unready at once, linger, close politely, finish what is in flight, cut off the rest.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Method;

use crate::support::caller::{Caller, Http, Reply};
use crate::support::collector::Span;
use crate::support::gateway::Gateway;
use crate::support::raw::{RawAnswer, RawConnection};
use crate::support::world::{Plan, World};

const ECHO: &str = "/koodrive/test/echo";
const SOON: Duration = Duration::from_secs(10);

fn plan(linger: &str, drain: &str) -> Plan {
    World::plan().config(&format!("[lifecycle]\nlinger = '{linger}'\ndrain = '{drain}'"))
}

async fn open(world: &World) -> RawConnection {
    RawConnection::open(world.gateway.address).await.expect("the gateway listens")
}

async fn send(connection: &mut RawConnection, world: &World) {
    let token = world.sso.token_for("alice");
    let call = format!("GET {ECHO} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    connection.send(call).await.unwrap();
}

async fn called(connection: &mut RawConnection, world: &World) -> RawAnswer {
    send(connection, world).await;
    connection.answer().await.unwrap()
}

async fn unready(world: &World) -> Reply {
    loop {
        let reply = world.admin().get("/readyz").await;
        if reply.status != 200 {
            return reply;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn while_it_lingers_calls_are_served_and_connections_asked_to_leave() {
    let world = plan("700ms", "5s").start().await;
    let mut old = open(&world).await;
    let answer = called(&mut old, &world).await;
    assert_eq!((answer.status, answer.header("connection")), (200, None));
    let mut idle = open(&world).await;
    assert_eq!(called(&mut idle, &world).await.status, 200);

    let begun = Instant::now();
    world.gateway.begin_stop().await;
    let reply = unready(&world).await;
    assert_eq!(reply.json()["reasons"], serde_json::json!(["draining"]));
    assert_eq!(world.admin().get("/livez").await.status, 200);

    let answer = called(&mut old, &world).await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(old.rest().await.unwrap(), b"");
    let answer = called(&mut open(&world).await, &world).await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));

    assert_eq!(idle.rest().await.unwrap(), b"", "idle connections are closed after the linger");
    assert!(Duration::from_millis(650) <= begun.elapsed());
    assert!(world.gateway.ended().await);
    assert!(begun.elapsed() < Duration::from_secs(4), "nothing is waited for without need");
    RawConnection::open(world.gateway.address).await.map(drop).expect_err("nobody listens");
}

#[tokio::test]
async fn a_call_in_flight_is_finished_and_its_spans_are_delivered() {
    for http2 in [false, true] {
        let plan = plan("0s", "10s");
        let world = if http2 { plan.http2() } else { plan }.start().await;
        let alice = world.caller("alice");
        world.koodrive.switch.gate.close();
        let call = alice.get(ECHO);
        let stopping = async {
            assert!(world.koodrive.switch.gate.wait_for(1, SOON).await);
            world.gateway.begin_stop().await;
            // Once nobody listens any more, the process drains.
            while RawConnection::open(world.gateway.address).await.is_ok() {
                tokio::task::yield_now().await;
            }
            world.koodrive.switch.gate.open();
        };
        let (reply, ()) = tokio::join!(call, stopping);
        assert_eq!(reply.status, 200);
        if !http2 {
            assert_eq!(reply.header("connection"), Some("close"));
        }
        assert!(world.gateway.ended().await, "every call was finished");
        let spans = world.collector.trace_of(&reply.trace_id(), SOON).await;
        assert!(spans.is_some_and(|spans| spans.iter().any(|span| span.name == "forward.attempt")));
    }
}

#[tokio::test]
async fn new_calls_on_open_connections_are_refused_while_it_drains() {
    let world = plan("0s", "10s").http2().start().await;
    let alice = world.caller("alice");
    // A second connection of the same kind, opened before: frame by frame, it ignores the farewell.
    let mut frames = crate::wire::frames::Frames::open(world.gateway.address).await;
    let bearer = format!("Bearer {}", alice.token().unwrap());
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", ECHO),
        ("authorization", &*bearer),
    ];
    world.koodrive.switch.gate.close();
    frames.request(1, &fields, None).await;
    assert!(world.koodrive.switch.gate.wait_for(1, SOON).await);
    world.gateway.begin_stop().await;
    let farewell = frames.next().await.expect("a frame");
    assert_eq!((farewell.kind, farewell.code()), (crate::wire::frames::GOAWAY, 0));
    frames.request(3, &fields, None).await;
    let outcome = frames.outcome(3).await;
    let crate::wire::frames::Outcome::Answer { status, body } = outcome else {
        panic!("{outcome:?}");
    };
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, body["reason"].as_str()), (503, Some("draining")));
    world.koodrive.switch.gate.open();
    let outcome = frames.outcome(1).await;
    assert!(matches!(outcome, crate::wire::frames::Outcome::Answer { status: 200, .. }));
    assert!(world.gateway.ended().await);
}

#[tokio::test]
async fn what_is_not_finished_in_time_is_cut_off() {
    let world = plan("0s", "400ms").start().await;
    world.koodrive.switch.gate.close();
    let mut connection = open(&world).await;
    send(&mut connection, &world).await;
    assert!(world.koodrive.switch.gate.wait_for(1, SOON).await);
    let begun = Instant::now();
    assert!(!world.gateway.stop().await, "a call was cut off");
    assert!(Duration::from_millis(350) <= begun.elapsed() && begun.elapsed() < SOON);
    connection.answer().await.expect_err("cut off");
    assert!(world.koodrive.server.wait_abandoned(1, SOON).await);
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    let world = plan("1h", "1h").child().start().await;
    world.koodrive.switch.gate.close();
    let mut connection = open(&world).await;
    send(&mut connection, &world).await;
    assert!(world.koodrive.switch.gate.wait_for(1, SOON).await);
    world.gateway.begin_stop().await;
    unready(&world).await;
    let begun = Instant::now();
    world.gateway.begin_stop().await;
    world.gateway.ended().await;
    assert!(begun.elapsed() < SOON);
}

#[tokio::test]
async fn a_signal_during_the_start_of_a_call_loses_nothing() {
    let world = plan("0s", "10s").child().start().await;
    let alice = world.caller("alice");
    let bodies = vec![b'x'; 3_000_000];
    world.koodrive.switch.gate.close();
    let call = alice.call(Method::PUT, ECHO).body(bodies).send();
    let stopping = async {
        assert!(world.koodrive.switch.gate.wait_for(1, SOON).await);
        world.gateway.begin_stop().await;
        world.koodrive.switch.gate.open();
    };
    let (reply, ()) = tokio::join!(call, stopping);
    assert_eq!(reply.json()["bytes"], 3_000_000);
    assert!(world.gateway.ended().await, "exit code 0");
}

/// `KOODRIVE_ROLLING_SECONDS` sets how long; the default suits every run of the tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_fails_no_call() {
    let seconds: u64 = std::env::var("KOODRIVE_ROLLING_SECONDS")
        .map_or(4, |seconds| seconds.parse().expect("a number of seconds"));
    let world = plan("500ms", "5s")
        .config("[limit]\nmode = 'off'\n[telemetry]\nsample_ratio = 1.0\naccess_log = false")
        .start()
        .await;
    let token = world.sso.token_for("alice");
    // Where new connections go: the replica that is ready.
    let current = Arc::new(Mutex::new(world.gateway.address));
    let until = Instant::now() + Duration::from_secs(seconds);
    let callers: Vec<_> = (0..50)
        .map(|at| {
            let (current, token) = (current.clone(), token.clone());
            async move {
                // As a connection pool does: a connection that says goodbye is replaced.
                let http = Http::new("", at % 2 == 0);
                let mut pace = tokio::time::interval(Duration::from_millis(100));
                let mut calls = 0_u64;
                while Instant::now() < until {
                    pace.tick().await;
                    let address = *current.lock().unwrap();
                    let alice =
                        Caller::new(&http, &format!("http://{address}"), Some(token.clone()));
                    let method = if at % 4 < 2 { Method::GET } else { Method::POST };
                    let reply = alice.call(method, ECHO).send().await;
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    calls += 1;
                }
                calls
            }
        })
        .collect();
    let restarting = restart_until(&world, &current, until);
    let (calls, (restarts, last)) = tokio::join!(join_all(callers), restarting);
    let calls: u64 = calls.into_iter().sum();
    assert!(1 <= restarts && 50 < calls, "{restarts} restarts, {calls} calls");
    assert!(last.stop().await);
    let attempts =
        |spans: &[Span]| spans.iter().filter(|span| span.name == "forward.attempt").count();
    let delivered = world.collector.wait_for(SOON, |spans| calls <= attempts(spans) as u64).await;
    assert!(delivered.is_some(), "{} of {calls} spans", attempts(&world.collector.spans()));
}

/// Replaces the gateway again and again; how often, and the last one.
async fn restart_until(
    world: &World,
    current: &Mutex<SocketAddr>,
    until: Instant,
) -> (u32, Gateway) {
    let mut restarts = 0;
    let mut old: Option<Gateway> = None;
    while Instant::now() + Duration::from_millis(1500) < until {
        let next = world.another_gateway().await;
        next.wait_ready().await;
        // It lingers while callers still arrive; then they learn of the other.
        let gateway = old.as_ref().unwrap_or(&world.gateway);
        gateway.begin_stop().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        *current.lock().unwrap() = next.address;
        assert!(gateway.ended().await, "every call was finished");
        old = Some(next);
        restarts += 1;
    }
    (restarts, old.expect("there was time for one"))
}

#[tokio::test]
async fn who_has_not_asked_anything_is_not_waited_for() {
    let world = plan("0s", "1h").config("[listen]\nheader_timeout = '1h'").start().await;
    let mut connections = Vec::new();
    for begin in ["", "PRI * HTTP/2", "GET /koodrive/test/echo HTTP/1.1\r\nHost: a\r\nX:"] {
        let mut connection = open(&world).await;
        connection.send(begin).await.unwrap();
        connections.push(connection);
    }
    // A second head on a connection that was served is half there, too.
    let mut served = open(&world).await;
    assert_eq!(called(&mut served, &world).await.status, 200);
    served.send("GET /koo").await.unwrap();
    connections.push(served);
    // Over HTTP/2 one that does not answer the farewell.
    let deaf = crate::wire::frames::Frames::open(world.gateway.address).await;
    assert!(world.gateway.stop().await, "nothing was cut off");
    for mut connection in connections {
        assert_eq!(connection.rest().await.unwrap_or_default(), b"");
    }
    drop(deaf);
}

/// A large body leaves a connection that was begun anew, of which nothing has been read yet.
#[tokio::test]
async fn empty_lines_after_a_call_are_no_call_to_wait_for() {
    for (bytes, lines) in [
        (100, "\r\n"),
        (2_000_000, "\r\n"),
        (2_000_000, "\r\n\r\n"),
        (2_000_000, "\r"),
        (2_000_000, "\n"),
    ] {
        let world = plan("0s", "3s").start().await;
        let mut connection = open(&world).await;
        let token = world.sso.token_for("alice");
        let head = format!("POST {ECHO} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n");
        connection.send(format!("{head}Content-Length: {bytes}\r\n\r\n")).await.unwrap();
        connection.send(vec![b'x'; bytes]).await.unwrap();
        assert_eq!(connection.answer().await.unwrap().status, 200);
        connection.send(lines).await.unwrap();
        let more = tokio::time::timeout(Duration::from_millis(200), connection.rest()).await;
        more.expect_err("it stays open");
        assert!(world.gateway.stop().await, "{bytes} {lines:?}: it was cut off");
        assert_eq!(connection.rest().await.unwrap(), b"", "{bytes} {lines:?}");
    }
}

#[tokio::test]
async fn a_signal_is_heard_whatever_a_file_of_the_configuration_does() {
    let world = plan("0s", "5s").child().start().await;
    let secret = world.scratch.path().join("client-secret");
    std::fs::remove_file(&secret).unwrap();
    // Nobody writes into it: to open it would last for ever.
    let made = std::process::Command::new("mkfifo").arg(&secret).status();
    assert!(made.is_ok_and(|status| status.success()));
    world.gateway.reload().await;
    let refused = |line: &serde_json::Value| {
        line["error"].as_str().is_some_and(|error| error.contains("not a regular file"))
    };
    assert!(world.gateway.logs.wait_for(SOON, refused).await.is_some());
    assert!(world.gateway.stop().await, "exit code 0");
}
