//! What KooDrive's answer says about the token it was asked with, and about its own load.
//!
//! A pure judgement over status and envelope: it slides the token's life, ends it, or does
//! neither; and it may ask for a pause. The answer itself goes to the caller whatever comes of it.

use std::fmt;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::config::ForwardConfig;
use crate::token::TokenVerdict;

/// Largest answer whose envelope is read, in bytes.
pub(super) const ENVELOPE_BYTES_MAX: usize = 64 * 1024;

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) token: TokenVerdict,
    /// KooDrive gets more calls than it wants.
    pub(super) throttled: bool,
}

/// By what KooDrive refuses a token, or throttles.
#[derive(Clone, Debug)]
pub(super) struct AnswerRules {
    refused_statuses: Vec<u16>,
    refused_codes: Vec<String>,
    throttled_codes: Vec<String>,
}

impl AnswerRules {
    pub(super) fn new(config: &ForwardConfig) -> Self {
        Self {
            refused_statuses: config.refused_statuses.clone(),
            refused_codes: config.refused_codes.clone(),
            throttled_codes: config.throttled_codes.clone(),
        }
    }

    /// Whether the body can change the judgement: JSON, of a status that leaves anything open.
    pub(super) fn may_carry_envelope(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let any_code = !(self.refused_codes.is_empty() && self.throttled_codes.is_empty());
        any_code
            && !self.refused_statuses.contains(&status.as_u16())
            && is_json(headers.get(CONTENT_TYPE))
    }

    /// Judges a complete answer that carries no envelope.
    pub(super) fn by_status(&self, status: StatusCode) -> Judgement {
        let throttled = status == StatusCode::TOO_MANY_REQUESTS;
        let token = if self.refused_statuses.contains(&status.as_u16()) {
            TokenVerdict::Refused
        } else if throttled || status.is_server_error() {
            TokenVerdict::Unread
        } else {
            TokenVerdict::Accepted
        };
        Judgement { token, throttled }
    }

    /// Judges an answer whose envelope, if it has one, could not be read.
    pub(super) fn unread(&self, status: StatusCode) -> Judgement {
        Judgement { token: TokenVerdict::Unread, ..self.by_status(status) }
    }

    /// Judges an answer that may carry an envelope by its whole body, plain, at most
    /// [`ENVELOPE_BYTES_MAX`]. What cannot be read to its end says nothing.
    pub(super) fn by_envelope(&self, status: StatusCode, body: &[u8]) -> Judgement {
        let by_status = self.by_status(status);
        if body.is_empty() {
            return by_status;
        }
        let mut reader = serde_json::Deserializer::from_slice(body);
        let read = reader.deserialize_map(EnvelopeVisitor(self));
        match read.and_then(|envelope| reader.end().map(|()| envelope)) {
            Ok(Envelope { refused: true, .. }) => {
                Judgement { token: TokenVerdict::Refused, ..by_status }
            }
            Ok(Envelope { throttled: true, .. }) => {
                Judgement { throttled: true, ..self.unread(status) }
            }
            Err(error) if !error.is_data() => self.unread(status),
            // Ok, or no object: it carries no code at the top.
            _ => by_status,
        }
    }
}

/// Whether an answer is announced to be too large for an envelope.
pub(super) fn is_too_large(headers: &HeaderMap) -> bool {
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    announced.is_some_and(|bytes: u64| (ENVELOPE_BYTES_MAX as u64) < bytes)
}

/// `application/json` and what ends in `+json`, whatever the parameters.
fn is_json(content_type: Option<&HeaderValue>) -> bool {
    let Some(text) = content_type.and_then(|value| value.to_str().ok()) else { return false };
    let essence = text.split(';').next().unwrap_or("").trim();
    let is = |part: Option<&str>, text| part.is_some_and(|part| part.eq_ignore_ascii_case(text));
    let end = essence.get(essence.len().saturating_sub("+json".len())..);
    is(Some(essence), "application/json")
        || is(Some(essence), "text/json")
        || is(essence.get(.."application/".len()), "application/") && is(end, "+json")
}

/// What the codes at the top of an answer say, KooDrive's `code` and the API gateway's `error_code`:
/// all of them, should a name stand there twice.
#[derive(Debug, Default)]
struct Envelope {
    refused: bool,
    throttled: bool,
}

