//! The written tree against the known keys: every unknown key and wrong value at once.

use std::collections::BTreeMap;

use super::ask::{Step, takes};
use super::document::{Node, Written};
use super::error::{Origin, Problem, nearest};
use super::keys;
use super::keys::{Key, Shape};

/// What a tree says, without what is wrong in it.
pub(super) struct Reading {
    pub(super) value: toml::Value,
    /// Where the value of each written key stands.
    pub(super) origins: BTreeMap<String, Origin>,
    /// Where each written table begins; the whole document is "".
    pub(super) tables: BTreeMap<String, Origin>,
    /// Keys an unknown one was probably meant to be.
    pub(super) meant: Vec<String>,
}

/// Reads the tree; adds what is wrong with it to `found`.
pub(super) fn read(root: &Node, found: &mut Vec<Problem>) -> Reading {
    let reading = Reading {
        value: toml::Value::Table(toml::Table::new()),
        origins: BTreeMap::new(),
        tables: BTreeMap::new(),
        meant: Vec::new(),
    };
    let mut reader = Reader { reading, found };
    if let Some(value) = reader.node(root, keys::root(), &[], "") {
        reader.reading.value = value;
    }
    reader.reading
}

struct Reader<'f> {
    reading: Reading,
    found: &'f mut Vec<Problem>,
}

impl Reader<'_> {
    fn node(
        &mut self,
        node: &Node,
        shape: &Shape,
        path: &[Step],
        key: &str,
    ) -> Option<toml::Value> {
        let below = |step| [path, &[step]].concat();
        let places = match shape {
            Shape::Table(_) => &mut self.reading.tables,
            _ => &mut self.reading.origins,
        };
        places.insert(key.to_owned(), node.at.clone());
        match (shape, &node.value) {
            (Shape::Table(known), Written::Table(entries)) => {
                let mut table = toml::Table::new();
                for (name, node) in entries {
                    let Some(found) = known.iter().find(|known| known.name == name) else {
                        self.unknown_key(node, key, name, known);
                        continue;
                    };
                    let key = joined(key, name);
                    let value =
                        self.node(node, &found.shape, &below(Step::Field(found.name)), &key);
                    table.extend(value.map(|value| (name.clone(), value)));
                }
                Some(toml::Value::Table(table))
            }
            (Shape::List(element), Written::List(elements)) => {
                let path = below(Step::Element);
                let values = elements.iter().enumerate().filter_map(|(index, node)| {
                    self.node(node, element, &path, &format!("{key}[{index}]"))
                });
                Some(toml::Value::Array(values.collect()))
            }
            (Shape::Map(entry), Written::Table(entries)) => {
                let path = below(Step::Entry);
                let mut table = toml::Table::new();
                for (name, node) in entries {
                    let value = self.node(node, entry, &path, &joined(key, name));
                    table.extend(value.map(|value| (name.clone(), value)));
                }
                Some(toml::Value::Table(table))
            }
            (Shape::Any, _) => Some(node.to_value()),
            (_, Written::Scalar(value)) => match takes(path, value) {
                Ok(()) => Some(value.clone()),
                Err(reason) => {
                    self.problem(&node.at, key, refused(node, shape, value, reason));
                    None
                }
            },
            _ => {
                self.problem(&node.at, key, format!("{}, found {}", shape.expected(), node.kind()));
                None
            }
        }
    }

    /// A key nearly of that name here, one of that name elsewhere, or all that are known here.
    fn unknown_key(&mut self, node: &Node, table: &str, name: &str, known: &[Key]) {
        let near = nearest(name, known.iter().map(|key| key.name));
        let mut elsewhere = Vec::new();
        places_of(name, keys(), "", &mut elsewhere);
        let reason = match (near, elsewhere.first()) {
            (Some(near), _) => {
                self.reading.meant.push(joined(table, near));
                format!("unknown key; did you mean `{near}`?")
            }
            (None, Some(place)) => format!("unknown key; did you mean `{place}`?"),
            (None, None) => unknown(known),
        };
        self.problem(&node.named_at, &joined(table, name), reason);
    }

    fn problem(&mut self, origin: &Origin, key: &str, reason: String) {
        self.found.push(Problem { origin: origin.clone(), key: key.to_owned(), reason });
    }
}

/// What is wrong with a scalar that its key does not take. Never repeats the value.
fn refused(node: &Node, shape: &Shape, value: &toml::Value, reason: String) -> String {
    let from_environment = matches!(node.at, Origin::Environment(_));
    match (shape, value) {
        (Shape::Choice(words), toml::Value::String(written)) => {
            match nearest(written, words.iter().copied()) {
                Some(word) => format!("{}; did you mean \"{word}\"?", shape.expected()),
                None => shape.expected(),
            }
        }
        // The value's own type says it best: "expected an address without a fragment".
        (Shape::Text { expected: Some(_), .. }, toml::Value::String(_)) => reason,
        (Shape::Integer { .. }, toml::Value::Integer(_)) => shape.expected(),
        _ if from_environment => shape.expected(),
        _ => format!("{}, found {}", shape.expected(), node.kind()),
    }
}

pub(super) fn unknown(known: &[Key]) -> String {
    let names: Vec<String> = known.iter().map(|key| format!("`{}`", key.name)).collect();
    format!("unknown key; known here: {}", names.join(", "))
}

fn places_of(name: &str, known: &[Key], table: &str, places: &mut Vec<String>) {
    for key in known {
        let here = joined(table, key.name);
        match &key.shape {
            Shape::Table(below) => places_of(name, below, &here, places),
            Shape::List(element) => {
                if let Shape::Table(below) = &**element {
                    places_of(name, below, &here, places);
                }
            }
            _ => {}
        }
        if key.name == name {
            places.push(here);
        }
    }
}

/// `table.name`, with the name in quotes when TOML wants them.
pub(super) fn joined(table: &str, name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let quoted;
    let name = if !name.is_empty() && name.chars().all(bare) {
        name
    } else {
        quoted = toml::Value::String(name.to_owned()).to_string();
        &quoted
    };
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}
