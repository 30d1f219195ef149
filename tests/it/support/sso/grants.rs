//! The token endpoint: who asks (RFC 6749 section 2.3, RFC 7523), for what, and may they.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Map, Value, json};

use crate::support::sso::keys::{SigningKey, decode};

pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
pub const GRANTS: [&str; 4] = [TOKEN_EXCHANGE, JWT_BEARER, "client_credentials", "refresh_token"];
const SUBJECT_TOKEN_TYPES: [&str; 2] =
    ["urn:ietf:params:oauth:token-type:access_token", "urn:ietf:params:oauth:token-type:jwt"];

type Object = Map<String, Value>;

/// What a legal request asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    /// A KooDrive token for the user an SSO token is about.
    Subject {
        subject: String,
        exchanged: bool,
    },
    /// A KooDrive token for the client itself.
    Client,
    Refresh {
        refresh_token: String,
    },
}

/// Why not (RFC 6749 section 5.2).
#[derive(Debug, PartialEq, Eq)]
pub struct Denied {
    pub status: u16,
    pub error: &'static str,
    pub description: String,
}

/// What the endpoint knows when it decides.
pub struct Rules<'a> {
    pub issuer: &'a str,
    pub token_endpoint: &'a str,
    pub client_id: &'a str,
    /// More than one while they are being rotated.
    pub client_secrets: Vec<String>,
    /// For `private_key_jwt`.
    pub client_key: &'a SigningKey,
    pub keys: Vec<std::sync::Arc<SigningKey>>,
    /// Seconds since 1970, as the SSO sees it.
    pub now: i64,
}

