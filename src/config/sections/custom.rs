//! `[token.custom]`: a login of the operator's own making.

use http::HeaderName;

use super::section::{kind, section};
use crate::config::document::Node;
use crate::config::keys::{Key, Shape};
use crate::config::reader::{Reader, joined};
use crate::config::values::{
    Expectations, Expected, Fields, HeaderFields, JsonPointer, Kind, OptionalPointer, Part,
    Template, choice,
};

choice! {
    /// HTTP method of a custom login.
    pub enum CustomMethod {
        Post = "POST",
        Put = "PUT",
        Get = "GET",
    }
}

choice! {
    /// Body format of a custom login.
    pub enum CustomFormat {
        Json = "json",
        Form = "form",
    }
}

section! {
    /// `method = "custom"`: any login that answers JSON.
    pub struct CustomTokenConfig {
        method: CustomMethod = CustomMethod::Post,
        format: CustomFormat = CustomFormat::Json,
        headers: Vec<(HeaderName, Template)> as HeaderFields = Vec::new(),
        /// Values may hold `{sso_token} {subject} {issuer} {claim:NAME} {client_id} {client_secret}`.
        body: Vec<(String, Template)> as Fields = Vec::new(),
        /// JSON Pointer (RFC 6901) to the token in the answer.
        token: JsonPointer = JsonPointer::new("/access_token").expect("it is one"),
        /// JSON Pointer to its lifetime in seconds.
        expires_in: Option<JsonPointer> as OptionalPointer = JsonPointer::new("/expires_in").ok(),
        /// JSON Pointer → values of which one must be there.
        success: Vec<Expected> as Expectations = Vec::new(),
        /// JSON Pointer → values that mean this caller is denied.
        denied: Vec<Expected> as Expectations = Vec::new(),
    }
}

impl CustomTokenConfig {
    /// All pieces of the texts that are sent.
    pub fn parts(&self) -> Vec<&Part> {
        let headers = self.headers.iter().map(|(_, template)| template);
        let body = self.body.iter().map(|(_, template)| template);
        headers.chain(body).flat_map(Template::parts).collect()
    }
}
