//! What `accept` proves: who calls, for how long.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use aws_lc_rs::hmac;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::requirement::Met;
use crate::digest;
use crate::trace_context::write_hex;

/// Who calls, for logs and limits: a digest of issuer and subject, 32 hex digits when shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerId([u8; 16]);

impl CallerId {
    pub fn of(issuer: &str, subject: &str) -> Self {
        Self(digest::half_of([issuer.as_bytes(), subject.as_bytes()]))
    }

    /// The same under `key`.
    pub fn keyed(key: &CallerKey, issuer: &str, subject: &str) -> Self {
        match &key.0 {
            Some(key) => Self(digest::keyed_half_of(key, [issuer.as_bytes(), subject.as_bytes()])),
            None => Self::of(issuer, subject),
        }
    }

    /// As 32 hex digits.
    pub fn parse(hex: &str) -> Option<Self> {
        let hex = Some(hex).filter(|hex| hex.len() == 32 && !hex.starts_with('+'))?;
        u128::from_str_radix(hex, 16).ok().map(|bytes| Self(bytes.to_be_bytes()))
    }

    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

/// Keys the ids of callers, so that a list of people does not tell whose they are.
#[derive(Clone, Default)]
pub struct CallerKey(Option<hmac::Key>);

impl CallerKey {
    /// Without a secret, ids are not keyed.
    pub fn new(secret: Option<&SecretString>) -> Self {
        let key = |secret: &SecretString| {
            hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes())
        };
        Self(secret.map(key))
    }
}

impl fmt::Display for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who calls. `Debug` shows neither subject nor claims.
#[derive(Clone)]
pub struct Identity {
    /// As configured.
    pub issuer: Arc<str>,
    /// The issuer's `subject_claim`: not empty, no control characters, at most 512 bytes.
    pub subject: Arc<str>,
    /// The claims that later stages read.
    pub claims: Claims,
    /// Which of the requirements of [`super::Acceptor::asking`] the token meets.
    pub met: Met,
    /// `exp`, without leeway.
    pub expires_at: SystemTime,
    pub caller: CallerId,
    pub memo: Memo,
}

/// What a later stage has worked out of an identity, for the next call with the same token.
#[derive(Debug, Default)]
pub struct Memo(OnceLock<Worked>);

/// A copy of an identity may be changed, so nothing is worked out of it yet.
impl Clone for Memo {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// A digest, and what decides it besides the identity.
#[derive(Clone, Copy, Debug)]
struct Worked {
    under: [u8; 32],
    digest: [u8; 32],
}

impl Memo {
    /// What `work` makes of the identity. `under` differs whenever anything else does that `work`
    /// looks at.
    pub fn get_or_work(&self, under: [u8; 32], work: impl Fn() -> [u8; 32]) -> [u8; 32] {
        let known = *self.0.get_or_init(|| Worked { under, digest: work() });
        // Until the token ends the first configuration it met has the place.
        if known.under == under { known.digest } else { work() }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("issuer", &self.issuer)
            .field("caller", &self.caller)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// The claims that later stages read, out of all that a verified token makes. The rest is let go:
/// tokens are kept by the ten thousand, and a parsed claim set takes several times the memory of
/// the token it came in.
#[derive(Clone, Default)]
pub struct Claims(Box<[(Box<str>, Claim)]>);

/// One claim. Unless it is text, it is as its token writes it: a number beyond 64 bits keeps its
/// digits.
#[derive(Clone)]
pub struct Claim(Box<RawValue>);

impl Claims {
    /// Those of `names` that are among `claims`, which were read of `payload`.
    pub(super) fn keep(
        payload: &[u8],
        claims: &Map<String, Value>,
        names: &BTreeSet<String>,
    ) -> Self {
        let named = names.iter().filter_map(|name| Some((name, claims.get(name)?)));
        let texts: Option<_> =
            named.map(|(name, value)| Some((name.as_str().into(), Claim::text(value)?))).collect();
        Self(texts.unwrap_or_else(|| {
            // What is more than text is taken as it was written, which `claims` cannot tell.
            let written: HashMap<String, &RawValue> =
                serde_json::from_slice(payload).unwrap_or_default();
            let kept = names.iter().filter_map(|name| {
                Some((name.as_str().into(), Claim((*written.get(name)?).to_owned())))
            });
            kept.collect()
        }))
    }

    /// One claim, by its exact name.
    pub fn get(&self, name: &str) -> Option<&Claim> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, claim)| claim)
    }

    /// Bytes held.
    pub(super) fn weight(&self) -> usize {
        let entry = size_of::<(Box<str>, Claim)>();
        self.0.iter().map(|(name, claim)| entry + name.len() + claim.json().len()).sum()
    }
}

