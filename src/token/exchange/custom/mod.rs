//! Any login that answers JSON: a request made from a template, an answer read by pointers.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use serde_json::value::RawValue;

pub use self::template::TemplateError;
use self::template::{Filling, Template};
use super::{Description, ExchangeRequest, ExchangeSetupError, TokenResponse, answer};
use crate::body::OutboundBody;
use crate::client::SmallAnswer;
use crate::config::{CustomFormat, CustomMethod, SecretFile, TokenConfig};
use crate::token::error::{Denial, Said, TokenError, Unusable};

mod template;

#[derive(Debug)]
pub(in crate::token) struct Custom {
    endpoint: Uri,
    method: CustomMethod,
    format: CustomFormat,
    headers: Vec<(HeaderName, Template)>,
    body: Vec<(String, Template)>,
    client_id: String,
    client_secret: SecretFile,
    token: String,
    expires_in: String,
    success: Vec<Rule>,
    denied: Vec<Rule>,
}

/// A place in the answer and the values looked for there.
#[derive(Debug)]
struct Rule {
    pointer: String,
    values: Vec<Value>,
}

impl Custom {
    pub(super) fn new(config: &TokenConfig) -> Result<Self, ExchangeSetupError> {
        let endpoint = config.endpoint.as_ref().ok_or(ExchangeSetupError::EndpointMissing)?;
        let custom = &config.custom;
        let wrong = ExchangeSetupError::Custom;
        let mut headers = Vec::new();
        for (name, value) in &custom.headers {
            let template = Template::parse_text(value).map_err(wrong)?;
            let name = name.parse().map_err(|_| wrong(TemplateError::HeaderName(name.clone())))?;
            headers.push((name, template));
        }
        let mut body = Vec::new();
        for (name, value) in &custom.body {
            body.push((name.clone(), Template::parse(value).map_err(wrong)?));
        }
        for pointer in [&custom.token, &custom.expires_in] {
            check_pointer(pointer).map_err(wrong)?;
        }
        Ok(Self {
            endpoint: endpoint.uri().clone(),
            method: custom.method,
            format: custom.format,
            headers,
            body,
            client_id: config.client_id.clone(),
            client_secret: config.client_secret_file.clone(),
            token: custom.token.clone(),
            expires_in: custom.expires_in.clone(),
            success: rules(&custom.success).map_err(wrong)?,
            denied: rules(&custom.denied).map_err(wrong)?,
        })
    }

    pub(super) fn describe(&self) -> Description {
        let fields: Vec<&str> = self.body.iter().map(|(name, _)| name.as_str()).collect();
        let sends = if fields.is_empty() { "no fields".to_owned() } else { fields.join(", ") };
        Description { how: format!("custom login at {}", self.endpoint), sends }
    }

    /// The names of the claims a caller must have.
    pub(super) fn claims(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        let headers = self.headers.iter().map(|(_, template)| template);
        let body = self.body.iter().map(|(_, template)| template);
        headers.chain(body).for_each(|template| template.claims(&mut names));
        names
    }

    /// The login of this caller. A caller without a claim the template names is denied.
    pub(super) fn request(
        &self,
        request: &ExchangeRequest<'_>,
    ) -> Result<Request<OutboundBody>, Denial> {
        let filling = Filling {
            caller: request.caller,
            client_id: &self.client_id,
            client_secret: self.client_secret.secret().expose_secret(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let mut fields = BTreeMap::new();
        for (name, template) in &self.body {
            fields.insert(name.as_str(), template.fill(&filling)?);
        }
        let mut uri = self.endpoint.clone();
        let mut body = OutboundBody::empty();
        if self.method == CustomMethod::Get {
            uri = with_query(uri, &form(&fields)).ok_or(Denial::ClaimTooLong)?;
        } else {
            let (content_type, text) = match self.format {
                CustomFormat::Json => {
                    let text = serde_json::to_string(&fields);
                    ("application/json", text.expect("JSON texts can be joined"))
                }
                CustomFormat::Form => ("application/x-www-form-urlencoded", form(&fields)),
            };
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            body = OutboundBody::from(Bytes::from(text));
        }
        for (name, template) in &self.headers {
            let text = template::text_of(&template.fill(&filling)?);
            // A value no header can carry comes from a claim: it names nobody the login knows.
            let mut value = HeaderValue::try_from(text).map_err(|_| Denial::ClaimMissing)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let mut request = Request::new(body);
        *request.method_mut() = match self.method {
            CustomMethod::Post => Method::POST,
            CustomMethod::Put => Method::PUT,
            CustomMethod::Get => Method::GET,
        };
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The token, where the pointers say it is.
    pub(super) fn read(&self, answer: &SmallAnswer) -> Result<TokenResponse, TokenError> {
        let body = answer::json(answer);
        let said = Said { status: answer.status.as_u16(), error: None };
        if let Some(body) = &body
            && !answer.status.is_server_error()
            && self.denied.iter().any(|rule| rule.holds(body))
        {
            return Err(TokenError::Denied(Denial::Endpoint(said)));
        }
        answer::refusal(answer, body.as_ref())?;
        let body = body.ok_or(TokenError::AnswerUnusable(Unusable::NotJson))?;
        if !self.success.iter().all(|rule| rule.holds(&body)) {
            return Err(TokenError::AnswerUnusable(Unusable::NotSuccess));
        }
        let token = body.pointer(&self.token).filter(|token| !token.is_null());
        let token = token.ok_or(TokenError::AnswerUnusable(Unusable::TokenAbsent))?;
        let expires_in = match self.expires_in.as_str() {
            "" => None,
            pointer => body.pointer(pointer).and_then(answer::seconds),
        };
        Ok(TokenResponse { token: answer::usable(token)?, expires_in, session: None })
    }
}

impl Rule {
    fn holds(&self, body: &Value) -> bool {
        body.pointer(&self.pointer).is_some_and(|found| self.values.iter().any(|v| same(v, found)))
    }
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

fn rules(config: &BTreeMap<String, Vec<toml::Value>>) -> Result<Vec<Rule>, TemplateError> {
    let rule = |(pointer, values): (&String, &Vec<toml::Value>)| {
        check_pointer(pointer)?;
        let values = values.iter().map(template::to_json).collect::<Result<_, _>>()?;
        Ok(Rule { pointer: pointer.clone(), values })
    };
    config.iter().map(rule).collect()
}

fn check_pointer(pointer: &str) -> Result<(), TemplateError> {
    if pointer.is_empty() || pointer.starts_with('/') {
        return Ok(());
    }
    Err(TemplateError::Pointer(pointer.to_owned()))
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
