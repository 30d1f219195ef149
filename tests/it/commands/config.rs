//! `check-config` and `config-schema`.

use serde_json::json;

use super::{Said, config_of, koodrive_gateway, usable_keys, with_environment};
use crate::support::faults::Behaviour;
use crate::support::tls::{Authority, TlsServer};
use crate::support::world::World;

#[tokio::test]
async fn a_good_configuration_is_printed_without_its_secrets() {
    let world = World::start().await;
    let said = koodrive_gateway(&["check-config", "--config", config_of(&world)]).await;
    let upstream = format!("upstream = \"{}\"", world.koodrive.url());
    let said = said.expect(0, &["[accept]", &upstream, "calls_per_minute = 60"]);
    said.keeps_quiet_about(&world, "");

    let path = config_of(&world);
    let named = [("KOODRIVE_GATEWAY_CONFIG", path), ("KOODRIVE_GATEWAY__LIMIT__CONCURRENT", "7")];
    let said = with_environment(&["check-config"], &named, "").await;
    said.expect(0, &["concurrent = 7", "KOODRIVE_GATEWAY__LIMIT__CONCURRENT"]);
}

#[tokio::test]
async fn the_print_ends_with_ways_memory_and_a_verdict() {
    let world = World::start().await;
    let said = koodrive_gateway(&["check-config", "--config", config_of(&world)]).await;
    let way = |url: &str| format!("\n# way to {url}: direct\n");
    let sso = world.sso.server.address();
    let ways = [way(&format!("http://{sso}")), way(world.koodrive.url())];
    let said = said.expect(0, &[&ways[0], &ways[1], "\n# memory: at most "]);
    assert_eq!(said.stdout.matches(&*ways[0]).count(), 1, "keys and tokens are one destination");
    let memory = said.stdout.lines().find(|line| line.starts_with("# memory: ")).unwrap();
    for part in ["bodies (listen.max_buffered) 64MiB", "verified SSO tokens 32MiB"] {
        assert!(memory.contains(part), "{memory}");
    }
    let sizes = memory.split([' ', ',', ':']).filter_map(|word| word.strip_suffix("MiB"));
    let sizes: Vec<u64> = sizes.map(|size| size.parse().unwrap()).collect();
    // Each part is rounded up for itself.
    let (sum, parts) = (sizes[0], sizes[1..].iter().sum::<u64>());
    assert!(sum <= parts && parts <= sum + 8, "{memory}");

    // What is printed is a configuration still, and counts its keys.
    let printed: toml::Table = said.stdout.parse().unwrap();
    let leaves = count_of_leaves(&printed);
    let verdict = said.stdout.lines().last().unwrap();
    let numbers = verdict.split(' ').filter_map(|word| word.parse::<usize>().ok());
    let numbers: Vec<_> = numbers.collect();
    assert!(verdict.starts_with("# good: ") && verdict.contains(" defaults"), "{verdict}");
    assert_eq!(numbers[0] + numbers[1], leaves, "{verdict}");
    let set =
        said.stdout.lines().filter(|line| line.contains("  # ") && !line.ends_with("# default"));
    assert_eq!(numbers[0], set.count(), "{verdict}");
}

/// Values that stand on a line of their own.
fn count_of_leaves(table: &toml::Table) -> usize {
    let count = |value: &toml::Value| match value {
        // Tables the operator fills stand on one line each.
        toml::Value::Table(table) if table.is_empty() => 1,
        toml::Value::Table(table) => count_of_leaves(table),
        toml::Value::Array(elements) if elements.iter().any(toml::Value::is_table) => {
            elements.iter().filter_map(toml::Value::as_table).map(count_of_leaves).sum()
        }
        _ => 1,
    };
    table.values().map(count).sum()
}

