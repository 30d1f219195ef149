//! The least work that the tiers of `tests/bench/peers` can be done with: one key, a table of tokens
//! seen before, a token for KooDrive that never changes, an X-Traceid; in tier 2 the batch in memory,
//! parsed into types.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::body::Incoming;
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

const BODY_MAX: usize = 1024 * 1024;
const TOKENS_MAX: usize = 100_000;

pub(crate) struct Checks {
    key: DecodingKey,
    validation: Validation,
    tier: u8,
    seen: Mutex<HashMap<Box<[u8]>, u64>>,
    calls: AtomicU64,
}

#[derive(Deserialize)]
struct Claims {
    exp: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "parsing them is what is measured")]
struct Batch<'a> {
    cur_dept_id: u64,
    #[serde(borrow)]
    users: Vec<User<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "parsing them is what is measured")]
struct User<'a> {
    #[serde(borrow)]
    target_dept_name: Option<Cow<'a, str>>,
    personal_capacity: u64,
    is_allocate_capacity: bool,
}

impl Checks {
    /// `jwks` is a file with a key set; its key for RS256 is the one that counts.
    pub(crate) fn new(jwks: &str, tier: u8) -> Self {
        let jwks = fs::read(jwks).expect("the keys can be read");
        let jwks: JwkSet = serde_json::from_slice(&jwks).expect("a key set");
        let is_rs256 = |jwk: &&Jwk| jwk.common.key_algorithm == Some(KeyAlgorithm::RS256);
        let jwk = jwks.keys.iter().find(is_rs256).expect("a key for RS256");
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&["koodrive-gateway"]);
        validation.set_issuer(&["https://sso.bench.example"]);
        Self {
            key: DecodingKey::from_jwk(jwk).expect("a usable key"),
            validation,
            tier,
            seen: Mutex::default(),
            calls: AtomicU64::default(),
        }
    }

    pub(crate) async fn pass(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<Request<Either<Incoming, Full<Bytes>>>, StatusCode> {
        if !self.accepts(request.headers()) {
            return Err(StatusCode::UNAUTHORIZED);
        }
        let id = format!("{:058}", self.calls.fetch_add(1, Ordering::Relaxed));
        let id = HeaderValue::try_from(id).expect("digits are legal in a header");
        request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static(UPSTREAM_TOKEN));
        request.headers_mut().insert("x-traceid", id);
        if self.tier < 2 {
            return Ok(request.map(Either::Left));
        }
        let (head, body) = request.into_parts();
        #[expect(clippy::disallowed_methods, reason = "the body is limited")]
        let body = Limited::new(body, BODY_MAX).collect().await;
        let body = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?.to_bytes();
        serde_json::from_slice::<Batch<'_>>(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
        Ok(Request::from_parts(head, Either::Right(Full::new(body))))
    }

    fn accepts(&self, headers: &HeaderMap) -> bool {
        let token =
            headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        let Some(token) = token else { return false };
        #[expect(clippy::disallowed_methods, reason = "it is no part of the gateway")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let mut seen = self.seen.lock().expect("nobody panics here");
        if let Some(expires) = seen.get(token) {
            return now < *expires;
        }
        let Ok(verified) = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation)
        else {
            return false;
        };
        if TOKENS_MAX <= seen.len() {
            seen.clear();
        }
        seen.insert(token.into(), verified.claims.exp);
        true
    }
}

const UPSTREAM_TOKEN: &str = "Bearer koodrive-token-that-never-changes";
