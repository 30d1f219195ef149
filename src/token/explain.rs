//! What this room would do for a caller, for people: `koodrive-gateway explain`.
//!
//! Requests nothing, and names claims without their values.

use super::TokenSetupError;
use super::app_signature::SigningApp;
use super::error::Denial;
use super::exchange::Grant;
use crate::accept::{Accepted, Identity};
use crate::config::TokenConfig;

/// One sentence a line, and whether the caller would be denied before anything is requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub lines: Vec<String>,
    pub denied: Option<Denial>,
}

/// How `caller` would obtain a KooDrive credential.
pub fn explain(config: &TokenConfig, caller: &Accepted) -> Result<Explanation, TokenSetupError> {
    let identity = &caller.identity;
    let Some(grant) = Grant::new(config)? else {
        let (line, denied) = SigningApp::new(&config.app)?.describe(identity);
        let how = "nothing is exchanged: each attempt is signed with the AppSecret".to_owned();
        return Ok(Explanation { lines: vec![how, line], denied });
    };
    let about = grant.describe();
    let mut lines = vec![
        format!("{} (offline: nothing was requested)", about.how),
        format!("sends: {}", about.sends),
    ];
    let has = |name: &str| identity.claims.get(name).is_some_and(|claim| !claim.is_null());
    if !about.claims.is_empty() {
        let claims = about.claims.iter().map(|name| with_presence(name, has(name), "MISSING"));
        lines.push(format!("needs claims: {}", joined(claims)));
    }
    lines.push(kept(&grant, config, identity));
    lines.push(format!(
        "lives: {:?} after the last call KooDrive accepted, at most {:?}",
        config.idle_lifetime, config.absolute_lifetime
    ));
    let denied = (!about.claims.iter().all(|name| has(name))).then_some(Denial::ClaimMissing);
    Ok(Explanation { lines, denied })
}

/// Whose token it is in the cache.
fn kept(grant: &Grant, config: &TokenConfig, identity: &Identity) -> String {
    if grant.is_per_process() {
        return "kept: one token for the whole process, whoever calls".to_owned();
    }
    if config.cache_claims.is_empty() {
        return "kept: one token for this caller, by issuer and subject".to_owned();
    }
    let missing = "missing, which counts as a value of its own";
    let claims = config.cache_claims.iter();
    let claims =
        claims.map(|name| with_presence(name, identity.claims.get(name).is_some(), missing));
    format!("kept: one token for this caller, by issuer, subject and {}", joined(claims))
}

fn with_presence(name: &str, present: bool, missing: &str) -> String {
    format!("{name} ({})", if present { "present" } else { missing })
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}
