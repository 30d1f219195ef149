//! JSON Schema of the configuration, for editors.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::check;
use super::keys::{Key, Shape, keys};
use super::reader::joined;
use super::sections::{Config, IssuerConfig, RuleConfig};
use super::values::Scalar as _;

/// The one place where keys are explained.
const SHIPPED: &str = include_str!("../../config/gateway.toml");

/// JSON Schema (draft 2020-12): keys and types from the sections, words from the shipped file.
///
/// No key is required by it: what the document leaves out, the environment may give.
pub fn schema() -> Value {
    let defaults = json_of(&Config::default().to_table());
    let mut root = of_table("", keys(), &defaults, &descriptions());
    for (place, rule) in check::rules() {
        add(&mut root, place, &rule);
    }
    if let Some(root) = root.as_object_mut() {
        root.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
        root.insert("title".to_owned(), "koodrive-gateway configuration".into());
    }
    root
}

/// Puts a rule where it belongs. What it says of the same keyword holds besides what stands there;
/// only a narrower range takes the place of the wider one.
fn add(root: &mut Value, place: &str, rule: &Value) {
    let mut at = root;
    for step in place.split('.').filter(|step| !step.is_empty()) {
        at = &mut at["properties"][step.trim_end_matches("[]")];
        if step.ends_with("[]") {
            at = &mut at["items"];
        }
    }
    let (Some(at), Some(rule)) = (at.as_object_mut(), rule.as_object()) else { return };
    let is_range = |keyword: &str| keyword == "minimum" || keyword == "maximum";
    if rule.keys().all(|keyword| is_range(keyword) || !at.contains_key(keyword)) {
        at.extend(rule.clone());
    } else if let Some(all) = at.entry("allOf").or_insert_with(|| json!([])).as_array_mut() {
        all.push(rule.clone().into());
    }
}

fn of_table(
    table: &str,
    known: &[Key],
    defaults: &Value,
    words: &BTreeMap<String, String>,
) -> Value {
    let properties: serde_json::Map<String, Value> = known
        .iter()
        .map(|Key { name, shape }| {
            let key = joined(table, name);
            let default = &defaults[name];
            let mut property = of_shape(&key, shape, default, words);
            if let Some(property) = property.as_object_mut() {
                if let Some(words) = words.get(&key) {
                    property.insert("description".to_owned(), words.as_str().into());
                }
                if !matches!(shape, Shape::Table(_)) {
                    property.insert("default".to_owned(), default.clone());
                }
            }
            ((*name).to_owned(), property)
        })
        .collect();
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

fn of_shape(key: &str, shape: &Shape, default: &Value, words: &BTreeMap<String, String>) -> Value {
    match shape {
        Shape::Table(known) => of_table(key, known, default, words),
        Shape::List(element) => {
            let default = match key {
                "authorize.rules" => json_of(&RuleConfig::default().to_table()),
                _ => json_of(&IssuerConfig::default().to_table()),
            };
            json!({"type": "array", "items": of_shape(key, element, &default, words)})
        }
        Shape::Map(entry) => {
            let entry = of_shape(key, entry, &Value::Null, words);
            json!({"type": "object", "additionalProperties": entry})
        }
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Integer { min, max } if i64::MAX as u64 <= *max => {
            json!({"type": "integer", "minimum": min})
        }
        Shape::Integer { min, max } => {
            json!({"type": "integer", "minimum": min, "maximum": max})
        }
        Shape::Number { rule } => with_type("number", rule),
        Shape::Choice(words) => json!({"enum": words}),
        Shape::Text { rule, .. } => with_type("string", rule),
        Shape::Texts => {
            let text = of_shape(key, &String::shape(), &Value::Null, words);
            json!({"anyOf": [text, {"type": "array", "items": text}]})
        }
        Shape::Of { rule, .. } => rule.clone(),
        Shape::Any => json!({}),
    }
}

fn with_type(name: &str, rule: &Value) -> Value {
    let mut schema = rule.clone();
    schema["type"] = name.into();
    schema
}

fn json_of(table: &toml::Table) -> Value {
    serde_json::to_value(table).unwrap_or_default()
}

/// Key or table → the comment that explains it in the shipped file: the lines above, or the rest
/// of the line.
fn descriptions() -> BTreeMap<String, String> {
    let mut words = BTreeMap::new();
    let mut table = String::new();
    let mut above = Vec::new();
    for line in SHIPPED.lines() {
        let line = line.strip_prefix('#').filter(|rest| is_toml(rest)).unwrap_or(line);
        if let Some(comment) = line.strip_prefix("# ") {
            above.push(comment);
            continue;
        }
        let key = if line.starts_with('[') {
            let name = line.trim_start_matches('[').split(']').next().unwrap_or_default();
            name.clone_into(&mut table);
            Some(table.clone())
        } else {
            line.split_once(" = ").map(|(name, _)| joined(&table, name))
        };
        if let Some(key) = key {
            above.extend(line.split_once("  # ").map(|(_, comment)| comment));
            words.insert(key, above.join(" "));
        }
        above.clear();
    }
    words.retain(|_, words| !words.is_empty());
    words
}

/// Whether a line behind `#` is TOML that was put out of force, rather than words.
fn is_toml(rest: &str) -> bool {
    rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[')
}
