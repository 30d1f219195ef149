//! `wait-ready`: exits with 0 once a gateway is ready, or alive.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use koodrive_gateway::config::ListenAddress;

use super::probe::{Question, ask};
use super::{NO, failed};

pub(super) fn run(admin: &ListenAddress, question: Question, timeout: Duration) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    runtime.block_on(async {
        let deadline = Instant::now() + timeout;
        loop {
            let reason = match ask(admin, question, ASK_TIMEOUT).await {
                Ok(answer) if answer.yes => return ExitCode::SUCCESS,
                Ok(answer) => answer.text,
                Err(error) => error.to_string(),
            };
            if deadline <= Instant::now() {
                eprintln!("{question}: {reason}");
                return NO;
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
}

const ASK_TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);
