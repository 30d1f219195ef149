//! The rules a token's claims must keep (RFC 7519 section 4.1; RFC 9068 section 4).
//!
//! jsonwebtoken's own checks are not used: they read another clock and let mistyped `iss` and
//! `aud` pass.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::{AcceptError, ClaimFault, Shown, SkewHint};
use super::identity::CertificateDigest;
use super::requirement::Requirement;
use crate::config::IssuerConfig;

/// What one issuer's tokens must claim.
#[derive(Debug)]
pub(super) struct ClaimRules {
    pub(super) issuer: Arc<str>,
    pub(super) audiences: Vec<String>,
    pub(super) leeway: Duration,
    pub(super) max_lifetime: Duration,
    pub(super) subject_claim: String,
    pub(super) required: Vec<Requirement>,
    accept_bound: bool,
}

/// What the claims say, once they keep the rules.
pub(super) struct Checked<'a> {
    pub(super) subject: &'a str,
    pub(super) expires_at: SystemTime,
    /// The certificate the token is bound to.
    pub(super) certificate: Option<CertificateDigest>,
}

impl ClaimRules {
    pub(super) fn new(issuer: Arc<str>, config: &IssuerConfig) -> Self {
        let required = config.required_claims.iter();
        let required = required.map(|(claim, one_of)| Requirement::new(claim, one_of));
        Self {
            issuer,
            audiences: config.audiences.clone(),
            leeway: config.leeway,
            max_lifetime: config.max_lifetime,
            subject_claim: config.subject_claim.clone(),
            required: required.collect(),
            accept_bound: config.accept_bound_tokens,
        }
    }

    /// Judges the claims of a token whose signature was verified.
    pub(super) fn check<'a>(
        &self,
        claims: &'a Map<String, Value>,
        now: SystemTime,
    ) -> Result<Checked<'a>, AcceptError> {
        let expires_at = self.check_expiry(claims, now)?;
        self.check_not_before(claims, now)?;
        self.check_audience(claims)?;
        self.check_issued_at(claims, now)?;
        self.check_lifetime(claims, now)?;
        let subject = self.check_subject(claims)?;
        for required in &self.required {
            check_required(claims, required)?;
        }
        let certificate = self.check_binding(claims)?;
        Ok(Checked { subject, expires_at, certificate })
    }

    /// RFC 7800: a bound token proves nothing by itself. The certificate it is bound to, if it is.
    pub(super) fn check_binding(
        &self,
        claims: &Map<String, Value>,
    ) -> Result<Option<CertificateDigest>, AcceptError> {
        let bound = match claims.get("cnf") {
            None | Some(Value::Null) => return Ok(None),
            Some(_) if !self.accept_bound => return Err(refused("cnf", ClaimFault::Bound)),
            Some(Value::Object(bound)) => bound,
            Some(_) => return Err(refused("cnf", ClaimFault::Mistyped)),
        };
        let Some(digest) = bound.get("x5t#S256") else { return Ok(None) };
        let bytes = digest.as_str().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let digest = bytes.and_then(|bytes| CertificateDigest::try_from(bytes).ok());
        digest.map(Some).ok_or_else(|| refused("cnf", ClaimFault::Mistyped))
    }

    pub(super) fn check_expiry(
        &self,
        claims: &Map<String, Value>,
        now: SystemTime,
    ) -> Result<SystemTime, AcceptError> {
        let exp = date(claims, "exp")?.ok_or_else(|| refused("exp", ClaimFault::Missing))?;
        // RFC 7519 section 4.1.4: on the second of `exp` it is over.
        let late = seconds(now) - exp;
        if self.leeway.as_secs_f64() <= late {
            return Err(AcceptError::Expired { seconds: whole(late), hint: SkewHint::default() });
        }
        moment(exp).ok_or_else(|| refused("exp", ClaimFault::Mistyped))
    }

    pub(super) fn check_not_before(
        &self,
        claims: &Map<String, Value>,
        now: SystemTime,
    ) -> Result<(), AcceptError> {
        let Some(nbf) = date(claims, "nbf")? else { return Ok(()) };
        let early = nbf - seconds(now);
        if self.leeway.as_secs_f64() < early {
            let hint = SkewHint::default();
            return Err(AcceptError::NotYetValid { seconds: whole(early.ceil()), hint });
        }
        Ok(())
    }

    pub(super) fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), AcceptError> {
        let is_ours = |audience: &str| self.audiences.iter().any(|ours| ours == audience);
        let accepted = match claims.get("aud") {
            Some(Value::String(audience)) => is_ours(audience),
            Some(Value::Array(list)) => {
                list.iter().all(Value::is_string)
                    && list.iter().filter_map(Value::as_str).any(is_ours)
            }
            _ => false,
        };
        if accepted {
            return Ok(());
        }
        let issuer = Arc::clone(&self.issuer);
        let found = shown_audience(claims.get("aud"));
        let wanted = Shown::new(&self.audiences.join(", "));
        Err(AcceptError::AudienceMismatch { issuer, found, wanted })
    }

    /// A token made in the future comes from a clock that cannot be trusted with `exp` either.
    pub(super) fn check_issued_at(
        &self,
        claims: &Map<String, Value>,
        now: SystemTime,
    ) -> Result<(), AcceptError> {
        match date(claims, "iat")? {
            Some(iat) if self.leeway.as_secs_f64() < iat - seconds(now) => {
                Err(refused("iat", ClaimFault::InFuture))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_lifetime(
        &self,
        claims: &Map<String, Value>,
        now: SystemTime,
    ) -> Result<(), AcceptError> {
        let Some(exp) = date(claims, "exp")? else { return Ok(()) };
        let start = date(claims, "iat")?.unwrap_or_else(|| seconds(now));
        if self.max_lifetime.as_secs_f64() < exp - start {
            let fault = ClaimFault::LivesTooLong(self.max_lifetime.as_secs());
            return Err(refused("exp", fault));
        }
        Ok(())
    }

    pub(super) fn check_subject<'a>(
        &self,
        claims: &'a Map<String, Value>,
    ) -> Result<&'a str, AcceptError> {
        let name = &self.subject_claim;
        match claims.get(name) {
            None => Err(refused(name, ClaimFault::Missing)),
            Some(Value::String(subject))
                if !subject.is_empty()
                    && subject.len() <= SUBJECT_BYTES_MAX
                    && !subject.chars().any(char::is_control) =>
            {
                Ok(subject)
            }
            Some(_) => Err(refused(name, ClaimFault::Mistyped)),
        }
    }
}

