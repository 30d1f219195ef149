//! Spans in the words of OTLP: the bytes of an `ExportTraceServiceRequest` in protobuf.
//!
//! Here OpenTelemetry's SDK would stand. A proxy's span is finished when it is made, so there is
//! nothing for an SDK to keep: its facts are written once, in the form in which they travel, and
//! what waits for the collector is bytes. OpenTelemetry's API gives the vocabulary. The numbers are
//! those of `opentelemetry/proto/{collector/trace,trace,resource,common}/v1` (1.x); a test decodes
//! what is written here with the types generated from them.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, Value};

use super::cut;
use crate::trace_context::SpanContext;

/// What all spans of a process have in common, written once.
pub(super) struct Envelope {
    resource: Vec<u8>,
    scope: Vec<u8>,
}

impl Envelope {
    pub(super) fn new<'a>(
        resource: impl IntoIterator<Item = &'a KeyValue>,
        scope: &InstrumentationScope,
    ) -> Self {
        let mut of_resource = Message::default();
        for KeyValue { key, value, .. } in resource {
            of_resource.nested(1, |to| {
                to.text(1, key.as_str());
                to.nested(2, |to| match value {
                    Value::Bool(flag) => to.number(2, u64::from(*flag)),
                    Value::I64(number) => to.number(3, number.cast_unsigned()),
                    Value::F64(number) => to.fixed64(4, number.to_bits()),
                    other => to.bytes(1, cut(&other.as_str()).as_bytes()),
                });
            });
        }
        let mut of_scope = Message::default();
        of_scope.text(1, scope.name());
        of_scope.text(2, scope.version().unwrap_or_default());
        Self { resource: of_resource.0, scope: of_scope.0 }
    }

    /// A request with all of `spans`.
    pub(super) fn request(&self, spans: &[u8]) -> Vec<u8> {
        let of_scope = field_bytes(self.scope.len()) + spans.len();
        let of_resource = field_bytes(self.resource.len()) + field_bytes(of_scope);
        let mut to = Message(Vec::with_capacity(field_bytes(of_resource)));
        to.head(1, of_resource); // resource_spans
        to.bytes(1, &self.resource);
        to.head(2, of_scope); // scope_spans
        to.bytes(1, &self.scope);
        to.0.extend_from_slice(spans);
        to.0
    }
}

/// Finished spans of one trace, as they stand in a request.
#[derive(Debug, Default)]
pub(super) struct Spans {
    count: usize,
    to: Message,
}

/// What every span has.
pub(super) struct Head<'a> {
    pub(super) context: SpanContext,
    pub(super) parent: Option<SpanContext>,
    /// Whether the parent is a span of another process.
    pub(super) parent_is_remote: bool,
    pub(super) kind: SpanKind,
    /// In parts, so that none has to be put together first.
    pub(super) name: &'a [&'a str],
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
}

impl Spans {
    pub(super) fn with_room_for(spans: usize) -> Self {
        Self { count: 0, to: Message(Vec::with_capacity(spans * SPAN_BYTES_EXPECTED)) }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.to.0
    }

    /// One span; `write` adds what only this one has.
    pub(super) fn add(&mut self, head: &Head<'_>, write: impl FnOnce(&mut Span<'_>)) {
        self.count += 1;
        self.to.nested(2, |to| {
            to.ids(head.context);
            if let Some(parent) = &head.parent {
                to.bytes(4, &parent.span_id.to_bytes());
            }
            to.joined(5, head.name);
            to.number(6, number_of(&head.kind));
            to.time(7, head.start);
            to.time(8, head.end);
            let mut span = Span { to, status: Status::Unset };
            write(&mut span);
            let Span { to, status } = span;
            to.nested(15, |to| match status {
                Status::Unset => {}
                Status::Ok => to.number(3, 1),
                Status::Error { description } => {
                    to.text(2, &description);
                    to.number(3, 2);
                }
            });
            to.fixed32(16, flags(head.parent_is_remote, head.context));
        });
    }
}

/// A span being written.
pub(super) struct Span<'a> {
    to: &'a mut Message,
    pub(super) status: Status,
}

impl Span<'_> {
    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.texts(key, &[value]);
    }

    /// One text in parts. What is longer than an attribute may be is cut.
    pub(super) fn texts(&mut self, key: &str, parts: &[&str]) {
        let mut left = super::TEXT_BYTES_MAX;
        let kept = |part: &&str| {
            let kept = part.floor_char_boundary(left);
            left = if kept == part.len() { left - kept } else { 0 };
            kept
        };
        let kept: usize = parts.iter().map(kept).sum();
        let value = field_bytes(kept);
        self.to.head(9, field_bytes(key.len()) + field_bytes(value));
        self.to.bytes(1, key.as_bytes());
        self.to.head(2, value);
        self.to.head(1, kept);
        let end = self.to.0.len() + kept;
        for part in parts {
            let room = end - self.to.0.len();
            self.to.0.extend_from_slice(&part.as_bytes()[..part.len().min(room)]);
        }
    }

    pub(super) fn flag(&mut self, key: &str, value: bool) {
        self.to.nested(9, |to| {
            to.text(1, key);
            to.nested(2, |to| to.number(2, u64::from(value)));
        });
    }

    pub(super) fn number(&mut self, key: &str, value: impl TryInto<i64>) {
        let value = value.try_into().unwrap_or(i64::MAX);
        self.to.nested(9, |to| {
            to.text(1, key);
            to.nested(2, |to| to.number(3, value.cast_unsigned()));
        });
    }

    /// A span that this one waited for, of this process.
    pub(super) fn link(&mut self, context: SpanContext) {
        self.to.nested(13, |to| {
            to.ids(context);
            to.fixed32(6, flags(false, context));
        });
    }
}

