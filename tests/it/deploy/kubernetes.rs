//! The kustomize bases, as text: what no cluster is needed for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::text_of;

const CHART: &str = "deploy/helm/koodrive-gateway";
const SIDECAR: &str = "deploy/kubernetes/sidecar";

/// The entries of a list of a kustomization, comments left out.
fn entries(text: &str, list: &str) -> Vec<String> {
    let after = text.lines().skip_while(|line| !line.starts_with(&format!("{list}:"))).skip(1);
    let block = after.take_while(|line| line.starts_with([' ', '#']));
    block.filter_map(|line| line.trim().strip_prefix("- ").map(str::to_owned)).collect()
}

/// Every manifest that `apply --kustomize` of a folder sends, patches left out.
fn manifests(folder: &Path) -> Vec<PathBuf> {
    let kustomization = folder.join("kustomization.yaml");
    let text = std::fs::read_to_string(&kustomization).unwrap();
    let mut found = Vec::new();
    for entry in ["resources", "components"].iter().flat_map(|list| entries(&text, list)) {
        let path = folder.join(entry);
        if path.is_dir() { found.extend(manifests(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn the_overlays_need_no_kind_that_kubernetes_lacks() {
    for overlay in ["example", "standalone"] {
        let folder = super::repository().join("deploy/kubernetes").join(overlay);
        let manifests = manifests(&folder);
        assert!(3 < manifests.len() + 1, "{overlay}: {manifests:?}");
        for path in manifests {
            let text = std::fs::read_to_string(&path).unwrap();
            for version in text.lines().filter_map(|line| line.strip_prefix("apiVersion: ")) {
                let group = version.split_once('/').map_or("", |(group, _)| group);
                let own = !group.contains('.') || group.ends_with(".k8s.io");
                assert!(own, "{}: {version} is not of Kubernetes itself", path.display());
            }
        }
    }
}

#[test]
fn a_tools_own_grace_period_is_left_alone() {
    for file in ["pod.yaml", "cron-job.yaml"] {
        let patch = text_of(&format!("{SIDECAR}/{file}"));
        assert!(!patch.contains("terminationGracePeriodSeconds:"), "{file}");
    }
}

#[test]
fn every_kind_of_workload_gains_the_sidecar() {
    let kustomization = text_of(&format!("{SIDECAR}/kustomization.yaml"));
    let kinds: BTreeSet<_> =
        kustomization.lines().filter_map(|line| line.trim().strip_prefix("kind: ")).collect();
    let workloads = ["CronJob", "DaemonSet", "Deployment", "Job", "StatefulSet"];
    assert!(workloads.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    // One pod, said in two places because a CronJob has it deeper.
    let pod = text_of(&format!("{SIDECAR}/pod.yaml"));
    let (_, pod) = pod.split_once("  template:\n").unwrap();
    let cron_job = text_of(&format!("{SIDECAR}/cron-job.yaml"));
    let (_, cron_job) = cron_job.split_once("      template:\n").unwrap();
    let deeper: Vec<_> = pod.lines().map(|line| format!("    {line}")).collect();
    assert_eq!(cron_job.lines().collect::<Vec<_>>(), deeper);
}

/// Each starts a process: eighteen a minute were 6 mCPU of an idle sidecar.
#[test]
fn a_sidecar_is_probed_a_few_times_a_minute_only() {
    let pod = text_of(&format!("{SIDECAR}/pod.yaml"));
    let mut each_minute = 0;
    for probe in ["readinessProbe:", "livenessProbe:"] {
        let (_, after) = pod.split_once(probe).unwrap();
        let period = after.lines().find_map(|line| line.trim().strip_prefix("periodSeconds: "));
        each_minute += 60 / period.unwrap().parse::<u32>().unwrap();
    }
    assert!(each_minute <= 6, "{each_minute} probes a minute");
}

#[test]
fn the_chart_has_no_manifest_of_its_own() {
    let repository = super::repository().canonicalize().unwrap();
    let bases = repository.join("deploy/kubernetes");
    let files = repository.join(CHART).join("files");
    let mut seen = 0;
    for entry in std::fs::read_dir(files).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.is_symlink(), "{}", path.display());
        assert!(path.canonicalize().unwrap().starts_with(&bases), "{}", path.display());
        seen += 1;
    }
    assert!(5 < seen, "{seen}");
}

/// Without patterns: those of the chart are in the dialect of its language.
fn without_patterns(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(members) => {
            members.remove("pattern");
            for member in members.values_mut() {
                *member = without_patterns(member.take());
            }
        }
        Value::Array(parts) => {
            for part in parts {
                *part = without_patterns(part.take());
            }
        }
        _ => {}
    }
    schema
}

#[test]
fn the_charts_values_are_judged_by_the_schema_of_the_configuration() {
    let parse = |path: &str| without_patterns(serde_json::from_str(&text_of(path)).unwrap());
    let of_configuration = parse("config/gateway.schema.json");
    let of_values = parse(&format!("{CHART}/values.schema.json"));
    let laid_over = &of_values["properties"]["config"];
    let cure = "run deploy/helm/schema";
    for member in ["properties", "additionalProperties", "type", "allOf"] {
        assert_eq!(laid_over[member], of_configuration[member], "{cure}");
    }
    assert_eq!(of_values["$defs"], of_configuration["$defs"], "{cure}");
}
