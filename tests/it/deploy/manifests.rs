//! Image, manifests, compose file and unit, held to what the gateway needs.

use std::process::Command;
use std::time::Duration;

use koodrive_gateway::config;
use koodrive_gateway::config::{Config, parse_duration};

use super::text_of;
use crate::support::scratch::Scratch;
use crate::support::tls::Authority;
use crate::support::world::World;

const GRACE: &str = "terminationGracePeriodSeconds:";
/// The spans' share of a stop.
const FLUSH: Duration = Duration::from_secs(5);

/// The document of a `ConfigMap` with the files its volume puts beside it.
pub(super) fn config_map(folder: &str) -> Config {
    let scratch = Scratch::new().unwrap();
    let pair = Authority::new().unwrap().server_pem().unwrap();
    std::fs::create_dir(scratch.path().join("tls")).unwrap();
    scratch.write("client-secret", "secret\n").unwrap();
    scratch.write("tls/tls.crt", pair.certificate).unwrap();
    scratch.write("tls/tls.key", pair.key).unwrap();
    let path = format!("deploy/kubernetes/{folder}/gateway.toml");
    let parsed = Config::parse(&text_of(&path), &path, scratch.path(), std::iter::empty());
    parsed.unwrap_or_else(|error| panic!("{error}")).config
}

/// The value after `key` on the only line that has it.
fn value_of(path: &str, key: &str) -> String {
    let text = text_of(path);
    let mut values = text.lines().filter_map(|line| line.trim_start().strip_prefix(key));
    let value = values.next().unwrap_or_else(|| panic!("{path}: no {key}")).trim().to_owned();
    assert_eq!(values.next(), None, "{path}: {key} stands once");
    value
}

#[test]
fn the_grace_period_covers_linger_drain_and_the_last_spans() {
    let seconds = |text: String| Duration::from_secs(text.parse().unwrap());
    let duration = |text: String| parse_duration(&text).unwrap();
    let local = config::load(&super::repository().join("config/local.toml"), std::iter::empty());
    let cases = [
        (
            seconds(value_of("deploy/kubernetes/example/internal-tool.yaml", GRACE)),
            config_map("example"),
        ),
        (
            seconds(value_of("deploy/kubernetes/standalone/deployment.yaml", GRACE)),
            config_map("standalone"),
        ),
        (duration(value_of("deploy/compose.yaml", "stop_grace_period:")), local.unwrap().config),
        (
            duration(value_of("deploy/systemd/koodrive-gateway.service", "TimeoutStopSec=")),
            Config::default(),
        ),
    ];
    let run = documented_docker_run();
    let timeout = run.split("--stop-timeout ").nth(1).expect("docker kills after 10 s otherwise");
    let timeout = seconds(timeout.split_whitespace().next().unwrap().to_owned());
    for (grace, config) in cases.into_iter().chain([(timeout, Config::default())]) {
        let needed = config.lifecycle.linger + config.lifecycle.drain + FLUSH;
        assert!(needed < grace, "{needed:?} < {grace:?}");
    }
}

/// As `deploy/README.md` has it, on one line.
fn documented_docker_run() -> String {
    let readme = text_of(super::OPERATORS);
    let (_, after) = readme.split_once("    docker run ").unwrap();
    let lines = after.lines().take_while(|line| !line.is_empty());
    lines.map(|line| line.trim().trim_end_matches('\\')).collect()
}

/// A file mounted by itself is never seen to change once it is replaced by a rename.
#[test]
fn the_documented_docker_run_mounts_folders() {
    let run = documented_docker_run();
    let mounts: Vec<_> = run.split("-v ").skip(1).collect();
    assert!(!mounts.is_empty(), "{run}");
    for mount in mounts {
        let inside = mount.trim_start_matches('"').split(':').nth(1).unwrap();
        let file = run.split("_FILE=").nth(1).unwrap().split_whitespace().next().unwrap();
        let folder = std::path::Path::new(file).parent().unwrap();
        assert_eq!(std::path::Path::new(inside), folder, "{mount}");
    }
}

#[test]
fn files_the_config_maps_name_are_mounted_beside_them() {
    for (folder, manifest) in
        [("example", "sidecar/pod.yaml"), ("standalone", "standalone/deployment.yaml")]
    {
        let manifest = text_of(&format!("deploy/kubernetes/{manifest}"));
        let document: toml::Table =
            text_of(&format!("deploy/kubernetes/{folder}/gateway.toml")).parse().unwrap();
        let told = text_of(&format!("deploy/kubernetes/{folder}/kustomization.yaml"));
        let mut secrets = manifest.split("- secret:\n").skip(1);
        let whole = secrets.any(|it| it.lines().nth(1).is_none_or(|line| line.trim() != "items:"));
        let mut seen = 0;
        for table in document.values().filter_map(toml::Value::as_table) {
            for (key, value) in table.iter().filter(|(key, _)| key.ends_with("_file")) {
                let path = value.as_str().unwrap();
                // Placed there by name, or one of all that the Secret holds.
                let placed = manifest.contains(&format!("path: {path}\n"));
                let held = whole && told.contains(path) && !path.contains('/');
                assert!(placed || held, "{folder}: {key} = {path}");
                seen += 1;
            }
        }
        assert!(0 < seen, "{folder}");
        assert!(manifest.contains("mountPath: /etc/koodrive-gateway\n"), "{folder}");
    }
    let image = text_of("deploy/Dockerfile");
    assert!(image.contains("KOODRIVE_GATEWAY_CONFIG=/etc/koodrive-gateway/gateway.toml"));
}

