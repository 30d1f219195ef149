//! The pages of the second listener.

use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use http::header::ACCEPT;
use http::{HeaderMap, Method, Response, StatusCode};
use koodrive_gateway::admin::{Bound, Keys, Overview, Pages};
use koodrive_gateway::body::{OutboundBody, read_whole};
use koodrive_gateway::lifecycle::Readiness;
use koodrive_gateway::rejection::Reason;
use koodrive_gateway::telemetry::{
    Neighbour, NeighbourKind, NeighbourState, Refusal, RefusalGroup, Traffic,
};
use serde_json::{Value, json};

use crate::support::raw::RawConnection;
use crate::support::world::World;

const EVIL: &str = "<script>alert('\"&')</script>";

fn pages(readiness: &Readiness) -> Pages {
    let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let refusal = Arc::new(Refusal {
        time: now,
        x_trace_id: "x".repeat(58),
        trace: "0123456789abcdef0123456789abcdef".to_owned(),
        caller: None,
        reason: Reason::TokenKeyUnknown,
        method: Method::from_bytes(b"GET").unwrap(),
        path: EVIL.to_owned(),
        detail: EVIL.to_owned(),
    });
    let group =
        RefusalGroup { count: 3, first: now - Duration::from_secs(70), last: Arc::clone(&refusal) };
    let neighbour = Neighbour {
        kind: NeighbourKind::Sso,
        issuer: Some(EVIL.into()),
        address: Some("https://sso.example".into()),
        state: NeighbourState::Failing,
        since: Some(now - Duration::from_secs(192)),
        cause: Some(EVIL.to_owned()),
        last_good: None,
        p50: Some(Duration::from_millis(2)),
        p95: Some(Duration::from_millis(1300)),
    };
    let keys = Keys { issuer: EVIL.to_owned(), age: Some(Duration::from_mins(1)), usable: true };
    let overview = Overview {
        now,
        version: "0.1.0 (0123456789ab)".to_owned(),
        host: EVIL.to_owned(),
        uptime: Duration::from_secs(90_061),
        neighbours: vec![neighbour],
        keys: vec![keys],
        traffic: Traffic::default(),
        refusals: vec![group],
        bounds: vec![Bound { of: "calls", key: "listen.x", taken: 9, most: 10, bytes: false }],
        apig: Vec::new(),
    };
    Pages {
        readiness: readiness.clone(),
        notes: Box::new(|| vec![EVIL.to_owned()]),
        metrics: Box::new(|| "# EOF\n".to_owned()),
        config: Box::new(|| "[listen]\n".to_owned()),
        refusals: Box::new(move || vec![Arc::clone(&refusal)]),
        calls: Box::new(|| None),
        overview: Box::new(move || overview.clone()),
        forget: Box::new(|_| Box::pin(async { None })),
        jaeger_ui: Some("http://127.0.0.1:16686/".to_owned()),
    }
}

/// GET, as who accepts that.
fn ask(pages: &Pages, path: &str, accept: &str) -> Response<OutboundBody> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, accept.parse().unwrap());
    pages.answer(&Method::GET, path, &headers)
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
        ("/page.css", 200, "text/css; charset=utf-8"),
        ("/page.js", 200, "text/javascript; charset=utf-8"),
        ("/icon.svg", 200, "image/svg+xml"),
        ("/nothing", 404, "text/plain; charset=utf-8"),
        ("/livez/", 404, "text/plain; charset=utf-8"),
    ] {
        let response = ask(&pages, path, "");
        assert_eq!(response.status(), status, "{path}");
        let headers = response.headers();
        assert_eq!(headers["content-type"], content_type, "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self'; "));
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}

#[tokio::test]
async fn only_reading_is_allowed_and_nothing_is_reflected() {
    let pages = pages(&Readiness::default());
    assert_eq!(pages.answer(&Method::HEAD, "/livez", &HeaderMap::new()).status(), StatusCode::OK);
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE] {
        let response = pages.answer(&method, "/", &HeaderMap::new());
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()["allow"], "GET, HEAD");
    }
    assert!(!body(ask(&pages, "/canary", "")).await.contains("canary"));
}

