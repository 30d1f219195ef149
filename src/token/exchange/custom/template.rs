//! Values with places for what is known of the caller: `{sso_token}`, `{claim:tenant}`, ….
//!
//! Parsed once, when the configuration is. Braces around anything but a word are text.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::accept::Accepted;
use crate::token::error::Denial;

/// A value to be filled in per caller.
#[derive(Debug)]
pub(super) enum Template {
    Text(Vec<Part>),
    Table(Vec<(String, Template)>),
    List(Vec<Template>),
    Plain(Value),
}

#[derive(Debug)]
pub(super) enum Part {
    Literal(String),
    SsoToken,
    Subject,
    Issuer,
    Claim(String),
    ClientId,
    ClientSecret,
}

/// What places are filled with.
#[derive(Clone, Copy)]
pub(super) struct Filling<'a> {
    pub(super) caller: &'a Accepted,
    pub(super) client_id: &'a str,
    pub(super) client_secret: &'a str,
}

/// Why a template or rule cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error("`{{{0}}}` is no place that is known")]
    UnknownPlace(String),
    #[error("`{0}` is no JSON Pointer: it must be empty or begin with `/`")]
    Pointer(String),
    #[error("`{0}` is no header name")]
    HeaderName(String),
    #[error("dates cannot be sent; write them as text")]
    Date,
}

impl Template {
    pub(super) fn parse(value: &toml::Value) -> Result<Self, TemplateError> {
        Ok(match value {
            toml::Value::String(text) => Self::parse_text(text)?,
            toml::Value::Array(items) => {
                Self::List(items.iter().map(Self::parse).collect::<Result<_, _>>()?)
            }
            toml::Value::Table(table) => {
                let member = |(name, value): (&String, &toml::Value)| {
                    Ok((name.clone(), Self::parse(value)?))
                };
                Self::Table(table.iter().map(member).collect::<Result<_, _>>()?)
            }
            other => Self::Plain(to_json(other)?),
        })
    }

    pub(super) fn parse_text(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            literal.push_str(before);
            rest = after;
            let name = after.split(['{', '}']).next().unwrap_or_default();
            let behind = after.strip_prefix(name).and_then(|behind| behind.strip_prefix('}'));
            match (Part::named(name), behind) {
                (Some(part), Some(behind)) => {
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(part);
                    rest = behind;
                }
                (None, Some(_)) if looks_like_a_place(name) => {
                    return Err(TemplateError::UnknownPlace(name.to_owned()));
                }
                _ => literal.push('{'),
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() || parts.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self::Text(parts))
    }

    /// The names of the claims it needs.
    pub(super) fn claims<'t>(&'t self, into: &mut BTreeSet<&'t str>) {
        match self {
            Self::Text(parts) => into.extend(parts.iter().filter_map(|part| match part {
                Part::Claim(name) => Some(name.as_str()),
                _ => None,
            })),
            Self::List(items) => items.iter().for_each(|item| item.claims(into)),
            Self::Table(members) => members.iter().for_each(|(_, value)| value.claims(into)),
            Self::Plain(_) => {}
        }
    }

    /// The value for one caller, as JSON. A place alone keeps the claim's type; among text it is
    /// text.
    pub(super) fn fill(&self, filling: &Filling<'_>) -> Result<Box<RawValue>, Denial> {
        Ok(match self {
            Self::Text(parts) => match parts.as_slice() {
                [part] => part.fill(filling)?,
                parts => {
                    let mut text = String::new();
                    for part in parts {
                        text.push_str(&text_of(&part.fill(filling)?));
                    }
                    json(&text)
                }
            },
            Self::List(items) => {
                let items = items.iter().map(|item| item.fill(filling));
                json(&items.collect::<Result<Vec<_>, _>>()?)
            }
            Self::Table(members) => {
                let members = members.iter().map(|(name, value)| Ok((name, value.fill(filling)?)));
                json(&members.collect::<Result<BTreeMap<_, _>, _>>()?)
            }
            Self::Plain(value) => json(value),
        })
    }
}

impl Part {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "sso_token" => Self::SsoToken,
            "subject" => Self::Subject,
            "issuer" => Self::Issuer,
            "client_id" => Self::ClientId,
            "client_secret" => Self::ClientSecret,
            other => {
                let claim = other.strip_prefix("claim:").filter(|claim| !claim.is_empty())?;
                Self::Claim(claim.to_owned())
            }
        })
    }

    fn fill(&self, filling: &Filling<'_>) -> Result<Box<RawValue>, Denial> {
        let identity = &filling.caller.identity;
        let text = match self {
            Self::Literal(text) => text.as_str(),
            Self::SsoToken => filling.caller.sso_token.expose(),
            Self::Subject => &identity.subject,
            Self::Issuer => &identity.issuer,
            Self::ClientId => filling.client_id,
            Self::ClientSecret => filling.client_secret,
            Self::Claim(name) => {
                let claim = identity.claims.get(name).filter(|claim| !claim.is_null());
                return claim.map(|claim| claim.raw().to_owned()).ok_or(Denial::ClaimMissing);
            }
        };
        Ok(json(text))
    }
}

fn looks_like_a_place(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// As it stands in a form or header: text without its quotes, anything else as JSON.
pub(super) fn text_of(value: &RawValue) -> String {
    match value.get() {
        "null" => String::new(),
        text if text.starts_with('"') => serde_json::from_str(text).unwrap_or_default(),
        other => other.to_owned(),
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("texts, lists and tables can be written as JSON")
}

pub(super) fn to_json(value: &toml::Value) -> Result<Value, TemplateError> {
    Ok(match value {
        toml::Value::String(text) => Value::String(text.clone()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(flag) => Value::Bool(*flag),
        toml::Value::Datetime(_) => return Err(TemplateError::Date),
        toml::Value::Array(items) => {
            Value::Array(items.iter().map(to_json).collect::<Result<_, _>>()?)
        }
        toml::Value::Table(table) => {
            let member =
                |(name, value): (&String, &toml::Value)| Ok((name.clone(), to_json(value)?));
            Value::Object(table.iter().map(member).collect::<Result<_, _>>()?)
        }
    })
}
