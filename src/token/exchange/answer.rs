//! What the token endpoint's answers mean, in every shape that is documented or seen.
//!
//! OAuth answers put `access_token` at the top (RFC 6749 section 5.1); KooDrive's put
//! `accessToken` at the top, into `data` or into `data.sessionInfo`, with `code` as number or
//! string and sometimes with the scheme inside the value.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

use super::TokenResponse;
use crate::client::SmallAnswer;
use crate::config::without_bom;
use crate::token::error::{
    At, Crowded, Denial, Outage, RETRY_AFTER_MIN, Said, TokenError, Unusable,
};

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
    check_types(holder)?;
    let session = member(holder, ["refresh_token", "refreshToken"])
        .and_then(Value::as_str)
        .filter(|session| !session.is_empty())
        .map(SecretString::from);
    let expires_in = member(holder, ["expires_in", "expiresIn"]).and_then(seconds);
    Ok(TokenResponse { token: usable(token)?, expires_in, session })
}

/// RFC 6749 section 7.1 and RFC 8693 section 2.2.1: what the token is must be something that can be
/// sent as a bearer.
fn check_types(holder: &Value) -> Result<(), TokenError> {
    let text = |names| member(holder, names).map(|value| value.as_str().unwrap_or_default());
    let of_bearer =
        |name: &str| ["bearer", "n_a"].iter().any(|ours| ours.eq_ignore_ascii_case(name));
    if text(["token_type", "tokenType"]).is_some_and(|name| !of_bearer(name)) {
        return Err(TokenError::AnswerUnusable(Unusable::NotBearer));
    }
    let issued = text(["issued_token_type", "issuedTokenType"]).unwrap_or_default();
    if NO_ACCESS_TOKENS.contains(&issued) {
        return Err(TokenError::AnswerUnusable(Unusable::NoAccessToken));
    }
    Ok(())
}

/// The body as JSON, if it is.
pub(super) fn json(answer: &SmallAnswer) -> Option<Value> {
    serde_json::from_slice(without_bom(&answer.body)).ok()
}

/// What any status but success means.
pub(super) fn refusal(answer: &SmallAnswer, body: Option<&Value>) -> Result<(), TokenError> {
    if answer.status.is_success() {
        return Ok(());
    }
    let status = answer.status.as_u16();
    let (error, meaning) = meaning_of(status, error(body));
    let said = Said { status, error };
    Err(match meaning {
        Meaning::Denied => TokenError::Denied(Denial::Endpoint(said)),
        Meaning::Refused => TokenError::AnswerUnusable(Unusable::Refused(said)),
        Meaning::Busy => {
            let who = Crowded::Endpoint { at: At::default(), said };
            TokenError::Busy { retry_after: RETRY_AFTER_MIN, who }
        }
        Meaning::Down => {
            let (at, retry_after) = (At::default(), RETRY_AFTER_MIN);
            TokenError::Unavailable { at, retry_after, cause: Outage::Status(said) }
        }
    })
}

/// What an answer without a token says of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Of the caller: must sign in anew, consent, prove a second factor, or may not.
    Denied,
    /// Of the gateway: its credentials, its rights, what it asks for.
    Refused,
    /// Of the endpoint: it has enough for now.
    Busy,
    /// Of the endpoint: it does not work.
    Down,
}

/// The table of the token endpoint's refusals, by status and OAuth `error`; a known error is named.
fn meaning_of(status: u16, error: Option<&str>) -> (Option<&'static str>, Meaning) {
    let known = ERRORS.iter().find(|(name, _)| Some(*name) == error);
    let meaning = match (status, known) {
        (500.. | 408, _) => Meaning::Down,
        (429, _) => Meaning::Busy,
        (403, _) => Meaning::Denied,
        (400, Some((_, meaning))) => *meaning,
        _ => Meaning::Refused,
    };
    (known.map(|(name, _)| *name), meaning)
}

