//! Places in JSON answers, and what must stand there.

use serde_json::{Value, json};

use super::{Fault, Kind, Scalar, text};
use crate::config::document::{Node, Written};
use crate::config::keys::Shape;
use crate::config::reader::{Reader, joined};

/// A JSON Pointer (RFC 6901) to something within a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPointer(String);

/// A place, and the values of which one must stand there.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    pub at: JsonPointer,
    pub one_of: Vec<Value>,
}

impl JsonPointer {
    /// RFC 6901 section 3.
    pub(in crate::config) const PATTERN: &str = r"/([^~]|~[01])*";

    pub(in crate::config) fn new(pointer: &str) -> Result<Self, &'static str> {
        let escapes = pointer.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
        if pointer.starts_with('/') && escapes {
            Ok(Self(pointer.to_owned()))
        } else {
            Err(EXPECTED)
        }
    }

    pub fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        value.pointer(&self.0)
    }
}

const EXPECTED: &str =
    "expected a JSON Pointer (RFC 6901): it begins with \"/\", such as \"/data/token\"";

impl Scalar for JsonPointer {
    type Value = Self;

    fn shape() -> Shape {
        Shape::form(EXPECTED, json!({"pattern": format!("^{}$", Self::PATTERN)}))
    }

    fn read(written: &toml::Value) -> Result<Self, Fault> {
        Ok(Self::new(text(written)?)?)
    }

    fn write(value: &Self) -> toml::Value {
        value.0.as_str().into()
    }
}

/// A pointer that may be left empty.
pub(in crate::config) struct OptionalPointer;

impl Scalar for OptionalPointer {
    type Value = Option<JsonPointer>;

    fn shape() -> Shape {
        Shape::form(EXPECTED, json!({"pattern": format!("^({})?$", JsonPointer::PATTERN)}))
    }

    fn read(written: &toml::Value) -> Result<Option<JsonPointer>, Fault> {
        match text(written)? {
            "" => Ok(None),
            pointer => Ok(Some(JsonPointer::new(pointer)?)),
        }
    }

    fn write(value: &Option<JsonPointer>) -> toml::Value {
        value.as_ref().map_or("", |pointer| &pointer.0).into()
    }
}

/// Places and what must stand there.
pub(in crate::config) struct Expectations;

impl Kind for Expectations {
    type Value = Vec<Expected>;

    fn shape() -> Shape {
        Shape::Map(Box::new(Shape::List(Box::new(Shape::Any))))
    }

    fn read(node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<Self::Value> {
        reader.note(key, &node.at);
        let Written::Table(entries) = &node.value else {
            return reader.unlike(node, key, &Self::shape());
        };
        let read = |(pointer, node): (&String, &Node)| {
            let key = joined(key, pointer);
            reader.note(&key, &node.at);
            let Written::List(values) = &node.value else {
                return reader.unlike(node, &key, &Shape::List(Box::new(Shape::Any)));
            };
            let at = JsonPointer::new(pointer);
            if let Err(reason) = at {
                reader.problem(&node.at, &key, reason.to_owned());
            } else if values.is_empty() {
                let reason = "expected at least one value, such as [0, \"0\"]";
                reader.problem(&node.at, &key, reason.to_owned());
            }
            let values = values.iter().enumerate();
            let read = |(index, node)| json(node, &format!("{key}[{index}]"), reader);
            Some(Expected { one_of: values.filter_map(read).collect(), at: at.ok()? })
        };
        Some(entries.iter().filter_map(read).collect())
    }

    fn write(value: &Self::Value) -> toml::Value {
        let entry = |expected: &Expected| {
            let values = expected.one_of.iter().map(to_toml).collect();
            (expected.at.0.clone(), toml::Value::Array(values))
        };
        toml::Value::Table(value.iter().map(entry).collect())
    }
}

/// A value as JSON has it.
pub(super) fn json(node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<Value> {
    let fault = match &node.value {
        Written::List(items) => {
            let items = items.iter().enumerate();
            let read = |(index, node)| json(node, &format!("{key}[{index}]"), reader);
            return items.map(read).collect();
        }
        Written::Table(entries) => {
            let read = |(name, node): (&String, &Node)| {
                Some((name.clone(), json(node, &joined(key, name), reader)?))
            };
            return entries.iter().map(read).collect();
        }
        Written::Scalar(toml::Value::Datetime(_)) => "JSON knows no dates; write it as text",
        Written::Scalar(toml::Value::Float(number)) if !number.is_finite() => {
            "JSON knows no such number; write it as text"
        }
        Written::Scalar(value) => return serde_json::to_value(value).ok(),
    };
    reader.problem(&node.at, key, fault.to_owned());
    None
}

pub(super) fn to_toml(value: &Value) -> toml::Value {
    toml::Value::try_from(value).expect("what was TOML before is TOML again")
}
