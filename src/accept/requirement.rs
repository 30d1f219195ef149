//! What a claim must be: `required_claims`, and the claims that rules of `authorize` ask for.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::error::ClaimFault;
use crate::config::ClaimValue;

/// A claim, or a JSON Pointer (RFC 6901) into one, and the values of which it must have or contain
/// one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Requirement {
    pub claim: Box<str>,
    one_of: Box<[ClaimValue]>,
}

/// Which of an ordered list of requirements a token meets: a bit for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Met(Box<[u64]>);

impl Requirement {
    pub fn new(claim: &str, one_of: &[ClaimValue]) -> Self {
        Self { claim: claim.into(), one_of: one_of.into() }
    }

    pub(super) fn check(&self, claims: &Map<String, Value>) -> Result<(), ClaimFault> {
        let held = Held::of(claims, &self.claim)?;
        if held.has_one_of(&self.one_of) { Ok(()) } else { Err(ClaimFault::NotTheRequiredValue) }
    }

    /// `"staff"`, or `one of "staff", 7`.
    pub(super) fn expected(&self) -> String {
        let value = |value: &ClaimValue| match value {
            ClaimValue::Text(text) => format!("{text:?}"),
            ClaimValue::Integer(number) => number.to_string(),
            ClaimValue::Flag(flag) => flag.to_string(),
        };
        let values: Vec<String> = self.one_of.iter().map(value).collect();
        let prefix = if values.len() == 1 { "" } else { "one of " };
        format!("{prefix}{}", values.join(", "))
    }
}

impl Met {
    /// Asks each requirement once, so that a call later asks for a bit. Those of one claim stand
    /// side by side.
    pub(super) fn of(requirements: &[Requirement], claims: &Map<String, Value>) -> Self {
        let mut bits = vec![0_u64; requirements.len().div_ceil(64)];
        let mut last: Option<(&str, Option<Held<'_>>)> = None;
        for (index, requirement) in requirements.iter().enumerate() {
            if last.as_ref().is_none_or(|(claim, _)| **claim != *requirement.claim) {
                let held = Held::of(claims, &requirement.claim).ok();
                last = Some((&requirement.claim, held));
            }
            let held = last.as_ref().and_then(|(_, held)| held.as_ref());
            if held.is_some_and(|held| held.has_one_of(&requirement.one_of)) {
                bits[index / 64] |= 1 << (index % 64);
            }
        }
        Self(bits.into())
    }

    pub fn has(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|bits| bits >> (index % 64) & 1 == 1)
    }

    /// Bytes held.
    pub(super) fn weight(&self) -> usize {
        size_of_val(&*self.0)
    }
}

/// The values that a claim has or contains.
struct Held<'c> {
    texts: HashSet<&'c str>,
    numbers: HashSet<i64>,
    flags: [bool; 2],
}

impl<'c> Held<'c> {
    fn of(claims: &'c Map<String, Value>, claim: &str) -> Result<Self, ClaimFault> {
        let mut held = Self { texts: HashSet::new(), numbers: HashSet::new(), flags: [false; 2] };
        match find(claims, claim) {
            None | Some(Value::Null) => return Err(ClaimFault::Missing),
            Some(Value::Object(_)) => return Err(ClaimFault::Mistyped),
            Some(Value::Array(values)) => values.iter().for_each(|value| held.add(value)),
            Some(value) => held.add(value),
        }
        // RFC 6749 section 3.3 and RFC 8693 section 4.2: a list that is written as one text.
        if matches!(claim.rsplit('/').next(), Some("scope" | "scp")) {
            let words: Vec<_> = held.texts.iter().flat_map(|text| text.split(' ')).collect();
            held.texts.extend(words);
        }
        Ok(held)
    }

    fn add(&mut self, value: &'c Value) {
        match value {
            Value::String(text) => drop(self.texts.insert(text)),
            Value::Number(number) => self.numbers.extend(number.as_i64()),
            Value::Bool(flag) => self.flags[usize::from(*flag)] = true,
            Value::Null | Value::Array(_) | Value::Object(_) => {}
        }
    }

    fn has_one_of(&self, values: &[ClaimValue]) -> bool {
        values.iter().any(|value| match value {
            ClaimValue::Text(text) => self.texts.contains(&**text),
            ClaimValue::Integer(number) => self.numbers.contains(number),
            ClaimValue::Flag(flag) => self.flags[usize::from(*flag)],
        })
    }
}

fn find<'c>(claims: &'c Map<String, Value>, claim: &str) -> Option<&'c Value> {
    let Some(pointer) = claim.strip_prefix('/') else { return claims.get(claim) };
    let (first, rest) = pointer.find('/').map_or((pointer, ""), |at| pointer.split_at(at));
    claims.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
}
