//! What callers are told of their slips, each in words of its own.

use std::collections::BTreeSet;

use http::Method;

use crate::gateway::{SOON, WHO_AM_I};
use crate::support::collector::Kind;
use crate::support::raw::RawConnection;
use crate::support::sso::mint::forged;
use crate::support::world::World;

/// Reason and `msg` for a call with these headers.
async fn told(world: &World, authorization: &[&str], language: &str) -> (String, String) {
    let call = world.caller_with(None).call(Method::GET, WHO_AM_I).header("language", language);
    let call = authorization.iter().fold(call, |call, value| call.header("authorization", value));
    let reply = call.send().await;
    let message = reply.json()["msg"].as_str().expect("a message").to_owned();
    (reply.reason().expect("a refusal"), message)
}

#[tokio::test]
async fn each_way_in_which_a_token_is_none_has_its_own_words() {
    let world = World::start().await;
    let good = world.sso.token_for("alice");
    let quoted = format!("Bearer \"{good}\"");
    let twice = format!("Bearer Bearer {good}");
    let bearer = format!("Bearer {good}");
    let split = format!("Bearer {} x", good.get(..90).unwrap());
    let half = format!("Bearer {}", good.get(..good.len() / 2).unwrap());
    let short = format!("Bearer {}", good.get(..good.len() - 1).unwrap());
    let answer = format!("Bearer {{\"access_token\":\"{good}\"}}");
    let rows: [(&[&str], &str, &str); 14] = [
        (&[], "token_missing", "send it as Authorization: Bearer <token>"),
        (&[""], "token_missing", "is the variable that holds the token set?"),
        (&[&good], "token_missing", "a token, but not the word Bearer before it"),
        (&["Basic YTpi"], "token_missing", "something else than Bearer"),
        (&["Bearer"], "token_malformed", "is the variable that holds the token empty?"),
        (&[&quoted], "token_malformed", "it stands in quotes"),
        (&[&twice], "token_malformed", "before it twice"),
        (&["Bearer $TOKEN"], "token_malformed", "a stand-in such as $TOKEN"),
        (&[&answer], "token_malformed", "send the access_token in it alone"),
        (&[&split], "token_malformed", "such as blanks or line breaks"),
        (&["Bearer opaque"], "token_malformed", "it is cut off, or no JWT"),
        (&[&half], "token_malformed", "cut off"),
        (&[&short], "token_malformed", "its signature is damaged; is the token cut off?"),
        (&[&bearer, &bearer], "token_malformed", "more than one header holds credentials"),
    ];
    let mut seen = BTreeSet::new();
    for (authorization, reason, expected) in rows {
        let (found, message) = told(&world, authorization, "en").await;
        assert_eq!(found, reason, "{message}");
        assert!(message.contains(expected), "{expected}: {message}");
        // Nothing of the token comes back.
        let parts = good.split('.').filter_map(|part| part.get(..40));
        assert!(!parts.clone().any(|part| message.contains(part)), "{message}");
        let (_, chinese) = told(&world, authorization, "zh-CN").await;
        assert!(chinese.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{chinese}");
        seen.insert((message, chinese));
    }
    for nothing in ["Bearer null", "Bearer undefined", "Bearer None", "Bearer {token}"] {
        let (_, message) = told(&world, &[nothing], "en").await;
        assert!(message.contains("a stand-in such as $TOKEN"), "{nothing}: {message}");
    }
    // Half a token may be cut in the payload or in the signature.
    assert!(rows.len() - 1 <= seen.len(), "{seen:#?}");
    assert_eq!(world.koodrive.received.total(), 0);
}

#[tokio::test]
async fn the_wanted_audience_is_for_those_alone_who_hold_a_good_signature() {
    let world = World::start().await;
    let elsewhere = world.sso.mint("alice").claim("aud", "another").sign();
    let (reason, message) = told(&world, &[&format!("Bearer {elsewhere}")], "en").await;
    assert_eq!(reason, "token_audience_mismatch");
    assert!(message.ends_with(": it wants \"koodrive-gateway\""), "{message}");
    let (reason, message) =
        told(&world, &[&format!("Bearer {}", forged(&elsewhere, "sub", "bob"))], "en").await;
    assert_eq!(reason, "token_signature_invalid");
    assert!(!message.contains("wants"), "{message}");

    let future = world.sso.clock().unix_seconds() + 86_400 * 365;
    let lasting = world.sso.mint("alice").claim("exp", future).sign();
    let (reason, message) = told(&world, &[&format!("Bearer {lasting}")], "en").await;
    assert_eq!(reason, "token_claim_refused");
    assert!(message.contains("claim \"exp\" makes the token live longer than"), "{message}");
}

#[tokio::test]
async fn a_404_says_whether_it_is_about_the_spelling_or_a_forgotten_prefix() {
    let world = World::start().await;
    let alice = world.caller("alice");
    for (path, expected) in [
        ("/ose/v1/userList", Some("put /koodrive before this path")),
        ("/koodrive/..;/admin", Some("it is about the spelling")),
        ("/KooDrive/ose/v1/userList", Some("it is about the spelling")),
        ("/elsewhere", None),
    ] {
        let reply = alice.call(Method::GET, path).send().await;
        assert_eq!((reply.status, reply.reason().as_deref()), (404, Some("route_unknown")));
        let message = reply.json()["msg"].as_str().expect("a message").to_owned();
        match expected {
            Some(expected) => assert!(message.contains(expected), "{path}: {message}"),
            None => assert!(message.ends_with("start with /koodrive/"), "{path}: {message}"),
        }
    }
}

#[tokio::test]
async fn a_tls_hello_on_the_plain_port_is_told_as_that_in_the_log() {
    let world = World::start().await;
    let mut caller = RawConnection::open(world.gateway.address).await.unwrap();
    caller.send([22, 3, 1, 0, 5, 1, 0, 0, 1, 0]).await.unwrap();
    let line = world.gateway.logs.wait_for(SOON, |line| line["msg"] == "call not readable").await;
    let line = line.expect("a line");
    assert_eq!(line["reason"], "framing_illegal");
    let detail = line["detail"].as_str().expect("a detail");
    assert!(detail.starts_with("a TLS hello on a listener without TLS"), "{detail}");

    let mut other = RawConnection::open(world.gateway.address).await.unwrap();
    other.send("nonsense\r\n\r\n").await.unwrap();
    let fits =
        |line: &serde_json::Value| line["msg"] == "call not readable" && line["detail"].is_null();
    assert!(world.gateway.logs.wait_for(SOON, fits).await.is_some());
}

#[tokio::test]
async fn a_replaced_trace_id_is_found_by_the_callers_own_value() {
    let world = World::start().await;
    let alice = world.caller("alice");
    let long = format!("run-{}", "7".repeat(300));
    let clipped = format!("run-{}…", "7".repeat(124));
    for (sent, expected) in [("run-17/a", "run-17/a"), (&long, &clipped)] {
        let reply = alice.call(Method::GET, WHO_AM_I).header("x-traceid", sent).send().await;
        let id = reply.trace_id();
        let line = world.gateway.logs.of_call(&id, SOON).await.expect("a line");
        assert_eq!(line["traceid_replaced"], expected);
        let spans = world.collector.trace_of(&id, SOON).await.expect("a trace");
        let server = spans.iter().find(|span| span.kind == Kind::Server).expect("a SERVER span");
        assert_eq!(server.text("koodrive.traceid.replaced"), Some(expected));
    }
    let kept = alice.call(Method::GET, WHO_AM_I).send().await.trace_id();
    let line = world.gateway.logs.of_call(&kept, SOON).await.expect("a line");
    assert!(line["traceid_replaced"].is_null(), "{line}");
}
