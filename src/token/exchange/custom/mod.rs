//! Any login that answers JSON: a request made from a template, an answer read by pointers.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use serde_json::value::RawValue;

use self::template::{Filling, fill};
use super::{TokenResponse, answer};
use crate::accept::Accepted;
use crate::body::OutboundBody;
use crate::client::SmallAnswer;
use crate::config::{
    CustomFormat, CustomLogin, CustomMethod, CustomTokenConfig, Expected, HttpUrl,
};
use crate::token::error::{Denial, Said, TokenError, Unusable};

mod template;

/// The login of this caller. A caller without a claim the template names is denied.
pub(super) fn request(
    endpoint: &HttpUrl,
    login: &CustomLogin,
    caller: &Accepted,
) -> Result<Request<OutboundBody>, Denial> {
    let filling = Filling {
        caller,
        client_id: &login.client_id,
        client_secret: login.client_secret.expose_secret(),
    };
    let keys = &login.keys;
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let mut fields = BTreeMap::new();
    for (name, template) in &keys.body {
        fields.insert(name.as_str(), fill(template, &filling)?);
    }
    let mut uri = endpoint.uri().clone();
    let mut body = OutboundBody::empty();
    if keys.method == CustomMethod::Get {
        uri = with_query(uri, &form(&fields)).ok_or(Denial::ClaimTooLong)?;
    } else {
        let (content_type, text) = match keys.format {
            CustomFormat::Json => {
                let text = serde_json::to_string(&fields);
                ("application/json", text.expect("JSON texts can be joined"))
            }
            CustomFormat::Form => ("application/x-www-form-urlencoded", form(&fields)),
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        body = OutboundBody::from(Bytes::from(text));
    }
    for (name, template) in &keys.headers {
        let text = template::text_of(&fill(template, &filling)?);
        // A value no header can carry comes from a claim: it names nobody the login knows.
        let mut value = HeaderValue::try_from(text).map_err(|_| Denial::ClaimMissing)?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let mut request = Request::new(body);
    *request.method_mut() = match keys.method {
        CustomMethod::Post => Method::POST,
        CustomMethod::Put => Method::PUT,
        CustomMethod::Get => Method::GET,
    };
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The token, where the pointers say it is.
pub(super) fn read(
    keys: &CustomTokenConfig,
    answer: &SmallAnswer,
) -> Result<TokenResponse, TokenError> {
    let body = answer::json(answer);
    let said = Said { status: answer.status.as_u16(), error: None };
    if let Some(body) = &body
        && !answer.status.is_server_error()
        && keys.denied.iter().any(|expected| holds(expected, body))
    {
        return Err(TokenError::Denied(Denial::Endpoint(said)));
    }
    answer::refusal(answer, body.as_ref())?;
    let body = body.ok_or(TokenError::AnswerUnusable(Unusable::NotJson))?;
    if !keys.success.iter().all(|expected| holds(expected, &body)) {
        return Err(TokenError::AnswerUnusable(Unusable::NotSuccess));
    }
    let token = keys.token.find(&body).filter(|token| !token.is_null());
    let token = token.ok_or(TokenError::AnswerUnusable(Unusable::TokenAbsent))?;
    let expires_in = keys.expires_in.as_ref().and_then(|at| at.find(&body));
    let expires_in = expires_in.and_then(answer::seconds);
    Ok(TokenResponse { token: answer::usable(token)?, expires_in, session: None })
}
fn holds(expected: &Expected, body: &Value) -> bool {
    expected.at.find(body).is_some_and(|found| expected.one_of.iter().any(|v| same(v, found)))
}

/// Numbers are equal by value, so that `0` finds `0.0` too.
fn same(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Number(wanted), Value::Number(found)) => {
            wanted == found || wanted.as_f64() == found.as_f64()
        }
        _ => wanted == found,
    }
}

fn form(fields: &BTreeMap<&str, Box<RawValue>>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        form.append_pair(name, &template::text_of(value));
    }
    form.finish()
}

/// None when it would be longer than an address may be: 64 KiB.
fn with_query(uri: Uri, query: &str) -> Option<Uri> {
    let joined = match (uri.query(), query) {
        (_, "") => return Some(uri),
        (None, query) => format!("{}?{query}", uri.path()),
        (Some(present), query) => format!("{}?{present}&{query}", uri.path()),
    };
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(joined.parse().ok()?);
    Uri::from_parts(parts).ok()
}
