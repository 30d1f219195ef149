//! KooDrive tokens: how long they live, what refuses them, and what keeps serving.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use futures_util::stream;
use http::Method;
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::json;

use crate::gateway::{SOON, WHO_AM_I, metric_becomes};
use crate::support::caller::{Call, Caller};
use crate::support::faults::Behaviour;
use crate::support::koodrive::Refusal;
use crate::support::recording::sha256;
use crate::support::server::Cut;
use crate::support::sso::SsoOptions;
use crate::support::world::{GOOD_BATCH, World};

const MINUTE: Duration = Duration::from_mins(1);

/// A world whose SSO tokens last a day, so that time can pass under one caller.
async fn long_lived(config: &str) -> World {
    let sso = SsoOptions { token_seconds: 86_000, ..SsoOptions::default() };
    World::plan().sso(sso).config(config).start().await
}

/// Sent piece by piece, so that the gateway cannot send it again.
fn upload(caller: &Caller) -> Call {
    let frame = Frame::data(Bytes::from_static(b"a file"));
    let body = StreamBody::new(stream::iter([Ok::<_, Cut>(frame)]));
    caller.call(Method::POST, "/koodrive/ose/v1/files/create").streaming(body)
}

#[tokio::test]
async fn a_token_in_use_lives_on_and_an_idle_one_is_replaced_before_it_is_sent() {
    let world = long_lived("[token]\nrefresh_ahead = 0.99").await;
    let alice = world.caller("alice");
    for _ in 0..6 {
        assert_eq!(alice.get(WHO_AM_I).await.status, 200);
        world.clock.advance(15 * MINUTE);
    }
    assert_eq!(world.sso.granted(), 1, "90 minutes on one token, used every 15");
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    world.clock.advance(21 * MINUTE);
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    assert_eq!(world.sso.granted(), 2);
    let calls = world.koodrive.received.all();
    assert_eq!(calls.len(), 8, "KooDrive never saw a dead token");
}

#[tokio::test]
async fn only_answers_that_koodrive_counts_as_use_prolong_a_token() {
    let world = long_lived("[token]\nrefresh_ahead = 0.99").await;
    let alice = world.caller("alice");
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    for status in [500, 503, 429] {
        world.clock.advance(6 * MINUTE);
        world.koodrive.switch.next(1, Behaviour::status(status));
        assert_eq!(alice.get(WHO_AM_I).await.status, status);
    }
    assert_eq!(world.sso.granted(), 1);
    // 22 minutes since the last call that counted.
    world.clock.advance(4 * MINUTE);
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    assert_eq!(world.sso.granted(), 2);
    let authorizations = world.koodrive.received.all();
    let last = authorizations.last().unwrap().header("authorization");
    assert_ne!(last, authorizations[0].header("authorization"));
}

#[tokio::test]
async fn a_short_expires_in_is_a_fixed_end() {
    let world = long_lived("[token]\nrefresh_ahead = 0.99").await;
    world.sso.set_expires_in(Some(600));
    let alice = world.caller("alice");
    for expected in [1, 1, 1, 2] {
        assert_eq!(alice.get(WHO_AM_I).await.status, 200);
        assert_eq!(world.sso.granted(), expected);
        world.clock.advance(Duration::from_secs(190));
    }
}

