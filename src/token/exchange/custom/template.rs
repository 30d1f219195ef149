//! Templates filled in for a caller.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::accept::Accepted;
use crate::config::{Part, Template};
use crate::token::error::Denial;

/// What places are filled with.
#[derive(Clone, Copy)]
pub(super) struct Filling<'a> {
    pub(super) caller: &'a Accepted,
    pub(super) client_id: &'a str,
    pub(super) client_secret: &'a str,
}

/// The value for one caller, as JSON. A place alone keeps the claim's type; among text it is text.
pub(super) fn fill(template: &Template, filling: &Filling<'_>) -> Result<Box<RawValue>, Denial> {
    Ok(match template {
        Template::Text(parts) => match parts.as_slice() {
            [part] => filling.part(part)?,
            parts => {
                let mut text = String::new();
                for part in parts {
                    text.push_str(&text_of(&filling.part(part)?));
                }
                json(&text)
            }
        },
        Template::List(items) => {
            let items = items.iter().map(|item| fill(item, filling));
            json(&items.collect::<Result<Vec<_>, _>>()?)
        }
        Template::Table(members) => {
            let members = members.iter().map(|(name, value)| Ok((name, fill(value, filling)?)));
            json(&members.collect::<Result<BTreeMap<_, _>, _>>()?)
        }
        Template::Plain(value) => json(value),
    })
}

impl Filling<'_> {
    fn part(&self, part: &Part) -> Result<Box<RawValue>, Denial> {
        let identity = &self.caller.identity;
        let text = match part {
            Part::Literal(text) => text.as_str(),
            Part::SsoToken => self.caller.sso_token.expose(),
            Part::Subject => &identity.subject,
            Part::Issuer => &identity.issuer,
            Part::ClientId => self.client_id,
            Part::ClientSecret => self.client_secret,
            Part::Claim(name) => {
                let claim = identity.claims.get(name).filter(|claim| !claim.is_null());
                return claim.map(|claim| claim.raw().to_owned()).ok_or(Denial::ClaimMissing);
            }
        };
        Ok(json(text))
    }
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
