//! `status`: the admin page of a running gateway, as text.

use std::process::ExitCode;
use std::time::Duration;

use koodrive_gateway::config::ListenAddress;

use super::output::{Output, complain};
use super::probe::{ask, unanswered};
use super::{NO, Outcome, wait_for};

pub(super) fn run(admin: &ListenAddress, out: &mut Output) -> Outcome {
    let reply = match wait_for(ask(admin, "/", PATIENCE))? {
        Ok(reply) => reply,
        Err(error) => {
            let why = unanswered(admin, &error, PATIENCE);
            complain(format_args!("koodrive-gateway: no answer from {admin}: {why}\n"));
            return Ok(NO);
        }
    };
    write!(out, "{}", reply.text)?;
    Ok(if reply.status == 200 { ExitCode::SUCCESS } else { NO })
}

const PATIENCE: Duration = Duration::from_secs(5);
