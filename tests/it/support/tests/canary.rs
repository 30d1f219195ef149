//! The net under every world: what it catches, and that nothing gets past it.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::support::caller::Caller;
use crate::support::canary::Canaries;
use crate::support::recording::hex;
use crate::support::sso::keys::KeyKind;
use crate::support::tests::SOON;
use crate::support::world::World;

const USER_LIST: &str = "/koodrive/ose/v1/userList?offset=0&limit=1";
const SECRET: &str = "a~canary+0123456789/\"ü";

fn caught(secret: &str, text: &str) -> bool {
    let canaries = Canaries::keeping();
    canaries.note("a test", secret);
    canaries.net().find(text.as_bytes()).is_some()
}

#[test]
fn a_secret_is_found_in_every_disguise_and_anywhere() {
    let percent = utf8_percent_encode(SECRET, NON_ALPHANUMERIC).to_string();
    let form: String = form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    let json = serde_json::json!({ "secret": SECRET }).to_string();
    let basic = STANDARD.encode(format!("gateway:{form}"));
    let bytes = format!("{:?}", SECRET.as_bytes());
    let hexes = [hex(SECRET.as_bytes()), hex(SECRET.as_bytes()).to_ascii_uppercase()];
    let mut disguised = vec![SECRET.to_owned(), percent, form, json, basic, bytes];
    disguised.extend(hexes);
    for before in ["", "x", "xy", "xyz"] {
        for after in ["", "z", "zz"] {
            let within = format!("{before}{SECRET}{after}");
            disguised.extend([STANDARD.encode(&within), URL_SAFE.encode(&within)]);
        }
    }
    for text in disguised {
        for (before, after) in [("", ""), ("a line before\n", " and after"), ("a~canar", "0123")] {
            assert!(caught(SECRET, &format!("{before}{text}{after}")), "{before}{text}{after}");
        }
    }
}

#[test]
fn what_is_not_the_secret_is_not_found() {
    for text in
        ["", "a~canar", "a~canary+012345678", "A~CANARY+0123456789/\"ü", "canary+0123456789"]
    {
        assert!(!caught(SECRET, text), "{text}");
    }
}

#[test]
fn a_long_secret_is_found_in_part() {
    let long = hex(&(0..80).collect::<Vec<u8>>());
    let part = |from: usize, to: usize| long.get(from..to).unwrap();
    assert!(caught(&long, part(0, 40)) && caught(&long, part(96, 160)));
    assert!(caught(&long, &STANDARD.encode(part(1, 90))));
    assert!(!caught(&long, part(0, 24)));
}

#[test]
#[should_panic(expected = "too short to be looked for")]
fn a_secret_that_would_be_found_by_chance_is_not_taken() {
    Canaries::keeping().note("a word", "password");
}

/// A world that has served one call, and whose every place has something in it by now.
async fn world_that_told_everything(child: bool) -> World {
    let plan = World::plan().config("[telemetry]\njaeger_ui = 'http://127.0.0.1:16686'");
    let world = if child { plan.child().start().await } else { plan.start().await };
    let refused = world.caller_with(None).get(USER_LIST).await;
    assert_eq!(refused.status, 401);
    let reply = world.caller("alice").get(USER_LIST).await;
    assert_eq!(reply.status, 200);
    assert!(world.collector.trace_of(&reply.trace_id(), SOON).await.is_some());
    assert!(world.gateway.logs.of_call(&reply.trace_id(), SOON).await.is_some());
    world
}

/// What every gateway rightly tells is called a secret, so the end of the world must fail.
async fn with_a_secret(secret: &str, child: bool) {
    let world = world_that_told_everything(child).await;
    world.canaries().note("a planted secret", secret);
}

#[tokio::test]
async fn a_world_without_a_leak_ends_well() {
    drop(world_that_told_everything(false).await);
    drop(world_that_told_everything(true).await);
}

#[tokio::test]
#[should_panic(expected = "in the gateway's log stands a planted secret")]
async fn a_leak_into_the_access_log_fails_the_test() {
    with_a_secret("\"duration_ms\":", false).await;
}

#[tokio::test]
#[should_panic(expected = "in the gateway's log stands a planted secret")]
async fn a_leak_into_the_log_of_a_child_fails_the_test() {
    let world = World::plan().child().start().await;
    world.sso.rotate(KeyKind::Rsa);
    assert_eq!(world.caller("alice").get(USER_LIST).await.status, 200);
    let told = world.gateway.logs.wait_for(SOON, |line| line["msg"] == "listening").await;
    world.canaries().note("a planted secret", told.unwrap()["admin"].as_str().unwrap());
}

#[tokio::test]
#[should_panic(expected = "in the library's log stands an SSO token")]
async fn a_leak_into_the_log_of_this_process_at_trace_level_fails_the_test() {
    let world = World::start().await;
    let token = world.sso.token_for("alice");
    // The log is that of all tests, and claims of the tokens of all of them may begin alike.
    let (_, signature) = token.rsplit_once('.').unwrap();
    let leaked = STANDARD.encode(signature);
    tracing::trace!(target: "koodrive_gateway::planted", leaked, "leak");
}

#[tokio::test]
#[should_panic(expected = "in an admin page stands a planted secret")]
async fn a_leak_into_an_admin_page_fails_the_test() {
    with_a_secret("koodrive_gateway_build_info", false).await;
}

#[tokio::test]
#[should_panic(expected = "in an admin page stands a planted secret")]
async fn a_leak_into_an_admin_page_of_a_child_fails_the_test() {
    with_a_secret("koodrive_gateway_build_info", true).await;
}

#[tokio::test]
#[should_panic(expected = "in an admin page stands a planted secret")]
async fn a_leak_into_an_admin_page_fails_the_test_that_stopped_the_gateway_too() {
    let world = world_that_told_everything(true).await;
    assert!(world.gateway.stop().await);
    world.canaries().note("a planted secret", "koodrive_gateway_build_info");
}

#[tokio::test]
#[should_panic(expected = "in an export stands a planted secret")]
async fn a_leak_into_a_span_fails_the_test() {
    with_a_secret("koodrive.traceid", false).await;
}

#[tokio::test]
#[should_panic(expected = "in the head of an export stands a KooDrive token")]
async fn a_leak_into_a_header_of_an_export_fails_the_test() {
    let world = World::start().await;
    let token = world.koodrive.sessions.issue("alice");
    let exporter = Caller::new(&world.http, world.collector.url(), Some(token));
    exporter.call(Method::POST, "/v1/traces").send().await;
}

#[tokio::test]
#[should_panic(expected = "in the gateway's log stands a KooDrive token")]
async fn a_token_as_koodrive_hands_it_out_is_looked_for() {
    let world = World::start().await;
    assert_eq!(world.caller("alice").get(USER_LIST).await.status, 200);
    let token = world.koodrive.sessions.all_tokens().remove(0);
    let mut log = world.gateway.logs.clone();
    writeln!(log, "{{\"token\":\"{token}\"}}").unwrap();
}
