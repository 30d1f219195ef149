//! What `check-config` takes, the schema accepts: shipped files, every key, and many odd values.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use koodrive_gateway::config::{Shape, keys, schema};
use serde_json::json;
use toml::{Table, Value};

use crate::config::schema::odd::{NUMBERS, SHARES, TEXTS};
use crate::config::{Folder, GOOD, environment, leaves, parse, repository, shipped, write_files};
use crate::support::schema::faults;

#[test]
fn every_configuration_file_of_the_repository_is_accepted() {
    let files: Vec<_> = ["config", "deploy", "tests"]
        .into_iter()
        .flat_map(|name| toml_files(name.as_ref()))
        .collect();
    assert!(4 < files.len(), "{files:?}");
    for file in files {
        let mut text = std::fs::read_to_string(repository().join(&file)).unwrap();
        for (word, value) in [
            ("$issuer", "http://127.0.0.1:1/realms/tools"),
            ("$koodrive", "http://127.0.0.1:2"),
            ("$gateway", "8080"),
            ("$admin", "9901"),
            ("$otlp", "4318"),
            ("$query", "16686"),
        ] {
            text = text.replace(word, value);
        }
        assert_eq!(faults(&toml::from_str(&text).unwrap()), [], "{}", file.display());
        let all = toml::from_str(&shipped::in_force(&text)).unwrap();
        assert_eq!(faults(&all), [], "{} with all its keys", file.display());
    }
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let mut examples = readme.split("```toml\n").skip(1).peekable();
    assert!(examples.peek().is_some());
    for example in examples {
        let example = example.split("```").next().unwrap();
        assert_eq!(faults(&toml::from_str(example).unwrap()), [], "{example}");
    }
}

/// Below a folder of the repository; packages of Cargo's are no configuration.
fn toml_files(below: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(repository().join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            files.extend(toml_files(&path));
        } else if path.extension().is_some_and(|end| end == "toml") && !path.ends_with("Cargo.toml")
        {
            files.push(path);
        }
    }
    files
}

#[test]
fn every_key_is_accepted_at_another_value() {
    let judge = Judge::new();
    for (key, shape) in leaves(keys()) {
        let mut document: Table = GOOD.parse().unwrap();
        for (name, value) in environment::written(&key, shape) {
            set(&mut document, &name, value);
        }
        assert!(judge.takes(&document), "{document}");
    }
}

#[test]
fn nothing_that_is_taken_at_a_key_is_refused_there() {
    let judge = Judge::new();
    let text = |text: &&str| Value::String((*text).to_owned());
    let (schema, mut durations) = (schema(), BTreeSet::new());
    let mut taken = 0;
    for (key, shape) in leaves(keys()) {
        let candidates: Vec<Value> = match shape {
            Shape::Text { .. } => TEXTS.iter().map(text).collect(),
            Shape::Integer { .. } => NUMBERS.iter().copied().map(Value::Integer).collect(),
            Shape::Number { .. } => {
                let whole = [0, 1, 2].map(Value::Integer);
                SHARES.iter().copied().map(Value::Float).chain(whole).collect()
            }
            Shape::List(element) => {
                let one = |value| Value::Array(vec![value]);
                let elements: Vec<Value> = match **element {
                    Shape::Integer { .. } => NUMBERS.iter().copied().map(Value::Integer).collect(),
                    _ => TEXTS.iter().take(12).map(text).collect(),
                };
                elements.into_iter().map(one).chain([Value::Array(Vec::new())]).collect()
            }
            _ => continue, // flags, choices and maps
        };
        // What says nothing refuses nothing, and all durations of a kind are read alike.
        let mut rules = property(&schema, &key).clone();
        rules.as_object_mut().unwrap().retain(|word, _| word != "description" && word != "default");
        let is_duration = matches!(shape, Shape::Text { expected: Some(expected), .. }
            if expected.starts_with("expected a duration"));
        let is_path = key.ends_with("_file");
        let is_known = is_duration && !durations.insert(rules.to_string());
        if is_known || is_path || rules == json!({"type": "string"}) {
            continue;
        }
        for candidate in candidates {
            let mut document: Table = GOOD.parse().unwrap();
            if key.starts_with("token.custom.") {
                set(&mut document, "token.method", "custom".into());
                set(&mut document, "token.custom.body", body("{sso_token}"));
            }
            set(&mut document, &key, candidate);
            taken += u32::from(judge.does_not_refuse_what_is_taken(&document));
        }
    }
    assert!(200 < taken, "{taken}");
}

