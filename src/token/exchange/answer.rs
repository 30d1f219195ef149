//! What the token endpoint's answers mean, in every shape that is documented or seen.
//!
//! OAuth answers put `access_token` at the top (RFC 6749 section 5.1); KooDrive's put
//! `accessToken` at the top, into `data` or into `data.sessionInfo`, with `code` as number or
//! string and sometimes with the scheme inside the value.

use std::time::Duration;

use http::StatusCode;
use secrecy::SecretString;
use serde_json::Value;

use super::TokenResponse;
use crate::client::{SmallAnswer, retry_after};
use crate::token::error::{Denial, Outage, RETRY_AFTER_MIN, TokenError, Unusable};

/// The token in a standard answer.
pub(super) fn read(answer: &SmallAnswer) -> Result<TokenResponse, TokenError> {
    let body = json(answer);
    refusal(answer, body.as_ref())?;
    let body = body.ok_or(TokenError::AnswerUnusable(Unusable::NotJson))?;
    if !envelope_succeeded(&body) {
        return Err(TokenError::AnswerUnusable(Unusable::NotSuccess));
    }
    let absent = TokenError::AnswerUnusable(Unusable::TokenAbsent);
    let (holder, token) = HOLDERS
        .iter()
        .filter_map(|holder| body.pointer(holder))
        .find_map(|holder| Some((holder, member(holder, ["access_token", "accessToken"])?)))
        .ok_or(absent)?;
    let session = member(holder, ["refresh_token", "refreshToken"])
        .and_then(Value::as_str)
        .filter(|session| !session.is_empty())
        .map(SecretString::from);
    let expires_in = member(holder, ["expires_in", "expiresIn"]).and_then(seconds);
    Ok(TokenResponse { token: usable(token)?, expires_in, session })
}

/// The token in the answer to a token exchange.
///
/// RFC 8693 section 2.2.2: a subject token that is "invalid for any reason" is answered with
/// `invalid_request`. So Keycloak says of a user who has signed out; it says nothing of us.
pub(super) fn read_exchange(answer: &SmallAnswer) -> Result<TokenResponse, TokenError> {
    let status = answer.status;
    if status == StatusCode::BAD_REQUEST && error(json(answer).as_ref()) == Some("invalid_request")
    {
        return Err(TokenError::Denied(Denial::Endpoint { status: status.as_u16() }));
    }
    read(answer)
}

/// The body as JSON, if it is.
pub(super) fn json(answer: &SmallAnswer) -> Option<Value> {
    serde_json::from_slice(&answer.body).ok()
}

/// What any status but success means.
pub(super) fn refusal(answer: &SmallAnswer, body: Option<&Value>) -> Result<(), TokenError> {
    let status = answer.status;
    let code = status.as_u16();
    if status.is_success() {
        return Ok(());
    }
    if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
        let retry_after = wait_asked_for(answer);
        return Err(TokenError::Unavailable { retry_after, cause: Outage::Status(code) });
    }
    Err(match (status, error(body)) {
        (StatusCode::TOO_MANY_REQUESTS, _) => {
            let retry_after = wait_asked_for(answer);
            TokenError::Busy { retry_after }
        }
        (StatusCode::FORBIDDEN, _)
        | (StatusCode::BAD_REQUEST, Some("invalid_grant" | "access_denied")) => {
            TokenError::Denied(Denial::Endpoint { status: code })
        }
        _ => TokenError::AnswerUnusable(Unusable::Refused { status: code }),
    })
}

/// The `error` of RFC 6749 section 5.2.
fn error(body: Option<&Value>) -> Option<&str> {
    body?.get("error")?.as_str()
}

/// The token in `value`, without the scheme some answers put into it.
pub(super) fn usable(value: &Value) -> Result<SecretString, TokenError> {
    let unusable = |why| Err(TokenError::AnswerUnusable(why));
    let Some(text) = value.as_str() else { return unusable(Unusable::TokenNotText) };
    let token = strip_scheme(text.trim_matches(' '));
    if TOKEN_BYTES_MAX < token.len() {
        return unusable(Unusable::TokenTooLong);
    }
    if !token.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return unusable(Unusable::TokenIllegal);
    }
    if token.is_empty() {
        return unusable(Unusable::TokenEmpty);
    }
    Ok(SecretString::from(token))
}

/// A lifetime in seconds, as number or as numeric string. Whatever is negative has expired.
pub(super) fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    if seconds.is_nan() {
        return None;
    }
    Some(Duration::from_secs_f64(seconds.clamp(0.0, SECONDS_MAX).floor()))
}

/// `Bearer` or `AT` in any case, with the space or plus behind it; alone, it is all scheme.
fn strip_scheme(text: &str) -> &str {
    for scheme in ["bearer", "at"] {
        let Some((head, rest)) = text.split_at_checked(scheme.len()) else { continue };
        if !head.eq_ignore_ascii_case(scheme) {
            continue;
        }
        if rest.is_empty() {
            return "";
        }
        if let Some(token) = rest.strip_prefix([' ', '+']) {
            return token.trim_start_matches(' ');
        }
    }
    text
}

/// KooDrive's envelope: `code` 0 as number or string. OAuth answers have no `code`.
fn envelope_succeeded(body: &Value) -> bool {
    match body.get("code") {
        None | Some(Value::Null) => true,
        Some(Value::Number(code)) => code.as_f64() == Some(0.0),
        Some(Value::String(code)) => code == "0",
        Some(_) => false,
    }
}

fn member<'a, const N: usize>(holder: &'a Value, names: [&str; N]) -> Option<&'a Value> {
    let present = |name| holder.get(name).filter(|value| !value.is_null());
    names.into_iter().find_map(present)
}

/// At least a second, so that a caller who obeys does not come back at once.
fn wait_asked_for(answer: &SmallAnswer) -> Duration {
    retry_after(&answer.headers).unwrap_or(RETRY_AFTER_MIN).max(RETRY_AFTER_MIN)
}

/// Objects that may hold the token, as JSON Pointers.
const HOLDERS: [&str; 3] = ["", "/data", "/data/sessionInfo"];
const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// A hundred years.
const SECONDS_MAX: f64 = 3.2e9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_token_that_the_sso_refuses_is_the_callers_only_in_an_exchange() {
        let refused = Err("refused");
        let denied = Err("denied");
        for (status, error, exchange, other) in [
            (400, "invalid_request", denied, refused),
            (400, "invalid_grant", denied, denied),
            (400, "invalid_client", refused, refused),
            (400, "invalid_target", refused, refused),
            (401, "invalid_request", refused, refused),
            (403, "access_denied", denied, denied),
        ] {
            let answer = SmallAnswer {
                status: StatusCode::from_u16(status).unwrap(),
                headers: http::HeaderMap::new(),
                body: serde_json::json!({ "error": error }).to_string().into(),
            };
            assert_eq!(verdict(&read_exchange(&answer)), exchange, "exchange: {status} {error}");
            assert_eq!(verdict(&read(&answer)), other, "other methods: {status} {error}");
        }
    }

    fn verdict(given: &Result<TokenResponse, TokenError>) -> Result<(), &'static str> {
        match given {
            Ok(_) => Ok(()),
            Err(TokenError::Denied(_)) => Err("denied"),
            Err(TokenError::AnswerUnusable(Unusable::Refused { .. })) => Err("refused"),
            Err(_) => Err("something else"),
        }
    }
}
