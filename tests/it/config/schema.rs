//! The JSON Schema that editors use.

use koodrive_gateway::config::schema;
use serde_json::Value;

use super::GOOD;
use super::repository;

#[test]
fn the_shipped_schema_is_the_schema() {
    let path = repository().join("config/gateway.schema.json");
    let expected = format!("{:#}\n", schema());
    let shipped = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        shipped == expected,
        "run `koodrive-gateway config-schema > config/gateway.schema.json`; it holds:\n{expected}"
    );
}

#[test]
fn the_schema_accepts_the_shipped_files() {
    let schema = schema();
    for name in ["gateway.toml", "local.toml"] {
        let text = std::fs::read_to_string(repository().join("config").join(name)).unwrap();
        assert_eq!(faults(&schema, &json(&text)), Vec::<String>::new(), "{name}");
    }
    assert_eq!(faults(&schema, &json(GOOD)), Vec::<String>::new());
}

#[test]
fn the_schema_refuses_unknown_keys_and_wrong_types() {
    let schema = schema();
    let wrong = [
        ("[limit]\ncalls_per_minut = 5", "/limit/calls_per_minut"),
        ("[limits]\nmode = \"off\"", "/limits"),
        ("[[accept.issuers]]\naudience = \"x\"", "/accept/issuers/0/audience"),
        ("[token]\nclient_secret = \"x\"", "/token/client_secret"),
        ("[token.carrier]\npassword = \"x\"", "/token/carrier/password"),
        ("[limit]\ncalls_per_minute = \"60\"", "/limit/calls_per_minute"),
        ("[limit]\ncalls_per_minute = 0", "/limit/calls_per_minute"),
        ("[limit]\nusers_burst = 4294967296", "/limit/users_burst"),
        ("[listen]\nmax_connections = 0", "/listen/max_connections"),
        ("[listen]\nheader_timeout = 10", "/listen/header_timeout"),
        ("[listen]\naddress = 8080", "/listen/address"),
        ("[limit]\nmode = \"enfroce\"", "/limit/mode"),
        ("[telemetry]\naccess_log = \"yes\"", "/telemetry/access_log"),
        ("[telemetry]\nsample_ratio = \"1\"", "/telemetry/sample_ratio"),
        ("limit = 1", "/limit"),
        ("[accept]\nissuers = {}", "/accept/issuers"),
        ("[forward]\nrefused_statuses = [401, \"403\"]", "/forward/refused_statuses/1"),
        ("[[accept.issuers]]\nalgorithms = [\"HS256\"]", "/accept/issuers/0/algorithms/0"),
        ("[[accept.issuers]]\nrequired_claims = { a = 1 }", "/accept/issuers/0/required_claims/a"),
        ("[token.custom]\nsuccess = { \"/a\" = 0 }", "/token/custom/success//a"),
    ];
    for (document, place) in wrong {
        assert_eq!(faults(&schema, &json(document)), [place], "{document}");
    }
}

#[test]
fn the_schema_explains_every_key() {
    fn walk(place: &str, schema: &Value, silent: &mut Vec<String>) {
        let properties = schema["properties"].as_object();
        for (name, property) in properties.into_iter().flatten() {
            let place = format!("{place}/{name}");
            if property["description"].as_str().is_none_or(str::is_empty) {
                silent.push(place.clone());
            }
            walk(&place, property, silent);
            walk(&place, &property["items"], silent);
        }
    }
    let mut silent = Vec::new();
    walk("", &schema(), &mut silent);
    assert_eq!(silent, Vec::<String>::new());
}

fn json(document: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(document).unwrap()).unwrap()
}

/// The places of `value` that the schema refuses. Knows the keywords the schema uses, but for
/// patterns.
fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut places = Vec::new();
    check("", schema, value, &mut places);
    places
}

fn check(place: &str, schema: &Value, value: &Value, faults: &mut Vec<String>) {
    let type_fits = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some(other) => panic!("unknown type {other}"),
    };
    let in_range = value.as_i64().is_none_or(|number| {
        schema["minimum"].as_i64().is_none_or(|minimum| minimum <= number)
            && schema["maximum"].as_i64().is_none_or(|maximum| number <= maximum)
    });
    let is_choice = schema["enum"].as_array().is_none_or(|words| words.contains(value));
    if !(type_fits && in_range && is_choice) {
        faults.push(place.to_owned());
        return;
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let place = format!("{place}/{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(property), _) => check(&place, property, value, faults),
            (None, Value::Bool(false)) => faults.push(place),
            (None, entry) => check(&place, entry, value, faults),
        }
    }
    for (index, value) in value.as_array().into_iter().flatten().enumerate() {
        check(&format!("{place}/{index}"), &schema["items"], value, faults);
    }
}
