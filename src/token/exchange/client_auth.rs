//! How the gateway proves itself to an OAuth token endpoint, and the form it posts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::Description;
use crate::blocking::Blocking;
use crate::body::OutboundBody;
use crate::config::{
    AssertionAlgorithm, AssertionKey, ClientProof, HttpUrl, LiveFile, OAuthClient,
};
use crate::token::error::{TokenError, Unusable};

/// Where an OAuth client posts, as whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Post<'a> {
    pub(super) endpoint: &'a HttpUrl,
    pub(super) client: &'a OAuthClient,
    pub(super) files: &'a Blocking,
    pub(super) now: SystemTime,
}

impl Post<'_> {
    /// The form of `fields`, with who we are and what we always ask for.
    pub(super) async fn request(
        &self,
        fields: &[(&str, &str)],
    ) -> Result<Request<OutboundBody>, TokenError> {
        let OAuthClient { id, proof, wishes } = self.client;
        let kept = match proof {
            ClientProof::AssertionFile(file) => {
                live_token(file, self.files, Unusable::AssertionFile).await?
            }
            _ => SecretString::default(),
        };
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        form.extend_pairs(wishes);
        let mut authorization = None;
        match proof {
            ClientProof::Basic(secret) => authorization = Some(basic(id, secret)),
            _ if id.is_empty() => {}
            _ => drop(form.append_pair("client_id", id)),
        }
        match proof {
            ClientProof::Nothing | ClientProof::Certificate(_) | ClientProof::Basic(_) => {}
            ClientProof::AssertionFile(_) => {
                form.append_pair("client_assertion_type", ASSERTION_TYPE);
                form.append_pair("client_assertion", kept.expose_secret());
            }
            ClientProof::Post(secret) => {
                form.append_pair("client_secret", secret.expose_secret());
            }
            ClientProof::Assertion { key, algorithm, key_id } => {
                let signer = Signer::new(key, *algorithm);
                let assertion = assertion(&signer, key_id, id, self.endpoint.as_str(), self.now);
                form.append_pair("client_assertion_type", ASSERTION_TYPE);
                form.append_pair("client_assertion", &assertion);
            }
        }
        let mut request = Request::new(OutboundBody::from(Bytes::from(form.finish())));
        *request.method_mut() = Method::POST;
        request.uri_mut().clone_from(self.endpoint.uri());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        Ok(request)
    }
}

/// What a grant of this client does: `what` it is, and what of the caller it `sends`.
pub(super) fn describe(
    endpoint: &HttpUrl,
    client: &OAuthClient,
    what: &str,
    sends: &str,
) -> Description {
    let by = name(&client.proof);
    let who = match client.id.as_str() {
        "" if matches!(client.proof, ClientProof::Nothing) => String::new(),
        "" => format!(", by {by}"),
        id => format!(", as client {id} by {by}"),
    };
    let wishes = client.wishes.iter().map(|(name, value)| [", ", name, " ", value].concat());
    Description {
        how: format!("{what} at {}{who}", endpoint.uri()),
        sends: sends.to_owned() + &wishes.collect::<String>(),
    }
}

/// The name of a proof among the authentication methods of OAuth.
fn name(proof: &ClientProof) -> &'static str {
    match proof {
        ClientProof::Nothing => "none",
        ClientProof::Basic(_) => "client_secret_basic",
        ClientProof::Post(_) => "client_secret_post",
        ClientProof::Assertion { .. } => "private_key_jwt",
        ClientProof::AssertionFile(_) => "client_assertion from a file",
        ClientProof::Certificate(_) => "tls_client_auth",
    }
}

/// The token that somebody else keeps fresh in a file, as it is now.
pub(super) async fn live_token(
    file: &LiveFile,
    files: &Blocking,
    otherwise: Unusable,
) -> Result<SecretString, TokenError> {
    let file = file.clone();
    let read = files.run(move || file.read_now());
    let text = tokio::time::timeout(READ_TIMEOUT, read).await.ok().and_then(Result::ok);
    let token = text.as_ref().map_or("", |text| text.expose_secret().trim());
    let legal = !token.is_empty()
        && token.len() <= LIVE_BYTES_MAX
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    if legal { Ok(token.into()) } else { Err(TokenError::AnswerUnusable(otherwise)) }
}

/// RFC 6749 section 2.3.1: id and secret are form-encoded before they are joined.
fn basic(client_id: &str, secret: &SecretString) -> HeaderValue {
    let encode =
        |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let pair = format!("{}:{}", encode(client_id), encode(secret.expose_secret()));
    let text = format!("Basic {}", BASE64_STANDARD.encode(pair));
    let mut header = HeaderValue::try_from(text).expect("base64 is legal in a header");
    header.set_sensitive(true);
    header
}

/// RFC 7523 section 3: issuer and subject are the client, the audience is the token endpoint.
fn assertion(
    signer: &Signer<'_>,
    key_id: &str,
    client_id: &str,
    audience: &str,
    now: SystemTime,
) -> String {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id).expect("the system's random source does not fail");
    let mut header = json!({ "alg": signer.algorithm(), "typ": "JWT" });
    if !key_id.is_empty() {
        header["kid"] = key_id.into();
    }
    let claims = json!({
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "jti": BASE64_URL_SAFE_NO_PAD.encode(id),
        "iat": now,
        "exp": now + ASSERTION_LIFETIME.as_secs(),
    });
    let encode = |part: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(signer.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// A private key and, where its kind leaves a choice, how it signs.
struct Signer<'a> {
    key: &'a AssertionKey,
    padding: &'static RsaPadding,
}

/// How an RSA key signs, by the name of RFC 7518 section 3.1.
type RsaPadding = (&'static str, &'static dyn RsaEncoding);

static PKCS1: RsaPadding = ("RS256", &RSA_PKCS1_SHA256);
static PSS: RsaPadding = ("PS256", &RSA_PSS_SHA256);

impl<'a> Signer<'a> {
    fn new(key: &'a AssertionKey, algorithm: AssertionAlgorithm) -> Self {
        let padding = match algorithm {
            AssertionAlgorithm::ByKey => &PKCS1,
            AssertionAlgorithm::PS256 => &PSS,
        };
        Self { key, padding }
    }

    /// RFC 7518 and RFC 8037 names.
    fn algorithm(&self) -> &'static str {
        match self.key {
            AssertionKey::Rsa(_) => self.padding.0,
            AssertionKey::P256(_) => "ES256",
            AssertionKey::P384(_) => "ES384",
            AssertionKey::Ed25519(_) => "EdDSA",
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self.key {
            AssertionKey::Rsa(key) => rsa_signature(key, self.padding.1, message),
            AssertionKey::P256(key) | AssertionKey::P384(key) => {
                let signature = key.sign(&SystemRandom::new(), message);
                signature.expect("a key that was read can sign").as_ref().to_vec()
            }
            AssertionKey::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }
}

fn rsa_signature(key: &RsaKeyPair, how: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(how, &SystemRandom::new(), message, &mut signature)
        .expect("the buffer has the length of the modulus");
    signature
}

const READ_TIMEOUT: Duration = Duration::from_secs(1);
const LIVE_BYTES_MAX: usize = 64 * 1024;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ASSERTION_LIFETIME: Duration = Duration::from_mins(1);
