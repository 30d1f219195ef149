//! Refuses malformed preverify batches before anything is spent on them.
//!
//! One pass over the bytes, no tree, no copy: grammar, UTF-8, surrogates, duplicate names, depth,
//! counts and exact integers are judged together, and every fault is named at once. The bytes
//! themselves are never touched; they go on as they came. Knows nothing of HTTP statuses, of how
//! a refusal looks, nor of whether the operator wants faults refused or only observed.

mod value;
mod content;
mod deep;
mod fault;
mod field;
mod finding;
mod json;
mod language;
mod member_names;
mod number;
mod ordinary;
mod preverify;
mod report;
mod text;
mod scanner;

pub use content::ContentRefused;
pub use finding::{Finding, FindingView};
pub use language::Language;
pub use report::Report;

use http::HeaderMap;

use self::fault::Fault;
use crate::config::{UnknownFields, ValidateConfig};

/// What a preverify batch must be, as the operator configured it.
#[derive(Clone, Debug)]
pub struct BatchRules {
    max_body: usize,
    max_users: usize,
    max_dept_name_chars: usize,
    max_depth: usize,
    max_capacity: u64,
    require_capacity_when_allocated: bool,
    reject_unknown: bool,
    max_findings: usize,
}

impl BatchRules {
    pub fn new(config: &ValidateConfig) -> Self {
        Self {
            max_body: config.max_body,
            max_users: config.max_users,
            max_dept_name_chars: config.max_dept_name_chars,
            max_depth: config.max_depth,
            max_capacity: config.max_capacity,
            require_capacity_when_allocated: config.require_capacity_when_allocated,
            reject_unknown: config.unknown_fields == UnknownFields::Reject,
            max_findings: config.max_findings,
        }
    }

    /// Largest batch worth reading, in bytes. [`Self::check`] takes any length.
    pub fn max_body(&self) -> usize {
        self.max_body
    }

    /// Judges one whole body.
    ///
    /// # Errors
    /// Every fault found, the first `max_findings` of them described. A body that is not JSON at
    /// all has exactly one finding: the place where it stops being JSON. What is nested too deep
    /// is one finding too: nothing it holds is judged, if it is JSON.
    pub fn check(&self, body: &[u8]) -> Result<BatchFacts, Malformed> {
        preverify::check(body, self)
    }

    /// Judges what the headers say of the body: JSON, UTF-8, not encoded (RFC 9110 section 8).
    ///
    /// # Errors
    /// What the first unsuitable header said.
    pub fn check_content(&self, headers: &HeaderMap) -> Result<(), ContentRefused> {
        content::check(headers)
    }

    /// What is wrong with a user's capacity, beside what is said of its allocation.
    #[inline]
    fn capacity_fault(&self, capacity: u64, is_allocated: Option<bool>) -> Option<Fault> {
        match (is_allocated, capacity) {
            (Some(false), 1..) => Some(Fault::CapacityNotAllocated),
            (Some(true), 0) if self.require_capacity_when_allocated => Some(Fault::CapacityZero),
            _ if self.max_capacity != 0 && self.max_capacity < capacity => {
                Some(Fault::CapacityAbove { max: self.max_capacity })
            }
            _ => None,
        }
    }
}

/// What later stages may know of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchFacts {
    /// Elements of `users`.
    pub users: u32,
}

/// Whether a body is no JSON, or JSON that breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedKind {
    /// Not one JSON value in UTF-8 (RFC 8259).
    NotJson,
    /// One JSON value, but not an acceptable batch.
    Malformed,
}

impl MalformedKind {
    /// The contract's word for it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotJson => "batch_not_json",
            Self::Malformed => "batch_malformed",
        }
    }
}

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} with {} faults", kind.reason(), findings.len() + more)]
pub struct Malformed {
    pub kind: MalformedKind,
    /// In order of position; at least one, at most `max_findings`.
    pub findings: Vec<Finding>,
    /// Faults beyond those.
    pub more: usize,
    /// Elements of `users`, where it could be read to its end and has some.
    pub users: Option<u32>,
}

#[cfg(test)]
mod tests;
