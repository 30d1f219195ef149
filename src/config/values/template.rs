//! Values with places for what is known of the caller: `{sso_token}`, `{claim:tenant}`, ….
//!
//! Braces around anything but a word are text.

use std::fmt;

use http::{HeaderName, HeaderValue};

use super::text::AnyText;
use super::{Kind, pointer};
use crate::config::document::{Node, Written};
use crate::config::keys::Shape;
use crate::config::reader::{Reader, joined};

/// A value to be filled in per caller.
#[derive(Clone, Debug, PartialEq)]
pub enum Template {
    Text(Vec<Part>),
    Table(Vec<(String, Template)>),
    List(Vec<Template>),
    Plain(serde_json::Value),
}

/// A piece of text; all but the first kind are places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Literal(String),
    SsoToken,
    Subject,
    Issuer,
    Claim(String),
    ClientId,
    ClientSecret,
}

/// Places but `{claim:NAME}`.
pub(in crate::config) const PLACES: [(&str, Part); 5] = [
    ("sso_token", Part::SsoToken),
    ("subject", Part::Subject),
    ("issuer", Part::Issuer),
    ("client_id", Part::ClientId),
    ("client_secret", Part::ClientSecret),
];

const UNKNOWN: &str = "unknown placeholder; known are {sso_token}, {subject}, {issuer}, \
                       {claim:NAME}, {client_id}, {client_secret}";

impl Template {
    /// All pieces of all its texts.
    pub fn parts(&self) -> Vec<&Part> {
        match self {
            Self::Text(parts) => parts.iter().collect(),
            Self::List(items) => items.iter().flat_map(Self::parts).collect(),
            Self::Table(members) => members.iter().flat_map(|(_, value)| value.parts()).collect(),
            Self::Plain(_) => Vec::new(),
        }
    }

    fn read(node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        reader.note(key, &node.at);
        match &node.value {
            Written::Scalar(toml::Value::String(text)) => match Part::all(text) {
                Ok(parts) => Some(Self::Text(parts)),
                Err(reason) => {
                    reader.problem(&node.at, key, reason.to_owned());
                    None
                }
            },
            Written::Scalar(_) => Some(Self::Plain(pointer::json(node, key, reader)?)),
            Written::List(items) => {
                let items = items.iter().enumerate();
                let read = |(index, node)| Self::read(node, &format!("{key}[{index}]"), reader);
                Some(Self::List(items.filter_map(read).collect()))
            }
            Written::Table(entries) => {
                let read = |(name, node): (&String, &Node)| {
                    Some((name.clone(), Self::read(node, &joined(key, name), reader)?))
                };
                Some(Self::Table(entries.iter().filter_map(read).collect()))
            }
        }
    }

    fn write(&self) -> toml::Value {
        match self {
            Self::Text(parts) => parts.iter().map(Part::to_string).collect::<String>().into(),
            Self::List(items) => toml::Value::Array(items.iter().map(Self::write).collect()),
            Self::Table(members) => write_all(members),
            Self::Plain(value) => pointer::to_toml(value),
        }
    }
}

fn write_all<N: ToString>(members: &[(N, Template)]) -> toml::Value {
    let members = members.iter().map(|(name, value)| (name.to_string(), value.write()));
    toml::Value::Table(members.collect())
}

impl Part {
    /// What a text is made of.
    pub(in crate::config) fn all(text: &str) -> Result<Vec<Self>, &'static str> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            literal.push_str(before);
            rest = after;
            let name = after.split(['{', '}']).next().unwrap_or_default();
            let behind = after.strip_prefix(name).and_then(|behind| behind.strip_prefix('}'));
            match (Self::named(name), behind) {
                (Some(part), Some(behind)) => {
                    if !literal.is_empty() {
                        parts.push(Self::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(part);
                    rest = behind;
                }
                (None, Some(_)) if looks_like_a_place(name) => return Err(UNKNOWN),
                _ => literal.push('{'),
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() || parts.is_empty() {
            parts.push(Self::Literal(literal));
        }
        Ok(parts)
    }

    fn named(name: &str) -> Option<Self> {
        if let Some((_, part)) = PLACES.iter().find(|(place, _)| *place == name) {
            return Some(part.clone());
        }
        let claim = name.strip_prefix("claim:").filter(|claim| !claim.is_empty())?;
        Some(Self::Claim(claim.to_owned()))
    }

    /// Whether what stands there differs from caller to caller.
    pub(in crate::config) fn is_of_caller(&self) -> bool {
        matches!(self, Self::SsoToken | Self::Subject | Self::Claim(_))
    }
}

fn looks_like_a_place(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// As it is written.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(text),
            Self::Claim(name) => write!(f, "{{claim:{name}}}"),
            Self::SsoToken | Self::Subject | Self::Issuer | Self::ClientId | Self::ClientSecret => {
                let place = PLACES.iter().find(|(_, part)| part == self);
                write!(f, "{{{}}}", place.map_or("", |(name, _)| name))
            }
        }
    }
}

/// A table of templates: name → value.
pub(in crate::config) struct Fields;

impl Kind for Fields {
    type Value = Vec<(String, Template)>;

    fn shape() -> Shape {
        Shape::Map(Box::new(Shape::Any))
    }

    fn read(node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<Self::Value> {
        match Template::read(node, key, reader)? {
            Template::Table(members) => Some(members),
            _ => reader.unlike(node, key, &Self::shape()),
        }
    }

    fn write(value: &Self::Value) -> toml::Value {
        write_all(value)
    }
}

/// Headers with templates for values.
pub(in crate::config) struct HeaderFields;

/// Headers that frame a message.
pub(in crate::config) const FRAMING: [&str; 4] =
    ["content-length", "host", "transfer-encoding", "connection"];

impl Kind for HeaderFields {
    type Value = Vec<(HeaderName, Template)>;

    fn shape() -> Shape {
        Shape::Map(Box::new(Shape::text()))
    }

    fn read(node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<Self::Value> {
        reader.note(key, &node.at);
        let Written::Table(entries) = &node.value else {
            return reader.unlike(node, key, &Self::shape());
        };
        let read = |(name, node): (&String, &Node)| {
            let key = joined(key, name);
            let text = AnyText::read(node, &key, reader)?;
            let named =
                name.parse().ok().filter(|name: &HeaderName| !FRAMING.contains(&name.as_str()));
            if named.is_none() {
                let reason = "expected the name of a header that does not frame the message";
                reader.problem(&node.at, &key, reason.to_owned());
            } else if HeaderValue::from_str(&text).is_err() {
                let reason = "expected a header value: no line ends or control characters";
                reader.problem(&node.at, &key, reason.to_owned());
            }
            Some((named?, Template::read(node, &key, reader)?))
        };
        Some(entries.iter().filter_map(read).collect())
    }

    fn write(value: &Self::Value) -> toml::Value {
        write_all(value)
    }
}
