//! What the SSO answers, endpoint by endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use crate::support::recording::{Received, Seen, random_hex, read};
use crate::support::server::{Answer, Cut, json_answer, whole};
use crate::support::sso::grants::{Denied, Rules, Wish};
use crate::support::sso::{State, grants};

impl State {
    pub(super) async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        connection: u64,
    ) -> Result<Answer, Cut> {
        let (head, body) = request.into_parts();
        let body = read(body).await;
        let target = head.uri.path_and_query().map_or("", |target| target.as_str()).to_owned();
        let received = Received {
            at: self.clock.now(),
            connection,
            version: head.version,
            method: head.method,
            target,
            headers: head.headers,
            body,
        };
        let canaries = &self.sessions.canaries;
        canaries.note_credentials("credentials for the token endpoint", &received.headers);
        let form = form_urlencoded::parse(&received.body.prefix);
        for (_, assertion) in form.filter(|(name, _)| name == "client_assertion") {
            canaries.note_token("a client assertion", &assertion);
        }
        self.received.add(received.clone());
        let realm = format!("/realms/{}", self.realm);
        let path = received.path().strip_prefix(&realm).unwrap_or_default();
        let switch = match (&received.method, path) {
            (&Method::GET, "/.well-known/openid-configuration") => &self.discovery,
            (&Method::GET, "/jwks") => &self.jwks,
            (&Method::POST, "/token") => &self.token,
            (&Method::GET, "/demo-token") if self.demo_tokens => {
                return Ok(self.demo_token(&received));
            }
            _ => return Ok(json_answer(404, &json!({ "error": "not found" }))),
        };
        let behaviour = switch.draw();
        switch.pass(&behaviour).await?;
        Ok(behaviour.dress(|| match path {
            "/jwks" => self.key_set(),
            "/token" => self.token_answer(&received.headers, &received.body),
            _ => json_answer(200, &self.configuration()),
        }))
    }

    /// OpenID Connect Discovery 1.0, section 3.
    fn configuration(&self) -> Value {
        json!({
            "issuer": self.issuer(),
            "authorization_endpoint": self.issuer() + "/auth",
            "token_endpoint": self.token_endpoint(),
            "jwks_uri": self.jwks_url(),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
            "grant_types_supported": grants::GRANTS,
            "token_endpoint_auth_methods_supported":
                ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        })
    }

    fn key_set(&self) -> Answer {
        let keys = self.lock_keys();
        let mut all: Vec<_> = keys.published.iter().map(|key| key.jwk()).collect();
        all.extend(keys.extra.iter().cloned());
        let mut answer = json_answer(200, &json!({ "keys": all }));
        if let Some(value) = &keys.cache_control {
            answer.headers_mut().insert(CACHE_CONTROL, value.clone());
        }
        answer
    }

    fn token_answer(&self, headers: &HeaderMap, body: &Seen) -> Answer {
        let (issuer, token_endpoint) = (self.issuer(), self.token_endpoint());
        let rules = Rules {
            issuer: &issuer,
            token_endpoint: &token_endpoint,
            client_id: &self.client_id,
            client_secrets: self.client_secrets(),
            client_key: &self.client_key,
            keys: self.lock_keys().published.clone(),
            now: self.clock.unix_seconds(),
        };
        match rules.judge(headers, &body.prefix).and_then(|wish| self.grant(wish)) {
            Ok(granted) => {
                self.granted.fetch_add(1, Ordering::Relaxed);
                let mut answer = json_answer(200, &granted);
                answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                answer
            }
            Err(denied) => {
                let mut answer = json_answer(denied.status, &denied.body());
                if denied.status == 401 {
                    let challenge = HeaderValue::from_static("Basic realm=\"tools\"");
                    answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                }
                answer
            }
        }
    }

    fn grant(&self, wish: Wish) -> Result<Value, Denied> {
        let mut wording = self.lock_wording();
        let refused = |error, description: &str| Denied {
            status: 400,
            error,
            description: description.to_owned(),
        };
        let (subject, exchanged) = match wish {
            Wish::Subject { subject, exchanged } => (subject, exchanged),
            Wish::Client => (self.client_id.clone(), false),
            Wish::Refresh { refresh_token } => {
                let known = wording.refresh_tokens.as_mut();
                let subject = known.and_then(|known| known.remove(&refresh_token));
                let subject = subject.ok_or_else(|| refused("invalid_grant", "unknown token"))?;
                (subject, false)
            }
        };
        if wording.denied_subjects.contains(&subject) {
            return Err(refused("access_denied", "this user has no KooDrive account"));
        }
        let token = self.sessions.issue(&subject);
        let mut answer = Map::new();
        answer.insert("access_token".to_owned(), json!(format!("{}{token}", wording.prefix)));
        answer.insert("token_type".to_owned(), json!("Bearer"));
        if exchanged {
            let kind = json!("urn:ietf:params:oauth:token-type:access_token");
            answer.insert("issued_token_type".to_owned(), kind);
        }
        if let Some(seconds) = wording.expires_in {
            answer.insert("expires_in".to_owned(), json!(seconds));
        }
        if let Some(known) = &mut wording.refresh_tokens {
            let refresh_token = random_hex(24);
            self.sessions.canaries.note("a refresh token", &refresh_token);
            known.insert(refresh_token.clone(), subject);
            answer.insert("refresh_token".to_owned(), json!(refresh_token));
        }
        Ok(Value::Object(answer))
    }

    /// `?subject=alice&expires_in=300`, as plain text.
    fn demo_token(&self, received: &Received) -> Answer {
        let query = received.query().unwrap_or_default();
        let query: BTreeMap<_, _> = form_urlencoded::parse(query.as_bytes()).collect();
        let subject = query.get("subject").map_or("alice", AsRef::as_ref);
        let seconds = query.get("expires_in").and_then(|seconds| seconds.parse().ok());
        let token = self.mint(subject).expires_in(seconds.unwrap_or(self.token_seconds)).sign();
        let mut answer = Response::new(whole(token));
        let text = HeaderValue::from_static("text/plain");
        answer.headers_mut().insert(CONTENT_TYPE, text);
        answer
    }
}