#[tokio::test]
async fn what_is_legal_but_unwise_is_warned_of() {
    let open = "admin.address 0.0.0.0:9901 is open to the network";
    let clear = "listen.address 0.0.0.0:8080 is open to the network without TLS";
    let rows = [
        ("[admin]\naddress = '0.0.0.0:9901'", open),
        ("[listen]\naddress = '0.0.0.0:8080'", clear),
        ("[listen]\naddress = 'unix:/nowhere/of/all/gateway.sock'", "there is no folder /nowhere"),
        ("[admin]\naddress = 'unix:/etc/passwd'", "/etc/passwd is there and is no socket"),
        ("[telemetry]\notlp_endpoint = 'http://127.0.0.1:4317'", "its port is 4318"),
        ("[token]\nclient_secret_file = 'blank'", "begins with a blank"),
        ("[token]\nclient_secret_file = 'blank-behind'", "ends with a blank"),
        (
            "[forward]\nupstream = 'http://koodrive.example.com'\nallow_plain_http = true",
            "forward.upstream http://koodrive.example.com has no TLS",
        ),
    ];
    for (lines, warning) in rows {
        let plan = World::plan().file("blank", " secret\n").file("blank-behind", "secret \n");
        let world = plan.start().await;
        let text = std::fs::read_to_string(config_of(&world)).unwrap();
        let mut config: toml::Table = text.parse().unwrap();
        for (table, changes) in lines.parse::<toml::Table>().unwrap() {
            let keys = config.entry(table).or_insert_with(|| toml::Table::new().into());
            keys.as_table_mut().unwrap().extend(changes.as_table().unwrap().clone());
        }
        let file = world.scratch.write("unwise.toml", config.to_string()).unwrap();
        let arguments = ["check-config", "--config", file.to_str().unwrap()];
        let said = koodrive_gateway(&arguments).await.expect(0, &["\n# warning: ", warning]);
        assert!(said.stdout.lines().last().unwrap().contains(" warning"), "{said:?}");
        said.keeps_quiet_about(&world, "");
    }
}

#[tokio::test]
async fn localhost_is_an_address_too() {
    let world = World::plan().config("[admin]\naddress = 'localhost:0'").start().await;
    let said = koodrive_gateway(&["check-config", "--config", config_of(&world)]).await;
    said.expect(0, &["address = \"127.0.0.1:0\""]);
    assert!(world.gateway.admin.ip().is_loopback());
}

#[tokio::test]
async fn a_bad_configuration_is_told_with_file_line_key_and_cure() {
    let world = World::start().await;
    let wrong = "[limit]\ncalls_per_minut = 5\n[forward]\nupstream = 'http://example.com'\n";
    let wrong = world.scratch.write("wrong.toml", wrong).unwrap();
    let wrong = wrong.to_str().unwrap();
    for command in ["check-config", "run"] {
        let said = koodrive_gateway(&[command, "--config", wrong]).await.expect(2, &[]);
        said.complains(&format!(
            "{wrong}:2:1: key `limit.calls_per_minut`: unknown key; did you mean `calls_per_minute`?"
        ));
        said.complains(&format!("{wrong}:4:12: key `forward.upstream`: http:// is accepted"));
        assert_eq!(said.stdout, "");
    }
    let variable = [("KOODRIVE_GATEWAY__LIMIT__CONCURENT", "7")];
    let arguments = ["check-config", "--config", config_of(&world)];
    let said = with_environment(&arguments, &variable, "").await.expect(2, &[]);
    said.complains("KOODRIVE_GATEWAY__LIMIT__CONCURENT");
    let said = koodrive_gateway(&["check-config", "--config", "/nowhere.toml"]).await;
    said.expect(2, &[]).complains("/nowhere.toml");
}

async fn online(world: &World) -> Said {
    koodrive_gateway(&["check-config", "--online", "--config", config_of(world)]).await
}

