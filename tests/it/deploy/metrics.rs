//! Dashboard, alerts and the operators' tables against a gateway that has served calls.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use koodrive_gateway::call::CallPlan;
use koodrive_gateway::limit::{Decision, Policy};
use koodrive_gateway::rejection::{Origin, Reason};
use koodrive_gateway::telemetry::ReloadOutcome;
use koodrive_gateway::token::{ExchangeOutcome, TokenSource};
use serde_json::Value;

use super::{OPERATORS, README, code, table, text_of, words};
use crate::open_metrics;
use crate::open_metrics::Family;
use crate::support::world::{GOOD_BATCH, World};

const PREFIX: &str = "koodrive_gateway_";
const COMPARED: &str = "<!-- these names are compared with the program by a test -->";

/// Every metric of a gateway with a past: a good batch, a bad one, an exchange, an answer.
async fn families(world: &World) -> BTreeMap<String, Family> {
    let alice = world.caller("alice");
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
    assert_eq!(alice.preverify("{}").await.status, 400);
    open_metrics::parse(&world.admin().get("/metrics").await.text())
}

/// The names of a family's series.
fn series(name: &str, family: &Family) -> Vec<String> {
    let suffixes: &[&str] = match family.kind.as_str() {
        "counter" => &["_total"],
        "histogram" => &["_bucket", "_sum", "_count"],
        "info" => &["_info"],
        _ => &[""],
    };
    suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect()
}

#[tokio::test]
async fn dashboard_and_alerts_use_only_metrics_and_labels_that_exist() {
    let world = World::start().await;
    let families = families(&world).await;
    let mut known = BTreeMap::new();
    for (name, family) in &families {
        for series in series(name, family) {
            known.insert(series, family);
        }
    }
    // What Prometheus and the histogram add.
    let added = ["job", "instance", "le"];
    for (file, expressions) in
        [("dashboard.json", dashboard_expressions()), ("alerts.yaml", alert_expressions())]
    {
        assert!(10 < expressions.len(), "{file}: {}", expressions.len());
        for expression in expressions {
            for (name, labels) in selectors(&expression) {
                let family = known.get(&name);
                let family = family.unwrap_or_else(|| panic!("{file}: no metric {name}"));
                for (label, value) in &labels {
                    let exists = family.labels.contains(label) || added.contains(&&**label);
                    assert!(exists, "{file}: {name} has no label {label}");
                    for word in value.split('|') {
                        assert!(is_value(label, word), "{file}: {label} is never {word:?}");
                    }
                }
            }
        }
    }
}

/// Who builds an alert or a question of his own finds each metric in use.
#[tokio::test]
async fn every_metric_has_its_panel() {
    let world = World::start().await;
    let dashboard = dashboard_expressions().join("\n");
    let families = families(&world).await;
    let named = |name: &str| dashboard.contains(name) || name == "process_start_time_seconds";
    let without: Vec<_> = families.keys().filter(|name| !named(name)).collect();
    assert!(without.is_empty(), "{without:?}");
}

/// Whether a label can have this value; labels without a finite set of words are not judged.
fn is_value(label: &str, word: &str) -> bool {
    fn one_of<T: Copy>(all: &[T], word: &str, as_str: impl Fn(T) -> &'static str) -> bool {
        all.iter().any(|known| as_str(*known) == word)
    }
    match label {
        "reason" => one_of(Reason::ALL, word, Reason::as_str),
        "call" => word == "none" || one_of(CallPlan::ALL, word, CallPlan::as_str),
        "origin" => word == "none" || one_of(Origin::ALL, word, Origin::as_str),
        "policy" => one_of(Policy::ALL, word, Policy::as_str),
        "decision" => one_of(Decision::ALL, word, Decision::as_str),
        "source" => one_of(TokenSource::ALL, word, TokenSource::as_str),
        "outcome" => {
            one_of(ExchangeOutcome::ALL, word, ExchangeOutcome::as_str)
                || one_of(ReloadOutcome::ALL, word, ReloadOutcome::as_str)
        }
        _ => true,
    }
}

