//! The span tree of a call, as the collector gets it, scenario by scenario.

use std::time::Duration;

use futures_util::future::join;
use http::Method;
use serde_json::json;

use crate::gateway::{SOON, WHO_AM_I, batch_of, metric_becomes, preverify, trace_of};
use crate::support::collector::{Kind, Span, Status};
use crate::support::faults::Behaviour;
use crate::support::koodrive::PREVERIFY;
use crate::support::world::{GOOD_BATCH, World};

const GOLDEN: &str = include_str!("spans.golden");
/// A legal X-Traceid that says nothing of a trace.
const KEPT: &str = "Tool_2026-11-24_batch-0000000000000000000000000000-run-017";

/// The trace of a call: one line a span, indented below its parent, siblings by their start.
struct Tree {
    spans: Vec<Span>,
}

impl Tree {
    async fn of(world: &World, x_traceid: &str, spans: usize) -> Self {
        world.collector.trace_of(x_traceid, SOON).await.expect("a SERVER span");
        // An exchange ends before its call, but is exported on its own.
        let all = world.collector.wait_for(SOON, |all| {
            let root = all.iter().find(|span| span.text("koodrive.traceid") == Some(x_traceid));
            let trace_id = root.map(|root| &root.trace_id);
            spans <= all.iter().filter(|span| Some(&span.trace_id) == trace_id).count()
        });
        let known = world.collector.spans();
        let all = all.await.unwrap_or_else(|| panic!("too few spans: {known:#?}"));
        let root = all.iter().find(|span| span.text("koodrive.traceid") == Some(x_traceid));
        let trace_id = root.expect("a SERVER span").trace_id.clone();
        let spans = all.into_iter().filter(|span| span.trace_id == trace_id).collect();
        Self { spans }
    }

    fn get(&self, name: &str) -> &Span {
        let mut found = self.spans.iter().filter(|span| span.name == name);
        let span = found.next().unwrap_or_else(|| panic!("no `{name}`: {}", self.drawn()));
        assert!(found.next().is_none(), "several `{name}`: {}", self.drawn());
        span
    }

    fn root(&self) -> &Span {
        let mut servers = self.spans.iter().filter(|span| span.kind == Kind::Server);
        servers.next().expect("a SERVER span")
    }

    fn drawn(&self) -> String {
        let ids: Vec<_> = self.spans.iter().map(|span| &span.span_id).collect();
        let mut roots: Vec<_> = self.spans.iter().collect();
        roots.retain(|span| span.parent.as_ref().is_none_or(|parent| !ids.contains(&parent)));
        let mut drawn = String::new();
        for root in roots {
            self.draw(root, 0, &mut drawn);
        }
        drawn
    }

    fn draw(&self, span: &Span, depth: usize, to: &mut String) {
        let kind = match span.kind {
            Kind::Server => " (server)",
            Kind::Client => " (client)",
            _ => "",
        };
        let failed = if span.status == Status::Error {
            format!(" ! {}", span.status_message).trim_end().to_owned()
        } else {
            String::new()
        };
        let indent = "  ".repeat(depth);
        let line = format!("{indent}{}{kind}{failed}\n", span.name);
        to.push_str(&line);
        let mut children: Vec<_> = self.spans.iter().collect();
        children.retain(|child| child.parent.as_deref() == Some(&span.span_id));
        children.sort_by_key(|child| child.started);
        for child in children {
            self.draw(child, depth + 1, to);
        }
    }
}

/// Compares the tree with the golden file, and checks what every SERVER span says.
async fn check(world: &World, x_traceid: &str, scenario: &str) -> Tree {
    let (status, expected) = golden(scenario);
    let tree = Tree::of(world, x_traceid, expected.lines().count()).await;
    assert_eq!(tree.drawn(), expected, "{scenario}");
    let root = tree.root();
    assert_eq!(root.text("koodrive.traceid"), Some(x_traceid));
    assert_eq!(root.attribute("http.response.status_code"), Some(&json!(status)));
    assert_eq!(root.text("url.scheme"), Some("http"));
    assert_eq!(root.text("network.protocol.version"), Some("1.1"));
    assert_eq!(root.text("client.address"), Some("127.0.0.1"));
    for span in &tree.spans {
        assert!(span.started <= span.ended, "{}", span.name);
        assert_eq!(span.resource.get("service.name"), Some(&json!("koodrive-gateway")));
    }
    tree
}