#[tokio::test]
async fn online_asks_the_sso_the_token_endpoint_and_koodrive() {
    let world = World::start().await;
    let (granted, verified) = (world.sso.granted(), world.koodrive.verified());
    let usable = usable_keys(&world).await;
    let keys = format!("# ok     keys of {}: fetched, {usable}\n", world.sso.issuer());
    let said = online(&world).await.expect(
        0,
        &[
            &keys,
            "# ok     token endpoint",
            "it knows the client, and refuses a nonsense subject token (400 invalid_request)",
            "# ok     KooDrive",
            "its API answers, status 401",
            "# ok     collector",
            "it answers, status 200",
            "# ok     clocks: the SSO",
            "\n# good: all 5 checks passed\n",
        ],
    );
    said.keeps_quiet_about(&world, "");
    // It asked for nothing that changes anything.
    assert_eq!((world.sso.granted(), world.koodrive.verified()), (granted, verified));

    // Each fault is told for itself.
    world.sso.jwks.set(Behaviour::status(500));
    let keys = format!("# FAILED keys of {}: status", world.sso.issuer());
    let verdict = "\n# bad: 1 of 5 checks failed\n";
    let rest = ["# ok     token endpoint", "# ok     KooDrive", verdict];
    online(&world).await.expect(1, &[&[&*keys], &rest[..]].concat());
    world.sso.jwks.clear();

    let path = config_of(&world).to_owned();
    let arguments = ["check-config", "--online", "--config", &path];
    let World { koodrive, sso, scratch, .. } = world;
    drop(koodrive);
    let said = koodrive_gateway(&arguments).await;
    said.expect(1, &["# ok     keys", "# ok     token endpoint", "# FAILED KooDrive"]);
    drop(sso);
    let said = koodrive_gateway(&arguments).await;
    let said = said.expect(1, &["# FAILED keys", "unreachable", "# FAILED token endpoint"]);
    // The configuration itself is good, and printed.
    assert!(said.stdout.contains("[forward]"), "{said:?}");
    drop(scratch);
}

#[tokio::test]
async fn a_wrong_secret_is_told_from_a_wrong_path_and_from_a_grant_that_is_not_allowed() {
    let world = World::start().await;
    let error = |status, error| Behaviour::json(status, &json!({ "error": error }));
    for (behaviour, told) in [
        (error(401, "invalid_client"), "the secret or key is wrong, or the client is not known"),
        (error(400, "unauthorized_client"), "known but may not use this grant"),
        (error(400, "unsupported_grant_type"), "does not offer this grant: see token.method"),
        (error(400, "invalid_scope"), "it refuses token.scope"),
        (error(400, "invalid_target"), "it refuses token.audience or token.resource"),
        (Behaviour::status(404), "nothing takes tokens there: is the path right?"),
        (Behaviour::status(405), "nothing takes tokens there: is the path right?"),
        (Behaviour::redirect("https://sso.example.com/"), "it redirects, which is not followed"),
        (Behaviour::answer(200, "text/html", "<html>"), "is the path right?"),
        (Behaviour::json(200, &json!({"access_token": "t", "token_type": "Bearer"})), "anybody"),
        (Behaviour::status(503), "is unavailable: it answered 503"),
    ] {
        world.sso.token.set(behaviour);
        let said = online(&world).await.expect(1, &["# FAILED token endpoint", told]);
        said.keeps_quiet_about(&world, "");
        said.expect(1, &["# ok     keys", "# ok     KooDrive"]);
    }
    world.sso.token.clear();
    let secret = world.scratch.write("wrong-secret", "wrong").unwrap();
    let named = [("KOODRIVE_GATEWAY__TOKEN__CLIENT_SECRET_FILE", secret.to_str().unwrap())];
    let arguments = ["check-config", "--online", "--config", config_of(&world)];
    let said = with_environment(&arguments, &named, "").await;
    said.expect(1, &["the secret or key is wrong", "401 invalid_client"]);
}

