//! Lists, and tables whose keys the operator chooses.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use super::Kind;
use crate::config::document::{Node, Written};
use crate::config::keys::Shape;
use crate::config::reader::{Reader, joined};

/// `[…]` of one kind.
pub(in crate::config) struct List<K>(PhantomData<K>);

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;

    fn shape() -> Shape {
        Shape::List(Box::new(K::shape()))
    }

    fn read(node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<Self::Value> {
        reader.note(key, &node.at);
        let Written::List(elements) = &node.value else {
            return reader.unlike(node, key, &Self::shape());
        };
        let elements = elements.iter().enumerate();
        let read = |(index, node)| K::read(node, &format!("{key}[{index}]"), reader);
        Some(elements.filter_map(read).collect())
    }

    fn write(value: &Self::Value) -> toml::Value {
        toml::Value::Array(value.iter().map(K::write).collect())
    }
}

/// One text, or a list of them. An empty one counts as none.
pub(in crate::config) struct Texts;

impl Kind for Texts {
    type Value = Vec<String>;

    fn shape() -> Shape {
        Shape::Texts
    }

    fn read(node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<Self::Value> {
        let texts = match &node.value {
            Written::List(_) => List::<String>::read(node, key, reader)?,
            Written::Scalar(toml::Value::String(_)) => {
                vec![String::read(node, key, reader)?]
            }
            _ => {
                reader.note(key, &node.at);
                return reader.unlike(node, key, &Self::shape());
            }
        };
        Some(texts.into_iter().filter(|text| !text.is_empty()).collect())
    }

    fn write(value: &Self::Value) -> toml::Value {
        match value.as_slice() {
            [] => "".into(),
            [one] => one.as_str().into(),
            several => several.to_vec().into(),
        }
    }
}

/// `{name = …}` of one kind.
pub(in crate::config) struct Map<K>(PhantomData<K>);

impl<K: Kind> Kind for Map<K> {
    type Value = BTreeMap<String, K::Value>;

    fn shape() -> Shape {
        Shape::Map(Box::new(K::shape()))
    }

    fn read(node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<Self::Value> {
        reader.note(key, &node.at);
        let Written::Table(entries) = &node.value else {
            return reader.unlike(node, key, &Self::shape());
        };
        let read = |(name, node): (&String, &Node)| {
            Some((name.clone(), K::read(node, &joined(key, name), reader)?))
        };
        Some(entries.iter().filter_map(read).collect())
    }

    fn write(value: &Self::Value) -> toml::Value {
        let entry = |(name, value): (&String, &K::Value)| (name.clone(), K::write(value));
        toml::Value::Table(value.iter().map(entry).collect())
    }
}
