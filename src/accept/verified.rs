//! Tokens that were verified before: one digest and one look-up instead of a signature.
//!
//! Only good verdicts are kept, and each only as long as it would be given again: until `exp` by
//! the gateway's clock, while its key is among the issuer's usable keys, and under the issuer's
//! unchanged rules.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use aws_lc_rs::digest;
use moka::Expiry;
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use super::identity::Identity;
use super::identity::SsoToken;
use super::keys::Fingerprint;

/// Estimated bytes of all entries.
const BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Entries at most.
const ENTRIES_MAX: u64 = 100_000;

/// Bytes of an entry besides its token and claims.
const ENTRY_BYTES: usize = 512;

/// Verified tokens of the whole process. Survives reloads; clones share it.
#[derive(Clone)]
pub struct VerifiedTokens(Cache<TokenDigest, Arc<Verified>>);

/// SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenDigest([u8; 32]);

impl TokenDigest {
    pub(super) fn of(token: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, token.as_bytes());
        Self(*digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes"))
    }
}

/// A verdict, and what it rests on.
pub(super) struct Verified {
    pub(super) identity: Arc<Identity>,
    pub(super) sso_token: Arc<SsoToken>,
    pub(super) key: Fingerprint,
    /// The issuer's rules at the time.
    pub(super) rules: Fingerprint,
    /// By the real clock, only to free the memory in time.
    pub(super) lives_for: Duration,
}

impl VerifiedTokens {
    pub fn new() -> Self {
        let cache = Cache::builder()
            .name("verified-tokens")
            .eviction_policy(EvictionPolicy::lru())
            .max_capacity(BYTES_MAX)
            .weigher(|_, verified: &Arc<Verified>| weight(verified))
            .expire_after(UntilExp)
            .build();
        Self(cache)
    }

    /// Entries held; lags behind by what moka has not yet tidied up.
    pub fn entries(&self) -> u64 {
        self.0.entry_count()
    }

    pub(super) async fn find(
        &self,
        digest: &TokenDigest,
        now: SystemTime,
    ) -> Option<Arc<Verified>> {
        let verified = self.0.get(digest).await?;
        (now < verified.identity.expires_at).then_some(verified)
    }

    pub(super) async fn keep(&self, digest: TokenDigest, verified: Verified) {
        self.0.insert(digest, Arc::new(verified)).await;
    }
}

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self::new()
    }
}

/// A floor, so that the number of entries is bounded too.
fn weight(verified: &Verified) -> u32 {
    let token = verified.sso_token.expose().len();
    // Parsed claims take about twice their text, which is about half the token.
    let bytes = ENTRY_BYTES + 2 * token;
    let floor = BYTES_MAX / ENTRIES_MAX + 1;
    u32::try_from(bytes).unwrap_or(u32::MAX).max(u32::try_from(floor).unwrap_or(u32::MAX))
}

struct UntilExp;

impl Expiry<TokenDigest, Arc<Verified>> for UntilExp {
    fn expire_after_create(
        &self,
        _: &TokenDigest,
        verified: &Arc<Verified>,
        _: Instant,
    ) -> Option<Duration> {
        Some(verified.lives_for)
    }

    fn expire_after_update(
        &self,
        _: &TokenDigest,
        verified: &Arc<Verified>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(verified.lives_for)
    }
}