/// What `error` means beside status 400: RFC 6749 sections 4.1.2.1 and 5.2, RFC 8628 section 3.5,
/// RFC 8693 section 2.2.2, RFC 6750 section 3.1, OpenID Connect Core section 3.1.2.6.
///
/// `invalid_request` is the caller's: so RFC 8693 answers a subject token that is "invalid for any
/// reason", such as that of a user who has signed out. Our own request is the same each time.
const ERRORS: [(&str, Meaning); 16] = [
    ("invalid_grant", Meaning::Denied),
    ("invalid_request", Meaning::Denied),
    ("invalid_token", Meaning::Denied),
    ("access_denied", Meaning::Denied),
    ("interaction_required", Meaning::Denied),
    ("login_required", Meaning::Denied),
    ("consent_required", Meaning::Denied),
    ("account_selection_required", Meaning::Denied),
    ("invalid_client", Meaning::Refused),
    ("unauthorized_client", Meaning::Refused),
    ("unsupported_grant_type", Meaning::Refused),
    ("invalid_scope", Meaning::Refused),
    ("invalid_target", Meaning::Refused),
    ("slow_down", Meaning::Busy),
    ("temporarily_unavailable", Meaning::Down),
    ("server_error", Meaning::Down),
];

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

/// Types of tokens that prove nothing to a resource server (RFC 8693 section 3).
const NO_ACCESS_TOKENS: [&str; 2] =
    ["urn:ietf:params:oauth:token-type:refresh_token", "urn:ietf:params:oauth:token-type:id_token"];
/// Objects that may hold the token, as JSON Pointers.
const HOLDERS: [&str; 3] = ["", "/data", "/data/sessionInfo"];
const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// A hundred years.
const SECONDS_MAX: f64 = 3.2e9;

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn answer(status: u16, body: &str) -> SmallAnswer {
        let status = StatusCode::from_u16(status).unwrap();
        SmallAnswer { status, headers: http::HeaderMap::new(), body: body.to_owned().into() }
    }

    #[test]
    fn each_status_and_error_means_what_the_table_of_the_token_endpoint_says() {
        use Meaning::{Busy, Denied, Down, Refused};
        let rows: [(u16, &[&str], Meaning); 9] = [
            (
                400,
                &[
                    "invalid_grant",
                    "invalid_request",
                    "invalid_token",
                    "access_denied",
                    "interaction_required",
                    "login_required",
                    "consent_required",
                    "account_selection_required",
                ],
                Denied,
            ),
            (403, &["", "access_denied", "invalid_client", "something_else"], Denied),
            (401, &["", "invalid_client", "invalid_token", "invalid_request"], Refused),
            (
                400,
                &[
                    "invalid_client",
                    "unauthorized_client",
                    "unsupported_grant_type",
                    "invalid_scope",
                    "invalid_target",
                    "",
                    "something_else",
                    "Invalid_Grant",
                ],
                Refused,
            ),
            (404, &["", "invalid_grant"], Refused),
            (429, &["", "invalid_client"], Busy),
            (400, &["slow_down"], Busy),
            (503, &["", "invalid_grant", "slow_down"], Down),
            (400, &["temporarily_unavailable", "server_error"], Down),
        ];
        for (status, errors, expected) in rows {
            for error in errors {
                let body = serde_json::json!({ "error": error }).to_string();
                let found = match read(&answer(status, &body)) {
                    Err(TokenError::Denied(Denial::Endpoint(_))) => Denied,
                    Err(TokenError::AnswerUnusable(Unusable::Refused(_))) => Refused,
                    Err(TokenError::Busy { who: Crowded::Endpoint { .. }, .. }) => Busy,
                    Err(TokenError::Unavailable { cause: Outage::Status(_), .. }) => Down,
                    other => panic!("{status} {error}: {other:?}"),
                };
                assert_eq!(found, expected, "{status} {error}");
            }
        }
    }

    #[test]
    fn a_byte_order_mark_before_the_answer_is_skipped() {
        let read = read(&answer(200, "\u{feff}{\"access_token\":\"a\"}")).unwrap();
        assert_eq!(secrecy::ExposeSecret::expose_secret(&read.token), "a");
    }

    #[test]
    fn an_error_shows_a_known_code_and_nothing_of_the_endpoints_own_text() {
        let said = |body| read(&answer(400, body)).unwrap_err().to_string();
        assert!(said(r#"{"error":"consent_required"}"#).ends_with("answered 400 consent_required"));
        assert!(said(r#"{"error":"slow_down"}"#).ends_with("answered 400 slow_down"));
        let strange = said(r#"{"error":"s3cr3t","error_description":"s3cr3t"}"#);
        assert!(!strange.contains("s3cr3t"), "{strange}");
    }
}
