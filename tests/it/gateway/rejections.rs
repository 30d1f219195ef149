//! Each row of the rejection table, provoked over sockets, in both languages.

use std::time::Duration;

use futures_util::future::join;
use http::Method;
use serde_json::{Value, json};

use crate::gateway::{SOON, WHO_AM_I, batch_of, metric_becomes, preverify};
use crate::support::caller::{Call, Reply};
use crate::support::faults::Behaviour;
use crate::support::koodrive::PREVERIFY;
use crate::support::raw::{RawAnswer, RawConnection};
use crate::support::sso::keys::{KeyKind, SigningKey};
use crate::support::sso::mint::forged;
use crate::support::world::{GOOD_BATCH, World};
use crate::wire::frames::{Frames, GOAWAY, Outcome};

/// A row: code, reason, origin.
type Row = (u32, &'static str, &'static str);

/// Members of a rejection, in the order of the contract.
const MEMBERS: [&str; 10] = [
    "code",
    "msg",
    "type",
    "title",
    "status",
    "reason",
    "origin",
    "traceId",
    "retryAfter",
    "errors",
];

/// Checks what all rejections have in common; which seconds were promised.
fn is_rejection(reply: &Reply, (code, reason, origin): Row, chinese: bool) -> Option<u64> {
    let text = reply.text();
    let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{reason}: {text}"));
    assert_eq!(body["reason"], reason, "{text}");
    assert_eq!(u32::from(reply.status), code / 1000, "{reason}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{reason}");
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{reason}");
    let members = body.as_object().expect("an object");
    assert_eq!(members.len(), MEMBERS.len(), "{text}");
    let places = MEMBERS.map(|member| text.find(&format!("\"{member}\":")).expect(member));
    assert!(places.is_sorted(), "{text}");

    assert_eq!((&body["code"], &body["status"]), (&json!(code), &json!(code / 1000)), "{reason}");
    assert_eq!(body["type"], format!("urn:koodrive-gateway:{reason}"));
    assert_eq!(body["origin"], origin, "{reason}");
    let trace_id = reply.trace_id();
    assert_eq!((trace_id.len(), body["traceId"].as_str()), (58, Some(&*trace_id)), "{reason}");
    let message = body["msg"].as_str().unwrap_or_default();
    let in_chinese = message.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
    assert_eq!((message.is_empty(), in_chinese), (false, chinese), "{reason}: {message}");
    assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()), "{text}");
    let of_batch = matches!(code, 400_001 | 400_002);
    assert_eq!(body["errors"].as_array().map(Vec::is_empty), Some(!of_batch), "{text}");

    let promised = reply.header("retry-after").map(|seconds| seconds.parse().expect("seconds"));
    assert_eq!(body["retryAfter"].as_u64(), promised, "{reason}");
    let must_promise = matches!(reply.status, 429 | 503);
    assert!(promised.is_some() || !must_promise, "{reason} promises a time");
    assert!(promised.is_none_or(|seconds| 1 <= seconds), "{reason}: {promised:?}");

    let challenge = reply.header("www-authenticate");
    match (reply.status, reason) {
        (401, "token_missing") => assert_eq!(challenge, Some("Bearer")),
        (401, _) => {
            let with_error = challenge.is_some_and(|text| text.starts_with("Bearer error=\""));
            assert!(with_error, "{reason}: {challenge:?}");
        }
        _ => assert_eq!(challenge, None, "{reason}"),
    }
    promised
}

/// Sends a call in English and in Chinese, and says what was promised the second time.
async fn refused(row: Row, call: impl AsyncFn() -> Call) -> Option<u64> {
    let english = call().await.send().await;
    is_rejection(&english, row, false);
    let chinese = call().await.header("language", "zh-CN").send().await;
    is_rejection(&chinese, row, true)
}

fn koodrive_untouched(world: &World) {
    assert_eq!(world.koodrive.received.total(), 0, "{:?}", world.koodrive.received.all());
}

fn nothing_spent(world: &World) {
    koodrive_untouched(world);
    assert_eq!(world.sso.token.calls(), 0);
}

