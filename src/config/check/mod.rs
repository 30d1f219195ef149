//! What no single value can tell: required keys, and keys that belong together.
//!
//! Runs on a configuration whose values are each well-formed; all findings at once.

mod accept;
mod custom;
mod egress;
mod forward;
mod limit;
mod listen;
mod rules;
mod token;

use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::error::Origin;
use super::reader::Reader;
use super::sections::{Config, TokenMethod};
use super::values::{CertificateChain, Derived, File, HttpUrl, TlsKey, certified_key};

pub(super) use rules::Rule;

/// Tells `to` what is wrong with `config`, unless its key was found wrong before, and puts into
/// it what the keys make together.
pub(super) fn check(config: &mut Config, to: &mut Reader<'_>) {
    listen::check(config, to);
    accept::check(&config.accept, config.token.method, to);
    limit::check(&config.limit, &config.validate, to);
    // The carrier edition knows no `Bearer` (page auth/refreshToken); whoever wants it all the same
    // can say so.
    if config.token.method == TokenMethod::CarrierLogin && !to.is_written("token.scheme") {
        "AT".clone_into(&mut config.token.scheme);
    }
    config.token.login = Derived::new(token::check(&config.token, to));
    forward::check(&config.forward, to);
    egress::check(&config.egress, to);
}

/// What of all this a JSON Schema can say.
pub(super) fn rules() -> Vec<Rule> {
    [
        listen::rules(),
        accept::rules(),
        limit::rules(),
        token::rules(),
        custom::rules(),
        forward::rules(),
        egress::rules(),
    ]
    .concat()
}

impl Reader<'_> {
    /// Adds a finding about `keys`, at the first of them that was written; else at the table that
    /// lacks the first. Says nothing if one of them is known to be wrong: cures come one at a time.
    fn say(&mut self, keys: &[&str], reason: impl Into<String>) {
        if keys.iter().any(|key| self.is_wrong(key)) {
            return;
        }
        let written = keys.iter().find_map(|key| Some((*key, self.origins.get(*key)?)));
        let Some((key, origin)) = written.or_else(|| {
            let first = keys.first()?;
            Some((*first, self.table_of(first)?))
        }) else {
            return;
        };
        let origin = origin.clone();
        self.problem(&origin, key, reason.into());
    }

    /// A key that is to be written `by` the word of another.
    fn require(&mut self, is_written: bool, key: &str, by: &str) {
        if !is_written {
            self.say(&[key], format!("required by {by}"));
        }
    }

    /// Whether the key, something in it or something around it was found wrong or misspelt.
    fn is_wrong(&self, key: &str) -> bool {
        let within = |outer: &str, inner: &str| {
            inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let meant = self.meant.iter();
        meant
            .chain(self.found.iter().map(|problem| &problem.key))
            .any(|wrong| within(wrong, key) || within(key, wrong))
    }

    /// The place of the innermost written thing around a key.
    fn table_of(&self, key: &str) -> Option<&Origin> {
        let mut outer = key;
        loop {
            outer = outer.rfind(['.', '[']).and_then(|at| outer.get(..at)).unwrap_or_default();
            let origin = self.tables.get(outer).or_else(|| self.origins.get(outer));
            if let Some(origin) = origin {
                return Some(origin);
            }
            if outer.is_empty() {
                return None;
            }
        }
    }

    /// Plain HTTP leaves this machine only with leave.
    fn plain_http(&mut self, key: &str, url: Option<&HttpUrl>, leave: (bool, &str)) {
        let (allowed, leave_key) = leave;
        if url.is_some_and(|url| !url.is_https() && !url.is_loopback() && !allowed) {
            self.say(
                &[key],
                format!(
                    "http:// is accepted for loopback hosts only; use https://, or set \
                     {leave_key} = true"
                ),
            );
        }
    }

    /// A certificate and its private key, if both are there.
    fn pair(
        &mut self,
        (chain_name, chain): (&str, &File<CertificateChain>),
        (key_name, key): (&str, &File<TlsKey>),
    ) {
        let unusable = |shown: CertifiedKey| match shown.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => false,
            Err(_) => true,
        };
        if certified_key(chain, key).is_some_and(unusable) {
            self.say(
                &[key_name, chain_name],
                format!(
                    "file {} is not the private key of the first certificate in {}",
                    key.path().display(),
                    chain.path().display()
                ),
            );
        }
    }

    /// Two keys of which neither is of use without the other.
    fn together(&mut self, (one, one_set): (&str, bool), (other, other_set): (&str, bool)) {
        match (one_set, other_set) {
            (true, false) => self.say(&[one], format!("wants `{other}` beside it")),
            (false, true) => self.say(&[other], format!("wants `{one}` beside it")),
            _ => {}
        }
    }
}
