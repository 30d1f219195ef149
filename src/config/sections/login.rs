//! How access tokens are obtained: `token.method`, with what that method needs.
//!
//! Not written by anybody: the checks make it of the keys of `[token]`, so that the rooms find
//! together what belongs together, and nothing that may be missing.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::HeaderValue;
use rustls::sign::CertifiedKey;
use secrecy::SecretString;

use super::custom::CustomTokenConfig;
use crate::config::values::{AssertionAlgorithm, AssertionKey, HttpUrl, LiveFile, Part};

/// The type of a token that is not said to be of another (RFC 8693 section 3).
pub const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

/// How the credential of a caller is obtained.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in a configuration")]
pub enum Login {
    /// A token endpoint gives an access token.
    Exchange { endpoint: HttpUrl, grant: Grant },
    /// Nothing is exchanged: each attempt is signed.
    Signature(SigningApp),
}

/// What is shown to the token endpoint in return for a token.
#[derive(Clone, Debug)]
pub enum Grant {
    TokenExchange(TokenExchange),
    /// RFC 7523 section 2.1: the SSO token is the authorization grant.
    JwtBearer(OAuthClient),
    /// RFC 6749 section 4.4: the gateway's own token, one for the process.
    ClientCredentials(OAuthClient),
    Custom(CustomLogin),
    CarrierLogin(CarrierLogin),
}

/// RFC 8693: the SSO token is the subject token.
#[derive(Clone, Debug)]
pub struct TokenExchange {
    pub client: OAuthClient,
    pub subject_token_type: String,
    /// Empty = not said.
    pub requested_token_type: String,
    pub actor: Option<Actor>,
}

/// Who acts for the caller (RFC 8693 section 2.1).
#[derive(Clone, Debug)]
pub struct Actor {
    pub token_file: LiveFile,
    pub token_type: String,
}

/// An OAuth client: who it is, what it always asks for.
#[derive(Clone, Debug)]
pub struct OAuthClient {
    /// Empty = not said.
    pub id: String,
    pub proof: ClientProof,
    /// `scope`, `audience`, `resource` and further parameters, as far as configured.
    pub wishes: Vec<(String, String)>,
}

/// How a client proves itself, with what it takes.
#[derive(Clone, Debug)]
pub enum ClientProof {
    /// No client at all, or a public one that only says its id.
    Nothing,
    /// `client_secret_basic`.
    Basic(SecretString),
    /// `client_secret_post`.
    Post(SecretString),
    /// RFC 7523 section 2.2.
    Assertion { key: Arc<AssertionKey>, algorithm: AssertionAlgorithm, key_id: String },
    /// The same, by a JWT that somebody else keeps fresh.
    AssertionFile(LiveFile),
    /// RFC 8705 section 2: the connection proves it.
    Certificate(CertifiedKey),
}

/// Any login that answers JSON.
#[derive(Clone, Debug)]
pub struct CustomLogin {
    pub keys: CustomTokenConfig,
    /// Empty, as is the secret, unless a template names it.
    pub client_id: String,
    pub client_secret: SecretString,
}

/// KooDrive carrier edition: an account with its password.
#[derive(Clone, Debug)]
pub struct CarrierLogin {
    pub account: String,
    pub password: SecretString,
    /// Empty = not sent.
    pub agent_name: HeaderValue,
}

/// Who signs.
#[derive(Clone, Debug)]
pub struct SigningApp {
    pub id: Arc<str>,
    pub secret: Arc<SecretString>,
}

impl Login {
    /// The certificate that is shown to the token endpoint.
    pub fn certificate(&self) -> Option<&CertifiedKey> {
        match self {
            Self::Exchange { grant, .. } => match &grant.client()?.proof {
                ClientProof::Certificate(shown) => Some(shown),
                _ => None,
            },
            Self::Signature(_) => None,
        }
    }
}

impl Grant {
    /// The client of the methods of OAuth.
    pub fn client(&self) -> Option<&OAuthClient> {
        match self {
            Self::TokenExchange(TokenExchange { client, .. })
            | Self::JwtBearer(client)
            | Self::ClientCredentials(client) => Some(client),
            Self::Custom(_) | Self::CarrierLogin(_) => None,
        }
    }

    /// Whether all callers share one token. What is sent for it tells nothing of the caller, so
    /// the caller's SSO token need not be valid any more.
    pub fn is_per_process(&self) -> bool {
        matches!(self, Self::ClientCredentials(_) | Self::CarrierLogin(_))
    }

    /// The claims it shows: a caller without one is denied.
    pub fn claims(&self) -> BTreeSet<&str> {
        let Self::Custom(login) = self else { return BTreeSet::new() };
        let parts = login.keys.parts().into_iter();
        parts
            .filter_map(|part| if let Part::Claim(name) = part { Some(&**name) } else { None })
            .collect()
    }
}
