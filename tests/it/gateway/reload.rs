//! A changed configuration under the running binary, and the end of it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join;
use http::Method;
use serde_json::{Value, json};

use crate::gateway::{SOON, WHO_AM_I, metric_becomes};
use crate::support::caller::Reply;
use crate::support::faults::Behaviour;
use crate::support::raw::RawConnection;
use crate::support::world::{GOOD_BATCH, World};

const APPLIED: &str = "koodrive_gateway_config_reloads_total{outcome=\"applied\"}";
const REFUSED: &str = "koodrive_gateway_config_reloads_total{outcome=\"refused\"}";
const UNCHANGED: &str = "koodrive_gateway_config_reloads_total{outcome=\"unchanged\"}";

async fn ready(world: &World) -> (u16, Value) {
    let reply = world.admin().get("/readyz").await;
    (reply.status, reply.json())
}

fn limited(reply: &Reply) -> bool {
    reply.reason().as_deref() == Some("limit_calls")
}

#[tokio::test]
async fn a_hangup_signal_puts_new_limits_in_force_and_tokens_survive() {
    let config = "[limit]\ncalls_per_minute = 1\ncalls_burst = 1";
    let mut world = World::plan().config(config).child().start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
    assert!(limited(&alice.preverify(GOOD_BATCH).await));
    // What has nothing to do with the bucket leaves the bucket alone.
    assert!(world.reconfigure("[validate]\nmax_users = 10").await);
    assert!(limited(&alice.preverify(GOOD_BATCH).await));
    assert!(world.reconfigure("[limit]\ncalls_burst = 3").await);
    for _ in 0..3 {
        assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
    }
    assert!(limited(&alice.preverify(GOOD_BATCH).await));
    assert_eq!(world.sso.granted(), 1, "the cached token survived both reloads");
    let shown = world.admin().get("/config").await.text();
    assert!(shown.contains("calls_burst = 3") && shown.contains("max_users = 10"), "{shown}");
    assert_eq!(ready(&world).await, (200, json!({ "ready": true, "reasons": [], "notes": [] })));
    world.gateway.reload().await;
    metric_becomes(&world, UNCHANGED, 1.0).await;
    assert_eq!(world.metric(APPLIED).await, Some(2.0));
}

