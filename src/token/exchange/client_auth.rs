//! How the gateway proves itself to an OAuth token endpoint, and the form it posts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{Description, ExchangeSetupError};
use crate::blocking::Blocking;
use crate::body::OutboundBody;
use crate::config::{AssertionAlgorithm, ClientAuth, TokenConfig};
use crate::token::error::{TokenError, Unusable};

/// An OAuth client: where it posts, who it is, what it always asks for.
#[derive(Debug)]
pub(super) struct OAuthClient {
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
    Assertion { key: SigningKey, key_id: String, audience: String },
    /// The same, by a JWT that somebody else keeps fresh.
    AssertionFile(LiveFile),
    /// RFC 8705 section 2: the connection proves it.
    Certificate,
}

impl OAuthClient {
    pub(super) fn new(config: &TokenConfig) -> Result<Self, ExchangeSetupError> {
        let endpoint = config.endpoint.as_ref().ok_or(ExchangeSetupError::EndpointMissing)?;
        let client_id = config.client_id.clone();
        let secret = &config.client_secret_file;
        let proof = match config.client_auth {
            ClientAuth::AssertionFile => {
                Proof::AssertionFile(LiveFile::at(config.assertion_file.at()))
            }
            ClientAuth::Tls => Proof::Certificate,
            _ if client_id.is_empty() => Proof::Nothing,
            ClientAuth::Basic | ClientAuth::Post if !secret.is_set() => Proof::Nothing,
            ClientAuth::Basic => Proof::Basic(basic(&client_id, secret.secret())),
            ClientAuth::Post => Proof::Post(secret.secret().clone()),
            ClientAuth::PrivateKeyJwt => Proof::Assertion {
                key: SigningKey::from_pem(
                    config.private_key_file.secret(),
                    config.private_key_algorithm,
                )
                .map_err(ExchangeSetupError::PrivateKey)?,
                key_id: config.private_key_id.clone(),
                audience: endpoint.as_str().to_owned(),
            },
        };
        let lists = [("audience", &config.audience), ("resource", &config.resource)];
        let lists = lists.into_iter().flat_map(|(name, values)| {
            values.iter().map(move |value| (name.to_owned(), value.clone()))
        });
        let scope = Some(&config.scope).filter(|scope| !scope.is_empty());
        let scope = scope.map(|scope| ("scope".to_owned(), scope.clone()));
        let wishes = scope.into_iter().chain(lists).chain(config.extra.clone()).collect();
        Ok(Self { endpoint: endpoint.uri().clone(), client_id, proof, wishes })
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
            Proof::Assertion { key, key_id, audience } => {
                let assertion = assertion(key, key_id, &self.client_id, audience, now);
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

/// The file of a token that somebody else keeps fresh.
#[derive(Debug)]
pub(super) struct LiveFile {
    path: PathBuf,
    reads: Blocking,
}

impl LiveFile {
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), reads: Blocking::new(READS_MAX) }
    }

    /// The token as it is now.
    pub(super) async fn read(&self, otherwise: Unusable) -> Result<SecretString, TokenError> {
        let path = self.path.clone();
        let read = tokio::time::timeout(READ_TIMEOUT, self.reads.run(|| std::fs::read(path))).await;
        let bytes = read.ok().and_then(Result::ok).filter(|bytes| bytes.len() <= LIVE_BYTES_MAX);
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).map(SecretString::from);
        let token = text.as_ref().map_or("", |text| text.expose_secret().trim());
        let legal = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
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
    key: &SigningKey,
    key_id: &str,
    client_id: &str,
    audience: &str,
    now: SystemTime,
) -> String {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id).expect("the system's random source does not fail");
    let mut header = json!({ "alg": key.algorithm(), "typ": "JWT" });
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
    let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// A private key; its kind decides the algorithm.
enum SigningKey {
    Rsa(Box<RsaKeyPair>),
    RsaPss(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
    P384(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

/// Why a private key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("no PEM private key in the file")]
    Pem(#[source] rustls::pki_types::pem::Error),
    #[error("PS256 is signed with an RSA key")]
    NotRsa,
    #[error("the key is none of RSA (2048 bits or more), P-256, P-384, Ed25519")]
    Kind,
}

impl SigningKey {
    fn from_pem(pem: &SecretString, algorithm: AssertionAlgorithm) -> Result<Self, KeyError> {
        let der = PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes());
        let der = der.map_err(KeyError::Pem)?;
        let bytes = der.secret_der();
        let rsa = match &der {
            PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(bytes),
            _ => RsaKeyPair::from_pkcs8(bytes),
        };
        match (rsa, algorithm) {
            (Ok(key), AssertionAlgorithm::ByKey) => return Ok(Self::Rsa(Box::new(key))),
            (Ok(key), AssertionAlgorithm::PS256) => return Ok(Self::RsaPss(Box::new(key))),
            (Err(_), AssertionAlgorithm::PS256) => return Err(KeyError::NotRsa),
            (Err(_), AssertionAlgorithm::ByKey) => {}
        }
        let ec = |algorithm| EcdsaKeyPair::from_private_key_der(algorithm, bytes).map(Box::new);
        if let Ok(key) = ec(&ECDSA_P256_SHA256_FIXED_SIGNING) {
            return Ok(Self::P256(key));
        }
        if let Ok(key) = ec(&ECDSA_P384_SHA384_FIXED_SIGNING) {
            return Ok(Self::P384(key));
        }
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).map_err(|_| KeyError::Kind)?;
        Ok(Self::Ed25519(Box::new(key)))
    }

    /// RFC 7518 and RFC 8037 names.
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::RsaPss(_) => "PS256",
            Self::P256(_) => "ES256",
            Self::P384(_) => "ES384",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => rsa_signature(key, &RSA_PKCS1_SHA256, message),
            Self::RsaPss(key) => rsa_signature(key, &RSA_PSS_SHA256, message),
            Self::P256(key) | Self::P384(key) => {
                let signature = key.sign(&random, message);
                signature.expect("a key that was read can sign").as_ref().to_vec()
            }
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }
}

fn rsa_signature(key: &RsaKeyPair, how: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(how, &SystemRandom::new(), message, &mut signature)
        .expect("the buffer has the length of the modulus");
    signature
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.algorithm())
    }
}

const READ_TIMEOUT: Duration = Duration::from_secs(1);
const LIVE_BYTES_MAX: usize = 64 * 1024;
/// At once, of one file: more do not help where one hangs.
const READS_MAX: usize = 4;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ASSERTION_LIFETIME: Duration = Duration::from_mins(1);