pub(super) fn check_required(
    claims: &Map<String, Value>,
    required: &Requirement,
) -> Result<(), AcceptError> {
    required.check(claims).map_err(|fault| refused(&required.claim, fault))
}

/// A `NumericDate`: seconds since 1970, possibly with a fraction.
pub(super) fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, AcceptError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => {
            let seconds = number.as_f64().filter(|seconds| seconds.is_finite());
            seconds.map(Some).ok_or_else(|| refused(name, ClaimFault::Mistyped))
        }
        Some(_) => Err(refused(name, ClaimFault::Mistyped)),
    }
}

pub(super) fn seconds(time: SystemTime) -> f64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

pub(super) fn shown_audience(aud: Option<&Value>) -> Shown {
    match aud {
        None => Shown::plain("(no aud)"),
        Some(Value::String(audience)) => Shown::new(audience),
        Some(Value::Array(list)) if list.iter().all(Value::is_string) => {
            let names: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            Shown::new(&names.join(", "))
        }
        Some(_) => Shown::plain("(aud of the wrong type)"),
    }
}

fn moment(exp: f64) -> Option<SystemTime> {
    if exp < 0.0 {
        // Only a clock before 1970 could still find such a token alive.
        return Some(UNIX_EPOCH);
    }
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(exp).ok()?)
}

/// Saturates: the number is only shown.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float to integer saturates, and nothing is computed from it"
)]
fn whole(seconds: f64) -> u64 {
    seconds as u64
}

fn refused(claim: &str, fault: ClaimFault) -> AcceptError {
    AcceptError::ClaimRefused { claim: Shown::new(claim), fault, hint: SkewHint::default() }
}

const SUBJECT_BYTES_MAX: usize = 512;
