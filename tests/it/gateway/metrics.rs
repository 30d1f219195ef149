//! Each metric of the contract exists, and moves with what it counts.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;

use crate::gateway::{SOON, WHO_AM_I, batch_of, metric_becomes, preverify, trace_of};
use crate::support::faults::Behaviour;
use crate::support::raw::RawConnection;
use crate::support::world::{GOOD_BATCH, World};

/// Name without prefix, type, labels.
const CONTRACT: [(&str, &str, &[&str]); 25] = [
    ("requests", "counter", &["call", "status", "origin"]),
    ("request_duration_seconds", "histogram", &["call"]),
    ("rejections", "counter", &["reason"]),
    ("observed", "counter", &["reason"]),
    ("token_lookups", "counter", &["source"]),
    ("token_verdicts", "counter", &["verdict"]),
    ("token_exchanges", "counter", &["outcome"]),
    ("token_exchange_duration_seconds", "histogram", &[]),
    ("token_entries", "gauge", &[]),
    ("jwks_fetches", "counter", &["issuer", "outcome"]),
    ("jwks_age_seconds", "gauge", &["issuer"]),
    ("jwks_skipped_keys", "gauge", &["issuer"]),
    ("authorize_decisions", "counter", &["rule", "verdict"]),
    ("limit_decisions", "counter", &["policy", "decision"]),
    ("limit_store_errors", "counter", &[]),
    ("batch_users", "histogram", &[]),
    ("upstream_duration_seconds", "histogram", &[]),
    ("upstream_replays", "counter", &[]),
    ("proxy_failures", "counter", &["failure"]),
    ("connections", "gauge", &[]),
    ("inflight_requests", "gauge", &[]),
    ("clock_skew_seconds", "gauge", &["peer"]),
    ("config_reloads", "counter", &["outcome"]),
    ("spans_dropped", "counter", &[]),
    ("build", "info", &["version", "commit"]),
];

/// All series of the page: name with labels to value.
async fn series(world: &World) -> BTreeMap<String, f64> {
    let page = world.admin().get("/metrics").await.text();
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.filter_map(|line| {
        let end = if line.contains('{') { line.find("} ")? + 1 } else { line.find(' ')? };
        let (name, rest) = line.split_at(end);
        let name = name.strip_prefix("koodrive_gateway_")?.to_owned();
        Some((name, rest.split_whitespace().next()?.parse().ok()?))
    });
    lines.collect()
}

/// Waits until the series that grew, and by how much, are exactly these, timings and gauges aside.
async fn grew(world: &World, before: &BTreeMap<String, f64>, expected: &[(&str, f64)]) {
    let expected: BTreeMap<_, _> =
        expected.iter().map(|(name, by)| ((*name).to_owned(), *by)).collect();
    let mut pause = tokio::time::interval(Duration::from_millis(5));
    let mut growth = BTreeMap::new();
    let waiting = async {
        while growth != expected {
            pause.tick().await;
            let now = series(world).await;
            let counted = now.into_iter().filter(|(name, _)| {
                let counter = name.contains("_total") || name.contains("_count");
                counter && !name.starts_with("jwks_") && !name.starts_with("spans_")
            });
            let by = counted.map(|(name, value)| {
                let by = value - before.get(&name).copied().unwrap_or_default();
                (name, by)
            });
            growth = by.filter(|(_, by)| *by != 0.0).collect();
        }
    };
    let same = tokio::time::timeout(SOON, waiting).await.is_ok();
    assert!(same, "{growth:#?}\nnot\n{expected:#?}");
}

