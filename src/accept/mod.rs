//! Accept a call: the SSO token in its headers → who calls, proved.
//!
//! Works on headers alone, with keys that are already here; the one exception is a token of an
//! unknown key, which may wait up to two seconds for a fetch. Does not know what the call is, what
//! it may do, or how a refusal looks.
//!
//! The order of the checks is the order of trust: form, then the issuer (from the unverified
//! `iss`, against the configuration alone), algorithm, key, signature, and only then the claims,
//! so that nobody without a key learns what a valid token must say.

mod algorithms;
mod bearer;
mod claims;
mod error;
mod explain;
mod fetch;
mod identity;
mod json;
mod jwks;
mod keys;
mod refresh;
mod requirement;
mod stores;
mod token;
mod unknown_kids;
mod verified;
mod verifier;
mod weak_rsa;

use std::iter;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};

pub use error::{
    AcceptError, ClaimFault, FetchFailure, MalformedToken, MissingToken, Shown, SkewHint,
};
pub use explain::{ExplainLine, Verdict};
pub use fetch::{KeyFetch, KeyFetchCause, KeyFetchOutcome};
pub use identity::{
    Accepted, CallerId, CallerKey, CertificateDigest, Claim, Claims, Identity, IdentityRules, Memo,
    SsoToken,
};
pub use keys::{SkipReason, Skipped, UsableKey};
pub use requirement::{Met, Requirement};
pub use stores::{IssuerOverview, KeyStores};
pub use verified::VerifiedTokens;

use self::algorithms::Algorithms;
use self::claims::{Checked, ClaimRules};
use self::jwks::{IssuerKeys, KeyFault, KeySettings};
use self::keys::{Candidates, Fingerprint, VerifyKey};
use self::token::Jws;
use self::verified::Verified;
use crate::clock::Clock;
use crate::config::{AcceptConfig, IssuerConfig, SignatureAlgorithm};
use crate::digest;

/// Accepts calls under one configuration.
#[derive(Clone)]
pub struct Acceptor {
    header: HeaderName,
    issuers: Arc<[Issuer]>,
    verified: VerifiedTokens,
    requirements: Arc<[Requirement]>,
    /// Differs whenever the requirements do.
    asked: Fingerprint,
}

/// One configured issuer.
struct Issuer {
    name: Arc<str>,
    algorithms: Algorithms,
    rules: ClaimRules,
    identities: Arc<IdentityRules>,
    /// Differs whenever the configuration of this issuer, or what is kept of its tokens, does.
    rules_digest: Fingerprint,
    keys: Arc<IssuerKeys>,
}

impl Acceptor {
    /// `keys` must follow `config` ([`KeyStores::apply`]); an issuer it lacks has no keys.
    pub fn new(
        config: &AcceptConfig,
        keys: &KeyStores,
        verified: &VerifiedTokens,
        identities: IdentityRules,
    ) -> Self {
        let identities = Arc::new(identities);
        let issuers =
            config.issuers.iter().map(|issuer| Issuer::new(config, issuer, keys, &identities));
        Self {
            header: config.header.clone(),
            issuers: issuers.collect(),
            verified: verified.clone(),
            requirements: Arc::default(),
            asked: Fingerprint::default(),
        }
    }

    /// Asks each token besides which of `requirements` it meets; none of them refuses it.
    #[must_use]
    pub fn asking(self, requirements: Arc<[Requirement]>) -> Self {
        let written: Vec<String> =
            requirements.iter().map(|requirement| format!("{requirement:?}")).collect();
        let asked = digest::half_of(written.iter().map(String::as_bytes));
        Self { requirements, asked, ..self }
    }

    /// Who calls. `certificate` is the one that the caller presented, if callers present any.
    pub async fn accept(
        &self,
        headers: &HeaderMap,
        now: SystemTime,
        certificate: Option<&CertificateDigest>,
    ) -> Result<Accepted, AcceptError> {
        let credentials = bearer::credentials(headers, &self.header)?;
        if let Some(verified) = self.verified.find(credentials, now).await
            && self.still_holds(&verified)
        {
            verified.check_certificate(certificate)?;
            return Ok(Accepted {
                identity: Arc::clone(&verified.identity),
                sso_token: Arc::clone(&verified.sso_token),
                cached: true,
            });
        }
        let verified = self.verify(bearer::token(credentials)?, now).await?;
        verified.check_certificate(certificate)?;
        let identity = Arc::clone(&verified.identity);
        let sso_token = Arc::clone(&verified.sso_token);
        self.verified.keep(verified, now).await;
        Ok(Accepted { identity, sso_token, cached: false })
    }

    fn still_holds(&self, verified: &Verified) -> bool {
        verified.asked == self.asked
            && self.issuers.iter().any(|issuer| {
                issuer.rules_digest == verified.rules && issuer.keys.holds(&verified.key)
            })
    }

    async fn verify(&self, token: &str, now: SystemTime) -> Result<Verified, AcceptError> {
        let jws = Jws::parse(token)?;
        let claims = jws.claims()?;
        let issuer = self.issuer_of(&claims)?;
        let algorithm = issuer.algorithm_of(&jws)?;
        let key = issuer.verifying_key(algorithm, &jws).await?;
        let checked = match issuer.rules.check(&claims, now) {
            Ok(checked) => checked,
            Err(error) => return Err(error.with_skew(issuer.keys.state().skew)),
        };
        let sso_token = Arc::new(SsoToken::new(token));
        Ok(Verified {
            identity: Arc::new(self.identity(issuer, &jws, &claims, &checked)),
            sso_token,
            certificate: checked.certificate,
            key: key.fingerprint,
            rules: issuer.rules_digest,
            asked: self.asked,
        })
    }

