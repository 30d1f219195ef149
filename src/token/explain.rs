//! What this room would do for a caller, for people: `koodrive-gateway explain`.
//!
//! Asks nobody, and names claims without their values.

use crate::accept::{Accepted, Identity};
use crate::config::{ClientAuth, TokenConfig, TokenMethod};

use super::TokenSetupError;
use super::app::SigningApp;
use super::error::Denial;
use super::exchange::Custom;

/// One sentence a line, and whether the caller would be denied before anybody is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub lines: Vec<String>,
    pub denied: Option<Denial>,
}

/// How `caller` would come by a KooDrive credential.
pub fn explain(config: &TokenConfig, caller: &Accepted) -> Result<Explanation, TokenSetupError> {
    let identity = &caller.identity;
    let mut lines = Vec::new();
    let denied = match config.method {
        TokenMethod::TokenExchange => {
            lines.push(at("RFC 8693 token exchange", config));
            lines.push("sends: this SSO token as subject_token".to_owned() + &asked_for(config));
            None
        }
        TokenMethod::JwtBearer => {
            lines.push(at("RFC 7523 grant", config));
            lines.push("sends: this SSO token as assertion".to_owned() + &asked_for(config));
            None
        }
        TokenMethod::ClientCredentials => {
            lines.push(at("client credentials", config));
            lines.push("sends: nothing of the caller".to_owned() + &asked_for(config));
            None
        }
        TokenMethod::CarrierLogin => {
            lines.push(at("carrier login", config));
            lines.push("sends: the configured account, nothing of the caller".to_owned());
            None
        }
        TokenMethod::Custom => custom(config, identity, &mut lines)?,
        TokenMethod::AppSignature => signature(config, identity, &mut lines)?,
    };
    if config.method != TokenMethod::AppSignature {
        lines.push(kept(config, identity));
        lines.push(lives(config));
    }
    Ok(Explanation { lines, denied })
}

fn custom(
    config: &TokenConfig,
    identity: &Identity,
    lines: &mut Vec<String>,
) -> Result<Option<Denial>, TokenSetupError> {
    let login = Custom::new(config)?;
    lines.push(at("custom login", config));
    let needed = login.claims();
    let fields: Vec<&str> = config.custom.body.keys().map(String::as_str).collect();
    lines.push(format!(
        "sends: {}",
        if fields.is_empty() { "no fields".to_owned() } else { fields.join(", ") }
    ));
    if needed.is_empty() {
        return Ok(None);
    }
    let has = |name: &&str| identity.claims.get(name).is_some_and(|claim| !claim.is_null());
    lines.push(format!("needs claims: {}", with_presence(needed.iter().copied(), &has, "MISSING")));
    Ok((!needed.iter().all(has)).then_some(Denial::ClaimMissing))
}

fn signature(
    config: &TokenConfig,
    identity: &Identity,
    lines: &mut Vec<String>,
) -> Result<Option<Denial>, TokenSetupError> {
    let app = SigningApp::new(&config.app)?;
    lines.push("nothing is exchanged: each attempt is signed with the AppSecret".to_owned());
    let claim = &config.app.user_claim;
    let denied = app.identity_of(identity).err();
    lines.push(match (denied, app.lists(identity)) {
        (Some(_), _) => {
            format!("X-User-Id: unknown; neither token.app.user_map_file nor claim {claim} has one")
        }
        (None, true) => "X-User-Id: known from token.app.user_map_file".to_owned(),
        (None, false) => format!("X-User-Id: known from claim {claim}"),
    });
    Ok(denied)
}

fn at(how: &str, config: &TokenConfig) -> String {
    let endpoint = config.endpoint.as_ref().map_or("", |endpoint| endpoint.as_str());
    let client = match config.method {
        TokenMethod::TokenExchange | TokenMethod::JwtBearer | TokenMethod::ClientCredentials => {
            let by = match config.client_auth {
                ClientAuth::Basic => "client_secret_basic",
                ClientAuth::Post => "client_secret_post",
                ClientAuth::PrivateKeyJwt => "private_key_jwt",
            };
            format!(", as client {} by {by}", config.client_id)
        }
        TokenMethod::Custom | TokenMethod::CarrierLogin | TokenMethod::AppSignature => {
            String::new()
        }
    };
    format!("{how} at {endpoint}{client}; nobody was asked now")
}

fn asked_for(config: &TokenConfig) -> String {
    let wishes =
        [("audience", &config.audience), ("resource", &config.resource), ("scope", &config.scope)];
    let wishes = wishes.iter().filter(|(_, value)| !value.is_empty());
    wishes.map(|(name, value)| [", ", name, " ", value].concat()).collect()
}

/// Whose token it is in the cache.
fn kept(config: &TokenConfig, identity: &Identity) -> String {
    match config.method {
        TokenMethod::ClientCredentials | TokenMethod::CarrierLogin => {
            "kept: one token for the whole process, whoever calls".to_owned()
        }
        _ if config.cache_claims.is_empty() => {
            "kept: one token for this caller, by issuer and subject".to_owned()
        }
        _ => {
            let has = |name: &&str| identity.claims.get(name).is_some();
            let names = config.cache_claims.iter().map(String::as_str);
            let claims = with_presence(names, &has, "missing, which counts as a value of its own");
            format!("kept: one token for this caller, by issuer, subject and {claims}")
        }
    }
}

fn lives(config: &TokenConfig) -> String {
    format!(
        "lives: {:?} after the last call KooDrive accepted, at most {:?}",
        config.idle_lifetime, config.absolute_lifetime
    )
}

fn with_presence<'n>(
    names: impl Iterator<Item = &'n str>,
    has: &dyn Fn(&&'n str) -> bool,
    missing: &str,
) -> String {
    let shown = names.map(|name| {
        let found = if has(&name) { "present" } else { missing };
        format!("{name} ({found})")
    });
    shown.collect::<Vec<_>>().join(", ")
}