#[test]
fn nothing_that_a_custom_login_takes_is_refused() {
    let judge = Judge::new();
    let mut taken = 0;
    for text in TEXTS {
        let under =
            |name: &str, value: Value| Value::Table(Table::from_iter([(name.to_owned(), value)]));
        let zero = || Value::Array(vec![Value::Integer(0)]);
        for (key, value) in [
            ("token.custom.body", under("a", Value::Array(vec![body(text)]))),
            ("token.custom.body", under(text, "{subject}".into())),
            ("token.custom.headers", under("name", (*text).into())),
            ("token.custom.headers", under(text, "{sso_token}".into())),
            ("token.custom.success", under(text, zero())),
            ("token.custom.denied", under(text, zero())),
            ("token.custom.denied", under(text, Value::Array(Vec::new()))),
        ] {
            for method in ["custom", "token_exchange"] {
                let mut document: Table = GOOD.parse().unwrap();
                set(&mut document, "token.method", method.into());
                if !key.ends_with("body") {
                    set(&mut document, "token.custom.body", body("{claim:oid}"));
                }
                set(&mut document, key, value.clone());
                taken += u32::from(judge.does_not_refuse_what_is_taken(&document));
            }
        }
    }
    assert!(500 < taken, "{taken}");
}

fn body(text: &str) -> Value {
    Value::Table(Table::from_iter([("token".to_owned(), text.into())]))
}

pub(super) struct Judge {
    pub(super) folder: Folder,
}

impl Judge {
    pub(super) fn new() -> Self {
        let folder = Folder::new();
        write_files(&folder);
        Self { folder }
    }

    /// Whether the program and the schema both take it.
    fn takes(&self, document: &Table) -> bool {
        let parsed = parse(&document.to_string(), self.folder.path(), &[]);
        assert!(parsed.is_ok(), "{document}\n{parsed:?}");
        assert_eq!(faults(document), [], "{document}");
        true
    }

    /// Whether the program takes it; then the schema must as well.
    fn does_not_refuse_what_is_taken(&self, document: &Table) -> bool {
        let taken = parse(&document.to_string(), self.folder.path(), &[]).is_ok();
        if taken {
            assert_eq!(faults(document), [], "{document}");
        }
        taken
    }
}

/// What the schema says of one key.
fn property<'s>(schema: &'s serde_json::Value, key: &str) -> &'s serde_json::Value {
    key.split('.').fold(schema, |at, step| match step.strip_suffix("[0]") {
        None => &at["properties"][step],
        Some(list) => &at["properties"][list]["items"],
    })
}

/// Writes a value at `accept.issuers[0].issuer`.
pub(super) fn set(document: &mut Table, key: &str, value: Value) {
    let (table, name) = key.rsplit_once('.').unwrap();
    table_at(document, table).insert(name.to_owned(), value);
}

pub(super) fn remove(document: &mut Table, key: &str) {
    let (table, name) = key.rsplit_once('.').unwrap();
    table_at(document, table).remove(name);
}

fn table_at<'d>(document: &'d mut Table, key: &str) -> &'d mut Table {
    key.split('.').fold(document, |table, step| {
        let empty = || Value::Table(Table::new());
        match step.strip_suffix("[0]") {
            None => table.entry(step).or_insert_with(empty).as_table_mut().unwrap(),
            Some(list) => {
                let one = || Value::Array(vec![empty()]);
                let elements = table.entry(list).or_insert_with(one).as_array_mut().unwrap();
                elements[0].as_table_mut().unwrap()
            }
        }
    })
}