impl Rules<'_> {
    pub fn judge(&self, headers: &HeaderMap, body: &[u8]) -> Result<Wish, Denied> {
        let form = read_form(headers, body)?;
        self.authenticate(headers, &form)?;
        let need = |name: &str| {
            let value = form.get(name).filter(|value| !value.is_empty());
            value.ok_or_else(|| invalid_request(format!("`{name}` is missing")))
        };
        match need("grant_type")?.as_str() {
            TOKEN_EXCHANGE => {
                let kind = need("subject_token_type")?;
                if !SUBJECT_TOKEN_TYPES.contains(&kind.as_str()) {
                    return Err(invalid_request(format!("subject_token_type `{kind}`")));
                }
                if form.contains_key("actor_token") {
                    return Err(invalid_request("actor tokens are not taken here".to_owned()));
                }
                let subject = self.subject(need("subject_token")?, "invalid_request")?;
                Ok(Wish::Subject { subject, exchanged: true })
            }
            JWT_BEARER => {
                let subject = self.subject(need("assertion")?, "invalid_grant")?;
                Ok(Wish::Subject { subject, exchanged: false })
            }
            "client_credentials" => Ok(Wish::Client),
            "refresh_token" => Ok(Wish::Refresh { refresh_token: need("refresh_token")?.clone() }),
            other => Err(Denied {
                status: 400,
                error: "unsupported_grant_type",
                description: format!("`{other}`"),
            }),
        }
    }

    fn authenticate(
        &self,
        headers: &HeaderMap,
        form: &BTreeMap<String, String>,
    ) -> Result<(), Denied> {
        let failed = |why: &str| Denied {
            status: 401,
            error: "invalid_client",
            description: why.to_owned(),
        };
        let mut authorizations = headers.get_all(AUTHORIZATION).iter();
        let (header, another) = (authorizations.next(), authorizations.next());
        let posted = form.contains_key("client_secret");
        let asserted = form.contains_key("client_assertion");
        match (header, another, posted, asserted) {
            (Some(header), None, false, false) => {
                let basic = header.to_str().ok().and_then(|value| value.strip_prefix("Basic "));
                let basic = basic.and_then(|value| STANDARD.decode(value).ok());
                let basic = basic.and_then(|value| String::from_utf8(value).ok());
                let Some((id, secret)) = basic.as_deref().and_then(|text| text.split_once(':'))
                else {
                    return Err(failed("no Basic credentials"));
                };
                // RFC 6749 section 2.3.1: both are form-encoded before base64.
                let right = form_decoded(id) == self.client_id
                    && self.client_secrets.contains(&form_decoded(secret));
                if right { Ok(()) } else { Err(failed("unknown client or wrong secret")) }
            }
            (None, None, true, false) => {
                let right = form.get("client_id").map(String::as_str) == Some(self.client_id)
                    && form
                        .get("client_secret")
                        .is_some_and(|secret| self.client_secrets.contains(secret));
                if right { Ok(()) } else { Err(failed("unknown client or wrong secret")) }
            }
            (None, None, false, true) => self.assertion(form).map_err(|why| failed(&why)),
            (None, None, false, false) => Err(failed("no client authentication")),
            _ => Err(invalid_request("more than one client authentication".to_owned())),
        }
    }

    /// `private_key_jwt` (RFC 7523 section 3).
    fn assertion(&self, form: &BTreeMap<String, String>) -> Result<(), String> {
        if form.get("client_assertion_type").map(String::as_str) != Some(CLIENT_ASSERTION) {
            return Err("client_assertion_type".to_owned());
        }
        let assertion = form.get("client_assertion").map_or("", String::as_str);
        let (header, claims) = self.verified(assertion, &[self.client_key])?;
        if header.get("kid").is_some_and(|kid| kid != self.client_key.kid()) {
            return Err("kid".to_owned());
        }
        for claim in ["iss", "sub"] {
            if claims.get(claim).and_then(Value::as_str) != Some(self.client_id) {
                return Err(format!("{claim} is not the client"));
            }
        }
        let for_us = |audience: &Value| audience == self.token_endpoint || audience == self.issuer;
        match claims.get("aud") {
            Some(Value::Array(all)) if all.iter().any(for_us) => {}
            Some(one) if for_us(one) => {}
            _ => return Err("aud is neither the token endpoint nor the issuer".to_owned()),
        }
        if !claims.get("jti").is_some_and(Value::is_string) {
            return Err("jti is missing".to_owned());
        }
        Ok(())
    }

    /// The subject of one of our own tokens.
    fn subject(&self, token: &str, error: &'static str) -> Result<String, Denied> {
        let denied = |description| Denied { status: 400, error, description };
        let keys: Vec<_> = self.keys.iter().map(AsRef::as_ref).collect();
        let (_, claims) = self.verified(token, &keys).map_err(denied)?;
        if claims.get("iss").and_then(Value::as_str) != Some(self.issuer) {
            return Err(denied("the token is of another issuer".to_owned()));
        }
        match claims.get("sub") {
            Some(Value::String(subject)) => Ok(subject.clone()),
            _ => Err(denied("the token has no subject".to_owned())),
        }
    }

    /// Header and claims of a token that one of these keys signed and that has not expired.
    fn verified(&self, token: &str, keys: &[&SigningKey]) -> Result<(Object, Object), String> {
        let parts: Vec<_> = token.split('.').collect();
        let [header, payload, signature] = parts[..] else {
            return Err("the token has not three parts".to_owned());
        };
        let object = |part: &str| -> Option<Object> { serde_json::from_slice(&decode(part)?).ok() };
        let (Some(head), Some(claims)) = (object(header), object(payload)) else {
            return Err("the token is not made of JSON objects".to_owned());
        };
        let signature = decode(signature).ok_or("the signature is not base64url")?;
        let algorithm = head.get("alg").and_then(Value::as_str).unwrap_or_default();
        let input = format!("{header}.{payload}");
        let signed = |key: &&SigningKey| key.verifies(algorithm, input.as_bytes(), &signature);
        if !keys.iter().any(signed) {
            return Err("no key made this signature".to_owned());
        }
        match claims.get("exp").and_then(Value::as_i64) {
            Some(at) if self.now < at => Ok((head, claims)),
            _ => Err("the token has expired".to_owned()),
        }
    }
}

impl Denied {
    pub fn body(&self) -> Value {
        json!({ "error": self.error, "error_description": self.description })
    }
}

fn invalid_request(description: String) -> Denied {
    Denied { status: 400, error: "invalid_request", description }
}

/// Each parameter at most once (RFC 6749 section 3.2).
fn read_form(headers: &HeaderMap, body: &[u8]) -> Result<BTreeMap<String, String>, Denied> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.and_then(|value| value.split(';').next()).map(str::trim);
    if content_type != Some("application/x-www-form-urlencoded") {
        return Err(invalid_request("the body is not a form".to_owned()));
    }
    let mut form = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(body).into_owned() {
        if form.insert(name.clone(), value).is_some() {
            return Err(invalid_request(format!("`{name}` came twice")));
        }
    }
    Ok(form)
}

fn form_decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}