#[test]
fn listeners_and_ports_of_the_manifests_agree() {
    let config = config_map("standalone");
    let deployment = text_of("deploy/kubernetes/standalone/deployment.yaml");
    for address in [config.listen.address, config.admin.address] {
        let port = address.to_string();
        let port = port.rsplit(':').next().unwrap();
        assert!(deployment.contains(&format!("containerPort: {port}\n")), "{port}");
        let policy = text_of("deploy/kubernetes/standalone/network-policy.yaml");
        assert!(policy.contains(&format!("port: {port}\n")), "{port}");
    }
    // A sidecar is for its own pod alone.
    let config = config_map("example");
    let defaults = Config::default();
    assert_eq!(config.listen.address, defaults.listen.address);
    assert_eq!(config.admin.address, defaults.admin.address);
    let tool = text_of("deploy/kubernetes/example/internal-tool.yaml");
    assert!(tool.contains(&format!("value: http://{}\n", config.listen.address)));
}

#[tokio::test]
async fn every_probe_says_yes_to_a_gateway_that_is_ready_and_no_to_none() {
    // A process of its own: the commands below block this one.
    let world = World::plan().child().start().await;
    let mut probes = Vec::new();
    for path in ["deploy/kubernetes/sidecar/pod.yaml", "deploy/Dockerfile", "deploy/compose.yaml"] {
        let text = text_of(path);
        let commands = text.lines().filter_map(|line| line.split_once('[')?.1.strip_suffix(']'));
        let words = |command: &str| -> Vec<String> {
            command.split(", ").map(|word| word.trim_matches('"').to_owned()).collect()
        };
        let words = commands.map(words).map(|mut words| {
            words.retain(|word| word != "CMD");
            words
        });
        let asks = |words: &Vec<String>| words.get(1).is_some_and(|word| word == "wait-ready");
        probes.extend(words.filter(asks));
    }
    assert_eq!(probes.len(), 5);
    for probe in &probes {
        assert_eq!(probe[0], "/usr/local/bin/koodrive-gateway");
        for (admin, expected) in [(world.gateway.admin.to_string(), 0), (nobody(), 1)] {
            let status = Command::new(env!("CARGO_BIN_EXE_koodrive-gateway"))
                .args(&probe[1..])
                .env("KOODRIVE_GATEWAY__ADMIN__ADDRESS", admin)
                .output()
                .unwrap()
                .status;
            assert_eq!(status.code(), Some(expected), "{probe:?}");
        }
    }
}

#[tokio::test]
async fn a_gateway_without_keys_is_alive_but_not_ready() {
    let plan = World::plan().child().unready();
    let world = plan
        .config("[[accept.issuers]]\nissuer = \"http://127.0.0.1:1/realms/none\"\njwks_url = \"http://127.0.0.1:1/\"")
        .start()
        .await;
    for (arguments, expected) in [
        (vec!["wait-ready", "--timeout", "0s"], 1),
        (vec!["wait-ready", "--live", "--timeout", "0s"], 0),
    ] {
        let status = Command::new(env!("CARGO_BIN_EXE_koodrive-gateway"))
            .args(&arguments)
            .arg("--admin")
            .arg(world.gateway.admin.to_string())
            .output()
            .unwrap()
            .status;
        assert_eq!(status.code(), Some(expected), "{arguments:?}");
    }
}

/// An address where nobody listens: port 1 is nobody's.
fn nobody() -> String {
    "127.0.0.1:1".to_owned()
}

#[test]
fn the_image_is_built_from_files_that_exist_and_with_locked_versions() {
    let image = text_of("deploy/Dockerfile");
    let ignored = text_of("deploy/Dockerfile.dockerignore");
    for line in image.lines() {
        if let Some(copied) = line.strip_prefix("COPY ")
            && !copied.starts_with("--from")
        {
            let words: Vec<_> =
                copied.split_whitespace().filter(|word| !word.starts_with("--")).collect();
            let (_, sources) = words.split_last().unwrap();
            for source in sources {
                assert!(super::repository().join(source).exists(), "{source}");
                let top = source.split('/').next().unwrap();
                assert!(ignored.contains(&format!("!{top}\n")), "{source} is ignored");
            }
        }
        if line.contains("cargo build") && !line.starts_with('#') {
            assert!(line.contains("--release --locked"), "{line}");
        }
    }
    let toolchain = text_of("Cargo.toml");
    let version = toolchain.lines().find_map(|line| line.strip_prefix("rust-version = "));
    let version = version.unwrap().trim_matches('"');
    assert!(image.contains(&format!("FROM rust:{version}-")), "{version}");
}

