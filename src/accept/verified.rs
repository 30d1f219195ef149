//! Tokens that were verified before: one look-up instead of a signature.
//!
//! Only good verdicts are kept, and each only as long as it would be given again: until `exp` by
//! the gateway's clock, while its key is among the issuer's usable keys, and under the issuer's
//! unchanged rules.

use std::hash::{BuildHasher as _, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use foldhash::fast::RandomState;
use moka::Equivalent;
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use super::error::{AcceptError, ClaimFault, Shown, SkewHint};
use super::identity::{CallerId, CertificateDigest, Identity, SsoToken};
use super::keys::Fingerprint;

/// Bytes of an entry besides its token, measured. At 32 MiB that makes about 30 000 short tokens
/// or 17 000 of 1.2 KiB; whose token has no place is verified once more, which costs as much as a
/// signature.
const ENTRY_BYTES: usize = 696;

/// Real time after which an entry that nobody asked for is dropped. Verifying once more is
/// cheaper than holding tokens that have long expired.
const IDLE_MAX: Duration = Duration::from_mins(15);

/// Verified tokens of the whole process. Survives reloads; clones share it.
#[derive(Clone)]
pub struct VerifiedTokens {
    cache: Cache<Presented, Arc<Verified>, RandomState>,
    hasher: RandomState,
}

/// A token as a key: its bytes themselves, which are kept anyway. Nobody can find another token
/// for the same verdict; and only what an issuer has signed gets in, so nobody fills the table with
/// tokens that collide.
#[derive(Clone)]
struct Presented {
    token: Arc<SsoToken>,
    /// Of the token: a table that grows asks for the hash of each, and one that is searched
    /// compares with its neighbours; they are long, and each lies somewhere else.
    hash: u64,
}

/// A token that is looked for.
struct Asked<'a> {
    token: &'a [u8],
    hash: u64,
}

impl Hash for Presented {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for Presented {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.token.expose() == other.token.expose()
    }
}

impl Eq for Presented {}

impl Equivalent<Presented> for Asked<'_> {
    fn equivalent(&self, key: &Presented) -> bool {
        self.hash == key.hash && self.token == key.token.expose().as_bytes()
    }
}

/// A verdict, and what it rests on.
pub(super) struct Verified {
    pub(super) identity: Arc<Identity>,
    pub(super) sso_token: Arc<SsoToken>,
    /// The certificate the token is bound to.
    pub(super) certificate: Option<CertificateDigest>,
    pub(super) key: Fingerprint,
    /// The issuer's rules at the time.
    pub(super) rules: Fingerprint,
    /// What was asked of the token besides.
    pub(super) asked: Fingerprint,
}

impl Verified {
    /// RFC 8705 section 3: a token bound to a certificate is no use to who presents another. Where
    /// callers present none there is nothing to compare.
    pub(super) fn check_certificate(
        &self,
        presented: Option<&CertificateDigest>,
    ) -> Result<(), AcceptError> {
        match (&self.certificate, presented) {
            (Some(bound), Some(presented)) if bound != presented => {
                Err(AcceptError::ClaimRefused {
                    claim: Shown::plain("cnf"),
                    fault: ClaimFault::OtherCertificate,
                    hint: SkewHint::default(),
                })
            }
            _ => Ok(()),
        }
    }
}

impl VerifiedTokens {
    /// Estimated bytes of all entries.
    pub const BYTES_MAX: usize = 32 * 1024 * 1024;

    pub fn new() -> Self {
        let cache = Cache::builder()
            .name("verified-tokens")
            .eviction_policy(EvictionPolicy::lru())
            .max_capacity(Self::BYTES_MAX as u64)
            .weigher(|_, verified: &Arc<Verified>| weight(verified))
            .time_to_idle(IDLE_MAX)
            .build_with_hasher(RandomState::default());
        Self { cache, hasher: RandomState::default() }
    }

    /// Estimated bytes of what is held, as of the last [`Self::tidy`].
    pub fn bytes(&self) -> u64 {
        self.cache.weighted_size()
    }

    /// Counts, and lets go of what has expired; the cache does neither while nobody calls.
    pub async fn tidy(&self) {
        self.cache.run_pending_tasks().await;
    }

    pub(super) async fn find(&self, token: &[u8], now: SystemTime) -> Option<Arc<Verified>> {
        let asked = Asked { token, hash: self.hasher.hash_one(token) };
        let verified = self.cache.get(&asked).await?;
        (now < verified.identity.expires_at).then_some(verified)
    }

    /// Forgets the tokens of one caller, or all, and how many.
    pub async fn forget(&self, caller: Option<CallerId>) -> usize {
        let of = |verified: &Verified| caller.is_none_or(|id| id == verified.identity.caller);
        let keys: Vec<_> =
            self.cache.iter().filter(|(_, verified)| of(verified)).map(|(key, _)| key).collect();
        for key in &keys {
            self.cache.invalidate(&**key).await;
        }
        keys.len()
    }

    /// Tokens that live on their leeway alone are not worth a place.
    pub(super) async fn keep(&self, verified: Verified, now: SystemTime) {
        if now < verified.identity.expires_at {
            let token = Arc::clone(&verified.sso_token);
            let hash = self.hasher.hash_one(token.expose().as_bytes());
            let presented = Presented { token, hash };
            self.cache.insert(presented, Arc::new(verified)).await;
        }
    }
}

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self::new()
    }
}

fn weight(verified: &Verified) -> u32 {
    let bytes = verified.sso_token.expose().len()
        + verified.identity.claims.weight()
        + verified.identity.met.weight();
    u32::try_from(ENTRY_BYTES + bytes).unwrap_or(u32::MAX)
}
