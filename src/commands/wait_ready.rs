//! `wait-ready`: exit 0 once a gateway is ready.

use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use koodrive_gateway::admin;
use koodrive_gateway::config::ListenAddress;

use super::NO;
use super::failed;

pub(super) fn run(admin: &ListenAddress, timeout: Duration) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    runtime.block_on(async {
        let deadline = Instant::now() + timeout;
        loop {
            let reason = match admin::ask_readiness(admin, ASK_TIMEOUT).await {
                Ok(readiness) if readiness.ready => return ExitCode::SUCCESS,
                Ok(readiness) => readiness.answer,
                Err(error) => error.to_string(),
            };
            if deadline <= Instant::now() {
                eprintln!("not ready: {reason}");
                return NO;
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
}

const ASK_TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);
