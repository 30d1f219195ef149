//! The keys an operator may write, and what may stand behind each: told by the sections.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::sections::Config;
use super::values::Kind as _;

/// What may stand at a place.
#[derive(Clone, Debug, PartialEq)]
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
    /// Any that `rule`, keywords of JSON Schema, allows.
    Number {
        rule: Value,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Text; with what it must look like, if not every text will do: in words, and as keywords of
    /// JSON Schema that take no less than the program does.
    Text {
        expected: Option<&'static str>,
        rule: Value,
    },
    /// A text, or a list of texts.
    Texts,
    /// A value of several types: in words, and as JSON Schema.
    Of {
        expected: &'static str,
        rule: Value,
    },
    /// Any TOML value.
    Any,
}

/// A name that may be written, and what may stand there.
#[derive(Clone, Debug, PartialEq)]
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
    static ROOT: LazyLock<Shape> = LazyLock::new(Config::shape);
    &ROOT
}

impl Shape {
    /// Any text.
    pub(super) fn text() -> Self {
        Self::Text { expected: None, rule: json!({}) }
    }

    /// Texts of one form.
    pub(super) fn form(expected: &'static str, rule: Value) -> Self {
        Self::Text { expected: Some(expected), rule }
    }

    /// The same form, narrowed by one more rule.
    pub(super) fn with_rule(mut self, more: &Value) -> Self {
        if let Self::Text { rule, .. } = &mut self {
            *rule = json!({"allOf": [rule.take(), more]});
        }
        self
    }

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
            Self::Number { .. } => "expected a number".to_owned(),
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
            Self::Text { expected, .. } => expected.unwrap_or("expected text").to_owned(),
            Self::Texts => "expected text, or a list of texts".to_owned(),
            Self::Of { expected, .. } => (*expected).to_owned(),
            Self::Any => "expected a value".to_owned(),
        }
    }
}
