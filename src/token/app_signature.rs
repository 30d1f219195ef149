//! App authentication: nothing is exchanged, each attempt is signed in the caller's name.
//!
//! Says who signs and for whom; how a request is signed stands in `forward/sign.rs`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use http::HeaderValue;

use super::error::Denial;
use crate::accept::Identity;
use crate::config::{IssuerConfig, KooDriveUsers, SigningApp, user_id};

/// Who signs, and for which KooDrive user.
#[derive(Clone)]
pub struct AppIdentity {
    pub app: SigningApp,
    /// The signing user: `X-User-Id`.
    pub user_id: HeaderValue,
}

impl fmt::Debug for AppIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppIdentity").field("app_id", &self.app.id).finish_non_exhaustive()
    }
}

/// Finds the KooDrive user of a caller.
#[derive(Debug)]
pub(super) struct Signatures {
    app: SigningApp,
    issuers: HashMap<String, Users>,
}

/// Whose KooDrive users the callers of one issuer are. A subject is unique within its issuer only.
#[derive(Debug)]
struct Users {
    claim: String,
    listed: Option<Arc<KooDriveUsers>>,
}

impl Signatures {
    pub(super) fn new(app: &SigningApp, issuers: &[IssuerConfig]) -> Self {
        let users = |issuer: &IssuerConfig| (issuer.issuer.to_string(), Users::new(issuer));
        Self { app: app.clone(), issuers: issuers.iter().map(users).collect() }
    }

    pub(super) fn identity_of(&self, caller: &Identity) -> Result<AppIdentity, Denial> {
        let users = self.issuers.get(&*caller.issuer);
        let user_id = users.and_then(|users| users.of(caller)).ok_or(Denial::UserUnknown)?;
        Ok(AppIdentity { app: self.app.clone(), user_id })
    }

    /// Where the caller's `X-User-Id` comes from, for people, and whether there is none.
    pub(super) fn describe(&self, caller: &Identity) -> (String, Option<Denial>) {
        let denied = self.identity_of(caller).err();
        let users = self.issuers.get(&*caller.issuer);
        let claim = users.map_or("", |users| &users.claim);
        let line = if denied.is_some() {
            let claim =
                if claim.is_empty() { String::new() } else { format!(" nor claim {claim}") };
            format!("X-User-Id: unknown; neither koodrive_users_file{claim} of this issuer has one")
        } else if users.is_some_and(|users| users.listed(caller).is_some()) {
            "X-User-Id: known from koodrive_users_file of this issuer".to_owned()
        } else {
            format!("X-User-Id: known from claim {claim}")
        };
        (line, denied)
    }
}

impl Users {
    fn new(issuer: &IssuerConfig) -> Self {
        let listed = issuer.koodrive_users_file.content().cloned();
        Self { claim: issuer.koodrive_user_claim.clone(), listed }
    }

    fn listed(&self, caller: &Identity) -> Option<&HeaderValue> {
        self.listed.as_ref()?.get(&caller.subject)
    }

    /// The list's word counts before the claim's: it is the operator's.
    fn of(&self, caller: &Identity) -> Option<HeaderValue> {
        self.listed(caller).cloned().or_else(|| self.claimed(caller))
    }

    fn claimed(&self, caller: &Identity) -> Option<HeaderValue> {
        match caller.claims.get(&self.claim)?.value() {
            serde_json::Value::String(id) => user_id(&id),
            // Ids of 19 digits are exact in a JSON number read as u64.
            serde_json::Value::Number(number) if number.is_u64() => user_id(&number.to_string()),
            _ => None,
        }
    }
}
