//! What this room would do for a caller, for people: `koodrive-gateway explain`.
//!
//! Requests nothing, and names claims without their values.

use super::app_signature::Signatures;
use super::error::Denial;
use super::exchange;
use super::key::Sharing;
use crate::accept::Accepted;
use crate::clock::Span;
use crate::config::{ExpiresIn, IssuerConfig, Login, TokenConfig};

/// One sentence a line, and whether the caller would be denied before anything is requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub lines: Vec<String>,
    pub denied: Option<Denial>,
}

/// How `caller` would obtain a KooDrive credential.
pub fn explain(config: &TokenConfig, issuers: &[IssuerConfig], caller: &Accepted) -> Explanation {
    let identity = &caller.identity;
    let (endpoint, grant) = match &*config.login {
        Login::Exchange { endpoint, grant } => (endpoint, grant),
        Login::Signature(app) => {
            let (line, denied) = Signatures::new(app, issuers).describe(identity);
            let how = "nothing is exchanged: each attempt is signed with the AppSecret".to_owned();
            return Explanation { lines: vec![how, line], denied };
        }
    };
    let about = exchange::describe(endpoint, grant);
    let mut lines = vec![
        format!("{} (offline: nothing was requested)", about.how),
        format!("sends: {}", about.sends),
    ];
    let has = |name: &str| identity.claims.get(name).is_some_and(|claim| !claim.is_null());
    let needed = grant.claims();
    if !needed.is_empty() {
        let shown = needed.iter().map(|name| {
            let presence = if has(name) { "present" } else { "MISSING" };
            format!("{name} ({presence})")
        });
        lines.push(format!("needs claims: {}", shown.collect::<Vec<_>>().join(", ")));
    }
    lines.push(format!("kept: {}", Sharing::new(config, grant).describe(identity)));
    lines.push(lives(config));
    let denied = (!needed.iter().all(|name| has(name))).then_some(Denial::ClaimMissing);
    Explanation { lines, denied }
}

fn lives(config: &TokenConfig) -> String {
    let (idle, absolute) = (Span(config.idle_lifetime), Span(config.absolute_lifetime));
    let after = "after the last call KooDrive accepted";
    match config.expires_in {
        ExpiresIn::Ends => {
            format!("lives: {idle} {after}, at most {absolute} or as the endpoint's expires_in")
        }
        ExpiresIn::Slides => {
            format!("lives: the endpoint's expires_in, else {idle}, {after}, at most {absolute}")
        }
    }
}
