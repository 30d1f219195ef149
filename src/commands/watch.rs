//! `watch`: calls of a running gateway as they end.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};

use super::failure::Failure;
use super::output::{Output, complain};
use super::probe::{Coming, follow, unanswered};
use super::{Outcome, admin, wait_for};
use crate::cli::{Format, Watch};

pub(super) fn run(mut asked: Watch, out: &mut Output) -> Outcome {
    let admin = admin::address(std::mem::take(&mut asked.admin));
    wait_for(async {
        let connected = tokio::time::timeout(PATIENCE, follow(&admin, "/calls")).await;
        let connected = connected.unwrap_or(Err(std::io::ErrorKind::TimedOut.into()));
        let (status, events) = connected.map_err(|error| {
            let why = unanswered(&admin, &error, PATIENCE);
            Failure::Unanswered(format!("no answer from {admin}: {why}"))
        })?;
        if status != 200 {
            return Err(Failure::Unanswered(match status {
                503 => format!("{admin} tells no more than it tells already; try again later"),
                _ => format!("status {status} from {admin}, as no gateway answers"),
            }));
        }
        tokio::select! {
            shown = show(events, &asked, out) => shown?,
            pressed = tokio::signal::ctrl_c() => pressed.map_err(Failure::at_run_time)?,
        }
        Ok(ExitCode::SUCCESS)
    })?
}

/// Until the gateway ends, or nobody reads any more.
async fn show(mut events: Coming, asked: &Watch, out: &mut Output) -> Result<(), Failure> {
    let mut line = String::new();
    let mut is_missed = false;
    while !out.is_closed() {
        line.clear();
        let read = (&mut events).take(LINE_BYTES_MAX).read_line(&mut line).await;
        if read.map_err(Failure::at_run_time)? == 0 {
            complain(format_args!("koodrive-gateway: the gateway has ended\n"));
            return Ok(());
        }
        if let Some(event) = line.strip_prefix("event: ") {
            is_missed = event.trim_end() == "missed";
        } else if let Some(data) = line.strip_prefix("data: ").map(str::trim_end) {
            if is_missed {
                complain(format_args!("koodrive-gateway: {data} calls were too fast to show\n"));
            } else if let Ok(call) = serde_json::from_str(data)
                && is_wanted(&call, asked)
            {
                match asked.format {
                    Format::Json => writeln!(out, "{data}")?,
                    Format::Text => writeln!(out, "{}", told(&call, out.has_colours()))?,
                }
                out.flush()?;
            }
        }
    }
    Ok(())
}

fn is_wanted(call: &Value, asked: &Watch) -> bool {
    let is = |field: &str, wanted: &str| call[field].as_str() == Some(wanted);
    let of_caller = asked.caller.as_ref().is_none_or(|caller| is("caller", caller));
    let of_trace = asked.trace.as_ref().is_none_or(|id| {
        ["traceid", "trace_id", "traceid_replaced"].iter().any(|field| is(field, id))
    });
    of_caller && of_trace && (!asked.refused || call["reason"].is_string())
}

/// One line, aligned as far as the usual goes.
fn told(call: &Value, colours: bool) -> String {
    let text = |field: &str| printable(call[field].as_str().unwrap_or("-"));
    // Of a date and time only the time of day.
    let time = text("time");
    let time = time.split_once('T').map_or(&*time, |(_, time)| time).trim_end_matches('Z');
    let status = call["status"].as_u64().unwrap_or_default();
    let colour = match status {
        _ if !colours => "",
        500.. => "\x1b[31m",
        400.. => "\x1b[33m",
        _ => "\x1b[32m",
    };
    let plain = if colours { "\x1b[0m" } else { "" };
    let stages = STAGES.iter().filter_map(|stage| {
        let taken = call[format!("{stage}_ms")].as_f64()?;
        Some(format!(" {stage} {taken:.1}"))
    });
    format!(
        "{time} {colour}{status}{plain} {:<24} {:<7} {:<46} {:>8.1} ms{} trace {} caller {}",
        text("reason"),
        text("method"),
        text("path"),
        call["duration_ms"].as_f64().unwrap_or_default(),
        stages.collect::<String>(),
        text("traceid"),
        text("caller"),
    )
}

/// What may be sent to a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

const STAGES: [&str; 6] = ["accept", "authorize", "limit", "validate", "token", "forward"];
const LINE_BYTES_MAX: u64 = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);
