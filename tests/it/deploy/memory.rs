//! What all bounds on memory add up to, against the memory limit of whatever is shipped with a
//! configuration.

use koodrive_gateway::app::memory_bounds;
use koodrive_gateway::config;
use koodrive_gateway::config::Config;

use super::manifests::config_map;
use super::text_of;

/// The limit of the gateway's container: the last `memory:` below the first `limits:` of the file.
fn kubernetes_limit(path: &str) -> usize {
    let text = text_of(path);
    let (_, after) = text.split_once("limits:").unwrap_or_else(|| panic!("{path}: no limits"));
    assert!(!after.contains("limits:"), "{path}: the limits of one container");
    after_key(path, after, "memory:")
}

fn after_key(path: &str, text: &str, key: &str) -> usize {
    let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix(key));
    let value = lines.next().unwrap_or_else(|| panic!("{path}: no {key}")).trim();
    // Everybody writes mebibytes differently: 192Mi, 192M, 192m.
    let digits = value.trim_end_matches("Mi").trim_end_matches(['M', 'm']);
    let mebibytes: usize = digits.parse().unwrap_or_else(|_| panic!("{path}: {key} {value}"));
    mebibytes * 1024 * 1024
}

#[test]
fn the_bounds_of_each_shipped_configuration_are_below_the_limit_of_its_manifest() {
    let kubernetes = "deploy/kubernetes";
    let unit = "deploy/systemd/koodrive-gateway.service";
    let compose = "deploy/compose.yaml";
    let local = config::load(&super::repository().join("config/local.toml"), std::iter::empty());
    let cases = [
        ("example", kubernetes_limit(&format!("{kubernetes}/sidecar/pod.yaml"))),
        ("example", kubernetes_limit(&format!("{kubernetes}/sidecar/cron-job.yaml"))),
        // The chart's own files are links to those of the standalone base.
        ("standalone", kubernetes_limit(&format!("{kubernetes}/standalone/deployment.yaml"))),
    ];
    let cases = cases.map(|(folder, limit)| (folder, config_map(folder), limit));
    let others = [
        // Also that of the Debian package, whose configuration is the defaults.
        ("systemd", Config::default(), after_key(unit, &text_of(unit), "MemoryMax=")),
        ("compose", local.unwrap().config, after_key(compose, &text_of(compose), "mem_limit:")),
    ];
    for (name, config, limit) in cases.into_iter().chain(others) {
        let bounds = memory_bounds(&config);
        let sum: usize = bounds.iter().map(|bound| bound.bytes).sum();
        assert!(sum < limit, "{name}: {sum} bytes within {limit}: {bounds:#?}");
    }
}