#[tokio::test]
async fn readiness_gives_its_reasons() {
    let readiness = Readiness::default();
    let missing = Arc::new(Mutex::new(vec!["keys:https://sso.example".to_owned()]));
    let watched = Arc::clone(&missing);
    readiness.watch(move || watched.lock().unwrap().clone());
    let pages = pages(&readiness);
    let response = ask(&pages, "/readyz", "");
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let answer: Value = serde_json::from_str(&body(response).await).unwrap();
    let reasons = json!(["keys:https://sso.example"]);
    assert_eq!((&answer["ready"], &answer["reasons"]), (&json!(false), &reasons));
    missing.lock().unwrap().clear();
    let response = ask(&pages, "/readyz", "");
    assert_eq!(response.status(), StatusCode::OK);
    let answer: Value = serde_json::from_str(&body(response).await).unwrap();
    assert_eq!((&answer["ready"], &answer["reasons"]), (&json!(true), &json!([])));
    assert_eq!(answer["notes"], json!([EVIL]), "a refused reload shows, and does not unready");
    readiness.drain();
    assert_eq!(ask(&pages, "/readyz", "").status(), 503);
    assert_eq!(ask(&pages, "/livez", "").status(), 200);
}

#[tokio::test]
async fn refusals_are_a_json_array() {
    let pages = pages(&Readiness::default());
    let text = body(ask(&pages, "/refusals", "")).await;
    let expected = json!([{
        "time": "2023-11-14T22:13:20.123Z",
        "traceid": "x".repeat(58),
        "trace_id": "0123456789abcdef0123456789abcdef",
        "caller": null,
        "method": "GET",
        "path": EVIL,
        "status": 401,
        "reason": "token_key_unknown",
        "detail": EVIL,
    }]);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
}

#[tokio::test]
async fn browsers_show_what_they_would_only_save() {
    let pages = pages(&Readiness::default());
    let of = |path, accept| ask(&pages, path, accept).headers()["content-type"].clone();
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for path in ["/metrics", "/config"] {
        assert_eq!(of(path, browser), "text/plain; charset=utf-8", "{path}");
        assert_ne!(of(path, "application/openmetrics-text,*/*"), "text/plain; charset=utf-8");
    }
    assert_eq!(of("/", browser), "text/html; charset=utf-8");
    assert_eq!(of("/", "text/plain"), "text/plain; charset=utf-8");
    assert_eq!(of("/refusals", browser), "application/json", "they show that");
}

#[tokio::test]
async fn the_page_escapes_all_it_shows_and_links_into_jaeger() {
    let pages = pages(&Readiness::default());
    let html = body(ask(&pages, "/", "")).await;
    assert_eq!(html.matches("<script").count(), 1, "its own file: {html}");
    let escaped = "&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt;";
    let shown = "host, note, failing name and cause, row of name and cause, path, detail";
    assert_eq!(html.matches(escaped).count(), 8, "{shown}: {html}");
    let link = format!(
        "<a href=\"http://127.0.0.1:16686/trace/0123456789abcdef0123456789abcdef\">{}</a>",
        "x".repeat(58)
    );
    assert!(html.contains(&link), "{html}");
    assert!(!html.contains("style="), "the policy allows no style within the page");
}

#[tokio::test]
async fn page_and_text_tell_the_same_and_first_what_is_wrong() {
    let pages = pages(&Readiness::default());
    let html = body(ask(&pages, "/", "text/html")).await;
    let text = ask(&pages, "/", "text/plain");
    assert_eq!(text.status(), 503, "a neighbour fails");
    let text = body(text).await;
    for told in [
        "0.1.0 (0123456789ab)",
        "2023-11-14T22:13:20",
        "1d 1h",
        "fails for 3m 12s",
        "keys 1m 0s old",
        "2.0 ms",
        "1.3 s",
        "9 of 10",
        "listen.x",
        "401 token_key_unknown",
        "The SSO does not publish the key the token names: get a new token",
        "1m 10s ago",
        "answered",
        "KooDrive 5xx",
    ] {
        assert!(html.contains(told), "{told}: {html}");
        assert!(text.contains(told), "{told}: {text}");
    }
    for page in [&html, &text] {
        let place = |word| page.find(word).unwrap_or_else(|| panic!("{word}: {page}"));
        assert!(place("fails for") < place("listen.x"), "{page}");
        assert!(place("fails for") < place("KooDrive 5xx"), "{page}");
    }
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
