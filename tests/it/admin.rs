//! The pages of the second listener.

use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use http::{Method, Response, StatusCode};
use koodrive_gateway::admin::{IssuerRow, Overview, Pages};
use koodrive_gateway::body::{OutboundBody, read_whole};
use koodrive_gateway::clock::Clock;
use koodrive_gateway::lifecycle::Readiness;
use koodrive_gateway::telemetry::{Neighbour, NeighbourKind, NeighbourState, Refusal};
use serde_json::{Value, json};

use crate::support::raw::RawConnection;
use crate::support::world::World;

const EVIL: &str = "<script>alert('\"&')</script>";

fn pages(readiness: &Readiness) -> Pages {
    let row = Refusal {
        time: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        x_trace_id: "x".repeat(58),
        trace: "0123456789abcdef0123456789abcdef".to_owned(),
        caller: None,
        reason: "token_key_unknown",
        status: 401,
        detail: EVIL.to_owned(),
    };
    let overview = Overview {
        version: "0.1.0".to_owned(),
        uptime: Duration::from_secs(90_061),
        issuers: vec![IssuerRow { issuer: EVIL.to_owned(), age: None, usable: false }],
        neighbours: vec![Neighbour {
            kind: NeighbourKind::Sso,
            issuer: Some(EVIL.into()),
            address: Some(EVIL.into()),
            state: NeighbourState::Failing,
            since: Some(UNIX_EPOCH),
            cause: Some(EVIL.to_owned()),
            last_good: None,
            p50: None,
            p95: None,
        }],
        tables: vec![("Tokens".to_owned(), vec![(EVIL.to_owned(), EVIL.to_owned())])],
    };
    Pages {
        clock: Clock::system(),
        readiness: readiness.clone(),
        notes: Box::new(|| vec![EVIL.to_owned()]),
        metrics: Box::new(|| "# EOF\n".to_owned()),
        config: Box::new(|| "[listen]\n".to_owned()),
        refusals: Box::new(move || vec![row.clone()]),
        calls: Box::new(|| None),
        overview: Box::new(move || overview.clone()),
        forget: Box::new(|_| Box::pin(async { None })),
        jaeger_ui: Some("http://127.0.0.1:16686/".to_owned()),
    }
}

async fn body(response: Response<OutboundBody>) -> String {
    let bytes = read_whole(response.into_body(), 1 << 20).await.expect("a body in memory");
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[tokio::test]
async fn each_page_has_its_type_and_is_not_kept() {
    let pages = pages(&Readiness::default());
    for (path, status, content_type) in [
        ("/livez", 200, "text/plain; charset=utf-8"),
        ("/readyz", 200, "application/json"),
        ("/metrics", 200, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("/config", 200, "application/toml; charset=utf-8"),
        ("/refusals", 200, "application/json"),
        ("/", 200, "text/html; charset=utf-8"),
        ("/nothing", 404, "text/plain; charset=utf-8"),
        ("/livez/", 404, "text/plain; charset=utf-8"),
    ] {
        let response = pages.answer(&Method::GET, path);
        assert_eq!(response.status(), status, "{path}");
        let headers = response.headers();
        assert_eq!(headers["content-type"], content_type, "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'unsafe-inline'"), "{path}");
    }
}

#[tokio::test]
async fn only_reading_is_allowed_and_nothing_is_reflected() {
    let pages = pages(&Readiness::default());
    assert_eq!(pages.answer(&Method::HEAD, "/livez").status(), StatusCode::OK);
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE] {
        let response = pages.answer(&method, "/");
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()["allow"], "GET, HEAD");
    }
    assert!(!body(pages.answer(&Method::GET, "/canary")).await.contains("canary"));
}

#[tokio::test]
async fn readiness_gives_its_reasons() {
    let readiness = Readiness::default();
    let missing = Arc::new(Mutex::new(vec!["keys:https://sso.example".to_owned()]));
    let watched = Arc::clone(&missing);
    readiness.watch(move || watched.lock().unwrap().clone());
    let pages = pages(&readiness);
    let response = pages.answer(&Method::GET, "/readyz");
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let answer: Value = serde_json::from_str(&body(response).await).unwrap();
    let reasons = json!(["keys:https://sso.example"]);
    assert_eq!((&answer["ready"], &answer["reasons"]), (&json!(false), &reasons));
    missing.lock().unwrap().clear();
    let response = pages.answer(&Method::GET, "/readyz");
    assert_eq!(response.status(), StatusCode::OK);
    let answer: Value = serde_json::from_str(&body(response).await).unwrap();
    assert_eq!((&answer["ready"], &answer["reasons"]), (&json!(true), &json!([])));
    assert_eq!(answer["notes"], json!([EVIL]), "a refused reload shows, and does not unready");
    readiness.drain();
    assert_eq!(pages.answer(&Method::GET, "/readyz").status(), 503);
    assert_eq!(pages.answer(&Method::GET, "/livez").status(), 200);
}

#[tokio::test]
async fn refusals_are_a_json_array() {
    let pages = pages(&Readiness::default());
    let text = body(pages.answer(&Method::GET, "/refusals")).await;
    let expected = json!([{
        "time": "2023-11-14T22:13:20.123Z",
        "trace_id": "x".repeat(58),
        "caller": null,
        "reason": "token_key_unknown",
        "status": 401,
        "detail": EVIL,
    }]);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
}

#[tokio::test]
async fn the_page_escapes_all_it_shows_and_links_into_jaeger() {
    let pages = pages(&Readiness::default());
    let html = body(pages.answer(&Method::GET, "/")).await;
    assert!(!html.contains("<script"), "{html}");
    let escaped = "&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt;";
    assert_eq!(html.matches(escaped).count(), 5, "note, issuer, name, value, detail");
    let link = format!(
        "<a href=\"http://127.0.0.1:16686/trace/0123456789abcdef0123456789abcdef\">{}</a>",
        "x".repeat(58)
    );
    assert!(html.contains(&link), "{html}");
    assert!(html.contains("name=viewport") && html.contains("up 1d 1h"));
}

#[tokio::test]
async fn visitors_who_do_not_read_keep_no_probe_out() {
    let world = World::start().await;
    let mut visitors = Vec::new();
    for _ in 0..64 {
        let mut visitor = RawConnection::open(world.gateway.admin).await.unwrap();
        visitor.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200)).await.unwrap();
        visitors.push(visitor);
    }
    for _ in 0..100 {
        let reply = world.admin().call(Method::GET, "/livez").header("connection", "close");
        assert_eq!(reply.send().await.status, 200);
    }
    drop(visitors);
}

#[tokio::test]
async fn the_listener_answers_under_its_own_names_only() {
    let world = World::plan().config("[admin]\nhosts = ['gateway.tools']").start().await;
    for (host, status) in [
        ("127.0.0.1:9901", 200),
        ("localhost", 200),
        ("gateway.tools:9901", 200),
        ("evil.example:9901", 421),
    ] {
        let mut visitor = RawConnection::open(world.gateway.admin).await.unwrap();
        let request = format!("GET /config HTTP/1.1\r\nHost: {host}\r\n\r\n");
        visitor.send(request).await.unwrap();
        let answer = visitor.answer().await.unwrap();
        assert_eq!(answer.status, status, "{host}");
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(text.starts_with("421001 host_unknown"), status == 421, "{text}");
    }
}
