//! Whose token it is: the key of the cache, made of everything that decides it.

use crate::accept::Identity;
use crate::config::TokenConfig;
use crate::digest;
use crate::digest::Fields;

/// Whose token it is, obtained how: a digest, so that neither a secret nor a subject is a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CacheKey([u8; 32]);

impl CacheKey {
    /// The key of one caller. `claims` are the names that make callers distinct; an absent claim
    /// differs from every present one.
    pub(super) fn of_caller(setup: &SetupDigest, identity: &Identity, claims: &[String]) -> Self {
        let mut fields = Fields::new();
        fields.add(&setup.0);
        fields.add(identity.issuer.as_bytes());
        fields.add(identity.subject.as_bytes());
        for name in claims {
            fields.add(name.as_bytes());
            match identity.claims.get(name) {
                Some(value) => fields.add(value.to_string().as_bytes()),
                None => fields.add(&[]),
            }
        }
        Self(fields.finish())
    }

    /// The one key of methods whose token belongs to the process.
    pub(super) fn of_process(setup: &SetupDigest) -> Self {
        Self(digest::of([setup.0.as_slice()]))
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
            format!("{:?}", config.method).as_bytes(),
            config.endpoint.as_ref().map_or("", |endpoint| endpoint.as_str()).as_bytes(),
            config.client_id.as_bytes(),
            config.subject_token_type.as_bytes(),
            config.audience.as_bytes(),
            config.resource.as_bytes(),
            config.scope.as_bytes(),
            config.scheme.as_bytes(),
            config.carrier.account.as_bytes(),
            config.carrier.agent_name.as_bytes(),
            &custom,
        ] {
            fields.add(field);
        }
        for claim in &config.cache_claims {
            fields.add(claim.as_bytes());
        }
        Self(fields.finish())
    }
}
