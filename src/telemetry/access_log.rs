//! A closed record as one line of the access log.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use crate::config::LogFormat;

use super::event::Stage;
use super::log_line::Line;
use super::logs::LogWriter;
use super::record::Closed;
use super::{call_word, origin_word};
use crate::rejection::{Origin, Reason};
use crate::token::TokenSource;

/// Writes access lines; the buffer is kept per thread, the writer never waits.
#[derive(Clone, Debug)]
pub(super) struct AccessLog {
    writer: LogWriter,
    format: LogFormat,
}

impl AccessLog {
    pub(super) fn new(writer: LogWriter, format: LogFormat) -> Self {
        Self { writer, format }
    }

    pub(super) fn write(&self, closed: &Closed<'_>) {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            push_line(buffer, self.format, closed);
            self.writer.write(buffer.as_bytes());
        });
    }

    /// A request that could not be read: nothing is known but who sent it and what was answered.
    pub(super) fn write_unreadable(
        &self,
        time: SystemTime,
        reason: Reason,
        detail: Option<&'static str>,
    ) {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            let level = level(Some(reason.origin()));
            let mut line = Line::start(buffer, self.format, time, level, "call not readable");
            line.text("call", Some(call_word(None)));
            line.number("status", u64::from(reason.status().as_u16()));
            line.text("origin", Some(reason.origin().as_str()));
            line.text("reason", Some(reason.as_str()));
            line.text("detail", detail);
            line.finish();
            self.writer.write(buffer.as_bytes());
        });
    }
}

/// The line for whoever watches, whatever the log's own format.
pub(super) fn json_line(closed: &Closed<'_>) -> Arc<str> {
    let mut line = String::with_capacity(1024);
    push_line(&mut line, LogFormat::Json, closed);
    line.trim_end().into()
}

thread_local! {
    static BUFFER: RefCell<String> = RefCell::new(String::with_capacity(1024));
}

/// The field list of the contract, in its order; a fact that is not known is `null`.
fn push_line(buffer: &mut String, format: LogFormat, closed: &Closed<'_>) {
    let facts = closed.facts;
    let ended = facts.opened.started + closed.duration;
    let mut line = Line::start(buffer, format, ended, level(closed.origin), "call");
    line.text("traceid", facts.x_trace_id());
    line.plain("trace_id", Some(facts.opened.span.trace_id));
    line.text("method", Some(facts.opened.method.as_str()));
    line.text("path", Some(&facts.opened.path));
    line.text("call", Some(call_word(facts.call)));
    line.number("status", u64::from(closed.status));
    line.text("origin", Some(origin_word(closed.origin)));
    line.text("reason", closed.reason);
    line.plain("caller", facts.caller);
    line.text("issuer", facts.issuer.as_deref());
    line.number("bytes_in", facts.bytes_in.load(Ordering::Relaxed));
    line.number("bytes_out", closed.bytes_out);
    line.millis("duration_ms", Some(closed.duration));
    for (stage, key) in Stage::ALL.iter().zip(STAGE_KEYS) {
        line.millis(key, facts.stage(*stage).map(|timing| timing.busy(closed.duration)));
    }
    line.text("token_source", facts.token_source.map(TokenSource::as_str));
    line.number("attempts", facts.attempts.len() as u64);
    line.text("observed", facts.observed.first().map(|reason| reason.as_str()));
    line.text("detail", facts.refused.as_ref().map(|refused| refused.detail.as_str()));
    line.text("traceid_replaced", facts.opened.x_trace_id_replaced.as_deref());
    line.finish();
}

/// What the caller cannot mend is for operators to see.
fn level(origin: Option<Origin>) -> &'static str {
    match origin {
        None | Some(Origin::Caller) => "info",
        Some(_) => "warn",
    }
}

const STAGE_KEYS: [&str; Stage::ALL.len()] =
    ["accept_ms", "authorize_ms", "limit_ms", "validate_ms", "token_ms", "forward_ms"];
