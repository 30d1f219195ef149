//! App authentication: nothing is exchanged, each attempt is signed in the caller's name.
//!
//! Says who signs and for whom; how a request is signed stands in `forward/sign.rs`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use secrecy::SecretString;

use super::error::Denial;
use crate::accept::Identity;
use crate::config::AppConfig;

/// Who signs, and for which KooDrive user.
#[derive(Clone)]
pub struct AppIdentity {
    pub app_id: Arc<str>,
    pub app_secret: Arc<SecretString>,
    /// The signing user: `X-User-Id`.
    pub user_id: HeaderValue,
}

impl fmt::Debug for AppIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppIdentity").field("app_id", &self.app_id).finish_non_exhaustive()
    }
}

/// Finds the KooDrive user of a caller.
#[derive(Debug)]
pub(super) struct SigningApp {
    app_id: Arc<str>,
    app_secret: Arc<SecretString>,
    user_claim: String,
    users: HashMap<String, HeaderValue>,
}

/// Why app authentication cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum AppSetupError {
    #[error("`token.app.app_id` and `token.app.app_secret_file` are required")]
    CredentialsMissing,
    #[error("`token.app.app_id` must be printable ASCII without commas and spaces")]
    AppId,
    #[error("`token.app.user_map_file` is not TOML of the form subject = \"user id\"")]
    UserMap(#[source] toml::de::Error),
    #[error("a user id in `token.app.user_map_file` is no header value")]
    UserId,
}

impl SigningApp {
    pub(super) fn new(config: &AppConfig) -> Result<Self, AppSetupError> {
        if config.app_id.is_empty() || !config.app_secret_file.is_set() {
            return Err(AppSetupError::CredentialsMissing);
        }
        if !config.app_id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
            return Err(AppSetupError::AppId);
        }
        let listed: HashMap<String, String> =
            toml::from_str(config.user_map_file.text()).map_err(AppSetupError::UserMap)?;
        let mut users = HashMap::with_capacity(listed.len());
        for (subject, user_id) in listed {
            let user_id = user_id_header(&user_id).ok_or(AppSetupError::UserId)?;
            users.insert(subject, user_id);
        }
        Ok(Self {
            app_id: config.app_id.as_str().into(),
            app_secret: Arc::new(config.app_secret_file.secret().clone()),
            user_claim: config.user_claim.clone(),
            users,
        })
    }

    /// The map's word counts before the claim's: it is the operator's.
    pub(super) fn identity_of(&self, caller: &Identity) -> Result<AppIdentity, Denial> {
        let user_id = match self.users.get(&*caller.subject) {
            Some(user_id) => user_id.clone(),
            None => self.claimed(caller).ok_or(Denial::UserUnknown)?,
        };
        let (app_id, app_secret) = (Arc::clone(&self.app_id), Arc::clone(&self.app_secret));
        Ok(AppIdentity { app_id, app_secret, user_id })
    }

    /// Where the caller's `X-User-Id` comes from, for people, and whether there is none.
    pub(super) fn describe(&self, caller: &Identity) -> (String, Option<Denial>) {
        let claim = &self.user_claim;
        let denied = self.identity_of(caller).err();
        let line = if denied.is_some() {
            format!("X-User-Id: unknown; neither token.app.user_map_file nor claim {claim} has one")
        } else if self.users.contains_key(&*caller.subject) {
            "X-User-Id: known from token.app.user_map_file".to_owned()
        } else {
            format!("X-User-Id: known from claim {claim}")
        };
        (line, denied)
    }

    fn claimed(&self, caller: &Identity) -> Option<HeaderValue> {
        match caller.claims.get(&self.user_claim)?.value() {
            serde_json::Value::String(user_id) => user_id_header(&user_id),
            // Ids of 19 digits are exact in a JSON number read as u64.
            serde_json::Value::Number(number) if number.is_u64() => {
                user_id_header(&number.to_string())
            }
            _ => None,
        }
    }
}

fn user_id_header(user_id: &str) -> Option<HeaderValue> {
    let legal = !user_id.is_empty() && user_id.bytes().all(|byte| byte.is_ascii_graphic());
    if legal { HeaderValue::from_str(user_id).ok() } else { None }
}
