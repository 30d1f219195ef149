//! The SSO token out of the request headers (RFC 6750 section 2.1).

use http::{HeaderMap, HeaderName};

use super::error::{AcceptError, MalformedToken, MissingToken};

/// The one bearer token of the request, as long as the head allows. Its characters are not looked
/// at: for one that was verified before that would be the costliest step.
pub(super) fn credentials<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<&'a [u8], AcceptError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(AcceptError::TokenMissing(MissingToken::NoHeader))?;
    if values.next().is_some() {
        // Two readers of the same request could pick different ones.
        return Err(MalformedToken::HeaderRepeated.into());
    }
    let rest = strip_scheme(value.as_bytes()).ok_or_else(|| missing(value.as_bytes()))?;
    let token = rest.trim_ascii_start();
    if token.is_empty() {
        return Err(MalformedToken::Empty.into());
    }
    if !rest.starts_with(b" ") {
        return Err(MalformedToken::Characters.into());
    }
    Ok(token)
}

/// The credentials as text, if every character is one a token may have.
pub(super) fn token(credentials: &[u8]) -> Result<&str, MalformedToken> {
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    // Not `all`, whose way out for each byte keeps several from being looked at together.
    if !credentials.iter().fold(true, |all, byte| all & legal(byte)) {
        return Err(illegal(credentials));
    }
    if NOTHINGS.contains(&credentials) {
        return Err(MalformedToken::Placeholder);
    }
    str::from_utf8(credentials).map_err(|_| MalformedToken::Characters)
}

/// What follows the scheme `Bearer`, in any case; none when the scheme is another.
fn strip_scheme(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(SCHEME.len())?;
    let ends = rest.first().is_none_or(|next| matches!(next, b' ' | b'\t' | b','));
    (ends && scheme.eq_ignore_ascii_case(SCHEME)).then_some(rest)
}

/// What a header without the scheme holds instead.
#[cold]
fn missing(value: &[u8]) -> AcceptError {
    // A JWT's header is a JSON object, and `{"` in base64url is `eyJ` but for white space.
    let is_token = value.starts_with(b"ey") && value.contains(&b'.') && !value.contains(&b' ');
    AcceptError::TokenMissing(match value.trim_ascii() {
        b"" => MissingToken::Empty,
        _ if is_token => MissingToken::NoScheme,
        _ => MissingToken::OtherScheme,
    })
}

/// Which slip lies behind characters that no token has.
#[cold]
fn illegal(credentials: &[u8]) -> MalformedToken {
    let text = credentials.trim_ascii();
    match text.first() {
        Some(b'"' | b'\'' | b'`') => MalformedToken::Quoted,
        Some(b'{') if text.contains(&b'"') => MalformedToken::WholeAnswer,
        Some(b'$' | b'<' | b'{' | b'%') => MalformedToken::Placeholder,
        _ if strip_scheme(text).is_some() => MalformedToken::SchemeTwice,
        _ => MalformedToken::Characters,
    }
}

const SCHEME: &[u8] = b"bearer";

/// What languages write for a value that is not there.
const NOTHINGS: [&[u8]; 5] = [b"null", b"undefined", b"None", b"nil", b"NaN"];
