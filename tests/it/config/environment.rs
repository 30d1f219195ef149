//! Every key can be set from the environment.

use koodrive_gateway::config::{Origin, Shape, keys};

use super::{Folder, GOOD, leaves, parse, value_at, write_files};

/// Keys that want others beside them.
const COMPANIONS: &[(&str, &[(&str, &str)])] = &[
    ("listen.tls_certificate_file", &[("listen.tls_key_file", "one.key")]),
    ("listen.tls_key_file", &[("listen.tls_certificate_file", "one.pem")]),
    (
        "listen.client_ca_file",
        &[("listen.tls_key_file", "one.key"), ("listen.tls_certificate_file", "one.pem")],
    ),
    ("forward.client_certificate_file", &[("forward.client_key_file", "one.key")]),
    ("forward.client_key_file", &[("forward.client_certificate_file", "one.pem")]),
    ("token.client_certificate_file", &[("token.client_key_file", "one.key")]),
    ("token.client_key_file", &[("token.client_certificate_file", "one.pem")]),
    ("limit.store_password_file", &[("limit.store", "redis://cache")]),
    ("limit.store_ca_file", &[("limit.store", "rediss://cache")]),
    (
        "limit.store_certificate_file",
        &[("limit.store", "rediss://cache"), ("limit.store_key_file", "one.key")],
    ),
    (
        "limit.store_key_file",
        &[("limit.store", "rediss://cache"), ("limit.store_certificate_file", "one.pem")],
    ),
    ("egress.username", &[("egress.password_file", "secret")]),
    ("egress.password_file", &[("egress.username", "gateway")]),
    ("token.client_id", &[("token.client_secret_file", "secret")]),
    ("token.client_secret_file", &[("token.client_id", "gateway")]),
];

/// Values where the shape alone does not tell a good one.
const VALUES: &[(&str, &str)] = &[
    ("accept.issuers[0].issuer", "https://other.example.com"),
    ("authorize.rules[0].paths", "[\"/koodrive/*\", \"/koodrive/**\"]"),
    ("accept.issuers[0].jwks_file", "keys.json"),
    ("listen.tls_certificate_file", "one.pem"),
    ("listen.client_ca_file", "one.pem"),
    ("forward.ca_file", "one.pem"),
    ("limit.store_ca_file", "one.pem"),
    ("limit.store_certificate_file", "one.pem"),
    ("limit.store_key_file", "one.key"),
    ("accept.ca_file", "one.pem"),
    ("telemetry.ca_file", "one.pem"),
    ("forward.client_certificate_file", "one.pem"),
    ("listen.tls_key_file", "one.key"),
    ("forward.client_key_file", "one.key"),
    ("token.private_key_file", "one.key"),
    ("accept.issuers[0].koodrive_users_file", "users.toml"),
    ("token.client_certificate_file", "one.pem"),
    ("token.client_key_file", "one.key"),
    ("token.ca_file", "one.pem"),
    ("token.absolute_lifetime", "13h"),
    ("token.freshness_margin", "17s"),
    ("token.custom.token", "/other"),
    ("token.custom.expires_in", "/other"),
    ("forward.prefix", "/other/"),
    ("telemetry.log_level", "debug"),
];

#[test]
fn every_key_can_be_set_from_the_environment() {
    let folder = Folder::new();
    write_files(&folder);
    let base = parse(GOOD, folder.path(), &[]).unwrap();
    let all = leaves(keys());
    assert!(100 < all.len(), "{} keys", all.len());
    for (key, shape) in all {
        let before = value_at(&base.config, &key);
        let text = sample(&key, shape, &before);
        let mut variables = vec![(variable(&key), text.clone())];
        for (companion, value) in companions(&key) {
            variables.push((variable(companion), (*value).to_owned()));
        }
        let loaded = parse(GOOD, folder.path(), &variables)
            .unwrap_or_else(|error| panic!("{key} = {text}: {error}"));
        let after = value_at(&loaded.config, &key);
        assert_ne!(after, before, "{key}");
        assert_eq!(after, value_of(text, shape), "{key}");
        assert_eq!(*loaded.origin(&key), Origin::Environment(variable(&key).into()), "{key}");
    }
}

#[test]
fn lists_can_be_set_element_by_element() {
    let folder = Folder::new();
    let document =
        GOOD.replace("[forward]", "resource = \"B\"\n[forward]\nrefused_codes = [\"A\", \"B\"]");
    let set = |name: &str, value: &str| (format!("KOODRIVE_GATEWAY__{name}"), value.to_owned());
    let loaded = parse(
        &document,
        folder.path(),
        &[
            set("FORWARD__REFUSED_CODES__1", "C"),
            set("FORWARD__REFUSED_CODES__2", "D"),
            set("FORWARD__REFUSED_STATUSES__0", "403"),
            set("TOKEN__AUDIENCE__0", "https://koodrive.example.com"),
            set("TOKEN__RESOURCE__0", "C"),
            set("TOKEN__RESOURCE__1", "D"),
            set("ACCEPT__ISSUERS__1__ISSUER", "https://other.example.com"),
            set("ACCEPT__ISSUERS__1__AUDIENCES__0", "tools"),
            set("ACCEPT__ISSUERS__1__AUDIENCES__1", "more"),
        ],
    )
    .unwrap();
    // over the file's elements; a list that nobody wrote starts empty, not at its default
    assert_eq!(loaded.config.forward.refused_codes, ["A", "C", "D"]);
    assert_eq!(loaded.config.forward.refused_statuses, [403]);
    assert_eq!(loaded.config.token.audience, ["https://koodrive.example.com"]);
    assert_eq!(loaded.config.token.resource, ["C", "D"]);
    assert_eq!(loaded.config.accept.issuers.len(), 2);
    assert_eq!(loaded.config.accept.issuers[1].audiences, ["tools", "more"]);
}

