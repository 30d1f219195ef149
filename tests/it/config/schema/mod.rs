//! The JSON Schema that editors use, judged by a validator that is not ours.

mod accepts;
mod odd;
mod refuses;
mod together;

use koodrive_gateway::config::{Shape, keys, schema};
use serde_json::{Value, json};

use super::{leaves, repository};
use crate::support::schema::faults;

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
fn the_schema_explains_every_key_and_knows_no_other() {
    fn walk(place: &str, schema: &Value, told: &mut Vec<String>, silent: &mut Vec<String>) {
        let properties = schema["properties"].as_object();
        for (name, property) in properties.into_iter().flatten() {
            let place = format!("{place}.{name}");
            if property["description"].as_str().is_none_or(str::is_empty) {
                silent.push(place.clone());
            }
            if property["properties"].is_null() && property["items"]["properties"].is_null() {
                told.push(place.trim_start_matches('.').to_owned());
            }
            walk(&place, property, told, silent);
            walk(&place, &property["items"], told, silent);
        }
    }
    let (mut told, mut silent) = (Vec::new(), Vec::new());
    walk("", &schema(), &mut told, &mut silent);
    assert_eq!(silent, Vec::<String>::new());
    let mut known: Vec<_> =
        leaves(keys()).into_iter().map(|(key, _)| key.replace("[0]", "")).collect();
    told.sort();
    known.sort();
    assert_eq!(told, known);
}

#[test]
fn every_text_that_has_a_form_has_its_rule() {
    let formless = leaves(keys()).into_iter().filter(
        |(_, shape)| matches!(shape, Shape::Text { expected: Some(_), rule } if *rule == json!({})),
    );
    assert_eq!(formless.map(|(key, _)| key).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn no_key_is_required() {
    assert_eq!(faults(&toml::Table::new()), []);
    assert_eq!(schema()["required"], json!(null));
}
