//! `caller`: under which digest a person stands in logs.

use std::path::Path;
use std::process::ExitCode;

use koodrive_gateway::accept::{CallerId, CallerKey};
use koodrive_gateway::config::Config;

use super::output::{Output, complain};
use super::{Outcome, load};

pub(super) fn run(path: &Path, issuer: &str, subject: &str, out: &mut Output) -> Outcome {
    let config = load(path)?.config;
    // Its digest is in no log: most likely the name is misspelt.
    if !config.accept.issuers.iter().any(|known| *known.issuer == *issuer) {
        complain(format_args!(
            "koodrive-gateway: no accept.issuers has the issuer {issuer}: nobody is accepted of it\n"
        ));
    }
    writeln!(out, "{}", CallerId::keyed(&key(&config), issuer, subject))?;
    Ok(ExitCode::SUCCESS)
}

/// What keys the digests under `config`.
pub(super) fn key(config: &Config) -> CallerKey {
    CallerKey::new(config.telemetry.caller_key_file.secret())
}
