//! Secrets marked so that they would be recognised, and looked for in everything that comes out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;
use serde_json::json;

use crate::gateway::SOON;
use crate::gateway::WHO_AM_I;
use crate::gateway::metric_becomes;
use crate::gateway::preverify;
use crate::support::caller::Reply;
use crate::support::faults::Behaviour;
use crate::support::raw::RawConnection;
use crate::support::recording::random_hex;
use crate::support::sso::SsoOptions;
use crate::support::world::World;

/// A marker nobody writes by chance, and what it is a marker of.
struct Canary {
    of: &'static str,
    /// What would be recognised: the secret itself and its disguises.
    needles: Vec<String>,
}

impl Canary {
    fn new(of: &'static str, secret: &str) -> Self {
        let mut needles =
            vec![secret.to_owned(), utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string()];
        needles.push(form_urlencoded::byte_serialize(secret.as_bytes()).collect());
        needles.push(serde_json::Value::from(secret).to_string().trim_matches('"').to_owned());
        // Inside other bytes base64 takes one of three shapes; only its middle is sure.
        for skipped in 0..3.min(secret.len()) {
            let whole = (secret.len() - skipped) / 3 * 3;
            let middle = &secret.as_bytes()[skipped..skipped + whole];
            needles.push(STANDARD_NO_PAD.encode(middle));
            needles.push(URL_SAFE_NO_PAD.encode(middle));
        }
        needles.sort();
        needles.dedup();
        assert!(needles.iter().all(|needle| 12 <= needle.len()), "{needles:?}");
        Self { of, needles }
    }

    fn is_not_in(&self, text: &str, place: &str) {
        for needle in &self.needles {
            assert!(!text.contains(needle.as_str()), "{} as {needle} in {place}:\n{text}", self.of);
        }
    }
}

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

    let mut canaries = vec![
        Canary::new("the client secret", &client_secret),
        Canary::new("a cookie", &cookie),
        Canary::new("a query value", &query),
        Canary::new("a value of the batch", &value),
        Canary::new("a name of the batch", &name),
        Canary::new("a number of the batch", "7171717171717171717"),
        Canary::new("a private claim", &claim),
        Canary::new("the subject", "subject-of-alice"),
    ];
    let sso_tokens = [alice.token(), expired.token()].map(|token| token.unwrap().to_owned());
    for token in &sso_tokens {
        for part in token.split('.').skip(1) {
            canaries.push(Canary::new("an SSO token", part));
        }
    }
    let upstream = world.koodrive.received.all();
    let mut sent: Vec<_> =
        upstream.iter().map(|call| call.header("authorization").unwrap().to_owned()).collect();
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), 2, "the first token and the one after it");
    for sent in &sent {
        canaries.push(Canary::new("a KooDrive token", sent.strip_prefix("Bearer ").unwrap()));
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
    for canary in &canaries {
        canary.is_not_in(&logs, "the logs");
        canary.is_not_in(&pages, "the admin pages");
        canary.is_not_in(&told, "the rejections");
        canary.is_not_in(&raw, "the bare refusals");
        canary.is_not_in(&spans, "the spans");
        for export in &exported {
            canary.is_not_in(&format!("{:?}", export.headers), "the headers of an export");
            canary.is_not_in(&String::from_utf8_lossy(&export.body.prefix), "an export");
        }
    }
    // Upstream: what is the caller's own is meant to be there, what is not his never.
    let at_koodrive = |canary: &Canary| {
        for call in &upstream {
            let body = String::from_utf8_lossy(&call.body.prefix);
            let seen = format!("{} {:?} {body}", call.target, call.headers);
            canary.is_not_in(&seen, "what KooDrive got");
        }
    };
    let kept_from_koodrive =
        ["the client secret", "a cookie", "an SSO token", "a private claim", "the subject"];
    canaries.iter().filter(|canary| kept_from_koodrive.contains(&canary.of)).for_each(at_koodrive);
    // And the token endpoint needs neither cookies, batches nor queries.
    let kept_from_sso = ["a cookie", "a query value", "a name of the batch", "a KooDrive token"];
    for canary in canaries.iter().filter(|canary| kept_from_sso.contains(&canary.of)) {
        for call in world.sso.received.all() {
            let body = String::from_utf8_lossy(&call.body.prefix);
            canary.is_not_in(&format!("{} {:?} {body}", call.target, call.headers), "the SSO");
        }
    }
}

#[test]
fn the_needles_are_found_where_they_are() {
    let secret = "a~canary+0123456789";
    let canary = Canary::new("a test", secret);
    let found = |text: &str| canary.needles.iter().any(|needle| text.contains(needle.as_str()));
    for before in ["", "x", "xy"] {
        assert!(found(&STANDARD_NO_PAD.encode(format!("{before}{secret}:z"))), "{before}");
        assert!(found(&URL_SAFE_NO_PAD.encode(format!("{before}{secret}?"))), "{before}");
    }
    assert!(found("q=a%7Ecanary%2B0123456789") && found("a~canary+0123456789"));
    assert!(!found("a~canary+012345678"));
}