#[tokio::test]
async fn every_metric_of_the_contract_exists_with_its_type_and_labels_and_no_other() {
    let mut world = World::start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
    assert_eq!(alice.preverify("{}").await.status, 400);
    assert!(world.reconfigure("[limit]\ncalls_burst = 11").await);
    metric_becomes(&world, "koodrive_gateway_inflight_requests", 0.0).await;
    let answer = world.admin().get("/metrics").await;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), Some(content_type));
    let page = answer.text();
    assert!(page.ends_with("# EOF\n"));
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE koodrive_gateway_")) {
        let (name, kind) = line.split_once(' ').expect("a type");
        assert_eq!(types.insert(name, kind), None, "{name} twice");
    }
    let expected: BTreeMap<_, _> = CONTRACT.iter().map(|(name, kind, _)| (*name, *kind)).collect();
    assert_eq!(types, expected);

    for (name, kind, labels) in CONTRACT {
        let suffix = match kind {
            "counter" => "_total",
            "histogram" => "_bucket",
            "info" => "_info",
            _ => "",
        };
        let start = format!("koodrive_gateway_{name}{suffix}");
        let is_it = |line: &&str| {
            line.strip_prefix(&*start).is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        let lines: Vec<_> = page.lines().filter(is_it).collect();
        assert!(!lines.is_empty(), "{name} has no series");
        for line in lines {
            let inside = line.strip_prefix(&*start).and_then(|rest| rest.strip_prefix('{'));
            let inside = inside.and_then(|rest| rest.split_once('}')).map_or("", |(set, _)| set);
            let mut found: Vec<_> =
                inside.split("\",").filter_map(|pair| Some(pair.split_once('=')?.0)).collect();
            found.retain(|label| *label != "le");
            assert_eq!(found, labels, "{line}");
        }
    }
}

#[tokio::test]
async fn a_preverify_call_moves_what_it_should() {
    let world = World::start().await;
    let alice = world.caller("alice");
    let before = series(&world).await;
    assert_eq!(alice.preverify(batch_of(7)).await.status, 200);
    grew(
        &world,
        &before,
        &[
            ("requests_total{call=\"preverify\",status=\"200\",origin=\"none\"}", 1.0),
            ("request_duration_seconds_count{call=\"preverify\"}", 1.0),
            ("token_lookups_total{source=\"exchanged\"}", 1.0),
            ("token_exchanges_total{outcome=\"issued\"}", 1.0),
            ("token_exchange_duration_seconds_count", 1.0),
            ("limit_decisions_total{policy=\"upstream\",decision=\"allowed\"}", 1.0),
            ("limit_decisions_total{policy=\"calls\",decision=\"allowed\"}", 1.0),
            ("limit_decisions_total{policy=\"total\",decision=\"allowed\"}", 1.0),
            ("limit_decisions_total{policy=\"concurrent\",decision=\"allowed\"}", 1.0),
            ("limit_decisions_total{policy=\"users\",decision=\"allowed\"}", 1.0),
            ("batch_users_count", 1.0),
            ("upstream_duration_seconds_count", 1.0),
            ("token_verdicts_total{verdict=\"accepted\"}", 1.0),
        ],
    )
    .await;
    metric_becomes(&world, "koodrive_gateway_batch_users_sum", 7.0).await;
    metric_becomes(&world, "koodrive_gateway_batch_users_bucket{le=\"5.0\"}", 0.0).await;
    metric_becomes(&world, "koodrive_gateway_batch_users_bucket{le=\"10.0\"}", 1.0).await;
    metric_becomes(&world, "koodrive_gateway_token_entries", 1.0).await;
}

#[tokio::test]
async fn a_passthrough_call_moves_neither_limits_nor_batches() {
    let world = World::start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    let one = [("requests_total{call=\"other\",status=\"200\",origin=\"none\"}", 1.0)];
    let rest = [
        ("request_duration_seconds_count{call=\"other\"}", 1.0),
        ("token_lookups_total{source=\"exchanged\"}", 1.0),
        ("token_exchanges_total{outcome=\"issued\"}", 1.0),
        ("token_exchange_duration_seconds_count", 1.0),
        ("upstream_duration_seconds_count", 1.0),
        ("token_verdicts_total{verdict=\"accepted\"}", 1.0),
    ];
    grew(&world, &BTreeMap::new(), &[&one[..], &rest].concat()).await;
    let before = series(&world).await;
    let missing = alice.get("/koodrive/nothing/here").await;
    assert_eq!(missing.status, 404);
    grew(
        &world,
        &before,
        &[
            ("requests_total{call=\"other\",status=\"404\",origin=\"none\"}", 1.0),
            ("request_duration_seconds_count{call=\"other\"}", 1.0),
            ("token_lookups_total{source=\"cached\"}", 1.0),
            ("upstream_duration_seconds_count", 1.0),
            ("token_verdicts_total{verdict=\"accepted\"}", 1.0),
        ],
    )
    .await;
}