    /// Who calls, by a token whose claims keep the rules of its issuer.
    fn identity(
        &self,
        issuer: &Issuer,
        jws: &Jws<'_>,
        claims: &Map<String, Value>,
        checked: &Checked<'_>,
    ) -> Identity {
        Identity {
            issuer: Arc::clone(&issuer.name),
            subject: checked.subject.into(),
            claims: Claims::keep(jws.payload(), claims, &issuer.identities.kept_claims),
            met: Met::of(&self.requirements, claims),
            expires_at: checked.expires_at,
            caller: CallerId::keyed(&issuer.identities.caller_key, &issuer.name, checked.subject),
            memo: Memo::default(),
        }
    }

    /// The configured issuer a token claims to be of; `iss` must be one string, exactly.
    fn issuer_of(&self, claims: &Map<String, Value>) -> Result<&Issuer, AcceptError> {
        let found = match claims.get("iss") {
            Some(Value::String(iss)) => {
                match self.issuers.iter().find(|issuer| *issuer.name == **iss) {
                    Some(issuer) => return Ok(issuer),
                    None => Shown::new(iss),
                }
            }
            Some(_) => Shown::plain("(iss of the wrong type)"),
            None => Shown::plain("(no iss)"),
        };
        Err(AcceptError::IssuerUnknown { found })
    }
}

impl Issuer {
    fn new(
        accept: &AcceptConfig,
        config: &IssuerConfig,
        keys: &KeyStores,
        identities: &Arc<IdentityRules>,
    ) -> Self {
        let keys = keys.of(&config.issuer).unwrap_or_else(|| {
            let settings = KeySettings::new(accept, config);
            Arc::new(IssuerKeys::new(config.issuer.as_str().into(), settings, Clock::system()))
        });
        let written =
            serde_json::to_vec(&config.to_table()).expect("the configuration can be written");
        let kept = identities.kept_claims.iter().map(String::as_bytes);
        Self {
            name: Arc::clone(&keys.issuer),
            algorithms: config.algorithms.iter().copied().collect(),
            rules: ClaimRules::new(Arc::clone(&keys.issuer), config),
            identities: Arc::clone(identities),
            rules_digest: digest::half_of(iter::once(written.as_slice()).chain(kept)),
            keys,
        }
    }

    /// The algorithm a token's header names, if it is configured for this issuer.
    fn algorithm_of(&self, jws: &Jws<'_>) -> Result<SignatureAlgorithm, AcceptError> {
        algorithms::named(&jws.alg)
            .filter(|algorithm| self.algorithms.contains(*algorithm))
            .ok_or_else(|| self.algorithm_refused(jws))
    }

    fn algorithm_refused(&self, jws: &Jws<'_>) -> AcceptError {
        AcceptError::AlgorithmRefused {
            issuer: Arc::clone(&self.name),
            algorithm: Shown::new(&jws.alg),
            kid: Shown::kid(jws.kid.as_deref()),
        }
    }

    /// The key that made the signature.
    async fn verifying_key(
        &self,
        algorithm: SignatureAlgorithm,
        jws: &Jws<'_>,
    ) -> Result<Arc<VerifyKey>, AcceptError> {
        let kid = jws.kid.as_deref();
        let candidates = match self.keys.find(kid, algorithm).await {
            Ok(candidates) => candidates,
            Err(fault) => return Err(self.no_key(fault, jws)),
        };
        if let Some(key) = verified_by(&candidates, algorithm, jws) {
            return Ok(key);
        }
        let changed = self.keys.find_changed(kid, algorithm, &candidates).await;
        verified_by(&changed, algorithm, jws).ok_or_else(|| self.signature_invalid(algorithm, jws))
    }

    fn signature_invalid(&self, algorithm: SignatureAlgorithm, jws: &Jws<'_>) -> AcceptError {
        AcceptError::SignatureInvalid {
            issuer: Arc::clone(&self.name),
            kid: Shown::kid(jws.kid.as_deref()),
            algorithm: algorithms::name(algorithm),
        }
    }

    fn no_key(&self, fault: KeyFault, jws: &Jws<'_>) -> AcceptError {
        let issuer = Arc::clone(&self.name);
        match fault {
            KeyFault::Unknown => {
                AcceptError::KeyUnknown { issuer, kid: Shown::kid(jws.kid.as_deref()) }
            }
            KeyFault::WrongAlgorithm => self.algorithm_refused(jws),
            KeyFault::Unavailable { retry_after, cause } => {
                AcceptError::KeysUnavailable { issuer, retry_after, cause }
            }
        }
    }
}

/// The first of the keys under which the signature holds.
fn verified_by(
    candidates: &Candidates,
    algorithm: SignatureAlgorithm,
    jws: &Jws<'_>,
) -> Option<Arc<VerifyKey>> {
    let verifies =
        |key: &&Arc<VerifyKey>| key.verifies(algorithm, jws.signing_input, &jws.signature);
    candidates.iter().find(verifies).cloned()
}

#[cfg(test)]
mod tests;