/// Each metric of an expression, with the labels it is selected by and their values.
fn selectors(expression: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    for (at, _) in expression.match_indices(PREFIX) {
        let rest = expression.get(at..).expect("the match begins here");
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
        let mut labels = Vec::new();
        if let Some(rest) = rest.strip_prefix('{') {
            let inside = rest.split('}').next().expect("split has a first part");
            for pair in inside.split(',') {
                let (label, value) = pair.split_once('=').expect("label=value");
                let value = value.trim_start_matches('~').trim_matches('"').to_owned();
                labels.push((label.trim_end_matches('!').to_owned(), value));
            }
        }
        found.push((name.to_owned(), labels));
    }
    found
}

fn dashboard_expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&text_of("deploy/grafana/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let panels = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let variables = variables.filter_map(|variable| variable["query"]["query"].as_str());
    panels.chain(variables.map(str::to_owned)).collect()
}

/// The values of `expr:`, also where they go on over several lines.
fn alert_expressions() -> Vec<String> {
    let text = text_of("deploy/grafana/alerts.yaml");
    let after = text.split("expr:").skip(1);
    after.map(|rest| rest.split("\n        ").take_while(|line| !is_key(line)).collect()).collect()
}

fn is_key(line: &str) -> bool {
    ["for:", "labels:", "annotations:"].iter().any(|key| line.trim_start().starts_with(key))
}

#[test]
fn each_alert_links_to_its_own_words_for_operators() {
    let (alerts, operators) = (text_of("deploy/grafana/alerts.yaml"), text_of(OPERATORS));
    let mut linked = 0;
    for alert in alerts.split("- alert: ").skip(1) {
        let name = alert.lines().next().expect("it has a name");
        let (_, url) =
            alert.split_once("runbook_url: ").unwrap_or_else(|| panic!("{name}: no link"));
        let url = url.lines().next().expect("split has a first part");
        let anchor = format!("/{OPERATORS}#{}", name.to_lowercase());
        assert!(url.ends_with(&anchor), "{name}: {url}");
        assert!(operators.contains(&format!("\n### {name}\n")), "{name} is not told of");
        linked += 1;
    }
    assert_eq!(linked, operators.matches("\n### KooDriveGateway").count());
}

#[tokio::test]
async fn the_operators_readme_lists_every_metric_with_its_labels_and_no_other() {
    let world = World::start().await;
    let families = families(&world).await;
    let mut told = BTreeMap::new();
    for row in table(OPERATORS, COMPARED, 0) {
        let labels: BTreeSet<String> = code(&row[1])
            .into_iter()
            // Words in code marks that are values, not labels.
            .filter(|word| *word != "none")
            .map(str::to_owned)
            .collect();
        told.insert(code(&row[0])[0].to_owned(), labels);
    }
    let known: BTreeMap<String, BTreeSet<String>> = families
        .iter()
        .map(|(name, family)| {
            let suffix = match family.kind.as_str() {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            (format!("{name}{suffix}"), family.labels.clone())
        })
        .collect();
    assert_eq!(told, known);

    let mut names: BTreeSet<String> =
        families.iter().flat_map(|(name, family)| series(name, family)).collect();
    names.extend(families.keys().cloned());
    for path in [README, OPERATORS] {
        for word in words(&text_of(path), PREFIX) {
            assert!(names.contains(word), "{path}: no metric {word}");
        }
    }
}

#[tokio::test]
async fn the_operators_readme_lists_the_fields_of_an_access_line_in_their_order() {
    let world = World::start().await;
    let reply = world.caller("alice").preverify(GOOD_BATCH).await;
    let logs = &world.gateway.logs;
    logs.of_call(&reply.trace_id(), Duration::from_secs(20)).await.expect("an access line");
    // As it was written: a parsed object has lost the order.
    let fits = |line: &String| line.contains(&reply.trace_id()) && line.contains("\"status\"");
    let line = logs.lines().into_iter().find(fits).unwrap();
    let written: Vec<_> = line
        .trim_matches(['{', '}'])
        .split(",\"")
        .map(|field| field.trim_start_matches('"').split('"').next().unwrap().to_owned())
        .collect();
    let rows = table(OPERATORS, COMPARED, 1);
    let told: Vec<_> = rows.iter().flat_map(|row| code(&row[0])).collect();
    assert_eq!(told, written);
}
