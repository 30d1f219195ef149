//! `wait-ready`: exits with 0 once a gateway is ready, or alive.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use koodrive_gateway::config::ListenAddress;
use serde_json::Value;

use super::output::complain;
use super::probe::{Reply, ask, unanswered};
use super::{NO, Outcome, wait_for};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// `/readyz`
    Ready,
    /// `/livez`
    Alive,
}

impl Question {
    fn path(self) -> &'static str {
        match self {
            Self::Ready => "/readyz",
            Self::Alive => "/livez",
        }
    }

    /// What is said when the answer is no.
    fn no(self) -> &'static str {
        match self {
            Self::Ready => "not ready",
            Self::Alive => "not alive",
        }
    }
}

pub(super) fn run(admin: &ListenAddress, question: Question, timeout: Duration) -> Outcome {
    let missing = wait_for(ask_until(admin, question, timeout))?;
    let Some(missing) = missing else { return Ok(ExitCode::SUCCESS) };
    let (path, no) = (question.path(), question.no());
    complain(format_args!("koodrive-gateway: {no} (asked {admin} for {path}): {missing}\n"));
    Ok(NO)
}

/// What the last answer lacked, unless one was yes.
async fn ask_until(admin: &ListenAddress, question: Question, timeout: Duration) -> Option<String> {
    let deadline = Instant::now() + timeout;
    loop {
        let missing = match ask(admin, question.path(), ASK_TIMEOUT).await {
            Ok(Reply { status: 200, .. }) => return None,
            Ok(reply) => in_words(&reply),
            Err(error) => unanswered(admin, &error, ASK_TIMEOUT),
        };
        if deadline <= Instant::now() {
            return Some(missing);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What a gateway says of itself; the word it uses stands behind, to be searched for.
fn in_words(reply: &Reply) -> String {
    let answer: Value = serde_json::from_str(&reply.text).unwrap_or_default();
    let reasons = answer["reasons"].as_array().map_or(&[][..], Vec::as_slice);
    let told =
        reasons.iter().filter_map(Value::as_str).map(|reason| match reason.split_once(':') {
            Some(("keys", issuer)) => format!(
                "it has no usable keys of {issuer} yet, check-config --online says why ({reason})"
            ),
            _ if reason == "draining" => "it is stopping (draining)".to_owned(),
            _ => reason.to_owned(),
        });
    match told.collect::<Vec<_>>() {
        told if told.is_empty() => {
            format!("status {}, as no gateway's admin listener answers", reply.status)
        }
        told => told.join("; "),
    }
}

const ASK_TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);
