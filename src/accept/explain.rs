//! What each rule expects and what a token offers, for people: `koodrive-gateway explain`.
//!
//! Asks the same functions as the real walk, one after another, and goes on after a refusal.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::claims::{check_required, date, seconds, shown_audience};
use super::error::{AcceptError, Shown};
use super::identity::{Accepted, SsoToken};
use super::jwks::KeyFault;
use super::keys::Pick;
use super::token::Jws;
use super::{Acceptor, Issuer, algorithms, bearer, verified_by};
use crate::clock::Span;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainLine {
    pub rule: &'static str,
    pub expected: String,
    pub found: String,
    pub verdict: Verdict,
}

/// What a rule says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    Refused(AcceptError),
    /// Why it could not be judged.
    NotChecked(&'static str),
}

impl fmt::Display for ExplainLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, expected, found, verdict } = self;
        match verdict {
            Verdict::Passed => write!(f, "ok       {rule}: {found}"),
            Verdict::Refused(error) => {
                write!(f, "REFUSED  {rule}: expected {expected}, found {found}: {error}")?;
                error.source().map_or(Ok(()), |cause| write!(f, ": {cause}"))
            }
            Verdict::NotChecked(why) => write!(f, "skipped  {rule}: {found}: {why}"),
        }
    }
}

impl Acceptor {
    /// Each rule in the order a call meets them. Fetches nothing; where the keys are not here
    /// the signature is not checked. The first refused line is what a caller would be told.
    pub fn explain(&self, token: &str, now: SystemTime) -> Vec<ExplainLine> {
        let mut lines = Vec::new();
        let Some((jws, claims)) = explain_form(token, &mut lines) else { return lines };
        let iss = claims.get("iss").and_then(Value::as_str);
        let found = iss.map_or_else(|| "no string".to_owned(), |iss| Shown::new(iss).to_string());
        let known: Vec<&str> = self.issuers.iter().map(|issuer| &*issuer.name).collect();
        let expected = format!("one of {}", known.join(", "));
        let issuer = self.issuer_of(&claims);
        lines.push(line("issuer", expected, found, issuer.as_ref().map(|_| ())));
        let Ok(issuer) = issuer else { return lines };
        issuer.explain_signature(&jws, &mut lines);
        issuer.explain_claims(&claims, now, &mut lines);
        lines
    }

    /// Whom a token claims to be about, if it could be accepted at all; its signature was NOT
    /// checked. For `explain` only: what later stages would do with such a caller.
    pub fn claimed(&self, token: &str, now: SystemTime) -> Option<Accepted> {
        let jws = Jws::parse(token).ok()?;
        let claims = jws.claims().ok()?;
        let issuer = self.issuer_of(&claims).ok()?;
        let checked = issuer.rules.check(&claims, now).ok()?;
        let identity = self.identity(issuer, &jws, &claims, &checked);
        let sso_token = Arc::new(SsoToken::new(token));
        Some(Accepted { identity: Arc::new(identity), sso_token, cached: false })
    }
}

impl Issuer {
    fn explain_signature(&self, jws: &Jws<'_>, lines: &mut Vec<ExplainLine>) {
        let allowed = algorithms::names(self.algorithms).join(", ");
        let algorithm = self.algorithm_of(jws);
        let found = Shown::new(&jws.alg).to_string();
        let judged = algorithm.as_ref().map(|_| ());
        lines.push(line("algorithm", format!("one of {allowed}"), found, judged));
        let kid = Shown::kid(jws.kid.as_deref()).to_string();
        let expected = "a key the issuer publishes".to_owned();
        let Ok(algorithm) = algorithm else {
            let why = "its algorithm is refused";
            lines.push(not_checked("key", expected, kid, why));
            return;
        };
        let key = match self.keys.pick(jws.kid.as_deref(), algorithm) {
            Ok(Pick::Found(keys)) => Ok(keys),
            Ok(Pick::WrongAlgorithm) => Err(KeyFault::WrongAlgorithm),
            Ok(Pick::Unknown) => Err(KeyFault::Unknown),
            Err(fault) => Err(fault),
        };
        let candidates = match key {
            Ok(candidates) => candidates,
            // Nobody has tried to fetch them; else a caller would hear that they are away.
            Err(KeyFault::Unavailable { .. }) if self.keys.state().failures == 0 => {
                let why =
                    "no keys available, the signature was not checked (--online fetches them)";
                lines.push(not_checked("key", expected, kid, why));
                return;
            }
            Err(fault) => {
                lines.push(line("key", expected, kid, Err(&self.no_key(fault, jws))));
                return;
            }
        };
        lines.push(line("key", expected, kid.clone(), Ok(())));
        let verified = verified_by(&candidates, algorithm, jws).map(drop);
        let verified = verified.ok_or_else(|| self.signature_invalid(algorithm, jws));
        let expected = format!("made by key {kid}");
        let found = "a signature".to_owned();
        lines.push(line("signature", expected, found, verified.as_ref().copied()));
    }

