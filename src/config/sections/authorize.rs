//! `[authorize]`: who may make which call.

use std::collections::BTreeMap;

use super::GuardMode;
use super::section::{kind, section};
use crate::config::document::Node;
use crate::config::keys::{Key, Shape};
use crate::config::reader::{Reader, joined};
use crate::config::values::{ClaimValue, Kind, List, Map, OneOf, PathPattern, choice};

choice! {
    /// What becomes of calls that no rule names.
    pub enum Otherwise {
        Allow = "allow",
        Deny = "deny",
    }
}

choice! {
    /// Methods that pass.
    pub enum RuleMethod {
        Get = "GET",
        Head = "HEAD",
        Post = "POST",
        Put = "PUT",
        Patch = "PATCH",
        Delete = "DELETE",
        Options = "OPTIONS",
    }
}

section! {
    /// Which accepted caller may make which call.
    pub struct AuthorizeConfig {
        mode: GuardMode = GuardMode::Enforce,
        otherwise: Otherwise = Otherwise::Allow,
        /// The first that names a call decides.
        rules: Vec<RuleConfig> as List<RuleConfig> = Vec::new(),
    }
}

section! {
    /// Names calls by method, path and issuer, and says what their callers must have.
    pub struct RuleConfig {
        /// For refusals, logs and traces; empty = its number.
        name: String = String::new(),
        /// Empty = every method.
        methods: Vec<RuleMethod> as List<RuleMethod> = Vec::new(),
        /// Empty = every path.
        paths: Vec<PathPattern> as List<PathPattern> = Vec::new(),
        /// Empty = every issuer.
        issuers: Vec<String> as List<String> = Vec::new(),
        /// Claim, or JSON Pointer into one → what it must be or contain; of several one will do.
        claims: BTreeMap<String, Vec<ClaimValue>> as Map<OneOf> = BTreeMap::new(),
        /// No caller may make these calls, whatever he claims.
        deny: bool = false,
    }
}