impl Envelope {
    fn note(&mut self, code: &str, rules: &AnswerRules) {
        let is_one_of = |codes: &[String]| codes.iter().any(|known| known == code);
        self.refused |= is_one_of(&rules.refused_codes);
        self.throttled |= is_one_of(&rules.throttled_codes);
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Member {
    Code,
    ErrorCode,
    #[serde(other)]
    Other,
}

struct EnvelopeVisitor<'r>(&'r AnswerRules);

impl<'de> Visitor<'de> for EnvelopeVisitor<'_> {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(member) = map.next_key()? {
            if let Member::Other = member {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            match map.next_value::<Value>()? {
                Value::String(code) => envelope.note(&code, self.0),
                Value::Number(code) => match code.as_u64() {
                    Some(code) => envelope.note(itoa::Buffer::new().format(code), self.0),
                    None => envelope.note(&code.to_string(), self.0),
                },
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
            throttled_codes: ["APIGW.0308", "13000429"].map(str::to_owned).into(),
        }
    }

    #[test]
    fn an_answer_is_accepted_refused_or_unread() {
        use TokenVerdict::{Accepted, Refused, Unread};
        for (status, body, expected) in [
            (200, "", Accepted),
            (200, r#"{"code":0,"msg":"Successful"}"#, Accepted),
            (200, r#"{"code":"APIGW.0307"}"#, Refused),
            (200, r#"{"error_code":"APIGW.0301","error_msg":"x"}"#, Refused),
            (200, r#"{"code":13000999}"#, Refused),
            (200, r#"{"code":"13000999"}"#, Refused),
            (200, r#"{"code":0,"code":"APIGW.0307"}"#, Refused),
            (200, r#"{"data":{"code":"APIGW.0307"}}"#, Accepted),
            (200, r#"[{"code":"APIGW.0307"}]"#, Accepted),
            (200, r#""APIGW.0307""#, Accepted),
            (200, r#"{"code":"APIGW.0307""#, Unread),
            (200, "no JSON at all", Unread),
            (200, r#"{"code":["APIGW.0307"]}"#, Accepted),
            (400, r#"{"code":13000102}"#, Accepted),
            (400, r#"{"\u0063ode":"APIGW.0307"}"#, Refused),
            (403, r#"{"error_code":"APIGW.0302"}"#, Accepted),
            (429, r#"{"error_code":"APIGW.0308"}"#, Unread),
            (429, r#"{"error_code":"APIGW.0307"}"#, Refused),
            (500, r#"{"code":13000201}"#, Unread),
            (500, r#"{"error_code":"APIGW.0307"}"#, Refused),
            (503, "", Unread),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let verdict = rules().by_envelope(status, body.as_bytes()).token;
            assert_eq!(verdict, expected, "{status} {body}");
        }
        for (status, expected) in
            [(200, Accepted), (302, Accepted), (401, Refused), (429, Unread), (500, Unread)]
        {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(rules().by_status(status).token, expected, "{status}");
        }
    }

    #[test]
    fn throttling_is_a_status_or_a_code_and_says_nothing_of_the_token() {
        use TokenVerdict::{Accepted, Refused, Unread};
        for (status, body, token, throttled) in [
            (200, r#"{"error_code":"APIGW.0308","error_msg":"x"}"#, Unread, true),
            (200, r#"{"code":13000429}"#, Unread, true),
            (503, r#"{"code":"APIGW.0308"}"#, Unread, true),
            (200, r#"{"data":{"code":"APIGW.0308"}}"#, Accepted, false),
            (200, r#"{"code":"APIGW.0308""#, Unread, false),
            (429, "", Unread, true),
            (429, "{", Unread, true),
            (429, r#"{"code":1}"#, Unread, true),
            (429, r#"{"code":"APIGW.0307"}"#, Refused, true),
            (503, "", Unread, false),
            (200, r#"{"code":0}"#, Accepted, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let judgement = rules().by_envelope(status, body.as_bytes());
            assert_eq!(judgement, Judgement { token, throttled }, "{status} {body}");
        }
    }

    #[test]
    fn bodies_are_read_only_where_they_can_matter() {
        for (status, content_type, expected) in [
            (200, Some("application/json;charset=UTF-8"), true),
            (200, Some("Application/Problem+JSON"), true),
            (200, Some("text/html"), false),
            (200, Some("application/octet-stream"), false),
            (200, None, false),
            (401, Some("application/json"), false),
            (500, Some("application/json"), true),
        ] {
            let mut headers = HeaderMap::new();
            headers
                .extend(content_type.map(|value| (CONTENT_TYPE, HeaderValue::from_static(value))));
            let status = StatusCode::from_u16(status).unwrap();
            let found = rules().may_carry_envelope(status, &headers);
            assert_eq!(found, expected, "{status} {content_type:?}");
        }
        for (length, expected) in [(Some("65536"), false), (Some("65537"), true), (None, false)] {
            let mut headers = HeaderMap::new();
            headers.extend(length.map(|value| (CONTENT_LENGTH, HeaderValue::from_static(value))));
            assert_eq!(is_too_large(&headers), expected, "{length:?}");
        }
    }
}