#[tokio::test]
async fn batches_that_break_the_rules() {
    let world = World::plan().config("[limit]\nmode = 'off'").start().await;
    let alice = world.caller("alice");
    let not_json = (400_001, "batch_not_json", "caller");
    let malformed = (400_002, "batch_malformed", "caller");
    refused(not_json, async || preverify(&alice, r#"{"curDeptId":1 "users":[]}"#)).await;
    refused(not_json, async || preverify(&alice, "")).await;
    refused(malformed, async || preverify(&alice, r#"{"curDeptId":"1"}"#)).await;
    nothing_spent(&world);

    let batch = "{\n  \"curDeptId\": 1,\n  \"users\": [\n    {\n      \"targetDeptName\": \"A\",\n      \
        \"personalCapacity\": \"ten-secret\",\n      \"isAllocateCapacity\": 1\n    }\n  ]\n}";
    let reply = preverify(&alice, batch).send().await;
    let errors = reply.json()["errors"].clone();
    let of = |at: usize| {
        let error = &errors[at];
        (error["pointer"].as_str(), error["line"].as_u64(), error["column"].as_u64())
    };
    assert_eq!(of(0), (Some("/users/0/personalCapacity"), Some(6), Some(27)), "{errors}");
    assert_eq!(of(1), (Some("/users/0/isAllocateCapacity"), Some(7), Some(29)), "{errors}");
    for error in errors.as_array().unwrap() {
        let keys: Vec<_> = error.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["column", "line", "pointer", "reason"]);
    }
    assert!(!reply.text().contains("ten-secret"), "no value of the batch is repeated");
}

#[tokio::test]
async fn the_api_pages_own_example_is_refused_with_the_place_of_its_fault() {
    let world = World::start().await;
    let path = "/tests/fixtures/batches/bad/batch_not_json--api-page-example-indented.json";
    let example = std::fs::read_to_string(env!("CARGO_MANIFEST_DIR").to_owned() + path).unwrap();
    let reply = world.caller("alice").preverify(example.clone()).await;
    is_rejection(&reply, (400_001, "batch_not_json", "caller"), false);
    let error = &reply.json()["errors"][0];
    let at = |name: &str| usize::try_from(error[name].as_u64().unwrap()).unwrap() - 1;
    let before = example.lines().nth(at("line")).unwrap();
    let before: String = before.chars().take(at("column")).collect();
    let before: String =
        example.lines().take(at("line")).collect::<Vec<_>>().join("\n") + "\n" + &before;
    assert!(!before.trim_end().ends_with(','), "the comma is missing right before: {before}");
    nothing_spent(&world);
}

#[tokio::test]
async fn tokens_that_are_not_believed() {
    let world = World::start().await;
    let (good, stranger) = (world.sso.token_for("alice"), SigningKey::fresh(KeyKind::P256));
    let mint = || world.sso.mint("alice");
    let cases: [(Row, Option<String>); 11] = [
        ((401_001, "token_missing", "caller"), None),
        ((401_002, "token_malformed", "caller"), Some("a.b".to_owned())),
        ((401_003, "token_signature_invalid", "caller"), Some(forged(&good, "sub", "bob"))),
        ((401_004, "token_expired", "caller"), Some(mint().expires_in(-60).sign())),
        ((401_005, "token_not_yet_valid", "caller"), Some(mint().not_before_in(120).sign())),
        (
            (401_006, "token_issuer_unknown", "caller"),
            Some(mint().claim("iss", "https://elsewhere").sign()),
        ),
        ((401_007, "token_audience_mismatch", "caller"), Some(mint().claim("aud", "other").sign())),
        ((401_008, "token_algorithm_refused", "caller"), Some(mint().algorithm("PS256").sign())),
        ((401_008, "token_algorithm_refused", "caller"), Some(mint().unsigned())),
        ((401_009, "token_key_unknown", "caller"), Some(mint().key(&stranger).sign())),
        ((401_010, "token_claim_refused", "caller"), Some(mint().without_claim("sub").sign())),
    ];
    for (row, token) in cases {
        let caller = world.caller_with(token);
        refused(row, async || preverify(&caller, GOOD_BATCH)).await;
        refused(row, async || caller.call(Method::GET, WHO_AM_I)).await;
    }
    let basic = world.caller_with(None);
    let missing = (401_001, "token_missing", "caller");
    refused(missing, async || preverify(&basic, GOOD_BATCH).header("authorization", "Basic eDp5"))
        .await;
    let twice = world.caller("alice");
    let malformed = (401_002, "token_malformed", "caller");
    let bearer = format!("Bearer {good}");
    refused(malformed, async || preverify(&twice, GOOD_BATCH).header("authorization", &bearer))
        .await;
    nothing_spent(&world);
}

#[tokio::test]
async fn calls_that_lead_nowhere() {
    let world = World::plan().config("[trace_id]\non_illegal = 'reject'").start().await;
    let alice = world.caller("alice");
    let unknown = (404_001, "route_unknown", "caller");
    refused(unknown, async || alice.call(Method::GET, "/elsewhere")).await;
    refused(unknown, async || alice.call(Method::GET, "/koodrive/../admin")).await;
    let method = (405_001, "method_refused", "caller");
    refused(method, async || alice.call(Method::GET, PREVERIFY)).await;
    assert_eq!(alice.get(PREVERIFY).await.header("allow"), Some("POST"));
    let purge = Method::from_bytes(b"PURGE").unwrap();
    refused(method, async || alice.call(purge.clone(), WHO_AM_I)).await;
    let allow = alice.call(purge.clone(), WHO_AM_I).send().await;
    assert_eq!(allow.header("allow"), Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    let trace_id = (400_003, "trace_id_illegal", "caller");
    refused(trace_id, async || preverify(&alice, GOOD_BATCH).header("x-traceid", "short")).await;
    nothing_spent(&world);
}

#[tokio::test]
async fn bodies_that_are_too_large_of_another_type_or_too_slow() {
    let config = "[validate]\nmax_body = '4KiB'\n[listen]\nbody_timeout = '100ms'";
    let world = World::plan().config(config).start().await;
    let alice = world.caller("alice");
    let too_large = (413_001, "body_too_large", "caller");
    refused(too_large, async || preverify(&alice, &batch_of(900))).await;
    let content = (415_001, "content_type_refused", "caller");
    let typed =
        |name: &str, value: &str| preverify(&alice, GOOD_BATCH).without(name).header(name, value);
    refused(content, async || typed("content-type", "text/plain")).await;
    refused(content, async || typed("content-type", "application/json; charset=gbk")).await;
    refused(content, async || typed("content-encoding", "gzip")).await;
    for language in ["en-US", "zh-CN"] {
        let head = head(&world, &format!("POST {PREVERIFY} HTTP/1.1"), language);
        let stalled = format!("{head}content-length: 100\r\n\r\n{{");
        let reply = raw(&world, &stalled).await;
        let row = (408_001, "body_timeout", "caller");
        is_rejection(&reply, row, language == "zh-CN");
    }
    nothing_spent(&world);
}

#[tokio::test]
async fn framing_that_two_parsers_could_read_differently() {
    let world = World::start().await;
    let row = (400_004, "framing_illegal", "caller");
    let post = format!("POST {PREVERIFY} HTTP/1.1");
    for language in ["en-US", "zh-CN"] {
        let head = head(&world, &post, language);
        for rest in [
            "content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            "host: other\r\ncontent-length: 2\r\n\r\n{}",
        ] {
            let reply = raw(&world, &format!("{head}{rest}")).await;
            is_rejection(&reply, row, language == "zh-CN");
            assert_eq!(reply.header("connection"), Some("close"), "{rest:?}");
        }
    }
    let bare = |target: String, header: String| {
        format!("GET {target} HTTP/1.1\r\nhost: gateway\r\nx: {header}\r\n\r\n")
    };
    for (request, status) in [
        ("no request at all\r\n\r\n".to_owned(), 400),
        (bare("/koodrive/x".to_owned(), "a".repeat(40_000)), 431),
    ] {
        let mut connection = RawConnection::open(world.gateway.address).await.unwrap();
        connection.send(request).await.unwrap();
        let answer = connection.answer().await.unwrap();
        assert_eq!((answer.status, &*answer.body), (status, &b""[..]));
        assert_eq!(connection.rest().await.unwrap(), b"", "the connection is closed");
    }
    // Four answered in full and two bare: all are counted, and the bare ones logged.
    for (reason, count) in [("framing_illegal", 5.0), ("headers_too_large", 1.0)] {
        let metric = format!("koodrive_gateway_rejections_total{{reason=\"{reason}\"}}");
        metric_becomes(&world, &metric, count).await;
        let told = |line: &Value| line["reason"] == reason;
        assert!(world.gateway.logs.wait_for(SOON, told).await.is_some(), "{reason}");
    }
    nothing_spent(&world);
}

#[tokio::test]
async fn calls_over_a_limit() {
    let world = World::plan().config("[limit]\ncalls_per_minute = 1\ncalls_burst = 1");
    let world = world.start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.preverify("{}").await.status, 400);
    let row = (429_001, "limit_calls", "caller");
    let promised = refused(row, async || preverify(&alice, GOOD_BATCH)).await;
    assert!(promised.is_some_and(|seconds| seconds <= 60), "{promised:?}");
    nothing_spent(&world);

    let world = World::plan().config("[limit]\nusers_per_minute = 1\nusers_burst = 1000");
    let world = world.start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.preverify(batch_of(999)).await.status, 200);
    world.koodrive.received.clear();
    let row = (429_002, "limit_users", "caller");
    refused(row, async || preverify(&alice, &batch_of(500))).await;
    koodrive_untouched(&world);

    let config = "[limit]\ntotal_calls_per_second = 1\ntotal_burst = 1\nconcurrent = 1";
    let world = World::plan().config(config).start().await;
    let alice = world.caller("alice");
    let mut replies = Vec::new();
    for language in ["en-US", "zh-CN", "en-US", "zh-CN", "en-US", "zh-CN"] {
        replies.push((language, preverify(&alice, "{}").header("language", language).send().await));
    }
    let row = (429_003, "limit_total", "caller");
    let of_total = replies.iter().filter(|(_, reply)| reply.status == 429);
    let checked = of_total.map(|(language, reply)| is_rejection(reply, row, *language == "zh-CN"));
    assert!(3 < checked.count());
    nothing_spent(&world);

    let world = World::plan().config("[limit]\nconcurrent = 1").start().await;
    let alice = world.caller("alice");
    world.koodrive.switch.gate.close();
    let others = async {
        assert!(world.koodrive.switch.gate.wait_for(1, SOON).await);
        let row = (429_004, "limit_concurrent", "caller");
        assert_eq!(refused(row, async || preverify(&alice, GOOD_BATCH)).await, Some(1));
        world.koodrive.switch.gate.open();
    };
    let (held, ()) = join(alice.preverify(GOOD_BATCH), others).await;
    assert_eq!((held.status, world.koodrive.received.total()), (200, 1));

    world.koodrive.switch.next(1, Behaviour::status(429).retry_after(60));
    assert_eq!(alice.preverify(GOOD_BATCH).await.reason(), None, "KooDrive's own 429");
    let row = (429_005, "limit_upstream", "upstream");
    refused(row, async || preverify(&alice, GOOD_BATCH)).await;
    assert_eq!(world.koodrive.received.total(), 2);
}

#[tokio::test]
async fn a_token_endpoint_that_says_no_or_nothing() {
    let error = |status, error: &str| Behaviour::json(status, &json!({ "error": error }));
    let token = |token: Value| Behaviour::json(200, &json!({ "access_token": token }));
    let denied = (403_001, "caller_denied", "token_endpoint");
    let unusable = (502_003, "token_answer_unusable", "gateway");
    let unavailable = (503_002, "token_endpoint_unavailable", "token_endpoint");
    let busy = (503_005, "token_endpoint_busy", "token_endpoint");
    let timeout = (504_002, "token_endpoint_timeout", "token_endpoint");
    let world = World::plan().config("[token]\ntimeout = '300ms'").start().await;
    let cases = [
        (error(403, "anything"), denied),
        (error(400, "invalid_grant"), denied),
        (error(400, "access_denied"), denied),
        (error(401, "invalid_client"), unusable),
        (error(400, "unauthorized_client"), unusable),
        (error(400, "unsupported_grant_type"), unusable),
        (error(400, "invalid_scope"), unusable),
        (error(400, "invalid_target"), unusable),
        (Behaviour::garbage(), unusable),
        (token(Value::Null), unusable),
        (token(json!(17)), unusable),
        (token(json!("Bearer ")), unusable),
        (token(json!("a\nb")), unusable),
        (token(json!("令牌")), unusable),
        (token(json!("x".repeat(65 * 1024))), unusable),
        (Behaviour::status(429).retry_after(7), busy),
        (Behaviour::status(500), unavailable),
        (Behaviour::status(503), unavailable),
        (Behaviour::close(), unavailable),
        (Behaviour::hang(), timeout),
    ];
    let (mut number, mut asked) = (0, 0);
    for (behaviour, row) in cases {
        world.sso.token.set(behaviour.clone());
        for language in ["en-US", "zh-CN"] {
            number += 1;
            // Whoever was denied, and an endpoint that is down, is not asked again at once.
            world.clock.advance(Duration::from_mins(1));
            let caller = world.caller(&format!("user-{number}"));
            let reply = preverify(&caller, GOOD_BATCH).header("language", language).send().await;
            let promised = is_rejection(&reply, row, language == "zh-CN");
            let told = behaviour.answer.as_ref().and_then(|told| told.headers.get("retry-after"));
            if told.is_some() {
                assert_eq!(promised, Some(7), "the endpoint's own Retry-After");
            }
            // Lost on the connection that had served the others, it is asked on a fresh one too.
            asked += if behaviour.close && language == "en-US" { 2 } else { 1 };
            assert_eq!(world.sso.token.calls(), asked, "{behaviour:?} is asked once");
        }
    }
    koodrive_untouched(&world);
    world.sso.server.down().await;
    world.clock.advance(Duration::from_mins(1));
    let bob = world.caller("bob");
    refused(unavailable, async || preverify(&bob, GOOD_BATCH)).await;
    koodrive_untouched(&world);
}

#[tokio::test]
async fn a_koodrive_that_is_away_breaks_off_or_hangs() {
    let config = "[forward]\nresponse_timeout = '200ms'\n[limit]\nmode = 'off'";
    let world = World::plan().config(config).start().await;
    let alice = world.caller("alice");
    world.koodrive.switch.set(Behaviour::hang());
    let timeout = (504_001, "upstream_timeout", "upstream");
    refused(timeout, async || preverify(&alice, GOOD_BATCH)).await;
    refused(timeout, async || alice.call(Method::GET, WHO_AM_I)).await;
    assert_eq!(world.koodrive.received.total(), 4, "none was sent twice");
    world.koodrive.switch.set(Behaviour::close());
    world.koodrive.received.clear();
    let broken = (502_002, "upstream_broken", "upstream");
    refused(broken, async || preverify(&alice, GOOD_BATCH)).await;
    assert_eq!(world.koodrive.received.total(), 2, "a POST is never sent twice");
    world.koodrive.server.down().await;
    let unreachable = (502_001, "upstream_unreachable", "upstream");
    refused(unreachable, async || preverify(&alice, GOOD_BATCH)).await;
    refused(unreachable, async || alice.call(Method::GET, WHO_AM_I)).await;
}

#[tokio::test]
async fn keys_that_cannot_be_had() {
    let jwks = "[[accept.issuers]]\nunknown_kid_cooldown = '1s'";
    let world = World::plan().config(jwks).start().await;
    let (stranger, alice) = (SigningKey::fresh(KeyKind::P256), world.caller("alice"));
    let strange = world.caller_with(Some(world.sso.mint("alice").key(&stranger).sign()));
    world.sso.jwks.set(Behaviour::status(500));
    world.clock.advance(Duration::from_secs(5));
    let row = (503_001, "keys_unavailable", "sso");
    refused(row, async || preverify(&strange, GOOD_BATCH)).await;
    nothing_spent(&world);
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200, "known keys keep serving");

    // Nothing listens at the issuer, so there never were keys.
    let away = "[[accept.issuers]]\njwks_url = 'http://127.0.0.1:9/jwks'";
    let world = World::plan().config(away).unready().start().await;
    let alice = world.caller("alice");
    refused(row, async || preverify(&alice, GOOD_BATCH)).await;
    nothing_spent(&world);
    let ready = world.admin().get("/readyz").await;
    let reasons = json!([format!("keys:{}", world.sso.issuer())]);
    assert_eq!((ready.status, &ready.json()["reasons"]), (503, &reasons));
}

#[tokio::test]
async fn too_many_calls_or_bodies_at_once() {
    let row = (503_003, "overloaded", "gateway");
    let world = World::plan().config("[listen]\nmax_in_flight = 1").start().await;
    let alice = world.caller("alice");
    world.koodrive.switch.gate.close();
    let others = async {
        assert!(world.koodrive.switch.gate.wait_for(1, SOON).await);
        assert_eq!(refused(row, async || alice.call(Method::GET, WHO_AM_I)).await, Some(1));
        world.koodrive.switch.gate.open();
    };
    let (held, ()) = join(alice.get(WHO_AM_I), others).await;
    assert_eq!((held.status, world.koodrive.received.total()), (200, 1));

    let config = "[listen]\nmax_buffered = '64KiB'\n[validate]\nmax_body = '64KiB'";
    let world = World::plan().config(config).start().await;
    let alice = world.caller("alice");
    let large = batch_of(900);
    world.koodrive.switch.gate.close();
    let others = async {
        assert!(world.koodrive.switch.gate.wait_for(1, SOON).await);
        assert_eq!(refused(row, async || preverify(&alice, &large)).await, Some(1));
        world.koodrive.switch.gate.open();
    };
    let (held, ()) = join(alice.preverify(large.clone()), others).await;
    assert_eq!((held.status, world.koodrive.received.total()), (200, 1));
    assert_eq!(alice.preverify(large.clone()).await.status, 200, "the memory is free again");
}

#[tokio::test]
async fn a_gateway_that_is_stopping() {
    let world = World::plan().config("[lifecycle]\ndrain = '10s'").start().await;
    let token = format!("Bearer {}", world.sso.token_for("alice"));
    let fields = |language| {
        [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "gateway"),
            (":path", WHO_AM_I),
            ("authorization", &*token),
            ("language", language),
        ]
    };
    // A connection stays open for the call on it, and these callers ignore the farewell.
    world.koodrive.switch.gate.close();
    let mut connections = Vec::new();
    for (calls, language) in [(1, "en-US"), (2, "zh-CN")] {
        let mut frames = Frames::open(world.gateway.address).await;
        frames.request(1, &fields(language), None).await;
        assert!(world.koodrive.switch.gate.wait_for(calls, SOON).await);
        connections.push((language, frames));
    }
    world.gateway.begin_stop().await;
    for (language, frames) in &mut connections {
        let farewell = frames.next().await.expect("a frame");
        assert_eq!(farewell.kind, GOAWAY);
        frames.request(3, &fields(language), None).await;
        let Outcome::Answer { status, body } = frames.outcome(3).await else {
            panic!("no answer in {language}");
        };
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, &body["code"]), (503, &json!(503_004)));
        assert_eq!((&body["reason"], &body["origin"]), (&json!("draining"), &json!("gateway")));
        assert_eq!(body["retryAfter"], 1);
        let english = body["msg"].as_str().is_some_and(str::is_ascii);
        assert_eq!(english, *language == "en-US", "{body}");
    }
    world.koodrive.switch.gate.open();
    for (_, frames) in &mut connections {
        let outcome = frames.outcome(1).await;
        assert!(matches!(outcome, Outcome::Answer { status: 200, .. }), "{outcome:?}");
    }
    assert_eq!(world.koodrive.received.total(), 2);
    assert!(world.gateway.ended().await);
}

/// Request line and the headers every call has.
fn head(world: &World, line: &str, language: &str) -> String {
    let token = world.sso.token_for("alice");
    format!(
        "{line}\r\nhost: gateway\r\nauthorization: Bearer {token}\r\nlanguage: {language}\r\n\
         content-type: application/json\r\n"
    )
}

/// Sends bytes and reads one answer.
async fn raw(world: &World, request: &str) -> Reply {
    let mut connection =
        RawConnection::open(world.gateway.address).await.expect("a connection that answers");
    connection.send(request).await.expect("a connection that answers");
    read(&mut connection).await
}

async fn read(connection: &mut RawConnection) -> Reply {
    let RawAnswer { status, headers, body } =
        connection.answer().await.expect("a connection that answers");
    let headers = headers.iter().map(|(name, value)| {
        (
            name.parse::<http::HeaderName>().expect("legal"),
            value.parse::<http::HeaderValue>().expect("legal"),
        )
    });
    Reply {
        status,
        version: http::Version::HTTP_11,
        headers: headers.collect(),
        body: body.into(),
        trailers: None,
    }
}