#[tokio::test]
async fn methods_without_a_subject_token_are_tried_without_logging_in() {
    let world = World::plan().config("[token]\nmethod = 'client_credentials'").start().await;
    let granted = world.sso.granted();
    online(&world).await.expect(0, &["# ok     token endpoint", "it knows the client"]);
    world.sso.token.set(Behaviour::json(400, &json!({"error": "unauthorized_client"})));
    online(&world).await.expect(0, &["# ok     token endpoint", "it knows the client"]);
    world.sso.token.set(Behaviour::json(401, &json!({"error": "invalid_client"})));
    online(&world).await.expect(1, &["# FAILED token endpoint", "the secret or key is wrong"]);
    assert_eq!(world.sso.granted(), granted);
}

#[tokio::test]
async fn a_path_that_leads_nowhere_and_a_clock_that_is_off_are_no_good() {
    let world = World::start().await;
    world.koodrive.switch.set(Behaviour::status(404));
    let said = online(&world).await;
    said.expect(1, &["# FAILED KooDrive", "status 404: is the path right?"]);

    world.koodrive.switch.set(Behaviour::answer(200, "text/html", "<h1>welcome</h1>"));
    let said = online(&world).await;
    said.expect(1, &["# FAILED KooDrive", "status 200 without a token, and no JSON"]);

    let late = Behaviour::status(401).header("date", "Thu, 01 Jan 2026 00:00:00 GMT");
    world.koodrive.switch.set(late);
    let said = online(&world).await.expect(1, &["# ok     KooDrive", "# FAILED clocks: "]);
    let clocks = said.stdout.lines().find(|line| line.contains("clocks: ")).unwrap();
    assert!(clocks.contains("KooDrive ") && clocks.contains(" behind ours"), "{clocks}");
}

#[tokio::test]
async fn tls_and_plain_http_are_told_apart() {
    let world = World::start().await;
    let tls = World::plan().koodrive_tls(TlsServer::default()).start().await;
    let plain_as_tls = world.koodrive.url().replace("http://", "https://");
    let tls_as_plain = tls.koodrive.url().replace("https://", "http://");
    for (upstream, told) in [
        (plain_as_tls, "what listens there speaks plain HTTP"),
        (tls_as_plain, "what listens there wants TLS: write https://"),
    ] {
        let named = [("KOODRIVE_GATEWAY__FORWARD__UPSTREAM", &*upstream)];
        let arguments = ["check-config", "--online", "--config", config_of(&world)];
        let said = with_environment(&arguments, &named, "").await;
        said.expect(1, &["# FAILED KooDrive", told]);
    }
}

#[tokio::test]
async fn the_way_out_is_printed_and_a_proxy_in_the_way_is_named() {
    let plan = World::plan().config("[forward]\nupstream = 'https://koodrive.test'");
    let world = plan.start().await;
    let proxy = [("HTTPS_PROXY", "http://gateway:hunter2@127.0.0.1:1")];
    let arguments = ["check-config", "--online", "--config", config_of(&world)];
    let said = with_environment(&arguments, &proxy, "").await;
    let directly = format!("# way to http://{}: direct\n", world.sso.server.address());
    let said = said.expect(
        1,
        &[
            "# way to https://koodrive.test: proxy http://127.0.0.1:1\n",
            &directly,
            "# FAILED KooDrive https://koodrive.test",
            "stopped at the proxy http://127.0.0.1:1: it cannot be reached",
        ],
    );
    assert!(!said.stdout.contains("hunter2") && !said.stderr.contains("hunter2"), "{said:?}");

    let proxy = [("HTTPS_PROXY", "socks5://hunter2:1")];
    let said = with_environment(&arguments, &proxy, "").await.expect(2, &[]);
    said.complains("HTTPS_PROXY: expected a proxy such as \"http://proxy.example:3128\"");
    assert!(!said.stderr.contains("hunter2"), "{said:?}");
}

