//! One line for each call, with exactly the fields of the contract.

use http::Method;
use serde_json::Value;

use crate::gateway::{SOON, WHO_AM_I, metric_becomes, preverify, trace_of};
use crate::support::raw::RawConnection;
use crate::support::world::{GOOD_BATCH, World};

const FIELDS: [&str; 27] = [
    "time",
    "level",
    "msg",
    "traceid",
    "trace_id",
    "method",
    "path",
    "call",
    "status",
    "origin",
    "reason",
    "caller",
    "issuer",
    "bytes_in",
    "bytes_out",
    "duration_ms",
    "accept_ms",
    "authorize_ms",
    "limit_ms",
    "validate_ms",
    "token_ms",
    "forward_ms",
    "token_source",
    "attempts",
    "observed",
    "detail",
    "traceid_replaced",
];

/// The line of a call as it was written, and parsed.
async fn line_of(world: &World, x_traceid: &str) -> (String, Value) {
    let line = world.gateway.logs.of_call(x_traceid, SOON).await.expect("a line");
    let lines = world.gateway.logs.lines();
    let mut of_call = lines.into_iter().filter(|text| {
        text.contains(&format!("\"traceid\":\"{x_traceid}\"")) && text.contains("\"status\":")
    });
    let text = of_call.next().expect("just seen");
    assert_eq!(of_call.next(), None, "one line a call");
    let places = FIELDS.map(|field| text.find(&format!("\"{field}\":")).expect(field));
    assert!(places.is_sorted(), "{text}");
    assert_eq!(line.as_object().map(serde_json::Map::len), Some(FIELDS.len()), "{text}");
    (text, line)
}

fn ran(line: &Value) -> Vec<&'static str> {
    let stages = ["accept_ms", "limit_ms", "validate_ms", "token_ms", "forward_ms"];
    stages.into_iter().filter(|stage| line[*stage].is_number()).collect()
}

