//! Access tokens through the whole gateway: every byte over sockets, KooDrive strict as ever.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use http_body_util::{BodyExt as _, Full};
use serde_json::json;

use crate::support::faults::Behaviour;
use crate::support::koodrive::auth::App;
use crate::support::koodrive::{PREVERIFY, Refusal};
use crate::support::world::World;

const MINUTE: Duration = Duration::from_mins(1);
const FILES: &str = "/koodrive/ose/v1/files/1";
const USER_LIST: &str = "/koodrive/ose/v1/userList?offset=0&limit=1";
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn koodrive_never_refuses_who_calls_every_19_minutes_and_one_exchange_pays_for_8_hours() {
    let world = World::start().await;
    for _ in 0..=8 * 60 / 19 {
        let reply = world.caller("alice").get(USER_LIST).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        world.clock.advance(19 * MINUTE);
    }
    assert_eq!(world.sso.granted(), 1);
    assert_eq!(world.koodrive.received.total(), 8 * 60 / 19 + 1); // so none was sent twice

    world.clock.advance(MINUTE);
    assert_eq!(world.caller("alice").get(USER_LIST).await.status, 200);
    assert_eq!((world.sso.granted(), world.koodrive.received.total()), (2, 8 * 60 / 19 + 2));
}

#[tokio::test]
async fn a_revocation_under_200_calls_costs_one_exchange_and_no_body_arrives_more_than_twice() {
    let world = World::plan().config("[limit]\nmode = \"off\"").start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.get(USER_LIST).await.status, 200);
    world.koodrive.received.clear();
    world.koodrive.received.keep(1000);

    world.koodrive.switch.gate.close();
    let batch = |number: usize| {
        format!(
            r#"{{"curDeptId":{},"users":[{{"personalCapacity":0,"isAllocateCapacity":false}}]}}"#,
            1_575_416_580_416_769_000 + number
        )
    };
    let calls = join_all((0..200).map(|number| alice.preverify(batch(number))));
    let revocation = async {
        assert!(world.koodrive.switch.gate.wait_for(200, PATIENCE).await);
        world.koodrive.sessions.revoke_all();
        world.koodrive.switch.gate.open();
    };
    let (replies, ()) = tokio::join!(calls, revocation);
    for reply in &replies {
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert_eq!(world.sso.granted(), 2);
    let mut arrivals: HashMap<Vec<u8>, usize> = HashMap::new();
    for received in world.koodrive.received.all() {
        assert_eq!((&received.method, received.path()), (&Method::POST, PREVERIFY));
        *arrivals.entry(received.body.prefix.clone()).or_default() += 1;
    }
    assert_eq!(arrivals.len(), 200);
    assert!(arrivals.values().all(|times| *times == 2), "{arrivals:?}");

    assert_eq!(alice.get(USER_LIST).await.status, 200);
    assert_eq!(world.sso.granted(), 2);
}

#[tokio::test]
async fn a_refusal_in_the_envelope_counts_whatever_the_status() {
    for (status, code) in [
        (200, json!("APIGW.0307")),
        (400, json!("APIGW.0301")),
        (500, json!("APIGW.0303")),
        (200, json!(13_000_999)),
    ] {
        let config = "[forward]\nrefused_codes = [\"APIGW.0301\", \"APIGW.0303\", \"APIGW.0307\", \"13000999\"]";
        let world = World::plan().config(config).start().await;
        world.koodrive.set_refusal(Refusal::Envelope { status, code: code.clone() });
        let alice = world.caller("alice");
        assert_eq!(alice.get(USER_LIST).await.status, 200);
        world.koodrive.sessions.revoke_all();
        let reply = alice.get(USER_LIST).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["code"], 0, "{status} {code}");
        assert_eq!((world.sso.granted(), world.koodrive.received.total()), (2, 3));
    }
}

#[tokio::test]
async fn a_second_refusal_goes_to_the_caller_as_it_is() {
    let world = World::start().await;
    world.koodrive.switch.set(Behaviour::json(401, &json!({ "error_code": "APIGW.0301" })));
    let reply = world.caller("alice").get(USER_LIST).await;
    assert_eq!((reply.status, reply.reason()), (401, None));
    assert_eq!(reply.json()["error_code"], "APIGW.0301");
    assert_eq!((world.sso.granted(), world.koodrive.received.total()), (2, 2));
}

