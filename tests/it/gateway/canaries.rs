//! Secrets marked so that they would be recognised, and looked for in everything that comes out.

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::gateway::{SOON, WHO_AM_I, metric_becomes, preverify};
use crate::support::caller::Reply;
use crate::support::canary::Canaries;
use crate::support::faults::Behaviour;
use crate::support::raw::RawConnection;
use crate::support::recording::{Received, random_hex};
use crate::support::sso::SsoOptions;
use crate::support::world::World;

/// Status line, headers and body.
fn whole(reply: &Reply) -> String {
    format!("{:?}\n{}", reply.headers, reply.text())
}

#[tokio::test]
async fn no_secret_leaves_through_logs_metrics_spans_pages_or_rejections() {
    let mark = |of: &str| format!("{of}~canary+{}", random_hex(8));
    let (client_secret, name, cookie) =
        (mark("client"), mark("NAME").chars().take(20).collect::<String>(), mark("cookie"));
    let (query, value, claim) = (mark("query"), mark("value"), mark("claim"));
    let options = SsoOptions { client_secret: client_secret.clone(), ..SsoOptions::default() };
    let config = "[telemetry]\nlog_level = 'trace'\njaeger_ui = 'http://127.0.0.1:16686'\n\
        [forward]\npropagate = 'full'\nresponse_timeout = '300ms'\n[limit]\ncalls_burst = 12\n\
        calls_per_minute = 1\n[token]\ntimeout = '300ms'";
    let world = World::plan().sso(options).config(config).child().start().await;
    let token = |subject: &str| world.sso.mint(subject).claim("private", claim.as_str()).sign();
    let alice = world.caller_with(Some(token("subject-of-alice")));
    let expired =
        world.caller_with(Some(world.sso.mint("subject-of-alice").expires_in(-60).sign()));
    let encoded = utf8_percent_encode(&query, NON_ALPHANUMERIC).to_string();
    let target = format!("{WHO_AM_I}?token={encoded}");
    let user =
        format!(r#"{{"targetDeptName":"{name}","personalCapacity":1,"isAllocateCapacity":true}}"#);
    let good = format!(r#"{{"curDeptId":7171717171717171717,"users":[{user}]}}"#);
    let bad = format!(
        r#"{{"curDeptId":"{value}","users":[{{"targetDeptName":"{value}{value}","personalCapacity":"{value}","isAllocateCapacity":"{value}"}}],"{value}":"{value}","{value}":1}}"#
    );
    let with_cookie = |method, target: &str| {
        let value = format!("session={cookie}; Authorization={cookie}");
        alice.call(method, target).header("cookie", &value).header("x-session-id", &cookie)
    };

    let mut rejections = Vec::new();
    let mut passed = Vec::new();
    passed.push(preverify(&alice, &good).header("cookie", &cookie).send().await);
    passed.push(with_cookie(Method::GET, &target).send().await);
    world.koodrive.sessions.revoke_all();
    passed.push(with_cookie(Method::GET, &target).send().await);
    assert!(passed.iter().all(|reply| reply.status == 200), "{passed:?}");
    rejections.push(alice.preverify(bad.clone()).await);
    rejections.push(alice.preverify(bad.replace(',', " ,, ")).await);
    rejections.push(expired.call(Method::GET, &target).send().await);
    rejections.push(alice.get(&format!("/elsewhere?token={encoded}")).await);
    rejections.push(preverify(&alice, &good).header("content-type", "text/plain").send().await);
    rejections.push(preverify(&alice, &good).header("x-traceid", "short").send().await);
    world.koodrive.switch.next(1, Behaviour::close());
    rejections.push(preverify(&alice, &good).send().await);
    world.koodrive.switch.next(1, Behaviour::hang());
    rejections.push(preverify(&alice, &good).send().await);
    let answer = json!({ "access_token": { "inner": value }, "error_description": value });
    for (subject, behaviour) in [
        ("b", Behaviour::json(200, &answer)),
        (
            "c",
            Behaviour::json(400, &json!({ "error": "access_denied", "error_description": value })),
        ),
        ("d", Behaviour::answer(500, "text/html", value.clone())),
        ("e", Behaviour::hang()),
    ] {
        world.sso.token.next(1, behaviour);
        let caller = world.caller_with(Some(token(subject)));
        let mut reply = caller.get(&target).await;
        while reply.reason().as_deref() == Some("token_endpoint_unavailable") && subject == "e" {
            reply = caller.get(&target).await; // the endpoint is known to be down for a second
        }
        rejections.push(reply);
    }
    for _ in 0..12 {
        rejections.push(alice.preverify(bad.clone()).await);
    }
    assert!(rejections.iter().any(|reply| reply.status == 429));
    let mut raw = RawConnection::open(world.gateway.address).await.unwrap();
    raw.send(format!(
        "GET {target} HTTP/1.1\r\nhost: a\r\nhost: {value}\r\ncookie: {cookie}\r\n\r\n"
    ))
    .await
    .unwrap();
    let unclear = raw.answer().await.unwrap();
    let mut raw = RawConnection::open(world.gateway.address).await.unwrap();
    raw.send(format!(
        "{value} {query}\r\nauthorization: Bearer {}\r\n\r\n",
        alice.token().unwrap()
    ))
    .await
    .unwrap();
    let bare = raw.answer().await.unwrap();
    metric_becomes(&world, "koodrive_gateway_inflight_requests", 0.0).await;

    let canaries = Canaries::keeping();
    for (of, secret) in [
        ("the client secret", client_secret.as_str()),
        ("a cookie", &cookie),
        ("a query value", &query),
        ("a value of the batch", &value),
        ("a name of the batch", &name),
        ("a number of the batch", "7171717171717171717"),
        ("a private claim", &claim),
        ("the subject", "subject-of-alice"),
    ] {
        canaries.note(of, secret);
    }
    for caller in [&alice, &expired] {
        canaries.note_token("an SSO token", caller.token().unwrap());
    }
    let upstream = world.koodrive.received.all();
    let mut sent: Vec<_> =
        upstream.iter().map(|call| call.header("authorization").unwrap().to_owned()).collect();
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), 2, "the first token and the one after it");
    for sent in &sent {
        canaries.note("a KooDrive token", sent.strip_prefix("Bearer ").unwrap());
    }

    let spans = world.collector.trace_of(&rejections.last().unwrap().trace_id(), SOON).await;
    assert!(spans.is_some());
    let mut pages = String::new();
    for page in ["/", "/metrics", "/config", "/refusals", "/readyz", "/livez"] {
        let reply = world.admin().get(page).await;
        assert_eq!(reply.status, 200, "{page}");
        pages += &whole(&reply);
    }
    assert!(world.gateway.stop().await);
    let logs = world.gateway.logs.lines().join("\n");
    assert!(logs.contains("\"level\":\"trace\"") || logs.contains("\"level\":\"debug\""), "{logs}");
    let spans = format!("{:#?}", world.collector.spans());
    let exported: Vec<_> = world.collector.received.all();
    let told: String = rejections.iter().map(whole).collect();
    let raw = format!("{:?}{:?}", unclear.headers, bare.headers)
        + &String::from_utf8_lossy(&unclear.body)
        + &String::from_utf8_lossy(&bare.body);
    let net = canaries.net();
    for (text, place) in [
        (logs, "the logs"),
        (pages, "the admin pages"),
        (told, "the rejections"),
        (raw, "the bare refusals"),
        (spans, "the spans"),
    ] {
        net.find_none_in(text.as_bytes(), place);
    }
    for export in &exported {
        net.find_none_in(format!("{:?}", export.headers).as_bytes(), "the headers of an export");
        net.find_none_in(&export.body.prefix, "an export");
    }
    // Upstream: what is the caller's own is meant to be there, what is not his never.
    let whole = |call: &Received| {
        let body = String::from_utf8_lossy(&call.body.prefix);
        format!("{} {:?} {body}", call.target, call.headers)
    };
    let kept_from_koodrive = canaries.only(&[
        "the client secret",
        "a cookie",
        "an SSO token",
        "a private claim",
        "the subject",
    ]);
    let net = kept_from_koodrive.net();
    for call in &upstream {
        net.find_none_in(whole(call).as_bytes(), "what KooDrive got");
    }
    // And the token endpoint needs neither cookies, batches nor queries.
    let kept_from_sso = ["a cookie", "a query value", "a name of the batch", "a KooDrive token"];
    let net = canaries.only(&kept_from_sso).net();
    for call in world.sso.received.all() {
        net.find_none_in(whole(&call).as_bytes(), "what the SSO got");
    }
}
