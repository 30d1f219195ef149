//! What the headers must say of a batch: JSON, in UTF-8, not encoded (RFC 9110 section 8).

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::language::{Language, Words};

/// Why the headers rule a body out, before any of it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentRefused {
    #[error("several Content-Type headers")]
    SeveralTypes,
    #[error("the Content-Type cannot be read")]
    IllegibleType,
    #[error("the Content-Type is not JSON")]
    NotJson,
    #[error("the charset is not UTF-8")]
    NotUtf8,
    #[error("the body has a Content-Encoding")]
    Encoded,
}

impl ContentRefused {
    /// A sentence with what was wrong and the cure.
    pub fn text(self, language: Language) -> &'static str {
        let sentence = match self {
            Self::SeveralTypes => Words(
                "there are several Content-Type headers: send one",
                "有多个 Content-Type 头：请只发送一个",
            ),
            Self::IllegibleType => Words(
                "the Content-Type cannot be read: send application/json",
                "Content-Type 无法解析：请发送 application/json",
            ),
            Self::NotJson => Words(
                "the Content-Type must be application/json or application/*+json",
                "Content-Type 必须是 application/json 或 application/*+json",
            ),
            Self::NotUtf8 => Words(
                "the charset must be UTF-8: convert the body, or omit the parameter",
                "字符集必须是 UTF-8：请转换请求体，或去掉该参数",
            ),
            Self::Encoded => Words(
                "the body must not be compressed: send it without Content-Encoding",
                "请求体不能压缩：请去掉 Content-Encoding 后发送",
            ),
        };
        sentence.of(language)
    }
}

pub(super) fn check(headers: &HeaderMap) -> Result<(), ContentRefused> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    if let Some(value) = types.next() {
        if types.next().is_some() {
            return Err(ContentRefused::SeveralTypes);
        }
        if value != "application/json" {
            check_type(value.as_bytes())?;
        }
    }
    let codings = headers.get_all(CONTENT_ENCODING).iter();
    let mut codings = codings.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let is_plain = |coding: &[u8]| {
        coding.trim_ascii().is_empty() || coding.trim_ascii().eq_ignore_ascii_case(b"identity")
    };
    if codings.all(is_plain) { Ok(()) } else { Err(ContentRefused::Encoded) }
}

/// `media-type` of RFC 9110 section 8.3.1.
fn check_type(value: &[u8]) -> Result<(), ContentRefused> {
    let (essence, mut rest) = split_at_byte(value, b';');
    let (kind, subtype) = split_at_byte(essence.trim_ascii(), b'/');
    let Some(subtype) = subtype.filter(|subtype| is_token(subtype) && is_token(kind)) else {
        return Err(ContentRefused::IllegibleType);
    };
    let suffix_at = subtype.len().saturating_sub(5);
    let is_json = subtype.eq_ignore_ascii_case(b"json")
        || suffix_at != 0 && subtype[suffix_at..].eq_ignore_ascii_case(b"+json");
    if !kind.eq_ignore_ascii_case(b"application") || !is_json {
        return Err(ContentRefused::NotJson);
    }
    while let Some(parameters) = rest {
        let parameter = Parameter::first_of(parameters).ok_or(ContentRefused::IllegibleType)?;
        if parameter.name.eq_ignore_ascii_case(b"charset")
            && !UTF_8.iter().any(|name| parameter.value.eq_ignore_ascii_case(name))
        {
            return Err(ContentRefused::NotUtf8);
        }
        rest = parameter.rest;
    }
    Ok(())
}

/// Its registered name, and the one that many clients write.
const UTF_8: [&[u8]; 2] = [b"utf-8", b"utf8"];

/// One `name=value` or `name="value"`; empty ones are legal too.
struct Parameter<'v> {
    name: &'v [u8],
    value: Vec<u8>,
    rest: Option<&'v [u8]>,
}

impl<'v> Parameter<'v> {
    fn first_of(text: &'v [u8]) -> Option<Self> {
        let text = text.trim_ascii_start();
        if matches!(text.first(), None | Some(b';')) {
            return Some(Self { name: b"", value: Vec::new(), rest: text.get(1..) });
        }
        let (name, value) = split_at_byte(text, b'=');
        let (value, rest) = match value? {
            [b'"', quoted @ ..] => unquote(quoted)?,
            plain => {
                let (value, rest) = split_at_byte(plain, b';');
                let value = value.trim_ascii_end();
                (is_token(value).then(|| value.to_vec())?, rest)
            }
        };
        is_token(name).then_some(Self { name, value, rest })
    }
}

/// `quoted-string` without its opening quote; then what follows the next semicolon.
fn unquote(mut text: &[u8]) -> Option<(Vec<u8>, Option<&[u8]>)> {
    let mut value = Vec::new();
    loop {
        let (byte, rest) = match text {
            [b'"', rest @ ..] => {
                let (between, rest) = split_at_byte(rest, b';');
                return between.trim_ascii().is_empty().then_some((value, rest));
            }
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] => (byte, rest),
            [] => return None,
        };
        value.push(*byte);
        text = rest;
    }
}

fn split_at_byte(text: &[u8], sign: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == sign) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &[u8]) -> bool {
    let is_token_char =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_token_char)
}
