//! What KooDrive's answer says about the token it was asked with.
//!
//! A pure judgement over status and envelope: it slides the token's life, ends it, or does
//! neither. The answer itself goes to the caller whatever comes of it.

use std::collections::HashSet;
use std::fmt;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::config::ForwardConfig;

/// Largest answer whose envelope is read, in bytes.
pub(super) const ENVELOPE_BYTES_MAX: usize = 64 * 1024;

/// What an answer means for the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenVerdict {
    /// KooDrive took the token: its idle life begins anew.
    Accepted,
    /// KooDrive does not take this token any more.
    TokenRefused,
    /// Nothing is known: KooDrive failed or is throttling.
    Other,
}

/// By what KooDrive refuses a token.
#[derive(Clone, Debug)]
pub(super) struct AnswerRules {
    refused_statuses: Vec<u16>,
    refused_codes: HashSet<String>,
}

impl AnswerRules {
    pub(super) fn new(config: &ForwardConfig) -> Self {
        Self {
            refused_statuses: config.refused_statuses.clone(),
            refused_codes: config.refused_codes.iter().cloned().collect(),
        }
    }

    /// Whether the body can change the verdict, so that its head is worth holding back until it
    /// is complete: JSON, not compressed, and either announced to be small or of unknown length
    /// (then the reader stops holding back after [`ENVELOPE_BYTES_MAX`]).
    pub(super) fn may_carry_envelope(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        if self.refused_codes.is_empty() || self.refused_statuses.contains(&status.as_u16()) {
            return false;
        }
        let identity = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
        let small = match headers.get(CONTENT_LENGTH) {
            None => true,
            Some(length) => {
                announced(length).is_some_and(|bytes| 0 < bytes && bytes <= ENVELOPE_BYTES_MAX)
            }
        };
        small
            && is_json(headers.get(CONTENT_TYPE))
            && headers.get_all(CONTENT_ENCODING).iter().all(identity)
    }

    /// Judges an answer. `body` is the complete body when it is at most [`ENVELOPE_BYTES_MAX`],
    /// else anything; an incomplete one is judged by its status alone.
    pub(super) fn judge(
        &self,
        status: StatusCode,
        content_type: Option<&HeaderValue>,
        body: &[u8],
    ) -> TokenVerdict {
        if self.refused_statuses.contains(&status.as_u16()) {
            return TokenVerdict::TokenRefused;
        }
        if body.len() <= ENVELOPE_BYTES_MAX
            && is_json(content_type)
            && let Ok(envelope) = serde_json::from_slice::<Envelope>(body)
            && envelope.codes.iter().any(|code| self.refused_codes.contains(code))
        {
            return TokenVerdict::TokenRefused;
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            TokenVerdict::Other
        } else {
            TokenVerdict::Accepted
        }
    }
}

/// `application/json` and what ends in `+json`, whatever the parameters.
fn is_json(content_type: Option<&HeaderValue>) -> bool {
    let Some(text) = content_type.and_then(|value| value.to_str().ok()) else { return false };
    let essence = text.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    matches!(essence.as_str(), "application/json" | "text/json")
        || essence.starts_with("application/") && essence.ends_with("+json")
}

fn announced(length: &HeaderValue) -> Option<usize> {
    length.to_str().ok()?.parse().ok()
}

