//! Rules through the whole gateway: what a caller reads, what an operator sees.

use http::Method;

use crate::gateway::{SOON, preverify};
use crate::support::world::{GOOD_BATCH, World};

const RULES: &str = r#"
    [[authorize.rules]]
    name = "nobody deletes users"
    methods = ["DELETE"]
    paths = ["/koodrive/ose/v1/users/**"]
    deny = true

    [[authorize.rules]]
    methods = ["POST"]
    paths = ["/koodrive/ose/v1/users/batchimport/**"]
    claims = { department = "hr" }
"#;

const USER: &str = "/koodrive/ose/v1/users/7";

#[tokio::test]
async fn a_denied_call_is_told_why_and_costs_nothing() {
    let world = World::plan().config(&format!("[authorize]\n{RULES}")).start().await;
    let alice = world.caller("alice");
    let reply = alice.call(Method::DELETE, USER).send().await;
    assert_eq!((reply.status, reply.reason().as_deref()), (403, Some("call_denied")));
    let body = reply.json();
    assert_eq!((&body["code"], &body["origin"]), (&403_002.into(), &"caller".into()));
    assert_eq!(body["msg"], "you are signed in, but may not make this call");

    let reply = preverify(&alice, GOOD_BATCH).send().await;
    assert_eq!((reply.status, reply.reason().as_deref()), (403, Some("call_denied")));
    let told = "it requires more of your SSO token's department";
    assert!(reply.text().contains(told), "{}", reply.text());
    assert!(!reply.text().contains("hr"), "who else may is not said: {}", reply.text());
    let line = world.gateway.logs.of_call(&reply.trace_id(), SOON).await.unwrap();
    assert!(line["authorize_ms"].is_number() && line["limit_ms"].is_null(), "{line}");

    // What servers read in more than one way goes nowhere.
    let odd = alice.call(Method::DELETE, "/koodrive/ose/v1/users;x/7").send().await;
    assert_eq!((odd.status, odd.reason().as_deref()), (404, Some("route_unknown")));
    assert_eq!(world.koodrive.received.total(), 0);
    assert_eq!(world.sso.token.calls(), 0);
    assert_eq!(alice.call(Method::GET, USER).send().await.status, 200);

    let page = world.admin().get("/metrics").await.text();
    let series = "koodrive_gateway_authorize_decisions_total\
                  {rule=\"nobody deletes users\",verdict=\"denied\"} 1";
    assert!(page.contains(series), "{page}");
}

#[tokio::test]
async fn what_rules_say_is_counted_from_0_on() {
    for (mode, no) in [("enforce", "denied"), ("observe", "observed")] {
        let rules = format!("[authorize]\nmode = \"{mode}\"\n{RULES}");
        let page = World::plan().config(&rules).start().await.admin().get("/metrics").await.text();
        for rule in ["nobody deletes users", "2", "otherwise"] {
            for verdict in ["allowed", no] {
                let labels = format!("{{rule=\"{rule}\",verdict=\"{verdict}\"}}");
                let series = format!("koodrive_gateway_authorize_decisions_total{labels} 0");
                assert!(page.contains(&series), "{series}\n{page}");
            }
        }
    }
}

#[tokio::test]
async fn observing_denies_nothing() {
    let rules = format!("[authorize]\nmode = \"observe\"\n{RULES}");
    let world = World::plan().config(&rules).start().await;
    let alice = world.caller("alice");
    assert_eq!(preverify(&alice, GOOD_BATCH).send().await.status, 200);
    let series = "koodrive_gateway_observed_total{reason=\"call_denied\"}";
    crate::gateway::metric_becomes(&world, series, 1.0).await;
    let page = world.admin().get("/metrics").await.text();
    let series = "koodrive_gateway_authorize_decisions_total{rule=\"2\",verdict=\"observed\"} 1";
    assert!(page.contains(series), "{page}");
}