#[tokio::test]
async fn refusals_are_counted_by_reason_and_by_who_must_act() {
    let config = "[limit]\ncalls_per_minute = 1\ncalls_burst = 2";
    let world = World::plan().config(config).start().await;
    let alice = world.caller("alice");
    let before = series(&world).await;
    assert!(before.contains_key("rejections_total{reason=\"token_missing\"}"), "from the start");
    assert_eq!(world.caller_with(None).preverify(GOOD_BATCH).await.status, 401);
    grew(
        &world,
        &before,
        &[
            ("requests_total{call=\"preverify\",status=\"401\",origin=\"caller\"}", 1.0),
            ("request_duration_seconds_count{call=\"preverify\"}", 1.0),
            ("rejections_total{reason=\"token_missing\"}", 1.0),
        ],
    )
    .await;
    let before = series(&world).await;
    assert_eq!(alice.preverify("{}").await.status, 400);
    grew(
        &world,
        &before,
        &[
            ("requests_total{call=\"preverify\",status=\"400\",origin=\"caller\"}", 1.0),
            ("request_duration_seconds_count{call=\"preverify\"}", 1.0),
            ("rejections_total{reason=\"batch_malformed\"}", 1.0),
            ("limit_decisions_total{policy=\"upstream\",decision=\"allowed\"}", 1.0),
            ("limit_decisions_total{policy=\"calls\",decision=\"allowed\"}", 1.0),
            ("limit_decisions_total{policy=\"total\",decision=\"allowed\"}", 1.0),
        ],
    )
    .await;
    world.sso.token.set(Behaviour::status(500));
    let before = series(&world).await;
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 503);
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 429);
    assert_eq!(alice.get("/elsewhere").await.status, 404);
    grew(
        &world,
        &before,
        &[
            ("requests_total{call=\"preverify\",status=\"503\",origin=\"token_endpoint\"}", 1.0),
            ("requests_total{call=\"preverify\",status=\"429\",origin=\"caller\"}", 1.0),
            ("requests_total{call=\"none\",status=\"404\",origin=\"caller\"}", 1.0),
            ("request_duration_seconds_count{call=\"preverify\"}", 2.0),
            ("request_duration_seconds_count{call=\"none\"}", 1.0),
            ("rejections_total{reason=\"token_endpoint_unavailable\"}", 1.0),
            ("rejections_total{reason=\"limit_calls\"}", 1.0),
            ("rejections_total{reason=\"route_unknown\"}", 1.0),
            ("token_exchanges_total{outcome=\"unavailable\"}", 1.0),
            ("token_exchange_duration_seconds_count", 1.0),
            ("limit_decisions_total{policy=\"upstream\",decision=\"allowed\"}", 2.0),
            ("limit_decisions_total{policy=\"calls\",decision=\"allowed\"}", 1.0),
            ("limit_decisions_total{policy=\"calls\",decision=\"refused\"}", 1.0),
            ("limit_decisions_total{policy=\"total\",decision=\"allowed\"}", 1.0),
            ("limit_decisions_total{policy=\"users\",decision=\"allowed\"}", 1.0),
            ("batch_users_count", 1.0),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_cannot_be_parsed_is_counted_too() {
    let world = World::start().await;
    let before = series(&world).await;
    let mut connection = RawConnection::open(world.gateway.address).await.unwrap();
    let request =
        format!("GET /koodrive/x HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(40_000));
    connection.send(request).await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 431);
    grew(
        &world,
        &before,
        &[
            ("requests_total{call=\"none\",status=\"431\",origin=\"caller\"}", 1.0),
            ("rejections_total{reason=\"headers_too_large\"}", 1.0),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_replay_is_counted_as_such() {
    let world = World::start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
    world.koodrive.sessions.revoke_all();
    metric_becomes(&world, "koodrive_gateway_inflight_requests", 0.0).await;
    let before = series(&world).await;
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    grew(
        &world,
        &before,
        &[
            ("requests_total{call=\"other\",status=\"200\",origin=\"none\"}", 1.0),
            ("request_duration_seconds_count{call=\"other\"}", 1.0),
            ("token_lookups_total{source=\"refreshed\"}", 1.0),
            ("token_exchanges_total{outcome=\"issued\"}", 1.0),
            ("token_exchange_duration_seconds_count", 1.0),
            ("upstream_duration_seconds_count", 2.0),
            ("token_verdicts_total{verdict=\"accepted\"}", 1.0),
            ("token_verdicts_total{verdict=\"refused\"}", 1.0),
            ("upstream_replays_total", 1.0),
        ],
    )
    .await;
}

#[tokio::test]
async fn gauges_follow_what_is_there() {
    let world = World::start().await;
    let alice = world.caller("alice");
    metric_becomes(&world, "koodrive_gateway_connections", 0.0).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(RawConnection::open(world.gateway.address).await.unwrap());
    }
    metric_becomes(&world, "koodrive_gateway_connections", 3.0).await;
    drop(open);
    metric_becomes(&world, "koodrive_gateway_connections", 0.0).await;

    world.koodrive.switch.gate.close();
    let held = alice.get(WHO_AM_I);
    let look = async {
        assert!(world.koodrive.switch.gate.wait_for(1, SOON).await);
        metric_becomes(&world, "koodrive_gateway_inflight_requests", 1.0).await;
        world.koodrive.switch.gate.open();
    };
    futures_util::future::join(held, look).await;
    metric_becomes(&world, "koodrive_gateway_inflight_requests", 0.0).await;

    let issuer = world.sso.issuer();
    let fetched =
        format!("koodrive_gateway_jwks_fetches_total{{issuer=\"{issuer}\",outcome=\"fetched\"}}");
    assert_eq!(world.metric(&fetched).await, Some(1.0));
    let age = format!("koodrive_gateway_jwks_age_seconds{{issuer=\"{issuer}\"}}");
    let young = world.metric(&age).await.expect("an age");
    world.clock.advance(Duration::from_secs(100));
    let old = world.metric(&age).await.expect("an age");
    assert!(young < 60.0 && (100.0..170.0).contains(&old), "{young} {old}");
}

#[tokio::test]
async fn counts_begin_with_nothing_and_the_process_shows_what_it_takes() {
    let world = World::start().await;
    let issuer = world.sso.issuer();
    for name in [
        "requests_total{call=\"other\",status=\"200\",origin=\"none\"}",
        "requests_total{call=\"preverify\",status=\"503\",origin=\"none\"}",
        "requests_total{call=\"preverify\",status=\"502\",origin=\"upstream\"}",
        "token_exchanges_total{outcome=\"answer_unusable\"}",
        "rejections_total{reason=\"overloaded\"}",
        &format!("jwks_fetches_total{{issuer=\"{issuer}\",outcome=\"timed_out\"}}"),
    ] {
        let name = format!("koodrive_gateway_{name}");
        assert_eq!(world.metric(&name).await, Some(0.0), "{name}");
    }
    let resident = world.metric("process_resident_memory_bytes").await;
    assert!(resident.is_some_and(|bytes| 1e6 < bytes), "{resident:?}");
    let open = world.metric("process_open_fds").await;
    let max = world.metric("process_max_fds").await;
    assert!(Some(3.0) < open && open < max, "{open:?} {max:?}");
    assert!(world.metric("process_cpu_seconds_total").await.is_some());
    let started = world.metric("process_start_time_seconds").await;
    assert!(started.is_some_and(|seconds| 1.7e9 < seconds), "{started:?}");
}

#[tokio::test]
async fn clocks_that_differ_show() {
    let world = World::start().await;
    world.koodrive.clock().set_ahead(-120);
    assert_eq!(world.caller("alice").get(WHO_AM_I).await.status, 200);
    let skew = "koodrive_gateway_clock_skew_seconds{peer=\"upstream\"}";
    let seen = world.metric(skew).await.expect("a skew");
    assert!((-122.0..=-118.0).contains(&seen), "{seen}");
    let sso = world.metric("koodrive_gateway_clock_skew_seconds{peer=\"sso\"}").await;
    assert!(sso.is_some_and(|sso| sso.abs() <= 2.0), "{sso:?}");
    let endpoint = "koodrive_gateway_clock_skew_seconds{peer=\"token_endpoint\"}";
    let endpoint = world.metric(endpoint).await;
    assert!(endpoint.is_none_or(|seconds| seconds.abs() <= 2.0), "{endpoint:?}");
}

#[tokio::test]
async fn spans_that_cannot_be_exported_are_counted() {
    let world = World::start().await;
    world.collector.server.down().await;
    assert_eq!(world.caller("alice").preverify(GOOD_BATCH).await.status, 200);
    let mut pause = tokio::time::interval(Duration::from_millis(10));
    let dropped = async {
        loop {
            pause.tick().await;
            let dropped = world.metric("koodrive_gateway_spans_dropped_total").await;
            if dropped.is_some_and(|spans| 8.0 <= spans) {
                return;
            }
        }
    };
    tokio::time::timeout(SOON * 3, dropped).await.expect("the call's eight spans are counted");
}

#[tokio::test]
async fn reloads_are_counted_by_outcome() {
    let mut world = World::start().await;
    let before = series(&world).await;
    assert!(world.reconfigure("[limit]\ncalls_burst = 11").await);
    assert!(!world.reconfigure("[limit]\ncalls_burst = 0").await);
    world.gateway.reload().await;
    grew(
        &world,
        &before,
        &[
            ("config_reloads_total{outcome=\"applied\"}", 1.0),
            ("config_reloads_total{outcome=\"refused\"}", 1.0),
            ("config_reloads_total{outcome=\"unchanged\"}", 1.0),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_sampled_call_leaves_its_trace_as_exemplar() {
    let world = World::start().await;
    let reply = preverify(&world.caller("alice"), GOOD_BATCH).send().await;
    metric_becomes(&world, "koodrive_gateway_inflight_requests", 0.0).await;
    let page = world.admin().get("/metrics").await.text();
    let exemplar = format!("# {{trace_id=\"{}\"}}", trace_of(&reply.trace_id()));
    let buckets = page.lines().filter(|line| line.contains(&exemplar));
    let buckets: Vec<_> = buckets.collect();
    assert_eq!(buckets.len(), 1, "{page}");
    assert!(buckets[0].starts_with("koodrive_gateway_request_duration_seconds_bucket{"));
}

#[tokio::test]
async fn labels_stay_finite_whatever_callers_send() {
    let world = World::start().await;
    let alice = world.caller("alice");
    for number in 0..20 {
        let method = Method::from_bytes(format!("METHOD{number}").as_bytes()).unwrap();
        let path = format!("/koodrive/path{number}");
        assert_eq!(alice.call(method, &path).send().await.status, 405);
        assert_eq!(alice.get(&path).await.status, 404);
        assert_eq!(world.caller(&format!("caller{number}")).get(WHO_AM_I).await.status, 200);
    }
    let page = world.admin().get("/metrics").await.text();
    assert!(!page.contains("METHOD1") && !page.contains("path1") && !page.contains("caller1"));
    let requests = page.lines().filter(|line| line.starts_with("koodrive_gateway_requests_total"));
    let counted = requests.filter(|line| !line.ends_with(" 0"));
    assert_eq!(counted.count(), 3);
}
