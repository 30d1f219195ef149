//! The files in `config/`.

use koodrive_gateway::config;
use koodrive_gateway::config::{Config, HttpUrl, Origin, keys};

use super::{leaves, repository};

fn shipped(name: &str) -> String {
    std::fs::read_to_string(repository().join("config").join(name)).unwrap()
}

/// `#issuer = …` and `#[[accept.issuers]]` put in force; words stay comments.
pub(super) fn in_force(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_shipped_configuration_is_the_defaults() {
    let text = shipped("gateway.toml");
    let defaults = Config::default().to_table();
    for (table, written) in toml::from_str::<toml::Table>(&text).unwrap() {
        is_default(&table, &written, &defaults[&table]);
    }

    let all: toml::Table = toml::from_str(&in_force(&text)).unwrap();
    let issuer = config::IssuerConfig::default().to_table();
    for (name, written) in all["accept"]["issuers"][0].as_table().unwrap() {
        if name != "issuer" && name != "audiences" {
            assert_eq!(*written, issuer[name], "accept.issuers[0].{name}");
        }
    }
}

fn is_default(key: &str, written: &toml::Value, default: &toml::Value) {
    match (written, default) {
        (toml::Value::Table(written), toml::Value::Table(defaults)) => {
            for (name, written) in written {
                is_default(&format!("{key}.{name}"), written, &defaults[name]);
            }
        }
        _ => assert_eq!(written, default, "{key}"),
    }
}

#[test]
fn the_shipped_configuration_holds_every_key_in_order_each_with_its_meaning() {
    let text = in_force(&shipped("gateway.toml"));
    let mut table = String::new();
    let mut written = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            table = line.trim_start_matches('[').trim_end_matches(']').to_owned();
        } else if let Some((name, value)) = line.split_once(" = ")
            && !line.starts_with('#')
        {
            written.push(format!("{table}.{name}"));
            assert!(value.contains("  # "), "{table}.{name} has no meaning");
        }
    }
    let known: Vec<_> = leaves(keys()).into_iter().map(|(key, _)| key.replace("[0]", "")).collect();
    assert_eq!(written, known);
}

#[test]
fn the_file_for_work_by_hand_loads() {
    let path = repository().join("config/local.toml");
    let loaded = config::load(&path, std::iter::empty()).unwrap();
    let Config { accept, token, forward, .. } = &loaded.config;
    assert_eq!(accept.issuers[0].issuer.as_str(), "http://127.0.0.1:9400/realms/tools");
    let endpoint = token.endpoint.as_ref().map(HttpUrl::as_str);
    assert_eq!(endpoint, Some("http://127.0.0.1:9400/realms/tools/token"));
    assert_eq!(forward.upstream.as_str(), "http://127.0.0.1:9500");
    let secret = secrecy::ExposeSecret::expose_secret(token.client_secret_file.password().unwrap());
    assert_eq!(secret, "demo-client-secret");
    assert!(
        matches!(loaded.origin("forward.upstream"), Origin::File { name, .. } if name.ends_with("config/local.toml"))
    );
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let error = config::load("nowhere/gateway.toml".as_ref(), std::iter::empty()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "nowhere/gateway.toml: cannot read the configuration: no such file"
    );
}