#[tokio::test]
async fn a_refused_call_whose_body_streamed_is_not_repeated_but_the_next_call_has_a_new_token() {
    let world = World::start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.get(USER_LIST).await.status, 200);
    world.koodrive.sessions.revoke_all();
    let body = Full::new(Bytes::from_static(b"streamed")).map_err(|never| match never {});
    let reply = alice.call(Method::PUT, FILES).streaming(body).send().await;
    assert_eq!(reply.status, 401);
    assert_eq!((world.sso.granted(), world.koodrive.received.total()), (1, 2));
    assert_eq!(alice.get(USER_LIST).await.status, 200);
    assert_eq!((world.sso.granted(), world.koodrive.received.total()), (2, 3));
}

#[tokio::test]
async fn who_is_denied_when_his_token_is_renewed_gets_that_rejection() {
    let world = World::start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.get(USER_LIST).await.status, 200);
    world.koodrive.sessions.revoke_all();
    world.sso.deny("alice");
    let reply = alice.get(USER_LIST).await;
    assert_eq!((reply.status, reply.reason().as_deref()), (403, Some("caller_denied")));
    assert_eq!(world.koodrive.received.total(), 2);
}

#[tokio::test]
async fn an_idle_life_ends_with_the_last_accepted_call_not_with_failed_ones() {
    let world = World::start().await;
    let alice = || world.caller("alice");
    assert_eq!(alice().get(USER_LIST).await.status, 200);
    for status in [500, 503, 429] {
        world.clock.advance(6 * MINUTE);
        world.koodrive.switch.next(1, Behaviour::status(status));
        assert_eq!(alice().get(USER_LIST).await.status, status);
    }
    world.clock.advance(2 * MINUTE);
    // KooDrive has forgotten the token; the gateway knows and does not even try it.
    let before = world.koodrive.received.total();
    assert_eq!(alice().get(USER_LIST).await.status, 200);
    assert_eq!((world.sso.granted(), world.koodrive.received.total()), (2, before + 1));
}

#[tokio::test]
async fn cached_callers_do_not_notice_a_hanging_token_endpoint() {
    // Longer than any test: who waits for the endpoint waits to the end.
    let config = "[token]\ntimeout = \"1h\"\nmax_concurrent = 4";
    let world = World::plan().config(config).start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.get(USER_LIST).await.status, 200);
    world.sso.token.gate.close();
    let cold: Vec<_> = (0..20).map(|number| world.caller(&format!("cold-{number}"))).collect();
    let cold = join_all(cold.iter().map(|caller| caller.get(USER_LIST)));
    let warm = async {
        assert!(world.sso.token.gate.wait_for(4, PATIENCE).await, "cold callers are waiting");
        for _ in 0..100 {
            assert_eq!(alice.get(USER_LIST).await.status, 200);
        }
    };
    tokio::select! {
        replies = cold => panic!("the endpoint hangs, and {} callers were answered", replies.len()),
        () = warm => {}
    }
}

#[tokio::test]
async fn a_signed_call_is_believed_by_koodrive() {
    let config = "[token]\nmethod = \"app_signature\"\n[token.app]\napp_id = \"app-1\"\napp_secret_file = \"app-secret\"\n[[accept.issuers]]\nkoodrive_users_file = \"users.toml\"";
    let world = World::plan()
        .config(config)
        .file("app-secret", "hush-and-tell-nobody\n")
        .file("users.toml", "alice = \"1505084218764547200\"\n")
        .start()
        .await;
    world
        .koodrive
        .set_app(App { id: "app-1".to_owned(), secret: "hush-and-tell-nobody".to_owned() });
    let alice = world.caller("alice");
    for target in [USER_LIST, "/koodrive/ose/v1/userList?limit=1&offset=0&name=%E5%BC%A0%20x"] {
        let reply = alice.get(target).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let reply = alice.preverify(crate::support::world::GOOD_BATCH).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply = world.caller("bob").get(USER_LIST).await;
    assert_eq!(reply.reason().as_deref(), Some("caller_denied"));
    assert_eq!((world.sso.granted(), world.koodrive.received.total()), (0, 3));
}
