//! Whose token it is: the key of the cache, made of everything that decides it.

use std::collections::BTreeSet;

use crate::accept::{CallerId, Claim, Identity, SsoToken};
use crate::config::{Grant, HttpUrl, TokenConfig};
use crate::digest;
use crate::digest::Fields;

/// Whose token it is, obtained how: a digest, so that neither a secret nor a subject is a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CacheKey(pub(super) [u8; 32]);

/// Which SSO token was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SsoDigest(pub(super) [u8; 32]);

impl SsoDigest {
    pub(super) fn of(token: &SsoToken) -> Self {
        Self(digest::of([token.expose().as_bytes()]))
    }
}

/// Who shares a token with whom, under one configuration.
#[derive(Debug)]
pub(super) struct Sharing {
    setup: SetupDigest,
    /// Of all that decides a key besides the identity: `setup`, and the names in `claims`.
    rules: [u8; 32],
    /// The claims that, besides issuer and subject, make two calls two callers: those that the
    /// configuration names and those that the grant shows to the token endpoint. `None`: the
    /// token is the whole process's.
    claims: Option<BTreeSet<String>>,
}

impl Sharing {
    pub(super) fn new(config: &TokenConfig, grant: &Grant) -> Self {
        let setup = SetupDigest::of(config);
        let claims: Option<BTreeSet<String>> = (!grant.is_per_process()).then(|| {
            let shown = grant.claims().into_iter().map(str::to_owned);
            config.cache_claims.iter().cloned().chain(shown).collect()
        });
        let names = claims.iter().flatten().map(String::as_bytes);
        let per_process: &[u8] = if claims.is_none() { b"process" } else { b"caller" };
        let rules = digest::of([&setup.0, per_process].into_iter().chain(names));
        Self { setup, rules, claims }
    }

    /// The claims that make two calls two callers; `None` when the token is the whole process's.
    pub(super) fn claims(&self) -> Option<&BTreeSet<String>> {
        self.claims.as_ref()
    }

    /// The key of a caller's token: everything that decides whose it is.
    ///
    /// - how it is obtained ([`SetupDigest`]);
    /// - issuer and subject: a subject is unique within its issuer only;
    /// - each of the claims, by its name and as JSON, so that no two numbers are taken for one; an
    ///   absent claim differs from every present one.
    pub(super) fn key(&self, identity: &Identity) -> CacheKey {
        CacheKey(identity.memo.get_or_work(self.rules, || self.work_out(identity)))
    }

    fn work_out(&self, identity: &Identity) -> [u8; 32] {
        let mut fields = Fields::new();
        fields.add(&self.setup.0);
        if let Some(claims) = &self.claims {
            fields.add(identity.issuer.as_bytes());
            fields.add(identity.subject.as_bytes());
            for name in claims {
                fields.add(name.as_bytes());
                fields.add(identity.claims.get(name).map_or("", Claim::json).as_bytes());
            }
        }
        fields.finish()
    }

    /// Whose the token is: of nobody when it is the whole process's.
    pub(super) fn owner(&self, identity: &Identity) -> Option<CallerId> {
        self.claims.as_ref().map(|_| identity.caller)
    }

    /// [`Sharing::key`] for people: the names of what makes it up for this caller.
    pub(super) fn describe(&self, identity: &Identity) -> String {
        let Some(claims) = &self.claims else {
            return "one token for the whole process, whoever calls".to_owned();
        };
        let (present, absent): (Vec<&str>, Vec<&str>) =
            claims.iter().map(String::as_str).partition(|name| identity.claims.get(name).is_some());
        let mut text = "one token for this caller, by issuer, subject".to_owned();
        for name in present {
            text.extend([", ", name]);
        }
        if !absent.is_empty() {
            text.extend([" (this token has no ", &absent.join(", "), ")"]);
        }
        text
    }
}

/// Digest of everything that decides which token a caller gets: a token obtained under another
/// endpoint, method or client is unreachable. Secrets and lifetimes are not part of it, so that
/// their change costs no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SetupDigest([u8; 32]);

impl SetupDigest {
    pub(super) fn of(config: &TokenConfig) -> Self {
        let mut fields = Fields::new();
        let custom = serde_json::to_vec(&config.custom.to_table()).unwrap_or_default();
        for field in [
            config.method.as_str().as_bytes(),
            config.client_auth.as_str().as_bytes(),
            config.endpoint.as_ref().map_or("", HttpUrl::as_str).as_bytes(),
            config.client_id.as_bytes(),
            config.subject_token_type.as_bytes(),
            config.requested_token_type.as_bytes(),
            config.actor_token_file.at().as_os_str().as_encoded_bytes(),
            config.actor_token_type.as_bytes(),
            config.scope.as_bytes(),
            config.scheme.as_bytes(),
            config.carrier.account.as_bytes(),
            config.carrier.agent_name.as_bytes(),
            &custom,
        ] {
            fields.add(field);
        }
        let extra = config.extra.iter().flat_map(|(name, value)| [name, value]);
        let lists = [config.audience.iter().collect(), config.resource.iter().collect()];
        for list in lists.into_iter().chain([extra.collect::<Vec<_>>()]) {
            fields.add(&digest::of(list.into_iter().map(String::as_bytes)));
        }
        Self(fields.finish())
    }
}