/// Status and tree of a scenario: `== status scenario`, then one line a span.
fn golden(scenario: &str) -> (u16, &'static str) {
    let mut sections = GOLDEN.split("== ").skip(1).filter_map(|section| {
        let (title, tree) = section.split_once('\n')?;
        let (status, named) = title.split_once(' ')?;
        (named == scenario).then(|| (status.parse().expect("a status"), tree))
    });
    sections.next().unwrap_or_else(|| panic!("spans.golden has no `{scenario}`"))
}

fn reason(span: &Span) -> Option<&str> {
    span.text("gateway.reason")
}

#[tokio::test]
async fn a_first_preverify_call_shows_all_stages_and_its_exchange() {
    let world = World::start().await;
    let reply = world.caller("alice").preverify(GOOD_BATCH).await;
    let tree = check(
        &world,
        &reply.trace_id(),
        "a first preverify call shows all stages and its exchange",
    )
    .await;
    let root = tree.root();
    assert_eq!((root.status, reason(root)), (Status::Unset, None));
    assert_eq!(root.parent, None);
    assert_eq!(root.text("gateway.call"), Some("preverify"));
    assert_eq!(root.text("http.request.method"), Some("POST"));
    assert_eq!(root.text("http.route"), Some(PREVERIFY));
    assert_eq!(root.text("url.path"), Some(PREVERIFY));
    assert_eq!(root.attribute("gateway.batch_users"), Some(&json!(2)));
    assert_eq!(tree.get("accept").attribute("gateway.verdict_cached"), Some(&json!(false)));
    assert_eq!(tree.get("limit").text("gateway.limit.calls"), Some("allowed"));
    assert_eq!(tree.get("limit").text("gateway.limit.users"), Some("allowed"));
    assert_eq!(tree.get("token").text("gateway.token_source"), Some("exchanged"));
    assert_eq!(tree.get("token.exchange").text("gateway.outcome"), Some("issued"));
    assert_eq!(
        tree.get("token.exchange").attribute("http.response.status_code"),
        Some(&json!(200))
    );
    let attempt = tree.get("forward.attempt");
    assert_eq!(attempt.attribute("http.response.status_code"), Some(&json!(200)));
    assert_eq!(attempt.text("server.address"), Some("127.0.0.1"));
    assert_eq!(attempt.text("url.full"), Some(&*format!("{}{PREVERIFY}", world.koodrive.url())));
}

#[tokio::test]
async fn a_passthrough_call_with_a_cached_token_skips_limit_and_validate() {
    let world = World::start().await;
    let alice = world.caller("alice");
    alice.get(WHO_AM_I).await;
    let reply = alice.get(&format!("{WHO_AM_I}?secret=query")).await;
    let tree = check(
        &world,
        &reply.trace_id(),
        "a passthrough call with a cached token skips limit and validate",
    )
    .await;
    assert_eq!(tree.root().text("gateway.call"), Some("other"));
    assert_eq!(tree.root().text("http.route"), Some("/koodrive/*"));
    assert_eq!(tree.root().text("url.path"), Some(WHO_AM_I));
    assert_eq!(tree.get("token").text("gateway.token_source"), Some("cached"));
    assert_eq!(tree.get("accept").attribute("gateway.verdict_cached"), Some(&json!(true)));
    assert!(!format!("{:?}", tree.spans).contains("secret=query"), "no query in a span");
}

#[tokio::test]
async fn a_401_ends_at_accept() {
    let world = World::start().await;
    let expired = world.caller_with(Some(world.sso.mint("alice").expires_in(-60).sign()));
    let reply = expired.preverify(GOOD_BATCH).await;
    let tree = check(&world, &reply.trace_id(), "a 401 ends at accept").await;
    let root = tree.root();
    assert_eq!((root.status, reason(root)), (Status::Unset, Some("token_expired")));
    assert_eq!(root.text("gateway.origin"), Some("caller"));
    assert_eq!(root.text("gateway.stage"), Some("accept"));
    assert_eq!(reason(tree.get("accept")), Some("token_expired"));
}