#[tokio::test]
async fn the_token_of_an_active_caller_is_renewed_ahead_of_need() {
    let world = long_lived("").await;
    world.sso.set_expires_in(Some(1000));
    let alice = world.caller("alice");
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    world.clock.advance(10 * MINUTE);
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    assert_eq!(world.sso.granted(), 1);
    world.clock.advance(5 * MINUTE);
    // This call goes with the old token, and has a second exchange begin.
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    metric_becomes(&world, "koodrive_gateway_token_exchanges_total{outcome=\"issued\"}", 2.0).await;
    assert_eq!(world.koodrive.sessions.tokens_of("alice").len(), 2);
    world.clock.advance(4 * MINUTE);
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    assert_eq!(world.sso.granted(), 2, "past the first token's end, and nobody had to wait");
    let lookups = "koodrive_gateway_token_lookups_total{source=\"cached\"}";
    metric_becomes(&world, lookups, 3.0).await;
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_call_replayed_once() {
    let envelope = |status, code| Refusal::Envelope { status, code };
    for (refusal, config) in [
        (Refusal::ApiGateway, ""),
        (envelope(200, json!("APIGW.0307")), ""),
        (envelope(403, json!("APIGW.0301")), ""),
        (envelope(200, json!(13_000_401)), "[forward]\nrefused_codes = ['13000401']"),
        (envelope(200, json!("13000401")), "[forward]\nrefused_codes = ['13000401']"),
        (envelope(418, json!(1)), "[forward]\nrefused_statuses = [418]"),
    ] {
        let world = World::plan().config(config).start().await;
        world.koodrive.set_refusal(refusal.clone());
        let alice = world.caller("alice");
        assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
        world.koodrive.sessions.revoke_user("alice");
        world.koodrive.received.clear();
        let reply = alice.preverify(GOOD_BATCH).await;
        assert_eq!((reply.status, &reply.json()["code"]), (200, &json!(0)), "{refusal:?}");
        let calls = world.koodrive.received.all();
        assert_eq!((calls.len(), world.sso.granted()), (2, 2), "{refusal:?}");
        assert_ne!(calls[0].header("authorization"), calls[1].header("authorization"));
        assert_eq!(calls[0].header("x-traceid"), calls[1].header("x-traceid"));
        assert!(calls.iter().all(|call| call.body.sha256 == sha256(GOOD_BATCH.as_bytes())));
        metric_becomes(&world, "koodrive_gateway_upstream_replays_total", 1.0).await;
        // Later calls use the new token.
        assert_eq!(alice.get(WHO_AM_I).await.status, 200);
        assert_eq!((world.koodrive.received.total(), world.sso.granted()), (3, 2));
    }
}

#[tokio::test]
async fn codes_that_are_not_listed_or_stand_elsewhere_are_no_refusal() {
    let world = World::start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    for (status, body) in [
        (403, json!({ "code": 13_000_102, "msg": "no" })),
        (200, json!({ "data": { "code": "APIGW.0307" } })),
        (404, json!({ "error_code": "APIGW.0101" })),
        (200, json!([{ "code": "APIGW.0307" }])),
    ] {
        world.koodrive.switch.next(1, Behaviour::json(status, &body));
        let reply = alice.get(WHO_AM_I).await;
        assert_eq!((reply.status, reply.json()), (status, body));
    }
    let text = Behaviour::answer(200, "text/plain", r#"{"code":"APIGW.0307"}"#);
    world.koodrive.switch.next(1, text);
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    assert_eq!((world.sso.granted(), world.koodrive.received.total()), (1, 6));
}

fn compressed(coding: &str, plain: &[u8]) -> Vec<u8> {
    let best = Compression::best();
    if coding == "gzip" {
        let mut encoder = GzEncoder::new(Vec::new(), best);
        encoder.write_all(plain).unwrap();
        return encoder.finish().unwrap();
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), best);
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_compressed_refusal_renews_and_replays_and_other_compressed_answers_pass_as_they_came() {
    for coding in ["gzip", "deflate"] {
        let world = World::start().await;
        let alice = world.caller("alice");
        let call =
            || alice.call(Method::GET, WHO_AM_I).header("accept-encoding", "gzip, deflate, br");
        let coded = |status, plain: &[u8]| {
            let body = compressed(coding, plain);
            Behaviour::answer(status, "application/json", body).header("content-encoding", coding)
        };
        world.koodrive.switch.next(1, coded(403, br#"{"error_code":"APIGW.0307"}"#));
        let reply = call().send().await;
        assert_eq!(reply.status, 200, "{coding}");
        let sent = world.koodrive.received.all();
        assert_eq!((sent.len(), world.sso.granted()), (2, 2), "{coding}");
        assert_eq!(sent[0].header("accept-encoding"), Some("gzip, deflate"));

        let plain = br#"{"code":0,"msg":"Successful"}"#;
        world.koodrive.switch.next(1, coded(200, plain));
        let reply = call().send().await;
        assert_eq!(reply.header("content-encoding"), Some(coding));
        assert_eq!(reply.body.as_ref(), compressed(coding, plain));
        assert_eq!(world.sso.granted(), 2);
    }
}

#[tokio::test]
async fn a_refusal_in_pieces_renews_and_replays() {
    let world = World::start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    world.koodrive.set_refusal(Refusal::Envelope { status: 200, code: json!("APIGW.0307") });
    world.koodrive.sessions.revoke_user("alice");
    world.koodrive.switch.set(Behaviour::slow_body(Duration::ZERO));
    let reply = alice.get(WHO_AM_I).await;
    assert_eq!(&reply.json()["code"], &json!(0));
    assert_eq!((world.sso.granted(), world.koodrive.received.total()), (2, 3));
}

#[tokio::test]
async fn an_answer_that_was_not_read_neither_prolongs_a_token_nor_ends_it() {
    let large = json!({ "code": "APIGW.0307", "padding": "x".repeat(70_000) }).to_string();
    let bomb = compressed("gzip", json!({ "x": " ".repeat(10 << 20) }).to_string().as_bytes());
    let rows = [
        Behaviour::answer(200, "application/json", large),
        Behaviour::answer(200, "application/json", bomb).header("content-encoding", "gzip"),
        Behaviour::answer(200, "application/json", "br").header("content-encoding", "br"),
        Behaviour::answer(200, "application/json", "{\"code\":\"APIGW.0307\""),
    ];
    for behaviour in rows {
        let world = long_lived("[token]\nrefresh_ahead = 0.99").await;
        world.koodrive.switch.set(behaviour.clone());
        let alice = world.caller("alice");
        for minute in [0, 6, 12, 18, 24] {
            assert_eq!(alice.get(WHO_AM_I).await.status, 200);
            let expected = if minute < 20 { 1 } else { 2 };
            assert_eq!(world.sso.granted(), expected, "{behaviour:?} after {minute} min");
            world.clock.advance(6 * MINUTE);
        }
        verdicts_become(&world, [0.0, 0.0, 5.0]).await;
    }
}

/// Answers so far by what they said of their token: accepted, refused, unread.
async fn verdicts_become(world: &World, expected: [f64; 3]) {
    for (verdict, expected) in ["accepted", "refused", "unread"].into_iter().zip(expected) {
        let name = format!("koodrive_gateway_token_verdicts_total{{verdict=\"{verdict}\"}}");
        metric_becomes(world, &name, expected).await;
    }
}

#[tokio::test]
async fn what_an_answer_says_of_its_token_is_counted_and_stands_on_its_attempt() {
    let world = World::start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    world.koodrive.sessions.revoke_user("alice");
    let replayed = alice.get(WHO_AM_I).await;
    assert_eq!(replayed.status, 200);
    world.koodrive.switch.next(1, Behaviour::status(503));
    assert_eq!(alice.get(WHO_AM_I).await.status, 503);
    verdicts_become(&world, [2.0, 1.0, 1.0]).await;
    let trace_id = replayed.trace_id();
    let spans = world.collector.trace_of(&trace_id, SOON).await.expect("its trace");
    let mut attempts: Vec<_> = spans.iter().filter(|span| span.name == "forward.attempt").collect();
    attempts.sort_by_key(|span| span.started);
    let said: Vec<_> = attempts.iter().map(|span| span.text("gateway.token_verdict")).collect();
    assert_eq!(said, [Some("refused"), Some("accepted")]);
}

#[tokio::test]
async fn a_path_that_always_refuses_costs_few_exchanges_and_each_caller_the_own_ones() {
    let world = long_lived("").await;
    let (alice, bob) = (world.caller("alice"), world.caller("bob"));
    assert_eq!(bob.get(WHO_AM_I).await.status, 200);
    let of_bob = world.koodrive.sessions.tokens_of("bob");
    let refusal = json!({ "error_code": "APIGW.0307" });
    world.koodrive.switch.set(Behaviour::json(401, &refusal));
    for _ in 0..1000 {
        let reply = alice.get(WHO_AM_I).await;
        assert_eq!((reply.status, reply.json()), (401, refusal.clone()));
        world.clock.advance(Duration::from_millis(900)); // all in a quarter of an hour
    }
    let (exchanges, upstream) = (world.sso.granted() - 1, world.koodrive.received.total() - 1);
    assert!(exchanges <= 12, "{exchanges} exchanges");
    assert!(upstream <= 1012, "{upstream} upstream calls");
    world.koodrive.switch.clear();
    assert_eq!(bob.get(WHO_AM_I).await.status, 200);
    assert_eq!(world.koodrive.sessions.tokens_of("bob"), of_bob);
}

#[tokio::test]
async fn a_second_refusal_goes_to_the_caller_as_it_is() {
    let world = World::start().await;
    let alice = world.caller("alice");
    let refusal = json!({ "error_code": "APIGW.0307", "error_msg": "again", "request_id": "x" });
    world.koodrive.switch.set(Behaviour::json(401, &refusal).header("x-kept", "yes"));
    let reply = alice.preverify(GOOD_BATCH).await;
    assert_eq!((reply.status, reply.json()), (401, refusal));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("x-kept"), Some("yes"));
    assert_eq!(reply.trace_id().len(), 58);
    assert_eq!((world.koodrive.received.total(), world.sso.granted()), (2, 2));
}

#[tokio::test]
async fn when_the_renewal_fails_the_caller_learns_of_that() {
    for (behaviour, expected) in [
        (Behaviour::status(500), (503, "token_endpoint_unavailable")),
        (Behaviour::status(403), (403, "caller_denied")),
        (Behaviour::garbage(), (502, "token_answer_unusable")),
        (Behaviour::status(429).retry_after(3), (503, "token_endpoint_busy")),
    ] {
        let world = World::start().await;
        let alice = world.caller("alice");
        assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
        world.koodrive.sessions.revoke_all();
        world.koodrive.received.clear();
        world.sso.token.set(behaviour);
        let reply = alice.preverify(GOOD_BATCH).await;
        assert_eq!((reply.status, reply.reason().as_deref()), (expected.0, Some(expected.1)));
        assert_eq!((world.koodrive.received.total(), world.sso.token.calls()), (1, 2));
    }
}

#[tokio::test]
async fn a_streamed_body_is_not_sent_again_but_the_next_call_has_a_new_token() {
    let world = World::start().await;
    let alice = world.caller("alice");
    assert_eq!(upload(&alice).send().await.status, 200);
    world.koodrive.sessions.revoke_all();
    world.koodrive.received.clear();
    let reply = upload(&alice).send().await;
    assert_eq!((reply.status, &reply.json()["error_code"]), (401, &json!("APIGW.0307")));
    assert_eq!((world.koodrive.received.total(), world.sso.granted()), (1, 1));
    assert_eq!(upload(&alice).send().await.status, 200);
    assert_eq!((world.koodrive.received.total(), world.sso.granted()), (2, 2));
    metric_becomes(&world, "koodrive_gateway_upstream_replays_total", 0.0).await;
}

#[tokio::test]
async fn fresh_tokens_keep_serving_while_the_endpoint_is_down() {
    let world = World::start().await;
    let (alice, bob) = (world.caller("alice"), world.caller("bob"));
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
    world.sso.server.down().await;
    for _ in 0..5 {
        assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
        let refused = bob.preverify(GOOD_BATCH).await;
        assert_eq!(refused.reason().as_deref(), Some("token_endpoint_unavailable"));
    }
    let ready = world.admin().get("/readyz").await;
    assert_eq!(ready.status, 200, "the token endpoint does not make it unready");
    world.sso.server.up().await;
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(bob.preverify(GOOD_BATCH).await.status, 200);
}

#[tokio::test]
async fn what_a_token_in_the_answer_begins_with_is_stripped() {
    for (prefix, scheme) in
        [("Bearer ", "Bearer"), ("bearer+", "Bearer"), ("AT ", "Bearer"), ("at+", "Bearer")]
    {
        let world = World::plan().config(&format!("[token]\nscheme = '{scheme}'")).start().await;
        world.sso.set_prefix(prefix);
        assert_eq!(world.caller("alice").get(WHO_AM_I).await.status, 200, "{prefix:?}");
        let sent = world.koodrive.received.all()[0].header("authorization").unwrap().to_owned();
        let token = &world.koodrive.sessions.tokens_of("alice")[0];
        assert_eq!(sent, format!("{scheme} {token}"));
    }
}

#[tokio::test]
async fn a_denied_caller_is_not_asked_for_again_at_once() {
    let world = World::start().await;
    world.sso.deny("alice");
    let alice = world.caller("alice");
    for _ in 0..5 {
        assert_eq!(alice.get(WHO_AM_I).await.reason().as_deref(), Some("caller_denied"));
    }
    assert_eq!(world.sso.token.calls(), 1);
    world.clock.advance(Duration::from_secs(6));
    assert_eq!(alice.get(WHO_AM_I).await.status, 403);
    assert_eq!(world.sso.token.calls(), 2);
    assert_eq!(world.caller("bob").get(WHO_AM_I).await.status, 200, "bob is not alice");
}
