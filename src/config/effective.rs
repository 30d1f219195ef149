//! The configuration in force, as an operator would write it.

use super::error::Origin;
use super::keys::{Key, Shape, keys};
use super::load::Loaded;
use super::reader::joined;
use super::values::{Part, REDACTED};

/// The configuration in force: TOML, every key, each with where its value comes from.
///
/// Secrets are redacted: files by their nature, as only their paths stand here; the password of a
/// Redis address; and what may be a credential in `token.custom` and `token.extra`.
pub fn effective(loaded: &Loaded) -> String {
    Page::of(loaded).text
}

/// How many keys the operator set, and how many have their default.
pub fn keys_set(loaded: &Loaded) -> (usize, usize) {
    let Page { set, defaults, .. } = Page::of(loaded);
    (set, defaults)
}

/// One key with its value.
pub(super) struct Line {
    /// With the numbers of list elements: `accept.issuers[0].issuer`.
    pub(super) key: String,
    pub(super) value: toml::Value,
    pub(super) shown: String,
}

/// Every key, as [`effective`] shows it.
pub(super) fn lines(loaded: &Loaded) -> Vec<Line> {
    Page::of(loaded).lines
}

struct Page<'l> {
    loaded: &'l Loaded,
    text: String,
    lines: Vec<Line>,
    set: usize,
    defaults: usize,
}

impl<'l> Page<'l> {
    fn of(loaded: &'l Loaded) -> Self {
        let mut page = Self { loaded, text: String::new(), lines: Vec::new(), set: 0, defaults: 0 };
        page.table("", "", keys(), &loaded.config.to_table());
        page
    }

    /// `table` stands in the header; `key` counts elements: `accept.issuers[0]`.
    fn table(&mut self, table: &str, key: &str, known: &[Key], values: &toml::Table) {
        for Key { name, shape } in known {
            let (key, Some(value)) = (joined(key, name), values.get(*name)) else { continue };
            if is_plain(shape) || value.as_array().is_some_and(Vec::is_empty) {
                let shown = shown(&key, value);
                let origin = self.origin(&key);
                let line = format!("{name} = {shown}  # {origin}\n");
                let count = match origin {
                    Origin::Default => &mut self.defaults,
                    _ => &mut self.set,
                };
                *count += 1;
                self.text += &line;
                self.lines.push(Line { key, value: value.clone(), shown });
            }
        }
        for Key { name, shape } in known {
            let (key, Some(value)) = (joined(key, name), values.get(*name)) else { continue };
            let table = joined(table, name);
            match (shape, value) {
                (Shape::Table(known), toml::Value::Table(values)) => {
                    self.header(&format!("[{table}]"));
                    self.table(&table, &key, known, values);
                }
                (Shape::List(element), toml::Value::Array(values)) => {
                    let Shape::Table(known) = &**element else { continue };
                    for (index, value) in values.iter().enumerate() {
                        self.header(&format!("[[{table}]]"));
                        let Some(values) = value.as_table() else { continue };
                        self.table(&table, &format!("{key}[{index}]"), known, values);
                    }
                }
                _ => {}
            }
        }
    }

    fn header(&mut self, header: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text += header;
        self.text.push('\n');
    }

    fn origin(&self, key: &str) -> &'l Origin {
        self.loaded.origin(key)
    }
}

/// Whether the value stands on one line, behind its name.
fn is_plain(shape: &Shape) -> bool {
    match shape {
        Shape::Table(_) => false,
        Shape::List(element) => !matches!(**element, Shape::Table(_)),
        _ => true,
    }
}

fn shown(key: &str, value: &toml::Value) -> String {
    let is_secret: fn(&str) -> bool = match key {
        "token.custom.headers" => |name| !PLAIN_HEADERS.contains(&name),
        "token.custom.body" | "token.extra" => is_secretive,
        _ => return value.to_string(),
    };
    redacted(value, false, is_secret).to_string()
}

/// What stands under a name that may be a secret's, however deep, is put out of sight, but for the
/// placeholders of texts.
fn redacted(value: &toml::Value, hidden: bool, is_secret: fn(&str) -> bool) -> toml::Value {
    match value {
        toml::Value::Table(entries) => {
            let entry = |(name, value): (&String, &toml::Value)| {
                let hidden = hidden || is_secret(&name.to_lowercase());
                (name.clone(), redacted(value, hidden, is_secret))
            };
            toml::Value::Table(entries.iter().map(entry).collect())
        }
        toml::Value::Array(values) => {
            let values = values.iter().map(|value| redacted(value, hidden, is_secret));
            toml::Value::Array(values.collect())
        }
        toml::Value::String(text) if hidden => toml::Value::String(without_literals(text)),
        toml::Value::Boolean(_) => value.clone(),
        _ if hidden => toml::Value::String(REDACTED.to_owned()),
        value => value.clone(),
    }
}

/// By the name of a parameter.
fn is_secretive(name: &str) -> bool {
    SECRETIVE.iter().any(|word| name.contains(word))
        && !KINDS.iter().any(|kind| name.ends_with(kind))
}

/// Headers that carry no secret; what others carry is not known.
const PLAIN_HEADERS: [&str; 5] =
    ["accept", "accept-charset", "accept-language", "content-type", "user-agent"];

/// What names end with that tell something about a secret.
const KINDS: [&str; 3] = ["_id", "_type", "_use"];

/// What is in the names of parameters that carry a secret.
const SECRETIVE: [&str; 11] = [
    "assertion",
    "auth",
    "cookie",
    "credential",
    "key",
    "otp",
    "pass",
    "pin",
    "pwd",
    "secret",
    "token",
];

/// `"hunter2 {subject}"` → `"*** {subject}"`.
fn without_literals(text: &str) -> String {
    let Ok(parts) = Part::all(text) else { return REDACTED.to_owned() };
    let shown = parts.into_iter().map(|part| match part {
        Part::Literal(text) if !text.trim().is_empty() => text.replace(text.trim(), REDACTED),
        place => place.to_string(),
    });
    shown.collect()
}