#[tokio::test]
async fn a_429_ends_at_limit_before_or_after_the_batch_is_known() {
    let config = "[limit]\ncalls_per_minute = 1\ncalls_burst = 2\n\
        users_per_minute = 1\nusers_burst = 1000";
    let world = World::plan().config(config).start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.preverify(batch_of(900)).await.status, 200);
    let users = alice.preverify(batch_of(900)).await;
    let tree =
        check(&world, &users.trace_id(), "a 429 ends at limit before or after the batch is known")
            .await;
    assert_eq!(tree.get("limit").text("gateway.limit.users"), Some("refused"));
    assert_eq!(tree.root().attribute("gateway.batch_users"), Some(&json!(900)));
    let calls = alice.preverify(batch_of(1)).await;
    let tree = check(
        &world,
        &calls.trace_id(),
        "a 429 ends at limit before or after the batch is known (2)",
    )
    .await;
    assert_eq!(reason(tree.root()), Some("limit_calls"));
    assert_eq!(tree.get("limit").text("gateway.limit.calls"), Some("refused"));
    assert_eq!(tree.get("limit").text("gateway.limit.total"), None, "it was not asked");
}

#[tokio::test]
async fn a_400_ends_at_validate() {
    let world = World::start().await;
    let reply = world.caller("alice").preverify("{\"curDeptId\":\"canary\"}").await;
    let tree = check(&world, &reply.trace_id(), "a 400 ends at validate").await;
    assert_eq!(reason(tree.root()), Some("batch_malformed"));
    assert_eq!(tree.root().text("gateway.stage"), Some("validate"));
    assert!(!format!("{:?}", tree.spans).contains("canary"), "no value of the batch in a span");
}

#[tokio::test]
async fn calls_refused_before_the_stages_have_no_stage() {
    let world = World::start().await;
    let alice = world.caller("alice");
    let unknown = alice.get("/elsewhere").await;
    let tree =
        check(&world, &unknown.trace_id(), "calls refused before the stages have no stage").await;
    assert_eq!(tree.root().text("gateway.call"), Some("none"));
    assert_eq!(reason(tree.root()), Some("route_unknown"));
    let purge = Method::from_bytes(b"PURGE").unwrap();
    let reply = alice.call(purge, WHO_AM_I).send().await;
    let tree =
        check(&world, &reply.trace_id(), "calls refused before the stages have no stage (2)").await;
    assert_eq!(tree.root().text("http.request.method"), Some("_OTHER"));
    assert_eq!(tree.root().text("http.request.method_original"), Some("PURGE"));
}

#[tokio::test]
async fn a_403_shows_the_exchange_that_was_denied() {
    let world = World::start().await;
    world.sso.deny("alice");
    let reply = world.caller("alice").get(WHO_AM_I).await;
    let tree = check(&world, &reply.trace_id(), "a 403 shows the exchange that was denied").await;
    assert_eq!(tree.root().status, Status::Unset, "not our fault");
    assert_eq!(tree.root().text("gateway.origin"), Some("token_endpoint"));
    assert_eq!(tree.get("token").text("gateway.token_source"), Some("denied"));
    let exchange = tree.get("token.exchange");
    assert_eq!(exchange.attribute("http.response.status_code"), Some(&json!(400)));
}

#[tokio::test]
async fn a_502_shows_whether_koodrive_could_not_be_reached_or_broke_off() {
    let world = World::start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
    world.koodrive.switch.next(1, Behaviour::close());
    let broken = alice.preverify(GOOD_BATCH).await;
    let tree = check(
        &world,
        &broken.trace_id(),
        "a 502 shows whether koodrive could not be reached or broke off",
    )
    .await;
    assert_eq!(tree.root().text("error.type"), Some("upstream_broken"));
    assert_eq!(tree.root().text("gateway.origin"), Some("upstream"));
    world.koodrive.server.down().await;
    let unreachable = alice.preverify(GOOD_BATCH).await;
    let tree = check(
        &world,
        &unreachable.trace_id(),
        "a 502 shows whether koodrive could not be reached or broke off (2)",
    )
    .await;
    assert_eq!(tree.get("forward.attempt").text("error.type"), Some("unreachable"));
    let why = tree.get("forward").text("gateway.detail");
    assert!(why.is_some_and(|why| why.contains("Connection refused")), "{why:?}");
    assert_eq!(why, tree.root().text("gateway.detail"), "the same where it happened");
}

#[tokio::test]
async fn a_503_shows_the_exchange_that_failed() {
    let world = World::start().await;
    world.sso.token.set(Behaviour::status(500));
    let reply = world.caller("alice").preverify(GOOD_BATCH).await;
    let tree = check(&world, &reply.trace_id(), "a 503 shows the exchange that failed").await;
    assert_eq!(tree.root().text("gateway.origin"), Some("token_endpoint"));
}