#[test]
fn elements_are_written_over_a_list_that_is_set_whole() {
    let set = |name: &str, value: &str| (format!("KOODRIVE_GATEWAY__{name}"), value.to_owned());
    let loaded = parse(
        GOOD,
        "".as_ref(),
        &[
            set("FORWARD__REFUSED_STATUSES__10", "410"),
            set("FORWARD__REFUSED_STATUSES__9", "409"),
            set("FORWARD__REFUSED_STATUSES", "[400, 401, 402, 403, 404, 405, 406, 407, 408]"),
        ],
    )
    .unwrap();
    assert_eq!(loaded.config.forward.refused_statuses, (400..=410).collect::<Vec<u16>>());
}

#[test]
fn a_whole_configuration_can_come_from_the_environment() {
    let set = |name: &str, value: &str| (format!("KOODRIVE_GATEWAY__{name}"), value.to_owned());
    let loaded = parse(
        "",
        "".as_ref(),
        &[
            set("ACCEPT__ISSUERS", r#"[{issuer = "https://sso.example.com", audiences = ["a"]}]"#),
            set("TOKEN__ENDPOINT", "https://sso.example.com/token"),
            set("FORWARD__UPSTREAM", "https://koodrive.example.com"),
        ],
    )
    .unwrap();
    assert_eq!(loaded.config.accept.issuers[0].audiences, ["a"]);
}

#[test]
fn names_with_a_single_underscore_set_no_key() {
    let environment = [
        ("KOODRIVE_GATEWAY_CONFIG".to_owned(), "x".to_owned()),
        ("KOODRIVE_GATEWAY_LIMIT".to_owned(), "x".to_owned()),
        ("KOODRIVE_GATEWAYS__LIMIT".to_owned(), "x".to_owned()),
    ];
    assert!(parse(GOOD, "".as_ref(), &environment).is_ok());
}

/// A legal value of this key, other than its default, and what it wants beside it.
pub(super) fn written(key: &str, shape: &Shape) -> Vec<(String, toml::Value)> {
    let base = parse(GOOD, "".as_ref(), &[]).unwrap();
    let value = value_of(sample(key, shape, &value_at(&base.config, key)), shape);
    let companions = companions(key).map(|(name, value)| ((*name).to_owned(), (*value).into()));
    [(key.to_owned(), value)].into_iter().chain(companions).collect()
}

fn companions(key: &str) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    let of_key = COMPANIONS.iter().filter(move |(with, _)| *with == key);
    of_key.flat_map(|(_, companions)| *companions)
}

/// What a variable stands for.
fn value_of(text: String, shape: &Shape) -> toml::Value {
    match shape {
        Shape::Text { .. } | Shape::Texts | Shape::Choice(_) => toml::Value::String(text),
        _ => toml::from_str::<toml::Table>(&format!("x = {text}")).unwrap()["x"].clone(),
    }
}

fn variable(key: &str) -> String {
    let levels = key.replace(['.', '['], "__").replace(']', "");
    format!("KOODRIVE_GATEWAY__{}", levels.to_ascii_uppercase())
}

/// A legal value, other than the one before.
fn sample(key: &str, shape: &Shape, before: &toml::Value) -> String {
    if let Some((_, value)) = VALUES.iter().find(|(of, _)| *of == key) {
        return (*value).to_owned();
    }
    if key.ends_with("_file") {
        return "secret".to_owned();
    }
    match shape {
        Shape::Flag => (!before.as_bool().expect("a flag")).to_string(),
        Shape::Integer { .. } => (before.as_integer().expect("an integer") + 1).to_string(),
        Shape::Number { .. } => "0.5".to_owned(),
        Shape::Choice(words) => {
            let other = words.iter().find(|word| before.as_str() != Some(word));
            (*other.expect("a choice has two words or more")).to_owned()
        }
        Shape::Text { expected: None, .. } | Shape::Texts => "other".to_owned(),
        Shape::Text { expected: Some(expected), .. } => by_expectation(expected).to_owned(),
        Shape::List(element) => match &**element {
            Shape::Integer { .. } => "[418]".to_owned(),
            Shape::Choice(words) => format!("[\"{}\"]", words[1]),
            _ => "[\"other\", \"more\"]".to_owned(),
        },
        Shape::Map(entry) => match **entry {
            Shape::List(_) => "{\"/code\" = [0, \"0\"]}".to_owned(),
            _ => "{name = \"value\"}".to_owned(),
        },
        Shape::Table(_) | Shape::Of { .. } | Shape::Any => panic!("{key} has no value of its own"),
    }
}

fn by_expectation(expected: &str) -> &'static str {
    let samples = [
        ("expected a duration", "17m"),
        ("expected a proxy", "http://proxy.example:3128"),
        ("expected a size", "17MiB"),
        ("expected an address", "https://other.example.com"),
        ("expected an IP address", "127.0.0.1:7777"),
        ("expected a header name", "x-sso-token"),
        ("expected one word", "DPoP"),
        ("expected one line", "other"),
        ("expected visible ASCII", "other"),
        ("expected a language", "zh-cn"),
        ("expected the name of a claim", "other"),
        ("expected \"local\"", "redis://cache:6379"),
    ];
    let sample = samples.iter().find(|(start, _)| expected.starts_with(start));
    sample.unwrap_or_else(|| panic!("no sample for {expected}")).1
}