#[tokio::test]
async fn a_preverify_call_is_told_in_full_and_the_subject_stands_nowhere() {
    let world = World::plan().child().start().await;
    let alice = world.caller("alice.liddell");
    let call = preverify(&alice, GOOD_BATCH).send().await;
    let (text, line) = line_of(&world, &call.trace_id()).await;
    assert_eq!(line["level"], "info");
    assert_eq!(line["trace_id"], trace_of(&call.trace_id()));
    assert_eq!((&line["method"], &line["call"]), (&"POST".into(), &"preverify".into()));
    assert_eq!(line["path"], crate::support::koodrive::PREVERIFY);
    assert_eq!((&line["status"], &line["attempts"]), (&200.into(), &1.into()));
    assert_eq!((&line["origin"], &line["reason"]), (&"none".into(), &Value::Null));
    assert_eq!(line["issuer"], world.sso.issuer());
    assert_eq!(line["token_source"], "exchanged");
    assert_eq!(line["bytes_in"], GOOD_BATCH.len());
    assert_eq!(line["bytes_out"], call.body.len());
    assert_eq!(ran(&line), ["accept_ms", "limit_ms", "validate_ms", "token_ms", "forward_ms"]);
    let whole = line["duration_ms"].as_f64().unwrap();
    let parts = ran(&line).into_iter().map(|stage| line[stage].as_f64().unwrap()).sum::<f64>();
    assert!(parts <= whole + 0.1, "{text}");
    let digest = line["caller"].as_str().unwrap();
    assert!(digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
    assert!(!world.gateway.logs.lines().join("\n").contains("liddell"));

    let again = world.caller("alice.liddell").get(&format!("{WHO_AM_I}?query=x")).await;
    let (_, line) = line_of(&world, &again.trace_id()).await;
    assert_eq!((&line["path"], &line["caller"]), (&WHO_AM_I.into(), &digest.into()));
    assert_eq!((&line["token_source"], &line["call"]), (&"cached".into(), &"other".into()));
    assert_eq!(ran(&line), ["accept_ms", "token_ms", "forward_ms"]);
    let bob = world.caller("bob").get(WHO_AM_I).await;
    assert_ne!(line_of(&world, &bob.trace_id()).await.1["caller"], digest);
}

#[tokio::test]
async fn a_refused_call_says_why_and_how_far_it_came() {
    let world = World::start().await;
    world.sso.deny("bob");
    let (alice, nobody) = (world.caller("alice"), world.caller_with(None));
    let cases = [
        (nobody.preverify(GOOD_BATCH).await, 401, "token_missing", "caller", 1, "preverify"),
        (alice.preverify("{}").await, 400, "batch_malformed", "caller", 3, "preverify"),
        (alice.get("/elsewhere").await, 404, "route_unknown", "caller", 0, "none"),
        (
            world.caller("bob").get(WHO_AM_I).await,
            403,
            "caller_denied",
            "token_endpoint",
            2,
            "other",
        ),
    ];
    for (reply, status, reason, origin, stages, call) in cases {
        let (text, line) = line_of(&world, &reply.trace_id()).await;
        assert_eq!((&line["status"], &line["reason"]), (&status.into(), &reason.into()), "{text}");
        assert_eq!((&line["origin"], &line["call"]), (&origin.into(), &call.into()), "{text}");
        assert_eq!((ran(&line).len(), &line["attempts"]), (stages, &0.into()), "{text}");
        assert_eq!(line["bytes_out"], reply.body.len());
        assert_eq!(line["level"], if origin == "caller" { "info" } else { "warn" }, "{text}");
        let page = world.admin().get("/refusals").await.text();
        let detail = line["detail"].as_str().expect("the cause");
        let (first, _) = detail.split_once(['"', '<', '&', '\'']).unwrap_or((detail, ""));
        assert!(first.len() > 5 && page.contains(first), "{detail}\n{page}");
        assert_eq!(line["caller"].is_null(), stages < 2, "{text}");
    }
}

#[tokio::test]
async fn a_replay_counts_as_an_attempt() {
    let world = World::start().await;
    let alice = world.caller("alice");
    alice.get(WHO_AM_I).await;
    world.koodrive.sessions.revoke_all();
    let reply = alice.get(WHO_AM_I).await;
    let (_, line) = line_of(&world, &reply.trace_id()).await;
    assert_eq!((&line["attempts"], &line["token_source"]), (&2.into(), &"refreshed".into()));
}

#[tokio::test]
async fn the_line_comes_when_the_answer_has_ended_also_when_the_caller_hangs_up() {
    let world = World::start().await;
    let alice = world.caller("alice");
    let target = format!("/koodrive/test/bytes/{}", 64 * 1024 * 1024);
    let answer = alice.call(Method::GET, &target).open().await.unwrap();
    let id = answer.headers()["x-traceid"].to_str().unwrap().to_owned();
    let told = |logs: &crate::support::logs::Logs| {
        logs.json().into_iter().any(|line| line["traceid"] == *id && line["status"].is_number())
    };
    assert!(!told(&world.gateway.logs), "the body is still on its way");
    drop(answer);
    let (text, line) = line_of(&world, &id).await;
    assert_eq!((&line["status"], &line["reason"]), (&200.into(), &"caller_gone".into()), "{text}");

    // And when there was no answer yet.
    world.koodrive.switch.gate.close();
    let mut raw = RawConnection::open(world.gateway.address).await.unwrap();
    let token = alice.token().unwrap();
    let request =
        format!("GET {WHO_AM_I} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
    raw.send(request).await.unwrap();
    assert!(world.koodrive.switch.gate.wait_for(1, SOON).await);
    drop(raw);
    let gone = world.gateway.logs.wait_for(SOON, |line| line["status"] == 499).await;
    assert_eq!(gone.expect("a line")["reason"], "caller_gone");
    world.koodrive.switch.gate.open();
}

#[tokio::test]
async fn an_answer_with_trailers_is_whole() {
    let world = World::start().await;
    let alice = world.caller("alice");
    let answer = alice.get("/koodrive/test/bytes/1000?trailers").await;
    assert_eq!(answer.body.len(), 1000);
    let (text, line) = line_of(&world, &answer.trace_id()).await;
    assert_eq!((&line["origin"], &line["reason"]), (&"none".into(), &Value::Null), "{text}");
    assert_eq!(line["bytes_out"], 1000, "{text}");
}

#[tokio::test]
async fn what_cannot_be_parsed_leaves_a_line_too_and_the_log_can_be_switched_off() {
    let world = World::start().await;
    let mut raw = RawConnection::open(world.gateway.address).await.unwrap();
    raw.send("no request\r\n\r\n").await.unwrap();
    let line = world.gateway.logs.wait_for(SOON, |line| line["status"] == 400).await;
    assert_eq!(line.expect("a line")["reason"], "framing_illegal");

    let quiet = World::plan().config("[telemetry]\naccess_log = false").start().await;
    assert_eq!(quiet.caller("alice").get(WHO_AM_I).await.status, 200);
    metric_becomes(&quiet, "koodrive_gateway_inflight_requests", 0.0).await;
    assert!(quiet.gateway.logs.json().iter().all(|line| line.get("status").is_none()));
}

#[tokio::test]
async fn as_text_a_line_is_one_line_whatever_the_path_holds() {
    let world = World::plan().config("[telemetry]\nlog_format = 'text'").start().await;
    let alice = world.caller("alice");
    let reply = alice.get("/koodrive/test/a%0Ab=%20%22x").await;
    assert_eq!(reply.status, 404);
    metric_becomes(&world, "koodrive_gateway_inflight_requests", 0.0).await;
    let another = alice.get(WHO_AM_I).await;
    let mut pause = tokio::time::interval(std::time::Duration::from_millis(5));
    while !world.gateway.logs.lines().iter().any(|line| line.contains(&another.trace_id())) {
        pause.tick().await;
    }
    let lines = world.gateway.logs.lines();
    let of_call: Vec<_> = lines.iter().filter(|line| line.contains(&reply.trace_id())).collect();
    assert_eq!(of_call.len(), 1);
    assert!(of_call[0].contains(" 404 - GET /") && of_call[0].contains("%0Ab="), "{of_call:?}");
}
