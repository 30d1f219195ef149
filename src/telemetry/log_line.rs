//! One log line, as JSON or as text, written straight into a buffer.

use std::fmt;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use super::cut;
use super::writer::LogWriter;
use crate::clock::push_rfc3339;
use crate::config::LogFormat;
use crate::trace_context::TraceId;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Json,
    Text {
        /// Somebody looks on: colours, and the time of day alone.
        terminal: bool,
    },
}

impl Style {
    pub(super) fn of(format: LogFormat, writer: &LogWriter) -> Self {
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Text => Self::Text { terminal: writer.has_colours() },
        }
    }
}

/// A line under construction: `time`, `level`, `msg`, then fields in the order they are added.
#[derive(Debug)]
pub(super) struct Line<'a> {
    buffer: &'a mut String,
    style: Style,
}

impl<'a> Line<'a> {
    pub(super) fn start(
        buffer: &'a mut String,
        style: Style,
        time: SystemTime,
        level: &str,
        msg: &str,
    ) -> Self {
        match style {
            Style::Json => {
                buffer.push_str("{\"time\":\"");
                push_rfc3339(buffer, time);
                buffer.push_str("\",\"level\":\"");
                buffer.push_str(level);
                buffer.push_str("\",\"msg\":");
                push_json_string(buffer, msg);
            }
            Style::Text { terminal } => {
                let from = buffer.len();
                push_rfc3339(buffer, time);
                if terminal {
                    // Of a date and time only the time of day.
                    buffer.replace_range(from..=from + "2026-11-25".len(), "");
                }
                let (colour, plain) = if terminal { (colour(level), PLAIN) } else { ("", "") };
                write!(buffer, " {colour}{level:<5}{plain} ").expect("a String takes everything");
                push_plain(buffer, msg);
            }
        }
        Self { buffer, style }
    }

    pub(super) fn text(&mut self, key: &str, value: Option<&str>) {
        let Some(value) = value.map(cut) else { return self.nothing(key) };
        self.key(key);
        match self.style {
            Style::Json => push_json_string(self.buffer, value),
            Style::Text { .. } if value.contains([' ', '"', '=']) || value.is_empty() => {
                push_json_string(self.buffer, value);
            }
            Style::Text { .. } => push_plain(self.buffer, value),
        }
    }

    /// A value that prints nothing in need of escaping: digits, hex digits.
    pub(super) fn plain(&mut self, key: &str, value: Option<impl fmt::Display>) {
        let Some(value) = value else { return self.nothing(key) };
        self.key(key);
        let quote = if self.style == Style::Json { "\"" } else { "" };
        self.buffer.push_str(quote);
        write!(self.buffer, "{value}").expect("a String takes everything");
        self.buffer.push_str(quote);
    }

    pub(super) fn number(&mut self, key: &str, value: impl Into<Option<u64>>) {
        let Some(value) = value.into() else { return self.nothing(key) };
        self.key(key);
        push_number(self.buffer, value);
    }

    /// A number, true or false, printed as JSON prints it.
    pub(super) fn bare(&mut self, key: &str, value: impl fmt::Display) {
        self.key(key);
        write!(self.buffer, "{value}").expect("a String takes everything");
    }

    /// Milliseconds with three decimals.
    pub(super) fn millis(&mut self, key: &str, value: Option<Duration>) {
        let Some(value) = value else { return self.nothing(key) };
        self.key(key);
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        push_number(self.buffer, micros / 1000);
        self.buffer.push('.');
        let mut digits = itoa::Buffer::new();
        // The leading one keeps the zeros after it, and goes.
        let (_, decimals) = digits.format(1000 + micros % 1000).split_at(1);
        self.buffer.push_str(decimals);
    }

    /// For people: the trace id alone only where the other one does not begin with it.
    pub(super) fn ids(&mut self, x_trace_id: Option<&str>, trace_id: TraceId) {
        self.text("traceid", x_trace_id);
        let trace_id = trace_id.to_string();
        if !x_trace_id.is_some_and(|traceid| traceid.starts_with(&trace_id)) {
            self.text("trace_id", Some(&trace_id));
        }
    }

    pub(super) fn finish(self) {
        if self.style == Style::Json {
            self.buffer.push('}');
        }
        self.buffer.push('\n');
    }

    fn nothing(&mut self, key: &str) {
        if self.style == Style::Json {
            self.key(key);
            self.buffer.push_str("null");
        }
    }

    /// Keys are written in the source, and need no escaping.
    fn key(&mut self, key: &str) {
        debug_assert!(is_plain(key), "{key}");
        match self.style {
            Style::Json => {
                self.buffer.push_str(",\"");
                self.buffer.push_str(key);
                self.buffer.push_str("\":");
            }
            Style::Text { terminal } => {
                let (dim, plain) = if terminal { (DIM, PLAIN) } else { ("", "") };
                write!(self.buffer, " {dim}{key}={plain}").expect("a String takes everything");
            }
        }
    }
}

fn colour(level: &str) -> &'static str {
    match level {
        "error" => "\x1b[31m",
        "warn" => "\x1b[33m",
        "info" => "\x1b[32m",
        _ => DIM,
    }
}

const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

pub(super) fn push_json_string(buffer: &mut String, text: &str) {
    buffer.push('"');
    if is_plain(text) {
        buffer.push_str(text);
    } else {
        for letter in text.chars() {
            match letter {
                '"' => buffer.push_str("\\\""),
                '\\' => buffer.push_str("\\\\"),
                '\n' => buffer.push_str("\\n"),
                '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                    write!(buffer, "\\u{:04x}", u32::from(letter))
                        .expect("a String takes everything");
                }
                _ => buffer.push(letter),
            }
        }
    }
    buffer.push('"');
}

/// Whether JSON has it as it is. Looks at every byte, so that it can look at many at once.
fn is_plain(text: &str) -> bool {
    let is_other = |byte| !matches!(byte, b' '..=b'~') || byte == b'"' || byte == b'\\';
    text.bytes().fold(0, |others, byte| others | u8::from(is_other(byte))) == 0
}

/// Without anything that could start a new line or steer a terminal.
fn push_plain(buffer: &mut String, text: &str) {
    buffer.extend(text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }));
}

fn push_number(buffer: &mut String, value: u64) {
    buffer.push_str(itoa::Buffer::new().format(value));
}