/// The codes at the top of an answer: KooDrive's `code`, the API gateway's `error_code`. All of
/// them, should a name stand there twice.
#[derive(Debug, Default)]
struct Envelope {
    codes: Vec<String>,
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if name != "code" && name != "error_code" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            match map.next_value::<Value>()? {
                Value::String(code) => envelope.codes.push(code),
                Value::Number(code) => envelope.codes.push(code.to_string()),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {}
            }
        }
        Ok(envelope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> AnswerRules {
        AnswerRules {
            refused_statuses: vec![401],
            refused_codes: ["APIGW.0301", "APIGW.0307", "13000999"].map(str::to_owned).into(),
        }
    }

    fn json() -> HeaderValue {
        HeaderValue::from_static("application/json;charset=UTF-8")
    }

    #[test]
    fn an_answer_is_accepted_refused_or_neither() {
        use TokenVerdict::{Accepted, Other, TokenRefused};
        for (status, body, expected) in [
            (200, "", Accepted),
            (200, r#"{"code":0,"msg":"Successful"}"#, Accepted),
            (200, r#"{"code":"APIGW.0307"}"#, TokenRefused),
            (200, r#"{"error_code":"APIGW.0301","error_msg":"x"}"#, TokenRefused),
            (200, r#"{"code":13000999}"#, TokenRefused),
            (200, r#"{"code":"13000999"}"#, TokenRefused),
            (200, r#"{"code":0,"code":"APIGW.0307"}"#, TokenRefused),
            (200, r#"{"data":{"code":"APIGW.0307"}}"#, Accepted),
            (200, r#"[{"code":"APIGW.0307"}]"#, Accepted),
            (200, r#"{"code":"APIGW.0307""#, Accepted),
            (200, r#"{"code":["APIGW.0307"]}"#, Accepted),
            (400, r#"{"code":13000102}"#, Accepted),
            (400, r#"{"\u0063ode":"APIGW.0307"}"#, TokenRefused),
            (401, "", TokenRefused),
            (403, r#"{"error_code":"APIGW.0302"}"#, Accepted),
            (429, r#"{"error_code":"APIGW.0308"}"#, Other),
            (429, r#"{"error_code":"APIGW.0307"}"#, TokenRefused),
            (500, r#"{"code":13000201}"#, Other),
            (500, r#"{"error_code":"APIGW.0307"}"#, TokenRefused),
            (503, "", Other),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let judgement = rules().judge(status, Some(&json()), body.as_bytes());
            assert_eq!(judgement, expected, "{status} {body}");
        }
    }

    #[test]
    fn only_json_of_64_kib_is_an_envelope() {
        let body = br#"{"code":"APIGW.0307"}"#;
        for (content_type, expected) in [
            ("application/json", TokenVerdict::TokenRefused),
            ("Application/Problem+JSON", TokenVerdict::TokenRefused),
            ("text/html", TokenVerdict::Accepted),
            ("application/octet-stream", TokenVerdict::Accepted),
        ] {
            let content_type = HeaderValue::from_static(content_type);
            assert_eq!(rules().judge(StatusCode::OK, Some(&content_type), body), expected);
        }
        assert_eq!(rules().judge(StatusCode::OK, None, body), TokenVerdict::Accepted);
        let mut long = body.to_vec();
        long.resize(ENVELOPE_BYTES_MAX, b' ');
        assert_eq!(rules().judge(StatusCode::OK, Some(&json()), &long), TokenVerdict::TokenRefused);
        long.push(b' ');
        assert_eq!(rules().judge(StatusCode::OK, Some(&json()), &long), TokenVerdict::Accepted);
    }

    #[test]
    fn bodies_are_read_only_where_they_can_matter() {
        for (status, headers, expected) in [
            (200, vec![("content-type", "application/json")], true),
            (200, vec![("content-type", "application/json"), ("content-length", "65536")], true),
            (200, vec![("content-type", "application/json"), ("content-length", "65537")], false),
            (200, vec![("content-type", "application/json"), ("content-length", "0")], false),
            (200, vec![("content-type", "application/json"), ("content-encoding", "gzip")], false),
            (200, vec![("content-type", "application/zip"), ("content-length", "10")], false),
            (200, vec![], false),
            (401, vec![("content-type", "application/json")], false),
            (500, vec![("content-type", "application/json")], true),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in &headers {
                map.insert(*name, HeaderValue::from_static(value));
            }
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(rules().may_carry_envelope(status, &map), expected, "{status} {headers:?}");
        }
    }
}
