//! What a type wants to be given, found out by asking it.
//!
//! Every `Deserialize` says what it wants (a struct with these fields, an integer, text) before it
//! is given anything. [`Ask`] walks to one key of the configuration, notes what is wanted there,
//! and gives nothing. The same walk can deliver a value, which tells whether that key takes it.

use std::fmt;

use serde::de::{DeserializeSeed, IntoDeserializer as _, Visitor};
use serde::{Deserialize as _, de};

use super::sections::Config;

/// One step from the whole configuration towards a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Field(&'static str),
    /// Of a list.
    Element,
    /// Of a map.
    Entry,
}

/// Whether the key at `path` takes `value`; if not, the reason.
pub(super) fn takes(path: &[Step], value: &toml::Value) -> Result<(), String> {
    match Config::deserialize(Ask { path, value: Some(value) }) {
        Ok(_) => Ok(()),
        Err(Answer::Refused(reason)) => Err(reason),
        Err(Answer::Wants(_)) => Err("expected another value".to_owned()),
    }
}

/// What the key at `path` wants.
pub(super) fn wants(path: &[Step]) -> Wants {
    match Config::deserialize(Ask { path, value: None }) {
        Err(Answer::Wants(wants)) => wants,
        _ => Wants::Any,
    }
}

/// What a type asks of its deserializer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wants {
    Struct(&'static [&'static str]),
    List,
    Map,
    Flag,
    Integer { max: u64 },
    Number,
    Choice(&'static [&'static str]),
    Text,
    Any,
}

/// How every walk of [`Ask`] that does not deliver a value ends.
#[derive(Debug)]
enum Answer {
    Wants(Wants),
    Refused(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wants(wants) => write!(f, "{wants:?}"),
            Self::Refused(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Answer {}

impl de::Error for Answer {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self::Refused(reason.to_string())
    }
}

/// Walks along `path`; at its end delivers `value`, or asks what is wanted.
#[derive(Clone, Copy)]
struct Ask<'a> {
    path: &'a [Step],
    value: Option<&'a toml::Value>,
}

impl Ask<'_> {
    fn onward(self) -> Option<(Step, Self)> {
        let (step, path) = self.path.split_first()?;
        Some((*step, Self { path, ..self }))
    }

    fn deliver<'de, V: Visitor<'de>>(self, wants: Wants, visitor: V) -> Result<V::Value, Answer> {
        use serde::Deserializer as _;
        match (self.value, wants) {
            (Some(value), Wants::Choice(words)) => {
                value.clone().deserialize_enum("", words, visitor).map_err(refused)
            }
            (Some(value), _) => value.clone().deserialize_any(visitor).map_err(refused),
            (None, wants) => Err(Answer::Wants(wants)),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: toml::de::Error) -> Answer {
    Answer::Refused(error.message().to_owned())
}

/// The one entry, or element, on the way.
struct One<'a>(Option<(&'static str, Ask<'a>)>);

impl<'de> de::MapAccess<'de> for One<'_> {
    type Error = Answer;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Answer> {
        self.0.map(|(name, _)| seed.deserialize(name.into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Answer> {
        let (_, ask) = self.0.take().ok_or_else(|| Answer::Refused(String::new()))?;
        seed.deserialize(ask)
    }
}

impl<'de> de::SeqAccess<'de> for One<'_> {
    type Error = Answer;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Answer> {
        self.0.take().map(|(_, ask)| seed.deserialize(ask)).transpose()
    }
}

macro_rules! wants {
    ($($method:ident => $wants:expr),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Answer> {
            self.deliver($wants, visitor)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Ask<'_> {
    type Error = Answer;

    wants! {
        deserialize_bool => Wants::Flag,
        deserialize_i8 => Wants::Integer { max: 0x7f },
        deserialize_i16 => Wants::Integer { max: 0x7fff },
        deserialize_i32 => Wants::Integer { max: 0x7fff_ffff },
        deserialize_i64 => Wants::Integer { max: i64::MAX as u64 },
        deserialize_u8 => Wants::Integer { max: 0xff },
        deserialize_u16 => Wants::Integer { max: 0xffff },
        deserialize_u32 => Wants::Integer { max: 0xffff_ffff },
        deserialize_u64 => Wants::Integer { max: u64::MAX },
        deserialize_f32 => Wants::Number,
        deserialize_f64 => Wants::Number,
        deserialize_char => Wants::Text,
        deserialize_str => Wants::Text,
        deserialize_string => Wants::Text,
        deserialize_identifier => Wants::Text,
        deserialize_bytes => Wants::Any,
        deserialize_byte_buf => Wants::Any,
        deserialize_unit => Wants::Any,
        deserialize_option => Wants::Any,
        deserialize_any => Wants::Any,
        deserialize_ignored_any => Wants::Any,
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Answer> {
        match self.onward() {
            Some((Step::Field(name), ask)) => visitor.visit_map(One(Some((name, ask)))),
            _ => self.deliver(Wants::Struct(fields), visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Answer> {
        match self.onward() {
            Some((Step::Entry, ask)) => visitor.visit_map(One(Some(("entry", ask)))),
            _ => self.deliver(Wants::Map, visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Answer> {
        match self.onward() {
            Some((Step::Element, ask)) => visitor.visit_seq(One(Some(("", ask)))),
            _ => self.deliver(Wants::List, visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Answer> {
        self.deliver(Wants::Choice(variants), visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Answer> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Answer> {
        self.deliver(Wants::Any, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Answer> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Answer> {
        self.deserialize_seq(visitor)
    }
}