#[tokio::test]
async fn a_504_shows_who_was_waited_for() {
    let config = "[forward]\nresponse_timeout = '200ms'\n[token]\ntimeout = '200ms'";
    let world = World::plan().config(config).start().await;
    world.koodrive.switch.set(Behaviour::hang());
    let reply = world.caller("alice").get(WHO_AM_I).await;
    let tree = check(&world, &reply.trace_id(), "a 504 shows who was waited for").await;
    let waited = tree.get("forward.attempt").duration();
    assert!(Duration::from_millis(190) <= waited, "{waited:?}");
    assert!(waited <= tree.get("forward").duration() + Duration::from_millis(50));
    world.sso.token.set(Behaviour::hang());
    let reply = world.caller("bob").get(WHO_AM_I).await;
    check(&world, &reply.trace_id(), "a 504 shows who was waited for (2)").await;
}

#[tokio::test]
async fn a_replay_after_a_refused_token_is_a_second_attempt() {
    let world = World::start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
    world.koodrive.sessions.revoke_all();
    let reply = alice.preverify(GOOD_BATCH).await;
    assert_eq!(reply.status, 200);
    let tree =
        check(&world, &reply.trace_id(), "a replay after a refused token is a second attempt")
            .await;
    assert_eq!(tree.get("token").text("gateway.token_source"), Some("refreshed"));
    let mut attempts: Vec<_> = tree.spans.iter().collect();
    attempts.retain(|span| span.name == "forward.attempt");
    attempts.sort_by_key(|span| span.started);
    let told = attempts.iter().map(|span| {
        let replay = span.attribute("gateway.replay").cloned();
        (span.attribute("http.response.status_code").cloned(), replay)
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told, [(Some(json!(401)), None), (Some(json!(200)), Some(json!(true)))]);
    assert_eq!(attempts[1].attribute("http.request.resend_count"), Some(&json!(1)));
}

#[tokio::test]
async fn a_joined_waiter_links_to_the_leaders_exchange() {
    let world = World::start().await;
    let alice = world.caller("alice");
    world.sso.token.gate.close();
    let second = async {
        assert!(world.sso.token.gate.wait_for(1, SOON).await);
        let waiter = alice.get(WHO_AM_I);
        let open = async {
            metric_becomes(&world, "koodrive_gateway_inflight_requests", 2.0).await;
            world.sso.token.gate.open();
        };
        join(waiter, open).await.0
    };
    let (leader, waiter) = join(alice.get(WHO_AM_I), second).await;
    let led =
        check(&world, &leader.trace_id(), "a joined waiter links to the leaders exchange").await;
    let joined =
        check(&world, &waiter.trace_id(), "a joined waiter links to the leaders exchange (2)")
            .await;
    assert_eq!(joined.get("token").text("gateway.token_source"), Some("joined"));
    let links = &joined.get("token").links;
    let exchange = led.get("token.exchange");
    assert_eq!(links.len(), 1);
    assert_eq!((&links[0].trace_id, &links[0].span_id), (&exchange.trace_id, &exchange.span_id));
    assert_eq!(led.get("token").links, []);
}

#[tokio::test]
async fn what_is_not_sampled_is_not_exported_but_still_logged() {
    let world = World::plan().config("[telemetry]\nsample_ratio = 0.0").start().await;
    let alice = world.caller("alice");
    let unsampled = alice.get(WHO_AM_I).await;
    let line = world.gateway.logs.of_call(&unsampled.trace_id(), SOON).await.expect("a line");
    assert_eq!(line["trace_id"], trace_of(&unsampled.trace_id()));
    let sent = world.koodrive.received.all()[0].header("traceparent").unwrap().to_owned();
    assert!(sent.ends_with("-00"), "{sent}");
    // A caller who samples is trusted, so that this later trace is the first the collector gets.
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let call = alice.call(Method::GET, WHO_AM_I).header("traceparent", parent);
    let sampled = call.send().await;
    world.collector.trace_of(&sampled.trace_id(), SOON).await.expect("a trace");
    let of_unsampled = trace_of(&unsampled.trace_id()).to_owned();
    assert!(world.collector.spans().iter().all(|span| span.trace_id != of_unsampled));

    let config = "[telemetry]\ntrust_caller_sampling = false";
    let world = World::plan().config(config).start().await;
    let unasked = parent.replace("-01", "-00");
    let call = world.caller("alice").call(Method::GET, WHO_AM_I).header("traceparent", &unasked);
    let sampled = call.send().await;
    world.collector.trace_of(&sampled.trace_id(), SOON).await.expect("a trace all the same");
}

#[tokio::test]
async fn a_kept_x_traceid_is_an_attribute_of_its_trace() {
    let world = World::start().await;
    let alice = world.caller("alice");
    let reply = preverify(&alice, "{}").header("x-traceid", KEPT).send().await;
    assert_eq!(reply.json()["traceId"], KEPT);
    let tree = check(&world, KEPT, "a kept x traceid is an attribute of its trace").await;
    assert_ne!(tree.root().trace_id, trace_of(KEPT));
}

#[tokio::test]
async fn a_traceparent_makes_the_server_span_a_child() {
    let world = World::start().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let call = world.caller("alice").call(Method::GET, WHO_AM_I).header("traceparent", parent);
    let reply = call.send().await;
    let tree =
        check(&world, &reply.trace_id(), "a traceparent makes the server span a child").await;
    assert_eq!(tree.root().trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(tree.root().parent.as_deref(), Some("00f067aa0ba902b7"));
}

#[tokio::test]
async fn key_fetches_are_spans_of_their_own() {
    let world = World::start().await;
    let found = world.collector.wait_for(SOON, |spans| {
        spans.iter().any(|span| span.name == "jwks.fetch" && span.status == Status::Unset)
    });
    let spans = found.await.expect("the first fetch");
    let fetch = spans.iter().find(|span| span.name == "jwks.fetch").expect("just seen");
    assert_eq!((fetch.kind, &fetch.parent), (Kind::Client, &None));
    assert_eq!(fetch.text("gateway.issuer"), Some(&*world.sso.issuer()));
    assert_eq!(fetch.text("gateway.outcome"), Some("fetched"));
    assert_eq!(fetch.text("gateway.cause"), Some("schedule"));
    assert_eq!(fetch.attribute("gateway.keys_skipped"), Some(&json!(0)));
    world.sso.server.down().await;
    world.gateway.reload().await;
    let failed = |span: &Span| span.name == "jwks.fetch" && span.status != Status::Unset;
    let found = world.collector.wait_for(SOON, |spans| spans.iter().any(failed));
    let spans = found.await.expect("the fetch that failed");
    let why = spans.iter().find(|span| failed(span)).expect("just seen").text("gateway.detail");
    assert!(why.is_some_and(|why| why.contains("Connection refused")), "{why:?}");
}

#[tokio::test]
async fn a_whole_import_can_be_followed_by_the_names_of_its_calls() {
    let world = World::start().await;
    let alice = world.caller("alice");
    let create = "/koodrive/ose/v1/task/create";
    let import = json!({"taskType": 1, "resultId": "r", "orgId": "o", "orgUserId": "u"});
    let result = "/koodrive/ose/v1/task/result";
    let calls = [
        (alice.call(Method::POST, PREVERIFY).json(GOOD_BATCH), "preverify", "POST", PREVERIFY),
        (alice.call(Method::POST, create).json(import.to_string()), "task_create", "POST", create),
        (alice.call(Method::GET, &format!("{result}?taskId=7")), "task_result", "GET", result),
    ];
    for (call, name, method, route) in calls {
        let reply = call.send().await;
        assert_eq!(reply.reason(), None, "KooDrive's own: {}", reply.text());
        let span = world.collector.trace_of(&reply.trace_id(), SOON).await.expect("a trace");
        let root = span.iter().find(|span| span.kind == Kind::Server).expect("a SERVER span");
        assert_eq!(root.name, format!("{method} {route}"));
        assert_eq!(root.text("http.route"), Some(route));
        assert_eq!(root.text("gateway.call"), Some(name));
        let line = world.gateway.logs.of_call(&reply.trace_id(), SOON).await.expect("a line");
        assert_eq!(line["call"], name);
        let status = reply.status;
        let series = format!(
            "koodrive_gateway_requests_total{{call=\"{name}\",status=\"{status}\",origin=\"none\"}}"
        );
        metric_becomes(&world, &series, 1.0).await;
    }
}