/// Without it they would only be dearer, and nobody would see why.
#[test]
fn image_and_package_are_built_with_the_profile() {
    let profile = std::fs::read(super::repository().join("deploy/gateway.profdata")).unwrap();
    assert!(profile.starts_with(b"\xfflprofi\x81"), "not an indexed profile");
    for (build, root) in [("deploy/Dockerfile", "/build"), ("deploy/debian/build", "$PWD")] {
        let flags = format!("RUSTFLAGS=\"-Cprofile-use={root}/deploy/gateway.profdata\"");
        let text = text_of(build);
        let (_, rest) = text.split_once(&flags).unwrap_or_else(|| panic!("{build} lacks {flags}"));
        assert!(rest.contains("cargo build --release"), "{build}");
    }
}

/// Modes of a checkout under umask 077 would make files that the gateway's user cannot read.
#[test]
fn whatever_is_copied_into_an_image_has_a_mode_of_its_own() {
    let image = text_of("deploy/Dockerfile");
    let stages = image.split("\nFROM ").skip(1);
    let builders = ["rust:", "dependencies ", "build "];
    let mut seen = 0;
    for stage in stages.filter(|stage| !builders.iter().any(|base| stage.starts_with(base))) {
        for copy in stage.lines().filter(|line| line.starts_with("COPY ")) {
            // The stage of the files has given them theirs.
            assert!(copy.contains("--chmod=") || copy.contains("--from=files"), "{copy}");
            seen += 1;
        }
    }
    assert!(4 < seen, "{seen}");
    for install in image.split("install -D ").skip(1) {
        assert!(install.starts_with("--mode=0"), "{install}");
    }
    // Nor does compose mount anything of it.
    let compose = text_of("deploy/compose.yaml");
    assert!(!compose.contains("volumes:"), "{compose}");
}

/// One image for every architecture that Rust and the bases know.
#[test]
fn neither_image_nor_program_is_tied_to_one_architecture() {
    let mut files: Vec<_> = ["Cargo.toml", ".cargo/config.toml", "deploy/Dockerfile"]
        .map(|name| super::repository().join(name))
        .into();
    for folder in ["src", "deploy/debian"] {
        super::walk(&super::repository().join(folder), &mut files);
    }
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for word in ["x86_64", "amd64", "aarch64", "arm64", "target_arch", "target-cpu"] {
            assert!(!text.contains(word), "{}: {word}", file.display());
        }
    }
}

#[test]
fn image_and_manifests_name_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    let image = text_of("deploy/Dockerfile");
    assert!(image.contains(&format!("org.opencontainers.image.version=\"{version}\"")));
    for overlay in
        ["deploy/kubernetes/example", "deploy/kubernetes/standalone", "tests/deploy/workloads"]
    {
        assert_eq!(value_of(&format!("{overlay}/kustomization.yaml"), "newTag:"), version);
    }
    let operators = text_of(super::OPERATORS);
    for told in [format!("koodrive-gateway:{version} ."), format!("    version: {version}\n")] {
        assert!(operators.contains(&told), "{told}");
    }
    let changes = text_of(super::README);
    assert!(changes.contains(&format!("\n### {version}\n")), "Changes has no {version}");
    let chart = "deploy/helm/koodrive-gateway/Chart.yaml";
    assert_eq!(value_of(chart, "version:"), version);
    assert_eq!(value_of(chart, "appVersion:"), version);
}

/// Tried again, a mistake would only hide behind `activating (auto-restart)`.
#[test]
fn a_mistake_in_the_configuration_fails_the_unit_for_good() {
    let unit = "deploy/systemd/koodrive-gateway.service";
    assert_eq!(value_of(unit, "RestartPreventExitStatus="), "2");
    assert!(!text_of(unit).contains("ExecStartPre"));
}

/// systemd waits for the word, for as long as the SSO takes; it must be able to arrive.
#[test]
fn the_unit_is_told_when_the_gateway_is_ready() {
    let unit = "deploy/systemd/koodrive-gateway.service";
    assert_eq!(value_of(unit, "Type="), "notify");
    assert_eq!(value_of(unit, "TimeoutStartSec="), "infinity");
    assert_eq!(value_of(unit, "ExecReload="), "/bin/kill -HUP $MAINPID");
    assert!(value_of(unit, "RestrictAddressFamilies=").contains("AF_UNIX"));
    let started = value_of(unit, "ExecStart=");
    assert_eq!(started.rsplit('/').next(), Some("koodrive-gateway run"));
}