    fn explain_claims(
        &self,
        claims: &Map<String, Value>,
        now: SystemTime,
        lines: &mut Vec<ExplainLine>,
    ) {
        let rules = &self.rules;
        let skew = self.keys.state().skew;
        let leeway = Span(rules.leeway);
        let mut push = |rule, expected, found, judged: Result<(), AcceptError>| {
            let judged = judged.map_err(|error| error.with_skew(skew));
            lines.push(line(rule, expected, found, judged.as_ref().copied()));
        };
        let expected = format!("in the future, or at most {leeway} ago");
        let exp = rules.check_expiry(claims, now).map(drop);
        push("exp", expected, relative(claims, "exp", now), exp);
        let expected = format!("absent, past, or at most {leeway} ahead");
        let nbf = rules.check_not_before(claims, now);
        push("nbf", expected.clone(), relative(claims, "nbf", now), nbf);
        let expected_aud = format!("one of {}", rules.audiences.join(", "));
        let found = shown_audience(claims.get("aud")).to_string();
        push("aud", expected_aud, found, rules.check_audience(claims));
        let iat = rules.check_issued_at(claims, now);
        push("iat", expected, relative(claims, "iat", now), iat);
        let expected = format!("at most {}", Span(rules.max_lifetime));
        let lifetime = rules.check_lifetime(claims, now);
        push("lifetime", expected, lived(claims, now), lifetime);
        let expected = format!("a string in claim {}", rules.subject_claim);
        let subject = rules.check_subject(claims);
        let found = subject.as_ref().map_or("none that can be used", |_| "one (not shown)");
        push("subject", expected, found.to_owned(), subject.map(drop));
        let binding = rules.check_binding(claims);
        let found = if claims.contains_key("cnf") { "bound by cnf" } else { "not bound" };
        push(
            "binding",
            "a bearer, or accept_bound_tokens".to_owned(),
            found.to_owned(),
            binding.map(drop),
        );
        for required in &rules.required {
            let (claim, value) = (&required.claim, required.expected());
            let expected = format!("{claim} is or contains {value}");
            let judged = check_required(claims, required);
            let found = if judged.is_ok() { "it does" } else { "it does not" };
            push("required claim", expected, found.to_owned(), judged);
        }
    }
}

fn explain_form<'a>(
    token: &'a str,
    lines: &mut Vec<ExplainLine>,
) -> Option<(Jws<'a>, Map<String, Value>)> {
    let parsed = bearer::token(token.as_bytes()).and_then(Jws::parse);
    let parsed = parsed.and_then(|jws| Ok((jws.claims()?, jws)));
    let expected = "three base64url parts, a header without crit, claims".to_owned();
    let found = format!("{} characters", token.len());
    match parsed {
        Ok((claims, jws)) => {
            lines.push(line("form", expected, found, Ok(())));
            Some((jws, claims))
        }
        Err(error) => {
            lines.push(line("form", expected, found, Err(&error.into())));
            None
        }
    }
}

fn line(
    rule: &'static str,
    expected: String,
    found: String,
    judged: Result<(), &AcceptError>,
) -> ExplainLine {
    let verdict = judged.map_or_else(|error| Verdict::Refused(error.clone()), |()| Verdict::Passed);
    ExplainLine { rule, expected, found, verdict }
}

fn not_checked(
    rule: &'static str,
    expected: String,
    found: String,
    why: &'static str,
) -> ExplainLine {
    ExplainLine { rule, expected, found, verdict: Verdict::NotChecked(why) }
}

/// A date as seconds from now.
fn relative(claims: &Map<String, Value>, name: &str, now: SystemTime) -> String {
    match date(claims, name) {
        Err(_) => "not a number".to_owned(),
        Ok(None) => "absent".to_owned(),
        Ok(Some(at)) => {
            let ahead = (at - seconds(now)).round();
            format!("{} {}", span(ahead.abs()), if ahead < 0.0 { "ago" } else { "ahead" })
        }
    }
}

fn lived(claims: &Map<String, Value>, now: SystemTime) -> String {
    match (date(claims, "exp"), date(claims, "iat")) {
        (Ok(Some(exp)), Ok(iat)) => {
            let lived = (exp - iat.unwrap_or(seconds(now))).round();
            if lived < 0.0 { "none".to_owned() } else { span(lived).to_string() }
        }
        _ => "not known".to_owned(),
    }
}

/// Claims are numbers of any size.
fn span(seconds: f64) -> Span {
    Span(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}
