//! X-Traceid: keep the caller's if it is legal, else make one.
//!
//! The 58 characters are KooDrive's ("58 bits" in its English pages renders 位, characters). Which
//! characters are legal is not documented; that decision lives here alone.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::trace_context::{SpanContext, SpanId, TraceId, push_hex};

pub const X_TRACEID: HeaderName = HeaderName::from_static("x-traceid");

/// Characters of an X-Traceid.
const LEN: usize = 58;
const ILLEGAL_CHARS_MAX: usize = 128;
const TRACE_ID_LEN: usize = 32;
const SPAN_ID_LEN: usize = 16;
const SECONDS_LEN: usize = 10;

/// The 58-character id KooDrive logs every call under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XTraceId(HeaderValue);

/// The request has an X-Traceid, but not exactly one of 58 legal characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("X-Traceid must be one header of 58 characters from 0-9, A-Z, a-z, _ and -")]
pub struct IllegalTraceId;

impl XTraceId {
    /// The caller's id: absent, legal, or illegal. Two headers are illegal even when equal.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, IllegalTraceId> {
        let mut values = headers.get_all(X_TRACEID).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(IllegalTraceId);
        }
        Self::parse(value).map(Some)
    }

    /// What the caller sent in place of an id, to be searched for: cut at 128 characters, with
    /// control characters escaped.
    pub fn illegal_text(headers: &HeaderMap) -> String {
        let values = headers.get_all(X_TRACEID).iter();
        let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
        let text = values.collect::<Vec<_>>().join(", ");
        let mut shown: String =
            text.chars().take(ILLEGAL_CHARS_MAX).flat_map(char::escape_debug).collect();
        if text.chars().nth(ILLEGAL_CHARS_MAX).is_some() {
            shown.push('…');
        }
        shown
    }

    pub fn parse(value: &HeaderValue) -> Result<Self, IllegalTraceId> {
        let bytes = value.as_bytes();
        let legal = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if bytes.len() != LEN || !bytes.iter().all(legal) {
            return Err(IllegalTraceId);
        }
        Ok(Self(value.clone()))
    }

    /// `<32 hex trace id><16 hex id of the SERVER span><10-digit Unix seconds>`: the first 32
    /// characters find the trace in Jaeger.
    pub fn generate(span: &SpanContext, now: SystemTime) -> Self {
        let mut text = Vec::with_capacity(LEN);
        push_hex(&mut text, &span.trace_id.to_bytes());
        push_hex(&mut text, &span.span_id.to_bytes());
        let mut digits = [0; SECONDS_LEN];
        let mut left = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(left % 10).expect("below ten");
            left /= 10;
        }
        text.extend_from_slice(&digits);
        let text = HeaderValue::from_maybe_shared(Bytes::from(text));
        Self(text.expect("digits are legal in a header"))
    }

    /// The span an id of [`Self::generate`]'s form was made for, so that the trace continues.
    pub fn origin(&self) -> Option<(TraceId, SpanId)> {
        let (trace_id, rest) = self.0.as_bytes().split_at(TRACE_ID_LEN);
        let (span_id, seconds) = rest.split_at(SPAN_ID_LEN);
        if !seconds.iter().all(u8::is_ascii_digit) {
            return None;
        }
        Some((TraceId::parse(trace_id)?, SpanId::parse(span_id)?))
    }

    pub fn as_header(&self) -> &HeaderValue {
        &self.0
    }

    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("only ASCII is legal")
    }
}