/// How many spans the collector says it did not take, in an `ExportTraceServiceResponse`. An
/// answer that cannot be read has refused none.
pub(super) fn rejected_spans(response: &[u8]) -> u64 {
    fn find(mut message: &[u8], wanted: u64) -> Option<&[u8]> {
        while !message.is_empty() {
            let (tag, rest) = varint(message)?;
            let (value, rest) = match tag & 7 {
                0 => rest.split_at_checked(rest.len() - varint(rest)?.1.len())?,
                2 => {
                    let (len, rest) = varint(rest)?;
                    rest.split_at_checked(usize::try_from(len).ok()?)?
                }
                _ => return None,
            };
            if tag >> 3 == wanted {
                return Some(value);
            }
            message = rest;
        }
        None
    }
    fn varint(from: &[u8]) -> Option<(u64, &[u8])> {
        let mut value = 0;
        for (at, byte) in from.iter().enumerate().take(VARINT_BYTES_MAX) {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return Some((value, &from[at + 1..]));
            }
        }
        None
    }
    let rejected = find(response, 1).and_then(|partial| find(partial, 1));
    rejected.and_then(varint).map_or(0, |(spans, _)| spans)
}

fn number_of(kind: &SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

/// The W3C flags, and whether the other span (the parent, or the linked one) is of another process.
fn flags(remote: bool, context: SpanContext) -> u32 {
    const HAS_IS_REMOTE: u32 = 0x100;
    const IS_REMOTE: u32 = 0x200;
    let remote = if remote { IS_REMOTE } else { 0 };
    HAS_IS_REMOTE | remote | u32::from(context.flags())
}

/// A protobuf message being written. A field at its default is left out, as in proto3.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn tag(&mut self, field: u32, wire: u8) {
        self.varint(u64::from(field) << 3 | u64::from(wire));
    }

    /// The beginning of a field with so many bytes.
    fn head(&mut self, field: u32, bytes: usize) {
        self.tag(field, DELIMITED);
        self.varint(bytes as u64);
    }

    fn varint(&mut self, mut value: u64) {
        while 0x80 <= value {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    fn bytes(&mut self, field: u32, value: &[u8]) {
        self.head(field, value.len());
        self.0.extend_from_slice(value);
    }

    fn text(&mut self, field: u32, value: &str) {
        self.joined(field, &[value]);
    }

    fn joined(&mut self, field: u32, parts: &[&str]) {
        let bytes = parts.iter().map(|part| part.len()).sum();
        if bytes != 0 {
            self.head(field, bytes);
            for part in parts {
                self.0.extend_from_slice(part.as_bytes());
            }
        }
    }

    fn number(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        self.varint(value);
    }

    fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn time(&mut self, field: u32, time: SystemTime) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        if nanos != 0 {
            self.fixed64(field, nanos);
        }
    }

    fn fixed32(&mut self, field: u32, value: u32) {
        self.tag(field, FIXED32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Trace and span id: fields 1 and 2 of spans and links alike.
    fn ids(&mut self, context: SpanContext) {
        self.bytes(1, &context.trace_id.to_bytes());
        self.bytes(2, &context.span_id.to_bytes());
    }

    /// A message within this one. One byte is kept for its length, which nearly always is enough;
    /// a longer one moves up to make room.
    fn nested(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        self.tag(field, DELIMITED);
        let at = self.0.len();
        self.0.push(0);
        write(self);
        let len = self.0.len() - at - 1;
        if len < 0x80 {
            self.0[at] = u8::try_from(len).expect("it is below 128");
            return;
        }
        let end = self.0.len();
        self.varint(len as u64);
        self.0[at] = self.0.remove(end);
        let more = self.0.len() - end;
        self.0[at + 1..].rotate_right(more);
    }
}

/// What a field with a number below 16 and so many bytes takes.
fn field_bytes(len: usize) -> usize {
    let bits = usize::BITS - (len | 1).leading_zeros();
    1 + bits.div_ceil(7) as usize + len
}

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const DELIMITED: u8 = 2;
const FIXED32: u8 = 5;
const VARINT_BYTES_MAX: usize = 10;
const SPAN_BYTES_EXPECTED: usize = 320;

#[cfg(test)]
mod tests;
