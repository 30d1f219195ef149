//! `KOODRIVE_GATEWAY__<TABLE>__<KEY>`: what the environment writes over the document.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::document::{Node, Written};
use super::error::{Origin, Problem, nearest};
use super::keys::{Key, Shape};
use super::values::Scalar as _;
use super::{document, keys, reader};

/// What every variable that sets a key begins with. `KOODRIVE_GATEWAY_CONFIG` does not.
pub const ENVIRONMENT_PREFIX: &str = "KOODRIVE_GATEWAY__";

/// The variables of this process that set keys.
///
/// What is not UTF-8 becomes U+FFFD, which no key but a free text takes.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        })
        .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
}

/// Writes the variables over `root`; names that are no key become problems.
///
/// Whole values go before their elements, so that both may be set.
pub(super) fn overlay(root: &mut Node, variables: &[(String, String)], found: &mut Vec<Problem>) {
    let mut variables: Vec<_> = variables
        .iter()
        .filter_map(|(name, value)| {
            let rest = name.strip_prefix(ENVIRONMENT_PREFIX)?;
            Some((rest.split("__").map(Segment::of).collect::<Vec<_>>(), name, value))
        })
        .collect();
    variables.sort();
    for (segments, name, value) in variables {
        let variable = Variable { origin: Origin::Environment(Arc::from(name.as_str())), value };
        let mut key = String::new();
        if let Err(reason) = variable.write(root, keys::root(), &segments, &mut key) {
            found.push(Problem { origin: variable.origin, key, reason });
        }
    }
}

/// Between two double underscores. Indexes sort as numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment<'a> {
    Index(usize),
    Name(&'a str),
}

impl<'a> Segment<'a> {
    fn of(text: &'a str) -> Self {
        text.parse().map_or(Self::Name(text), Self::Index)
    }
}

impl fmt::Display for Segment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => index.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

struct Variable<'a> {
    origin: Origin,
    value: &'a str,
}

