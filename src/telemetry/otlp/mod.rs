//! Spans in the words of OTLP: the bytes of an `ExportTraceServiceRequest` in protobuf.
//!
//! Written straight from the SDK's spans. The usual way, over a tree of message structs, costs five
//! times as many instructions, and at full sampling more than all else a call needs. The numbers
//! are those of `opentelemetry/proto/{collector/trace,trace,resource,common}/v1` (1.x); a test
//! decodes what is written here with the types generated from them.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Link, SpanContext, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;

/// The `Resource` message, to be written before each batch.
pub(super) fn resource(resource: &Resource) -> Vec<u8> {
    let mut to = Message(Vec::new());
    for (key, value) in resource {
        to.attribute(1, key.as_str(), value);
    }
    to.0
}

/// A request with all of `spans`, which one scope has made: the first one's.
pub(super) fn request(resource: &[u8], spans: &[SpanData]) -> Vec<u8> {
    let mut of_scope = Message(Vec::with_capacity(spans.len() * SPAN_BYTES_EXPECTED));
    if let Some(first) = spans.first() {
        of_scope.nested(1, |to| scope(to, &first.instrumentation_scope));
    }
    for one in spans {
        of_scope.nested(2, |to| span(to, one));
    }
    let of_scope = of_scope.0;
    let of_resource = field_bytes(resource.len()) + field_bytes(of_scope.len());
    let mut to = Message(Vec::with_capacity(of_resource + field_bytes(of_resource)));
    to.tag(1, DELIMITED); // resource_spans
    to.varint(of_resource as u64);
    to.bytes(1, resource);
    to.bytes(2, &of_scope); // scope_spans
    to.0
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

fn scope(to: &mut Message, scope: &InstrumentationScope) {
    to.text(1, scope.name());
    if let Some(version) = scope.version() {
        to.text(2, version);
    }
}

fn span(to: &mut Message, span: &SpanData) {
    to.ids(1, 2, &span.span_context);
    let parent = span.parent_span_id.to_bytes();
    if parent != [0; 8] {
        to.bytes(4, &parent);
    }
    to.text(5, &span.name);
    to.number(6, kind(&span.span_kind));
    to.time(7, span.start_time);
    to.time(8, span.end_time);
    for KeyValue { key, value, .. } in &span.attributes {
        to.attribute(9, key.as_str(), value);
    }
    for link in &span.links.links {
        to.nested(13, |to| of_link(to, link));
    }
    to.nested(15, |to| match &span.status {
        Status::Unset => {}
        Status::Ok => to.number(3, 1),
        Status::Error { description } => {
            to.text(2, description);
            to.number(3, 2);
        }
    });
    to.fixed32(16, flags(span.parent_span_is_remote, &span.span_context));
}

fn of_link(to: &mut Message, link: &Link) {
    to.ids(1, 2, &link.span_context);
    for KeyValue { key, value, .. } in &link.attributes {
        to.attribute(4, key.as_str(), value);
    }
    to.fixed32(6, flags(link.span_context.is_remote(), &link.span_context));
}

fn kind(kind: &SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

/// The W3C flags, and whether the other span (the parent, or the linked one) is of another process.
fn flags(remote: bool, context: &SpanContext) -> u32 {
    const HAS_IS_REMOTE: u32 = 0x100;
    const IS_REMOTE: u32 = 0x200;
    let remote = if remote { IS_REMOTE } else { 0 };
    HAS_IS_REMOTE | remote | u32::from(context.trace_flags().to_u8())
}

/// A protobuf message being written. A field at its default is left out, as in proto3.
struct Message(Vec<u8>);

impl Message {
    fn tag(&mut self, field: u32, wire: u8) {
        self.varint(u64::from(field) << 3 | u64::from(wire));
    }

    fn varint(&mut self, mut value: u64) {
        while 0x80 <= value {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    fn bytes(&mut self, field: u32, value: &[u8]) {
        self.tag(field, DELIMITED);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn text(&mut self, field: u32, value: &str) {
        if !value.is_empty() {
            self.bytes(field, value.as_bytes());
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

    fn ids(&mut self, trace: u32, span: u32, context: &SpanContext) {
        self.bytes(trace, &context.trace_id().to_bytes());
        self.bytes(span, &context.span_id().to_bytes());
    }

    fn attribute(&mut self, field: u32, key: &str, value: &Value) {
        self.nested(field, |to| {
            to.text(1, key);
            to.nested(2, |to| match value {
                Value::String(text) => to.bytes(1, text.as_str().as_bytes()),
                Value::Bool(flag) => to.number(2, u64::from(*flag)),
                Value::I64(number) => to.number(3, number.cast_unsigned()),
                Value::F64(number) => to.fixed64(4, number.to_bits()),
                // Lists: no span of ours has one, and its text says the same.
                other => to.bytes(1, other.as_str().as_bytes()),
            });
        });
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
