//! How the gateway proves itself to an OAuth token endpoint, and the form it posts.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::Description;
use crate::blocking::Blocking;
use crate::body::OutboundBody;
use crate::config::{AssertionAlgorithm, AssertionKey, ClientAuth, LiveFile, TokenConfig};
use crate::token::error::{TokenError, Unusable};

/// An OAuth client: where it posts, who it is, what it always asks for.
#[derive(Debug)]
pub(in crate::token) struct OAuthClient {
    endpoint: Uri,
    client_id: String,
    proof: Proof,
    /// `scope`, `audience`, `resource` and further parameters, as far as configured.
    wishes: Vec<(String, String)>,
}

#[derive(Debug)]
enum Proof {
    /// No client at all, or a public one that only says its id.
    Nothing,
    /// `client_secret_basic`, made once.
    Basic(HeaderValue),
    /// `client_secret_post`.
    Post(SecretString),
    /// RFC 7523 section 2.2.
    Assertion { signer: Signer, key_id: String, audience: String },
    /// The same, by a JWT that somebody else keeps fresh.
    AssertionFile(LiveToken),
    /// RFC 8705 section 2: the connection proves it.
    Certificate,
}

impl OAuthClient {
    pub(super) fn new(config: &TokenConfig) -> Self {
        let client_id = config.client_id.clone();
        let secret = config.client_secret_file.password();
        let proof = match config.client_auth {
            ClientAuth::AssertionFile => {
                Some(Proof::AssertionFile(LiveToken::new(&config.assertion_file)))
            }
            ClientAuth::Tls => Some(Proof::Certificate),
            _ if client_id.is_empty() => None,
            ClientAuth::Basic => secret.map(|secret| Proof::Basic(basic(&client_id, secret))),
            ClientAuth::Post => secret.map(|secret| Proof::Post(secret.clone())),
            ClientAuth::PrivateKeyJwt => {
                config.private_key_file.content().map(|key| Proof::Assertion {
                    signer: Signer::new(Arc::clone(key), config.private_key_algorithm),
                    key_id: config.private_key_id.clone(),
                    audience: config.endpoint.as_str().to_owned(),
                })
            }
        };
        let proof = proof.unwrap_or(Proof::Nothing);
        let lists = [("audience", &config.audience), ("resource", &config.resource)];
        let lists = lists.into_iter().flat_map(|(name, values)| {
            values.iter().map(move |value| (name.to_owned(), value.clone()))
        });
        let scope = Some(&config.scope).filter(|scope| !scope.is_empty());
        let scope = scope.map(|scope| ("scope".to_owned(), scope.clone()));
        let wishes = scope.into_iter().chain(lists).chain(config.extra.clone()).collect();
        Self { endpoint: config.endpoint.uri().clone(), client_id, proof, wishes }
    }

    /// The form of `fields`, with who we are and what we always ask for.
    pub(super) async fn request(
        &self,
        fields: &[(&str, &str)],
        now: SystemTime,
    ) -> Result<Request<OutboundBody>, TokenError> {
        let kept = match &self.proof {
            Proof::AssertionFile(file) => file.read(Unusable::AssertionFile).await?,
            _ => SecretString::default(),
        };
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        form.extend_pairs(&self.wishes);
        let mut authorization = None;
        match &self.proof {
            Proof::Nothing if self.client_id.is_empty() => {}
            Proof::Nothing | Proof::Certificate => {
                form.append_pair("client_id", &self.client_id);
            }
            Proof::AssertionFile(_) => {
                if !self.client_id.is_empty() {
                    form.append_pair("client_id", &self.client_id);
                }
                form.append_pair("client_assertion_type", ASSERTION_TYPE);
                form.append_pair("client_assertion", kept.expose_secret());
            }
            Proof::Basic(header) => authorization = Some(header.clone()),
            Proof::Post(secret) => {
                form.append_pair("client_id", &self.client_id);
                form.append_pair("client_secret", secret.expose_secret());
            }
            Proof::Assertion { signer, key_id, audience } => {
                let assertion = assertion(signer, key_id, &self.client_id, audience, now);
                form.append_pair("client_id", &self.client_id);
                form.append_pair("client_assertion_type", ASSERTION_TYPE);
                form.append_pair("client_assertion", &assertion);
            }
        }
        let mut request = Request::new(OutboundBody::from(Bytes::from(form.finish())));
        *request.method_mut() = Method::POST;
        request.uri_mut().clone_from(&self.endpoint);
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        Ok(request)
    }

