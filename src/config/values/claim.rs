//! What a claim must be.

use serde_json::json;

use super::{Fault, Kind, List, Scalar};
use crate::config::document::{Node, Written};
use crate::config::keys::Shape;
use crate::config::reader::Reader;

/// A value that a claim can have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClaimValue {
    Text(String),
    Integer(i64),
    Flag(bool),
}

const EXPECTED: &str = "expected text, an integer, true, false, or a list of such";

impl Scalar for ClaimValue {
    type Value = Self;

    fn shape() -> Shape {
        Shape::Of {
            expected: "expected text, an integer, true or false",
            rule: json!({"type": ["string", "integer", "boolean"]}),
        }
    }

    fn read(written: &toml::Value) -> Result<Self, Fault> {
        match written {
            toml::Value::String(text) => Ok(Self::Text(text.clone())),
            toml::Value::Integer(number) => Ok(Self::Integer(*number)),
            toml::Value::Boolean(flag) => Ok(Self::Flag(*flag)),
            _ => Err(Fault::Unlike),
        }
    }

    fn write(value: &Self) -> toml::Value {
        match value {
            Self::Text(text) => text.as_str().into(),
            Self::Integer(number) => (*number).into(),
            Self::Flag(flag) => (*flag).into(),
        }
    }
}

/// One value, or a list of which one will do.
pub(in crate::config) struct OneOf;

impl Kind for OneOf {
    type Value = Vec<ClaimValue>;

    fn shape() -> Shape {
        let one = json!({"type": ["string", "integer", "boolean"]});
        Shape::Of {
            expected: EXPECTED,
            rule: json!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}),
        }
    }

    fn read(node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<Self::Value> {
        match &node.value {
            Written::List(values) if !values.is_empty() => {
                List::<ClaimValue>::read(node, key, reader)
            }
            Written::Scalar(written) if <ClaimValue as Scalar>::read(written).is_ok() => {
                Some(vec![<ClaimValue as Kind>::read(node, key, reader)?])
            }
            _ => {
                reader.note(key, &node.at);
                reader.unlike(node, key, &Self::shape())
            }
        }
    }

    fn write(values: &Self::Value) -> toml::Value {
        match &values[..] {
            [value] => <ClaimValue as Scalar>::write(value),
            values => {
                toml::Value::Array(values.iter().map(<ClaimValue as Scalar>::write).collect())
            }
        }
    }
}
