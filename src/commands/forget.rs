//! `forget`: has a running gateway drop what it remembers.

use std::process::ExitCode;
use std::time::Duration;

use koodrive_gateway::config::ListenAddress;

use super::failure::Failure;
use super::output::{Output, complain};
use super::probe::{Reply, forget, unanswered};
use super::{NO, Outcome, wait_for};

/// `caller` is a digest; without one all are forgotten.
pub(super) fn run(admin: &ListenAddress, caller: Option<&str>, out: &mut Output) -> Outcome {
    match wait_for(forget(admin, caller, TIMEOUT))? {
        Ok(Reply { status: 200, text }) => {
            write!(out, "{text}")?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(reply) => {
            complain(format_args!("koodrive-gateway: not forgotten: {}", reply.text));
            Ok(NO)
        }
        Err(error) => {
            let why = unanswered(admin, &error, TIMEOUT);
            Err(Failure::Unanswered(format!("no answer from {admin}: {why}")))
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(5);
