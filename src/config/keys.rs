//! The keys an operator may write, asked of the sections themselves.
//!
//! So the known keys, their types and their ranges cannot drift from the sections.

use std::sync::LazyLock;

use super::ask::{Step, Wants, takes, wants};
use super::units::Form;
use super::{addresses, units};

/// What may stand at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    Table(Vec<Key>),
    List(Box<Shape>),
    /// A table whose keys the operator chooses.
    Map(Box<Shape>),
    /// `true` or `false`.
    Flag,
    /// From `min` to `max`.
    Integer {
        min: u64,
        max: u64,
    },
    Number,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Text; with what it must look like, if not every text will do: in words and as a pattern.
    Text {
        expected: Option<String>,
        pattern: Option<&'static str>,
    },
    /// Any TOML value.
    Any,
}

/// A name that may be written, and what may stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub name: &'static str,
    pub shape: Shape,
}

/// All keys, in the order of the sections and of the shipped `config/gateway.toml`.
pub fn keys() -> &'static [Key] {
    match root() {
        Shape::Table(keys) => keys,
        _ => &[],
    }
}

pub(super) fn root() -> &'static Shape {
    static ROOT: LazyLock<Shape> = LazyLock::new(|| shape_at(&[]));
    &ROOT
}

impl Shape {
    /// "expected …".
    pub(super) fn expected(&self) -> String {
        match self {
            Self::Table(_) | Self::Map(_) => "expected a table".to_owned(),
            Self::List(_) => "expected a list".to_owned(),
            Self::Flag => "expected true or false".to_owned(),
            Self::Integer { min, max } if i64::MAX as u64 <= *max => {
                format!("expected an integer of {min} or more")
            }
            Self::Integer { min, max } => format!("expected an integer from {min} to {max}"),
            Self::Number => "expected a number".to_owned(),
            Self::Choice(words) => {
                let mut text = "expected ".to_owned();
                for (index, word) in words.iter().enumerate() {
                    let last = index + 1 == words.len();
                    text += match (index, last) {
                        (0, _) => "",
                        (_, true) => " or ",
                        (_, false) => ", ",
                    };
                    text.extend(["\"", word, "\""]);
                }
                text
            }
            Self::Text { expected, .. } => {
                expected.clone().unwrap_or_else(|| "expected text".to_owned())
            }
            Self::Any => "expected a value".to_owned(),
        }
    }
}

fn shape_at(path: &[Step]) -> Shape {
    let below = |step| shape_at(&[path, &[step]].concat());
    match wants(path) {
        Wants::Struct(fields) => Shape::Table(
            fields.iter().map(|name| Key { name, shape: below(Step::Field(name)) }).collect(),
        ),
        Wants::List => Shape::List(Box::new(below(Step::Element))),
        Wants::Map => Shape::Map(Box::new(below(Step::Entry))),
        Wants::Flag => Shape::Flag,
        Wants::Integer { max } => {
            let zero = takes(path, &toml::Value::Integer(0));
            Shape::Integer { min: u64::from(zero.is_err()), max }
        }
        Wants::Number => Shape::Number,
        Wants::Choice(words) => Shape::Choice(words),
        Wants::Text => text_at(path),
        Wants::Any => Shape::Any,
    }
}

fn text_at(path: &[Step]) -> Shape {
    let refusal = |text: &str| takes(path, &toml::Value::String(text.to_owned())).err();
    // No address, duration or name is a control character.
    let expected = refusal("\u{1}");
    let is_it = |form: &&Form| expected.as_deref() == Some(form.expected);
    let pattern = match FORMS.iter().find(is_it) {
        Some(form) if form.expected == units::DURATION.expected && refusal("0s").is_some() => {
            Some(units::DURATION.pattern)
        }
        form => form.map(|form| form.pattern),
    };
    Shape::Text { expected, pattern }
}

const FORMS: [Form; 6] = [
    units::DURATION_OR_ZERO,
    units::SIZE,
    addresses::LISTEN_ADDRESS,
    addresses::HTTP_URL,
    addresses::HEADER_FIELD,
    addresses::LIMIT_STORE,
];
