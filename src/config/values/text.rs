//! Texts: of one line, and those with a form of their own.

use http::{HeaderName, HeaderValue};
use serde_json::json;

use super::{Fault, Scalar, text};
use crate::config::keys::Shape;

/// One line: what an editor may leave in a name, and nobody sees, is found here.
impl Scalar for String {
    type Value = Self;

    fn shape() -> Shape {
        Shape::form(EXPECTED_ONE_LINE, one_line())
    }

    fn read(written: &toml::Value) -> Result<Self, Fault> {
        let text = text(written)?;
        if is_one_line(text) { Ok(text.to_owned()) } else { Err(Fault::Unlike) }
    }

    fn write(value: &Self) -> toml::Value {
        value.as_str().into()
    }
}

/// Any text, for those who judge it themselves.
pub(in crate::config) struct AnyText;

impl Scalar for AnyText {
    type Value = String;

    fn shape() -> Shape {
        Shape::text()
    }

    fn read(written: &toml::Value) -> Result<String, Fault> {
        Ok(text(written)?.to_owned())
    }

    fn write(value: &String) -> toml::Value {
        value.as_str().into()
    }
}

/// Kinds of texts that stay text: which are meant, the words for them, the schema.
macro_rules! texts {
    ($( $(#[$about:meta])* $kind:ident: $is:expr, $expected:expr, $rule:expr; )+) => {$(
        $(#[$about])*
        pub(in crate::config) struct $kind;

        impl Scalar for $kind {
            type Value = String;

            fn shape() -> Shape {
                Shape::form($expected, $rule)
            }

            fn read(written: &toml::Value) -> Result<String, Fault> {
                let text = text(written)?;
                if $is(text) { Ok(text.to_owned()) } else { Err(Fault::Unlike) }
            }

            fn write(value: &String) -> toml::Value {
                value.as_str().into()
            }
        }
    )+};
}

texts! {
    /// What stands before a token (RFC 9110 section 11.1).
    Scheme: is_token, "expected one word such as \"Bearer\"", json!({"pattern": TOKEN_PATTERN});
    /// The path under which calls are forwarded.
    Prefix: is_prefix,
        "expected a path that begins and ends with \"/\", such as \"/koodrive/\"",
        json!({"pattern": format!("^/({SEGMENT_PATTERN}/)*$")});
    /// A code in an answer of KooDrive's.
    Code: |text: &str| !text.is_empty(),
        "expected a code such as \"APIGW.0301\"",
        json!({"minLength": 1});
    /// A level, or directives such as `info,koodrive_gateway::token=debug`.
    LogDirectives: is_log_filter,
        "expected a level (\"error\", \"warn\", \"info\", \"debug\", \"trace\", \"off\") or \
         directives such as \"info,koodrive_gateway::token=debug\"",
        json!({"pattern": directives_pattern()});
    /// The name of an app, which stands in a header between commas; empty = none.
    AppId: |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b','),
        "expected visible ASCII characters without commas and blanks",
        json!({"pattern": "^[!-+.-~-]*$"});
    /// The name of a claim.
    Claim: |text: &str| !text.is_empty(),
        "expected the name of a claim, such as \"sub\"",
        json!({"minLength": 1});
}

pub(in crate::config) const EXPECTED_ONE_LINE: &str =
    "expected one line of text, without control characters and byte order marks";

fn one_line() -> serde_json::Value {
    json!({"pattern": r"^[^\u0000-\u001f\u007f\ufeff]*$"})
}

/// What an editor may leave in a name or secret, and nobody sees.
pub(in crate::config) fn is_one_line(text: &str) -> bool {
    !text.chars().any(|c| c.is_ascii_control() || c == '\u{feff}')
}

/// Levels, and levels of modules.
fn is_log_filter(text: &str) -> bool {
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let is_module = |word: &str| {
        let legal = |c: char| c.is_ascii_alphanumeric() || "_:.-".contains(c);
        !word.is_empty() && word.chars().all(legal)
    };
    text.split(',').map(str::trim).all(|part| match part.split_once('=') {
        None => is_level(part),
        Some((module, level)) => is_module(module) && is_level(level),
    })
}

fn directives_pattern() -> String {
    let level = any_case(&LEVELS);
    let part = format!(r"\s*([0-9A-Za-z_:.-]+=)?({level})\s*");
    format!("^{part}(,{part})*$")
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// RFC 9110 section 5.6.2.
pub(in crate::config) const TOKEN_PATTERN: &str = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";

fn is_token(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(legal)
}

const SEGMENT_PATTERN: &str = r"(\.?[A-Za-z0-9_~-][A-Za-z0-9._~-]*|\.\.[A-Za-z0-9._~-]+)";

fn is_prefix(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
    text.starts_with('/')
        && text.ends_with('/')
        && text.chars().all(legal)
        && !text.contains("//")
        && !text.split('/').any(|segment| segment == "." || segment == "..")
}

/// What stands in a header as it is; empty = nothing.
pub(in crate::config) struct HeaderText;

impl Scalar for HeaderText {
    type Value = HeaderValue;

    fn shape() -> Shape {
        String::shape()
    }

    fn read(written: &toml::Value) -> Result<HeaderValue, Fault> {
        HeaderValue::from_str(&String::read(written)?).map_err(|_| Fault::Unlike)
    }

    fn write(value: &HeaderValue) -> toml::Value {
        String::from_utf8_lossy(value.as_bytes()).into_owned().into()
    }
}

/// The value of a `language` header; empty = none.
pub(in crate::config) struct Language;

impl Scalar for Language {
    type Value = Option<HeaderValue>;

    fn shape() -> Shape {
        let pattern = json!({"pattern": "^[A-Za-z0-9_,;=. -]*$"});
        Shape::form("expected a language such as \"zh-cn\", or \"\"", pattern)
    }

    fn read(written: &toml::Value) -> Result<Option<HeaderValue>, Fault> {
        let text = text(written)?;
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || "-_,;=. ".contains(c)) {
            return Err(Fault::Unlike);
        }
        let language = Some(text).filter(|text| !text.is_empty());
        language.map(HeaderValue::from_str).transpose().map_err(|_| Fault::Unlike)
    }

    fn write(value: &Option<HeaderValue>) -> toml::Value {
        value.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default().into()
    }
}

/// A header that callers can send a token in.
pub(in crate::config) struct TokenHeader;

impl Scalar for TokenHeader {
    type Value = HeaderName;

    fn shape() -> Shape {
        let taken = TAKEN.iter().map(|name| any_case(&[name]).replace('-', "[-_]"));
        let taken = format!("^({})$", taken.collect::<Vec<_>>().join("|"));
        let rule = json!({"pattern": TOKEN_PATTERN, "not": {"pattern": taken}});
        Shape::form("expected a header name such as \"authorization\"", rule)
    }

    fn read(written: &toml::Value) -> Result<HeaderName, Fault> {
        let name: HeaderName = text(written)?.parse().map_err(|_| Fault::Unlike)?;
        if TAKEN.contains(&name.as_str().replace('_', "-").as_str()) {
            return Err("expected a header that has no other use, such as \"authorization\"".into());
        }
        Ok(name)
    }

    fn write(value: &HeaderName) -> toml::Value {
        value.as_str().into()
    }
}

/// Headers that frame or route a message, or carry something else.
const TAKEN: [&str; 18] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-traceid",
];

/// A pattern for any of the words, in upper case, lower case or both.
pub(in crate::config) fn any_case(words: &[&str]) -> String {
    let letter = |letter: char| {
        if letter.is_ascii_alphabetic() {
            format!("[{}{}]", letter.to_ascii_uppercase(), letter.to_ascii_lowercase())
        } else {
            letter.to_string()
        }
    };
    let word = |word: &&str| word.chars().map(letter).collect::<String>();
    words.iter().map(word).collect::<Vec<_>>().join("|")
}
