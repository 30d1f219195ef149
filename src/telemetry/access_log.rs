//! A closed record as one line of the access log.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use crate::config::LogFormat;

use super::event::Stage;
use super::log_line::{Line, Style};
use super::record::Closed;
use super::writer::LogWriter;
use super::{call_word, cut, origin_word};
use crate::rejection::{Origin, Reason};
use crate::token::TokenSource;

/// Writes access lines; the buffer is kept per thread, the writer never waits.
#[derive(Clone, Debug)]
pub(super) struct AccessLog {
    writer: LogWriter,
    style: Style,
}

impl AccessLog {
    pub(super) fn new(writer: LogWriter, format: LogFormat) -> Self {
        let style = Style::of(format, &writer);
        Self { writer, style }
    }

    pub(super) fn write(&self, closed: &Closed<'_>) {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            match self.style {
                Style::Json => push_line(buffer, closed),
                Style::Text { .. } => push_text(buffer, self.style, closed),
            }
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
            let mut line = Line::start(buffer, self.style, time, level, "call not readable");
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
    push_line(&mut line, closed);
    line.trim_end().into()
}

thread_local! {
    static BUFFER: RefCell<String> = RefCell::new(String::with_capacity(1024));
}

/// The field list of the contract, in its order; a fact that is not known is `null`.
fn push_line(buffer: &mut String, closed: &Closed<'_>) {
    let facts = closed.facts;
    let ended = facts.opened.started + closed.duration;
    let mut line = Line::start(buffer, Style::Json, ended, level(closed.origin), "call");
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

/// What people look for, in the order in which they do: what became of which call, how long it took
/// and where, why not, whose it was.
fn push_text(buffer: &mut String, style: Style, closed: &Closed<'_>) {
    let facts = closed.facts;
    let ended = facts.opened.started + closed.duration;
    let reason = closed.reason.unwrap_or("-");
    let method = facts.opened.method.as_str();
    let said = format!("{} {reason} {method} {}", closed.status, cut(&facts.opened.path));
    let mut line = Line::start(buffer, style, ended, level(closed.origin), &said);
    line.millis("duration_ms", Some(closed.duration));
    for (stage, key) in Stage::ALL.iter().zip(STAGE_KEYS) {
        let busy = facts.stage(*stage).map(|timing| timing.busy(closed.duration));
        line.millis(key, busy.filter(|busy| WORTH_TELLING <= *busy));
    }
    line.text("detail", facts.refused.as_ref().map(|refused| refused.detail.as_str()));
    line.text("observed", facts.observed.first().map(|reason| reason.as_str()));
    line.text("caller", facts.caller.map(|caller| caller.to_string()).as_deref());
    line.ids(facts.x_trace_id(), facts.opened.span.trace_id);
    line.text("traceid_replaced", facts.opened.x_trace_id_replaced.as_deref());
    line.finish();
}

/// A stage that took less says nothing.
const WORTH_TELLING: Duration = Duration::from_millis(1);

/// What the caller cannot mend is for operators to see.
fn level(origin: Option<Origin>) -> &'static str {
    match origin {
        None | Some(Origin::Caller) => "info",
        Some(_) => "warn",
    }
}

const STAGE_KEYS: [&str; Stage::ALL.len()] =
    ["accept_ms", "authorize_ms", "limit_ms", "validate_ms", "token_ms", "forward_ms"];