#[tokio::test]
async fn changed_files_are_found_without_a_signal() {
    let config = "[limit]\ncalls_per_minute = 1\ncalls_burst = 1\n\
        [lifecycle]\nreload_every = '50ms'";
    let world = World::plan().config(config).child().start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
    assert!(limited(&alice.preverify(GOOD_BATCH).await));
    let text = std::fs::read_to_string(world.config_file()).unwrap();
    let changed = text.replace("calls_burst = 1", "calls_burst = 2");
    assert_ne!(text, changed);
    world.scratch.write("gateway.toml", &changed).unwrap();
    metric_becomes(&world, APPLIED, 1.0).await;
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
    world
        .scratch
        .write("gateway.toml", changed.replace("calls_burst = 2", "calls_burst = "))
        .unwrap();
    metric_becomes(&world, REFUSED, 1.0).await;
    assert_eq!(world.metric(UNCHANGED).await, Some(0.0), "polls that find nothing do not count");
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_so() {
    let world = World::plan().config("[limit]\ncalls_burst = 5").child().start().await;
    let alice = world.caller("alice");
    let good = std::fs::read_to_string(world.config_file()).unwrap();
    let (mut applied, mut refused) = (0.0, 0.0);
    for (bad, key) in [
        ("calls_burst = 0", "limit.calls_burst"),
        ("calls_brust = 5", "limit.calls_brust"),
        ("calls_burst = ", "gateway.toml"),
    ] {
        world.scratch.write("gateway.toml", good.replace("calls_burst = 5", bad)).unwrap();
        world.gateway.reload().await;
        refused += 1.0;
        metric_becomes(&world, REFUSED, refused).await;
        let (status, page) = ready(&world).await;
        assert_eq!((status, &page["ready"]), (200, &json!(true)), "old and well");
        let notes = page["notes"].to_string();
        assert!(notes.contains(key), "{notes}");
        let told = |line: &Value| line["level"] == "warn" && line.to_string().contains(key);
        let line = world.gateway.logs.wait_for(SOON, told).await;
        assert!(line.is_some(), "{:?}", world.gateway.logs.lines());
        assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
        let shown = world.admin().get("/config").await.text();
        assert!(shown.contains("calls_burst = 5"), "{shown}");

        world.scratch.write("gateway.toml", &good).unwrap();
        world.gateway.reload().await;
        applied += 1.0;
        metric_becomes(&world, APPLIED, applied).await;
        assert_eq!(ready(&world).await.1["notes"], json!([]), "the note goes with the fault");
    }
    assert_eq!(world.sso.granted(), 1);
}

#[tokio::test]
async fn keys_that_need_a_restart_are_named_and_the_rest_is_applied() {
    let mut world = World::plan().child().start().await;
    let changes = "[listen]\nmax_connections = 7\n[telemetry]\nsample_ratio = 0.5\n\
        [limit]\ncalls_burst = 17";
    assert!(world.reconfigure(changes).await);
    let (status, page) = ready(&world).await;
    assert_eq!(status, 200);
    let notes = page["notes"].to_string();
    assert!(notes.contains("listen.max_connections"), "{notes}");
    assert!(notes.contains("telemetry.sample_ratio") && notes.contains("restart"), "{notes}");
    assert!(!notes.contains("calls_burst"), "{notes}");
    let shown = world.admin().get("/config").await.text();
    assert!(
        shown.contains("calls_burst = 17") && !shown.contains("max_connections = 7"),
        "{shown}"
    );
    let line = world
        .gateway
        .logs
        .wait_for(SOON, |line| line.to_string().contains("listen.max_connections"));
    assert!(line.await.is_some());
}

#[tokio::test]
async fn a_new_client_secret_is_read_and_used_by_the_next_exchange() {
    let world = World::plan().child().start().await;
    let basic = |call: &crate::support::recording::Received| {
        call.header("authorization").unwrap_or_default().to_owned()
    };
    let exchanges = || {
        let all = world.sso.received.all();
        all.iter()
            .filter(|call| call.path().ends_with("/token"))
            .map(|call| basic(call))
            .collect::<Vec<_>>()
    };
    assert_eq!(world.caller("alice").get(WHO_AM_I).await.status, 200);
    world.scratch.write("client-secret", "a new secret\n").unwrap();
    world.gateway.reload().await;
    metric_becomes(&world, APPLIED, 1.0).await;
    let refused = world.caller("bob").get(WHO_AM_I).await;
    assert_eq!(refused.reason().as_deref(), Some("token_answer_unusable"), "the SSO knows the old");
    let seen = exchanges();
    assert_eq!(seen.len(), 2);
    assert_ne!(seen[0], seen[1]);
    let sent = STANDARD.decode(seen[1].trim_start_matches("Basic ")).unwrap();
    assert_eq!(String::from_utf8(sent).unwrap(), "koodrive-gateway:a+new+secret");
    world.scratch.write("client-secret", world.sso.client_secret()).unwrap();
    world.gateway.reload().await;
    metric_becomes(&world, APPLIED, 2.0).await;
    assert_eq!(world.caller("carol").get(WHO_AM_I).await.status, 200);
    assert_eq!(exchanges()[0], exchanges()[2], "with or without a line break at the end");
}

#[tokio::test]
async fn sigterm_finishes_what_is_in_flight_flushes_spans_and_exits_with_0() {
    let world = World::plan()
        .environment("OTEL_BSP_SCHEDULE_DELAY", "60000")
        .config("[lifecycle]\nlinger = '0s'\ndrain = '10s'")
        .child()
        .start()
        .await;
    let alice = world.caller("alice");
    world.koodrive.switch.gate.close();
    let stopping = async {
        assert!(world.koodrive.switch.gate.wait_for(1, SOON).await);
        world.gateway.begin_stop().await;
        let mut pause = tokio::time::interval(Duration::from_millis(5));
        while RawConnection::open(world.gateway.address).await.is_ok() {
            pause.tick().await;
        }
        // The admin listener still says what is going on.
        let page = ready(&world).await;
        assert_eq!((page.0, &page.1["reasons"]), (503, &json!(["draining"])));
        assert_eq!(world.admin().get("/livez").await.status, 200);
        assert_eq!(world.collector.spans(), [], "nothing was exported so far");
        world.koodrive.switch.gate.open();
    };
    let (held, ()) = join(alice.preverify(GOOD_BATCH), stopping).await;
    assert_eq!((held.status, &held.json()["code"]), (200, &json!(0)));
    assert!(world.gateway.ended().await, "exit code 0");
    let trace = world.collector.trace_of(&held.trace_id(), Duration::ZERO).await;
    let trace = trace.expect("spans are flushed before the exit");
    assert_eq!(trace.len(), 8, "{trace:#?}");
    let lines = world.gateway.logs.json();
    let at = |fits: &dyn Fn(&Value) -> bool| lines.iter().position(fits).expect("a line");
    let call = at(&|line| line["traceid"] == held.trace_id() && line["status"] == 200);
    assert!(at(&|line| line["msg"] == "stopping") < call);
    assert!(call < at(&|line| line["msg"] == "stopped"));
}

#[tokio::test]
async fn while_lingering_new_calls_are_served_and_told_to_close() {
    let config = "[lifecycle]\nlinger = '1s'\ndrain = '1s'";
    let world = World::plan().config(config).child().start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.get(WHO_AM_I).await.header("connection"), None);
    world.gateway.begin_stop().await;
    let mut pause = tokio::time::interval(Duration::from_millis(5));
    while ready(&world).await.0 == 200 {
        pause.tick().await;
    }
    let mut raw = RawConnection::open(world.gateway.address).await.unwrap();
    let token = alice.token().unwrap();
    let request =
        format!("GET {WHO_AM_I} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
    raw.send(request).await.unwrap();
    let answer = raw.answer().await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(world.gateway.ended().await);
}

#[tokio::test]
async fn a_call_that_does_not_end_is_cut_off_after_the_drain() {
    let config = "[lifecycle]\nlinger = '0s'\ndrain = '300ms'";
    let world = World::plan().config(config).child().start().await;
    let alice = world.caller("alice");
    world.koodrive.switch.set(Behaviour::hang());
    let stopping = async {
        let sent = world.koodrive.received.wait_for(SOON, |calls| !calls.is_empty());
        assert!(sent.await.is_some());
        world.gateway.begin_stop().await;
    };
    let call = alice.call(Method::GET, WHO_AM_I).try_send();
    let (cut, ()) = join(call, stopping).await;
    assert!(cut.is_err(), "{cut:?}");
    assert!(world.gateway.ended().await, "still with 0: it was asked to stop");
    // What it said last may still be on its way here.
    let left = world.gateway.logs.wait_for(SOON, |line| line.get("left").is_some()).await;
    assert_eq!(left.expect("the log tells of it")["left"], 1);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let config = "[lifecycle]\nlinger = '0s'\ndrain = '10m'";
    let world = World::plan().config(config).child().start().await;
    let alice = world.caller("alice");
    world.koodrive.switch.set(Behaviour::hang());
    let stopping = async {
        let sent = world.koodrive.received.wait_for(SOON, |calls| !calls.is_empty());
        assert!(sent.await.is_some());
        world.gateway.begin_stop().await;
        assert!(
            world.gateway.logs.wait_for(SOON, |line| line["msg"] == "stopping").await.is_some()
        );
        world.gateway.begin_stop().await;
        world.gateway.ended().await
    };
    let (cut, _code) = join(alice.call(Method::GET, WHO_AM_I).try_send(), stopping).await;
    assert!(cut.is_err(), "{cut:?}");
}