impl Variable<'_> {
    fn write(
        &self,
        node: &mut Node,
        shape: &Shape,
        segments: &[Segment<'_>],
        key: &mut String,
    ) -> Result<(), String> {
        let Some((segment, rest)) = segments.split_first() else {
            return self.write_here(node, shape, key);
        };
        match (shape, segment) {
            (Shape::Table(known), _) => self.write_entry(node, known, segments, key),
            (Shape::List(element), Segment::Index(index)) => {
                key.extend(["[", &index.to_string(), "]"]);
                self.write_element(node, element, *index, rest, key)
            }
            (Shape::Texts, Segment::Index(index)) => {
                // One text is a list of it.
                if let Written::Scalar(text) = &node.value {
                    let one = Node { value: Written::Scalar(text.clone()), ..node.clone() };
                    node.value = Written::List(vec![one]);
                }
                key.extend(["[", &index.to_string(), "]"]);
                self.write_element(node, &String::shape(), *index, rest, key)
            }
            (Shape::List(_) | Shape::Texts, Segment::Name(_)) => {
                Err("expected the index of an element, such as `__0`".to_owned())
            }
            (Shape::Map(_), _) => {
                Err("is set whole, as a TOML table such as {name = \"value\"}".to_owned())
            }
            _ => Err("unknown key; there is nothing below this one".to_owned()),
        }
    }

    /// Writes below a key of a table; what was not there before is there only if that succeeds.
    fn write_entry(
        &self,
        node: &mut Node,
        known: &[Key],
        segments: &[Segment<'_>],
        key: &mut String,
    ) -> Result<(), String> {
        let found = key_named(known, segments, key)?;
        if !key.is_empty() {
            key.push('.');
        }
        key.push_str(found.name);
        let Some(entries) = entries(node) else {
            return Ok(()); // the document has something else there, and is told so
        };
        let new = !entries.contains_key(found.name);
        let entry = entries.entry(found.name.to_owned()).or_insert_with(|| {
            self.node(if matches!(found.shape, Shape::List(_) | Shape::Texts) {
                Written::List(Vec::new())
            } else {
                Written::Table(BTreeMap::new())
            })
        });
        let written = self.write(entry, &found.shape, &segments[1..], key);
        if new && written.is_err() {
            entries.remove(found.name);
        }
        written
    }

    /// As [`Variable::write_entry`], for an element of a list.
    fn write_element(
        &self,
        node: &mut Node,
        element: &Shape,
        index: usize,
        segments: &[Segment<'_>],
        key: &mut String,
    ) -> Result<(), String> {
        let Written::List(elements) = &mut node.value else {
            return Ok(());
        };
        if elements.len() < index {
            return Err(format!(
                "elements are counted from 0 without gaps; [{}] is not set",
                elements.len()
            ));
        }
        let new = elements.len() == index;
        if new {
            elements.push(self.node(Written::Table(BTreeMap::new())));
        }
        let written = self.write(&mut elements[index], element, segments, key);
        match (&written, new) {
            (Err(_), true) => drop(elements.pop()),
            (Err(_), false) => {}
            (Ok(()), _) => node.at = self.origin.clone(),
        }
        written
    }

    fn write_here(&self, node: &mut Node, shape: &Shape, key: &str) -> Result<(), String> {
        let element = key.ends_with(']');
        *node = match shape {
            Shape::Table(known) if !element => {
                let example = known.first().map_or("", |key| key.name).to_ascii_uppercase();
                return Err(format!(
                    "is a table; set its keys one by one, such as {}__{example}",
                    self.origin
                ));
            }
            Shape::Table(_) | Shape::List(_) | Shape::Map(_) | Shape::Of { .. } | Shape::Any => {
                document::parse_value(self.value, &self.origin).map_err(|()| {
                    format!("{} in TOML, such as {}", shape.expected(), example(shape))
                })?
            }
            Shape::Texts if self.value.trim_start().starts_with('[') => {
                document::parse_value(self.value, &self.origin).map_err(|()| {
                    format!("{} in TOML, such as {}", shape.expected(), example(shape))
                })?
            }
            _ => self.node(Written::Scalar(plain(self.value, shape))),
        };
        Ok(())
    }

    fn node(&self, value: Written) -> Node {
        Node { value, named_at: self.origin.clone(), at: self.origin.clone() }
    }
}

fn example(shape: &Shape) -> &'static str {
    match shape {
        Shape::List(element) => match **element {
            Shape::Integer { .. } => "[401, 403]",
            Shape::Table(_) => "[{name = \"value\"}]",
            _ => "[\"one\", \"two\"]",
        },
        Shape::Texts => "[\"one\", \"two\"]",
        _ => "{name = \"value\"}",
    }
}

/// Plain text as the value a key of this shape wants; left as text when it is none.
fn plain(text: &str, shape: &Shape) -> toml::Value {
    let value = match shape {
        Shape::Flag => text.parse().ok().map(toml::Value::Boolean),
        Shape::Integer { .. } => text.parse().ok().map(toml::Value::Integer),
        Shape::Number { .. } => text.parse().ok().map(toml::Value::Float),
        _ => None,
    };
    value.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

fn entries(node: &mut Node) -> Option<&mut BTreeMap<String, Node>> {
    match &mut node.value {
        Written::Table(entries) => Some(entries),
        _ => None,
    }
}

/// The key the first segment names; else an error that says which variable is meant.
fn key_named<'k>(
    known: &'k [Key],
    segments: &[Segment<'_>],
    key: &mut String,
) -> Result<&'k Key, String> {
    let written: Vec<String> = segments.iter().map(Segment::to_string).collect();
    let (first, rest) = written.split_first().expect("a variable has segments left here");
    if let Some(key) = known.iter().find(|key| key.name.to_ascii_uppercase() == *first) {
        return Ok(key);
    }
    let table = std::mem::take(key);
    *key = reader::joined(&table, &first.to_lowercase());
    let Some(hint) = nearest(first, known.iter().map(|key| key.name)) else {
        return Err(reader::unknown(known));
    };
    let mut name = ENVIRONMENT_PREFIX.to_owned();
    for level in table.split(['.', '[']).filter(|level| !level.is_empty()) {
        name.extend([level.trim_end_matches(']'), "__"]);
    }
    name += hint;
    for level in rest {
        name.extend(["__", level]);
    }
    Err(format!("unknown key; did you mean `{}`?", name.to_ascii_uppercase()))
}