#[tokio::test]
async fn a_private_authority_that_is_not_the_servers_is_told_by_its_key() {
    let stranger = Authority::new().unwrap();
    let own = ["accept", "token", "forward", "telemetry"];
    let config: String = own.map(|section| format!("[{section}]\nca_file = 'ca.pem'\n")).concat();
    let world = World::plan()
        .neighbours_tls(TlsServer::default())
        .koodrive_tls(TlsServer::default())
        .file("stranger.pem", &stranger.root_pem())
        .config(&config)
        .start()
        .await;
    let arguments = ["check-config", "--online", "--config", config_of(&world)];
    let all_well = koodrive_gateway(&arguments).await;
    let url = world.collector.url();
    let telemetry = format!("# roots for {url}: the system and telemetry.ca_file ");
    all_well.expect(0, &[&telemetry, "\n# good: all 5 checks passed\n"]);
    let stranger = world.scratch.path().join("stranger.pem");
    for (section, who) in
        own.into_iter().zip(["keys of", "token endpoint", "KooDrive", "collector"])
    {
        let variable = format!("KOODRIVE_GATEWAY__{}__CA_FILE", section.to_uppercase());
        let failed = format!("# FAILED {who}");
        let wrong = [(&*variable, stranger.to_str().unwrap())];
        let said = with_environment(&arguments, &wrong, "").await;
        let told = format!(
            "neither the system's roots nor those of {section}.ca_file {} signed its certificate",
            stranger.display()
        );
        let said = said.expect(1, &[&failed, &told]);
        assert_eq!(said.stdout.matches("# FAILED").count(), 1, "{section}: {said:?}");
        let said = with_environment(&arguments, &[(&*variable, "")], "").await;
        said.expect(1, &[&failed, &format!("signed its certificate: set {section}.ca_file to")]);
    }
}

#[tokio::test]
async fn variables_of_opentelemetry_are_checked_by_name_before_a_start() {
    let world = World::plan().config("[telemetry]\notlp_endpoint = ''").start().await;
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example:4318");
    for command in ["check-config", "run"] {
        let arguments = [command, "--config", config_of(&world)];
        for (name, value, told) in [
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "collector.example:4318",
                "expected an address with its scheme, such as \"http://host:4318\"",
            ),
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "collector",
                "expected an address with its scheme, such as \"http://host:4318\"",
            ),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a b=hunter2", "expected headers such as"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a b=hunter2", "expected headers such as"),
        ] {
            let named = [endpoint, (name, value)];
            let named = if name == endpoint.0 { &named[1..] } else { &named[..] };
            let said = with_environment(&arguments, named, "").await;
            said.complains(&format!("{name}: {told}"));
            assert_ne!(said.code, 0, "{said:?}");
            assert!(!format!("{said:?}").contains("hunter2"), "{said:?}");
        }
    }
    for name in ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] {
        let arguments = ["check-config", "--config", config_of(&world)];
        let said = with_environment(&arguments, &[endpoint, (name, "grpc")], "").await;
        let warning = format!("\n# warning: {name} asks for grpc, and the gateway speaks OTLP as");
        let way = "\n# way to http://collector.example:4318: direct\n";
        said.expect(0, &[&warning, "by custom on port 4318", way, ", 1 warning\n"]);
        let said = with_environment(&arguments, &[endpoint, (name, "http/protobuf")], "").await;
        assert!(!said.expect(0, &[]).stdout.contains("# warning"));
        // Nothing is exported, so nobody needs to hear of it.
        let said = with_environment(&arguments, &[(name, "grpc")], "").await;
        assert!(!said.expect(0, &[]).stdout.contains("# warning"));
    }
}

#[tokio::test]
async fn the_schema_is_the_shipped_one() {
    let said = koodrive_gateway(&["config-schema"]).await.expect(0, &[]);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/gateway.schema.json");
    assert_eq!(said.stdout.trim_end(), std::fs::read_to_string(path).unwrap().trim_end());
}