    /// What a grant of this client does: `what` it is, and what of the caller it `sends`.
    pub(super) fn describe(&self, what: &str, sends: &str) -> Description {
        let client = match self.client_id.as_str() {
            "" if matches!(self.proof, Proof::Nothing) => String::new(),
            "" => format!(", by {}", self.proof.name()),
            id => format!(", as client {id} by {}", self.proof.name()),
        };
        let wishes =
            self.wishes.iter().map(|(name, value)| [", ", name.as_str(), " ", value].concat());
        Description {
            how: format!("{what} at {}{client}", self.endpoint),
            sends: sends.to_owned() + &wishes.collect::<String>(),
        }
    }
}

impl Proof {
    /// Its name among the authentication methods of OAuth.
    fn name(&self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Basic(_) => "client_secret_basic",
            Self::Post(_) => "client_secret_post",
            Self::Assertion { .. } => "private_key_jwt",
            Self::AssertionFile(_) => "client_assertion from a file",
            Self::Certificate => "tls_client_auth",
        }
    }
}

/// A token that somebody else keeps fresh in a file.
#[derive(Debug)]
pub(super) struct LiveToken {
    file: LiveFile,
    reads: Blocking,
}

impl LiveToken {
    pub(super) fn new(file: &LiveFile) -> Self {
        Self { file: file.clone(), reads: Blocking::new(READS_MAX) }
    }

    /// The token as it is now.
    pub(super) async fn read(&self, otherwise: Unusable) -> Result<SecretString, TokenError> {
        let file = self.file.clone();
        let read = self.reads.run(move || file.read_now());
        let text = tokio::time::timeout(READ_TIMEOUT, read).await.ok().and_then(Result::ok);
        let token = text.as_ref().map_or("", |text| text.expose_secret().trim());
        let legal = !token.is_empty()
            && token.len() <= LIVE_BYTES_MAX
            && token.bytes().all(|byte| byte.is_ascii_graphic());
        if legal { Ok(token.into()) } else { Err(TokenError::AnswerUnusable(otherwise)) }
    }
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
    signer: &Signer,
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
struct Signer {
    key: Arc<AssertionKey>,
    padding: &'static RsaPadding,
}

/// How an RSA key signs, by the name of RFC 7518 §3.1.
type RsaPadding = (&'static str, &'static dyn RsaEncoding);

static PKCS1: RsaPadding = ("RS256", &RSA_PKCS1_SHA256);
static PSS: RsaPadding = ("PS256", &RSA_PSS_SHA256);

impl Signer {
    fn new(key: Arc<AssertionKey>, algorithm: AssertionAlgorithm) -> Self {
        let padding = match algorithm {
            AssertionAlgorithm::ByKey => &PKCS1,
            AssertionAlgorithm::PS256 => &PSS,
        };
        Self { key, padding }
    }

    /// RFC 7518 and RFC 8037 names.
    fn algorithm(&self) -> &'static str {
        match *self.key {
            AssertionKey::Rsa(_) => self.padding.0,
            AssertionKey::P256(_) => "ES256",
            AssertionKey::P384(_) => "ES384",
            AssertionKey::Ed25519(_) => "EdDSA",
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &*self.key {
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

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.algorithm())
    }
}

const READ_TIMEOUT: Duration = Duration::from_secs(1);
const LIVE_BYTES_MAX: usize = 64 * 1024;
/// At once, of one file: more do not help where one hangs.
const READS_MAX: usize = 4;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ASSERTION_LIFETIME: Duration = Duration::from_mins(1);
