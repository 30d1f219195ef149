//! W3C trace context: ids, and the strict reading and writing of `traceparent`.
//!
//! Knows nothing of KooDrive's X-Traceid (see [`crate::trace_id`]) nor of how spans are exported.
//! Page: <https://www.w3.org/TR/trace-context/>.

use std::cell::RefCell;
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// 16 bytes, never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// 8 bytes, never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

impl TraceId {
    pub fn generate() -> Self {
        Self(random_non_zero())
    }

    /// 32 lower-case hex digits, not all zero.
    pub fn parse(hex: &[u8]) -> Option<Self> {
        parse_hex(hex).map(Self)
    }

    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl SpanId {
    pub fn generate() -> Self {
        Self(random_non_zero())
    }

    /// 16 lower-case hex digits, not all zero.
    pub fn parse(hex: &[u8]) -> Option<Self> {
        parse_hex(hex).map(Self)
    }

    pub fn to_bytes(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Writes bytes as lower-case hex digits.
pub fn push_hex(text: &mut Vec<u8>, bytes: &[u8]) {
    text.extend(bytes.iter().flat_map(|byte| hex_digits(*byte)));
}

/// The same, at most 16 bytes, for `Display`.
pub fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let mut text = [0; 32];
    for (digits, byte) in text.chunks_exact_mut(2).zip(bytes) {
        digits.copy_from_slice(&hex_digits(*byte));
    }
    let digits = str::from_utf8(&text[..2 * bytes.len()]);
    f.write_str(digits.expect("hex digits are ASCII"))
}

fn hex_digits(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)])
}

/// One span's place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub sampled: bool,
    /// Whether the trace id is known to be random: samplers downstream may rely on it (level 2).
    pub random: bool,
}

impl SpanContext {
    /// The first span of a new trace.
    pub fn root(sampled: bool) -> Self {
        let (trace_id, span_id) = (TraceId::generate(), SpanId::generate());
        // Ours are random, but receivers that know only level 1 may take `03` for something else.
        Self { trace_id, span_id, sampled, random: false }
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span_id: SpanId::generate(), ..*self }
    }

    /// The flags of `traceparent`; those this page does not know are never passed on.
    pub fn flags(self) -> u8 {
        (u8::from(self.sampled) * SAMPLED) | (u8::from(self.random) * RANDOM)
    }

    /// The `traceparent` that makes this span the parent of what the receiver does.
    pub fn to_traceparent(self) -> HeaderValue {
        let mut text = Vec::with_capacity(TRACEPARENT_LEN);
        text.extend_from_slice(b"00-");
        push_hex(&mut text, &self.trace_id.0);
        text.push(b'-');
        push_hex(&mut text, &self.span_id.0);
        text.push(b'-');
        push_hex(&mut text, &[self.flags()]);
        HeaderValue::from_maybe_shared(Bytes::from(text))
            .expect("hex digits and dashes are legal in a header")
    }

    /// The caller's span, from exactly one well-formed `traceparent` (section 3.2 of the page).
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        Self::parse(value.as_bytes())
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_at_checked(TRACEPARENT_LEN)?;
        let [version, trace_id, span_id, flags] = split_fields(head)?;
        let version: [u8; 1] = hex_bytes(version)?;
        let later_version_continues = rest.first() == Some(&b'-') && version != [0];
        if version == [0xff] || !(rest.is_empty() || later_version_continues) {
            return None;
        }
        let flags: [u8; 1] = hex_bytes(flags)?;
        Some(Self {
            trace_id: TraceId::parse(trace_id)?,
            span_id: SpanId::parse(span_id)?,
            sampled: flags[0] & SAMPLED != 0,
            random: flags[0] & RANDOM != 0,
        })
    }
}

const SAMPLED: u8 = 1;
const RANDOM: u8 = 2;
const TRACEPARENT_LEN: usize = 55;

/// The caller's `tracestate`, all its lines as one, when it can be passed on: beside a valid
/// `traceparent`, and itself well-formed as a whole (section 3.3 of the page). Members keep their
/// order, repeated ones too; empty ones and the space around them are left out.
pub fn tracestate(headers: &HeaderMap) -> Option<HeaderValue> {
    SpanContext::from_headers(headers)?;
    let mut whole: Vec<u8> = Vec::new();
    let mut members = 0;
    for line in headers.get_all(TRACESTATE) {
        for member in line.as_bytes().split(|byte| *byte == b',') {
            let member = member.trim_ascii();
            if member.is_empty() {
                continue;
            }
            members += 1;
            if MEMBERS_MAX < members || !is_member(member) {
                return None;
            }
            if !whole.is_empty() {
                whole.push(b',');
            }
            whole.extend_from_slice(member);
        }
    }
    HeaderValue::from_maybe_shared(Bytes::from(whole)).ok().filter(|value| !value.is_empty())
}

const MEMBERS_MAX: usize = 32;
const PART_MAX: usize = 256;

/// `key=value`; keys as level 2 of the page has them, a superset of those of level 1.
fn is_member(member: &[u8]) -> bool {
    let Some(equals) = member.iter().position(|byte| *byte == b'=') else {
        return false;
    };
    let (key, value) = (&member[..equals], &member[equals + 1..]);
    let key_starts = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let key_goes_on = |byte: u8| key_starts(byte) || b"_-*/@".contains(&byte);
    let in_value = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=';
    key.first().is_some_and(|byte| key_starts(*byte))
        && key.iter().all(|byte| key_goes_on(*byte))
        && value.iter().all(|byte| in_value(*byte))
        && (1..=PART_MAX).contains(&key.len())
        && (1..=PART_MAX).contains(&value.len())
}

fn split_fields(head: &[u8]) -> Option<[&[u8]; 4]> {
    let dashes = [2, 35, 52];
    let fields = [&head[..2], &head[3..35], &head[36..52], &head[53..55]];
    dashes.iter().all(|at| head[*at] == b'-').then_some(fields)
}

fn parse_hex<const N: usize>(hex: &[u8]) -> Option<[u8; N]> {
    hex_bytes(hex).filter(|bytes| *bytes != [0; N])
}

fn hex_bytes<const N: usize>(hex: &[u8]) -> Option<[u8; N]> {
    if hex.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn random_non_zero<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    while bytes == [0; N] {
        POOL.with_borrow_mut(|pool| pool.take(&mut bytes));
    }
    bytes
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; 512], left: 0 }) };
}

/// Random bytes drawn in bulk: a request needs several ids, and each draw costs more than its
/// bytes.
struct Pool {
    bytes: [u8; 512],
    left: usize,
}

impl Pool {
    fn take(&mut self, into: &mut [u8]) {
        if self.left < into.len() {
            aws_lc_rs::rand::fill(&mut self.bytes)
                .expect("the system's random source does not fail");
            self.left = self.bytes.len();
        }
        let (rest, taken) = self.bytes[..self.left].split_at(self.left - into.len());
        into.copy_from_slice(taken);
        self.left = rest.len();
    }
}
