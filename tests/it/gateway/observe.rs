//! What guards that only observe tell operators, and what they still charge.

use serde_json::Value;

use crate::gateway::{SOON, batch_of, metric_becomes, preverify};
use crate::support::world::World;

/// What the first guard that observes would have refused with.
async fn observed(world: &World, x_traceid: &str) -> Value {
    let line = world.gateway.logs.of_call(x_traceid, SOON).await.expect("a line");
    assert!(line["reason"].is_null() && line["detail"].is_null(), "{line}");
    line["observed"].clone()
}

async fn counted(world: &World, reason: &str, times: f64) {
    let name = format!("koodrive_gateway_observed_total{{reason=\"{reason}\"}}");
    metric_becomes(world, &name, times).await;
}

/// The line that lists the faults of a batch.
async fn findings(world: &World, x_traceid: &str) -> Value {
    let fits = |line: &Value| line["traceid"] == x_traceid && line.get("findings").is_some();
    world.gateway.logs.wait_for(SOON, fits).await.expect("a line")
}

#[tokio::test]
async fn every_guard_that_observes_is_counted_and_the_first_is_named() {
    let config = r#"
        [limit]
        mode = "observe"
        calls_per_minute = 1
        calls_burst = 1
        [validate]
        mode = "observe"
        [authorize]
        mode = "observe"
        [[authorize.rules]]
        methods = ["POST"]
        claims = { groups = "hr" }
    "#;
    let world = World::plan().config(config).child().start().await;
    let alice = world.caller("alice");
    let bad =
        r#"{"curDeptId":"s3cret","users":[{"personalCapacity":0,"isAllocateCapacity":true}]}"#;
    for _ in 0..2 {
        let reply = preverify(&alice, bad).send().await;
        assert_eq!(reply.reason(), None, "{}", reply.text());
        assert_eq!(observed(&world, &reply.trace_id()).await, "call_denied");
        let line = findings(&world, &reply.trace_id()).await;
        assert_eq!((&line["level"], &line["reason"]), (&"info".into(), &"batch_malformed".into()));
        let listed = "/curDeptId wrong_type, \
                      /users/0/personalCapacity require_capacity_when_allocated";
        assert_eq!((&line["findings"], &line["more"]), (&listed.into(), &0.into()), "{line}");
    }
    assert_eq!(world.koodrive.received.total(), 2);
    for (reason, times) in
        [("call_denied", 2.0), ("batch_malformed", 2.0), ("limit_calls", 1.0), ("limit_users", 0.0)]
    {
        counted(&world, reason, times).await;
    }
    assert!(!world.gateway.logs.lines().join("\n").contains("s3cret"));
}

#[tokio::test]
async fn a_long_list_of_faults_stays_one_short_line() {
    let world = World::plan().config("[validate]\nmode = 'observe'").child().start().await;
    let bad = format!("{{\"curDeptId\":1,\"users\":[{}]}}", vec!["1"; 200].join(","));
    let reply = preverify(&world.caller("alice"), &bad).send().await;
    assert_eq!(observed(&world, &reply.trace_id()).await, "batch_malformed");
    let line = findings(&world, &reply.trace_id()).await;
    let listed = line["findings"].as_str().unwrap();
    assert!((900..=1000).contains(&listed.len()), "{}", listed.len());
    assert!(listed.split(", ").all(|told| told.ends_with(" wrong_type")), "{listed}");
    let listed = listed.split(", ").count() as u64;
    assert_eq!(listed + line["more"].as_u64().unwrap(), 200, "{line}");

    let text = preverify(&world.caller("alice"), "no JSON").without("content-type");
    let text = text.header("content-type", "text/plain").send().await;
    assert_eq!(observed(&world, &text.trace_id()).await, "content_type_refused");
    counted(&world, "content_type_refused", 1.0).await;
    counted(&world, "batch_not_json", 1.0).await;
}

#[tokio::test]
async fn users_of_a_malformed_batch_are_charged_if_they_can_be_counted() {
    let config = "[validate]\nmode = 'observe'\n[limit]\nusers_per_minute = 1\nusers_burst = 1000";
    let world = World::plan().config(config).start().await;
    let alice = world.caller("alice");
    let batch = batch_of(600);
    // What breaks off within its users has no number of them.
    for _ in 0..2 {
        let broken = preverify(&alice, batch.get(..batch.len() - 3).unwrap()).send().await;
        assert_eq!(observed(&world, &broken.trace_id()).await, "batch_not_json");
    }
    let malformed = batch.replace("\"curDeptId\":1", "\"curDeptId\":0");
    let passed = preverify(&alice, &malformed).send().await;
    assert_eq!(observed(&world, &passed.trace_id()).await, "batch_malformed");
    let refused = preverify(&alice, &malformed).send().await;
    assert_eq!((refused.status, refused.reason().as_deref()), (429, Some("limit_users")));
}