impl Claim {
    fn text(value: &Value) -> Option<Self> {
        to_raw_value(value.as_str()?).ok().map(Self)
    }

    pub fn json(&self) -> &str {
        self.0.get()
    }

    pub fn raw(&self) -> &RawValue {
        &self.0
    }

    pub fn is_null(&self) -> bool {
        self.json() == "null"
    }

    /// The value, but for digits that a 64-bit number has no room for.
    pub fn value(&self) -> Value {
        serde_json::from_str(self.json()).unwrap_or_default()
    }
}

impl From<Map<String, Value>> for Claims {
    fn from(claims: Map<String, Value>) -> Self {
        let raw = |value: Value| RawValue::from_string(value.to_string()).ok().map(Claim);
        Self(
            claims
                .into_iter()
                .filter_map(|(name, value)| Some((name.into(), raw(value)?)))
                .collect(),
        )
    }
}

/// SHA-256 of a certificate in DER: `x5t#S256` (RFC 8705 section 3.1).
pub type CertificateDigest = [u8; 32];

/// What of a token becomes the caller's identity, besides what proves it.
#[derive(Clone, Default)]
pub struct IdentityRules {
    /// The claims that later stages read.
    pub kept_claims: BTreeSet<String>,
    pub caller_key: CallerKey,
}

/// The token as the caller sent it, wiped from memory when the last holder lets go.
pub struct SsoToken(SecretString);

impl SsoToken {
    pub fn new(token: impl Into<SecretString>) -> Self {
        Self(token.into())
    }

    /// The token itself: for the token endpoint, and to know it again; for nothing else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for SsoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SsoToken(…)")
    }
}

/// A call that may go on.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub identity: Arc<Identity>,
    pub sso_token: Arc<SsoToken>,
    /// Whether the verdict is an earlier one, kept for this very token.
    pub cached: bool,
}

impl Accepted {
    /// Somebody who does not exist, with a token that is none: to see whether a token endpoint
    /// knows the gateway.
    pub fn nobody(now: SystemTime) -> Self {
        let (issuer, subject) = ("", "nobody");
        let identity = Identity {
            issuer: issuer.into(),
            subject: subject.into(),
            claims: Claims::default(),
            met: Met::default(),
            expires_at: now,
            caller: CallerId::of(issuer, subject),
            memo: Memo::default(),
        };
        let sso_token = SsoToken::new("not-a-token.check-config.koodrive-gateway");
        Self { identity: Arc::new(identity), sso_token: Arc::new(sso_token), cached: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memo_holds_for_the_rules_and_the_identity_it_was_made_under() {
        let memo = Memo::default();
        assert_eq!(memo.get_or_work([1; 32], || [10; 32]), [10; 32]);
        assert_eq!(memo.get_or_work([1; 32], || [0; 32]), [10; 32], "known");
        assert_eq!(memo.get_or_work([2; 32], || [20; 32]), [20; 32], "other rules");
        assert_eq!(memo.get_or_work([1; 32], || [0; 32]), [10; 32], "known still");
        assert_eq!(memo.clone().get_or_work([1; 32], || [30; 32]), [30; 32], "another identity");
    }

    #[test]
    fn a_claim_keeps_its_digits_and_only_named_ones_are_kept() {
        let names = ["tenant", "act", "absent"].map(str::to_owned).into();
        let keep = |payload: &str| {
            let claims = serde_json::from_str(payload).unwrap();
            Claims::keep(payload.as_bytes(), &claims, &names)
        };
        let first = keep(r#"{"tenant":100000000000000000001,"act":{"sub":"x"},"sub":"alice"}"#);
        let second = keep(r#"{"tenant":100000000000000000002}"#);
        let json = |claims: &Claims, name| claims.get(name).map(|claim| claim.json().to_owned());
        assert_eq!(json(&first, "tenant").as_deref(), Some("100000000000000000001"));
        assert_eq!(json(&second, "tenant").as_deref(), Some("100000000000000000002"));
        assert_eq!(json(&first, "act").as_deref(), Some(r#"{"sub":"x"}"#));
        assert_eq!((json(&first, "sub"), json(&first, "absent")), (None, None));
        let texts = keep(r#"{"sub":"a","tenant":"x\u002fy \"","act":"\n"}"#);
        assert_eq!(json(&texts, "tenant").as_deref(), Some(r#""x/y \"""#));
        assert_eq!(json(&texts, "act").as_deref(), Some(r#""\n""#));
        assert!(first.weight() < 200, "{}", first.weight());
    }
}
