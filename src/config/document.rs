//! The TOML document as a tree in which every node knows where it was written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Origin, Problem};

/// A value, and where it and its name were written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Written,
    /// Of the name; of an element, of the element.
    pub(super) named_at: Origin,
    /// Of the value.
    pub(super) at: Origin,
}

/// What was written.
#[derive(Clone, Debug)]
pub(super) enum Written {
    Table(BTreeMap<String, Node>),
    List(Vec<Node>),
    Scalar(toml::Value),
}

impl Node {
    /// "a string", "an integer": what it is in words.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Written::Table(_) => "a table",
            Written::List(_) => "a list",
            Written::Scalar(toml::Value::String(_)) => "text",
            Written::Scalar(toml::Value::Integer(_)) => "an integer",
            Written::Scalar(toml::Value::Float(_)) => "a number with a fraction",
            Written::Scalar(toml::Value::Boolean(_)) => "true or false",
            Written::Scalar(_) => "a date or time",
        }
    }
}

/// Reads a document; on faults of syntax the tree is what could still be read.
pub(super) fn parse(text: &str, file_name: &str) -> (Node, Vec<Problem>) {
    let places = Places::of_file(text, file_name);
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut problems: Vec<Problem> = errors
        .into_iter()
        .map(|error| {
            let span = error.span().unwrap_or(0..0);
            let (key, reason) = match error.message() {
                "duplicate key" => {
                    let key = text.get(span.clone()).unwrap_or_default().to_owned();
                    (key, "stands here a second time; keep one".to_owned())
                }
                fault => {
                    let fault = fault.trim_end_matches(", expected nothing");
                    (String::new(), format!("not TOML: {fault}"))
                }
            };
            Problem { origin: places.at(&span), key, reason }
        })
        .collect();
    let start = places.at(&(0..0));
    let root = places.table(document.into_inner(), start.clone(), start, &mut problems);
    (root, problems)
}

/// Reads one value, all of it written at `origin`; fails if it is no TOML.
pub(super) fn parse_value(text: &str, origin: &Origin) -> Result<Node, ()> {
    let value = DeValue::parse(text).map_err(drop)?;
    let mut problems = Vec::new();
    let node = Places::Fixed(origin.clone()).node(value, origin.clone(), &mut problems);
    if problems.is_empty() { Ok(node) } else { Err(()) }
}

/// Turns byte offsets into lines and columns.
enum Places<'t> {
    File {
        name: Arc<str>,
        text: &'t str,
        line_starts: Vec<usize>,
    },
    /// Everything stands at one place.
    Fixed(Origin),
}

impl<'t> Places<'t> {
    fn of_file(text: &'t str, name: &str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        Self::File {
            name: name.into(),
            text,
            line_starts: std::iter::once(0).chain(starts).collect(),
        }
    }

    fn at(&self, span: &Range<usize>) -> Origin {
        match self {
            Self::File { name, text, line_starts } => {
                let line = line_starts.partition_point(|start| *start <= span.start);
                let before = text.get(line_starts[line - 1]..span.start).unwrap_or_default();
                Origin::File { name: name.clone(), line, column: before.chars().count() + 1 }
            }
            Self::Fixed(origin) => origin.clone(),
        }
    }

    fn table(
        &self,
        table: DeTable<'_>,
        named_at: Origin,
        at: Origin,
        problems: &mut Vec<Problem>,
    ) -> Node {
        let mut entries = BTreeMap::new();
        for (name, value) in table {
            let node = self.node(value, self.at(&name.span()), problems);
            entries.insert(name.into_inner().into_owned(), node);
        }
        Node { value: Written::Table(entries), named_at, at }
    }

    fn node(
        &self,
        value: Spanned<DeValue<'_>>,
        named_at: Origin,
        problems: &mut Vec<Problem>,
    ) -> Node {
        let at = self.at(&value.span());
        let scalar = match value.into_inner() {
            DeValue::Table(table) => return self.table(table, named_at, at, problems),
            DeValue::Array(elements) => {
                let elements = elements
                    .into_iter()
                    .map(|element| {
                        let named_at = self.at(&element.span());
                        self.node(element, named_at, problems)
                    })
                    .collect();
                return Node { value: Written::List(elements), named_at, at };
            }
            DeValue::String(text) => toml::Value::String(text.into_owned()),
            DeValue::Boolean(flag) => toml::Value::Boolean(flag),
            DeValue::Datetime(datetime) => toml::Value::Datetime(datetime),
            DeValue::Integer(digits) => {
                let number = i64::from_str_radix(digits.as_str(), digits.radix());
                if number.is_err() {
                    problems.push(Problem {
                        origin: at.clone(),
                        key: String::new(),
                        reason: format!("not TOML: expected an integer up to {}", i64::MAX),
                    });
                }
                toml::Value::Integer(number.unwrap_or_default())
            }
            DeValue::Float(digits) => {
                toml::Value::Float(digits.as_str().parse().unwrap_or(f64::NAN))
            }
        };
        Node { value: Written::Scalar(scalar), named_at, at }
    }
}
