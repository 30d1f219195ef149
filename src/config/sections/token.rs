//! `[token]`: how access tokens are had and how long they live.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use http::HeaderValue;

use super::custom::CustomTokenConfig;
use super::login::{ACCESS_TOKEN_TYPE, Login};
use super::section::{kind, section};
use crate::config::document::Node;
use crate::config::keys::{Key, Shape};
use crate::config::reader::{Reader, joined};
use crate::config::values::{
    AppId, AssertionAlgorithm, AssertionKey, CertificateChain, Count, Derived, File, HeaderText,
    HttpUrl, Kind, List, LiveFile, Map, OptionalUrl, Password, Period, PeriodOrZero, ProperShare,
    Roots, Scheme, Texts, TlsKey, choice,
};

choice! {
    /// How a caller's KooDrive access token is had.
    pub enum TokenMethod {
        /// RFC 8693.
        TokenExchange = "token_exchange",
        /// RFC 7523 section 2.1.
        JwtBearer = "jwt_bearer",
        /// RFC 6749 section 4.4; one token for the process.
        ClientCredentials = "client_credentials",
        /// Any login that answers JSON.
        Custom = "custom",
        /// KooDrive carrier edition; one session for the process.
        CarrierLogin = "carrier_login",
        /// AppId and AppSecret; nothing is exchanged, each attempt is signed.
        AppSignature = "app_signature",
    }
}

choice! {
    /// How the gateway proves itself to the token endpoint.
    pub enum ClientAuth {
        /// `client_secret_basic`.
        Basic = "basic",
        /// `client_secret_post`.
        Post = "post",
        /// RFC 7523 section 2.2.
        PrivateKeyJwt = "private_key_jwt",
        /// The same, with a JWT that somebody else keeps fresh.
        AssertionFile = "assertion_file",
        /// RFC 8705 section 2: the certificate of the connection.
        Tls = "tls",
    }
}

choice! {
    /// What the `expires_in` of the token endpoint's answer means.
    pub enum ExpiresIn {
        /// A fixed end that no call moves.
        Ends = "ends",
        /// It takes the place of `idle_lifetime`, as KooDrive's own sessions do.
        Slides = "slides",
    }
}

section! {
    /// Access tokens: how they are had and how long they live.
    pub struct TokenConfig {
        method: TokenMethod = TokenMethod::TokenExchange,
        /// Required by the network methods.
        endpoint: Option<HttpUrl> as OptionalUrl = None,
        client_id: String = String::new(),
        client_secret_file: File<Password> = File::default(),
        client_auth: ClientAuth = ClientAuth::Basic,
        /// PEM key for `private_key_jwt`.
        private_key_file: File<AssertionKey> = File::default(),
        /// `kid` of that key.
        private_key_id: String = String::new(),
        private_key_algorithm: AssertionAlgorithm = AssertionAlgorithm::ByKey,
        /// The JWT of `assertion_file`.
        assertion_file: LiveFile = LiveFile::default(),
        /// PEM chain and key for `tls`.
        client_certificate_file: File<CertificateChain> = File::default(),
        client_key_file: File<TlsKey> = File::default(),
        subject_token_type: String = ACCESS_TOKEN_TYPE.to_owned(),
        audience: Vec<String> as Texts = Vec::new(),
        resource: Vec<String> as Texts = Vec::new(),
        scope: String = String::new(),
        requested_token_type: String = String::new(),
        /// The actor's token (RFC 8693 section 2.1).
        actor_token_file: LiveFile = LiveFile::default(),
        actor_token_type: String = ACCESS_TOKEN_TYPE.to_owned(),
        /// Further parameters of the form.
        extra: BTreeMap<String, String> as Map<String> = BTreeMap::new(),
        /// PEM roots besides the system's.
        ca_file: File<Roots> = File::default(),
        /// What KooDrive sees before the token.
        scheme: String as Scheme = "Bearer".to_owned(),
        /// Claims that, besides issuer and subject, decide whose token it is.
        cache_claims: Vec<String> as List<String> =
            ["azp", "client_id", "scope", "scp", "acr", "act"].map(str::to_owned).into(),
        /// Slides on each accepted call.
        idle_lifetime: Duration as Period = Duration::from_mins(20),
        expires_in: ExpiresIn = ExpiresIn::Ends,
        absolute_lifetime: Duration as Period = Duration::from_hours(12),
        /// How long before expiry a token is no longer used.
        freshness_margin: Duration as PeriodOrZero = Duration::from_mins(1),
        /// Share of a token's life after which it is renewed off the request path.
        refresh_ahead: f64 as ProperShare = 0.8,
        timeout: Duration as Period = Duration::from_secs(5),
        max_concurrent: usize as Count = 32,
        max_per_second: NonZeroU32 = NonZeroU32::new(50).expect("50 is not zero"),
        max_entries: usize as Count = 100_000,
        /// Per SSO token, after "denied".
        denied_for: Duration as PeriodOrZero = Duration::from_secs(5),
        /// Per endpoint, after "unavailable".
        unavailable_for: Duration as PeriodOrZero = Duration::from_secs(1),
        allow_plain_http: bool = false,
        custom: CustomTokenConfig = CustomTokenConfig::default(),
        carrier: CarrierConfig = CarrierConfig::default(),
        app: AppConfig = AppConfig::default(),
        => /// `method`, with what it needs of all these.
        login: Derived<Login>,
    }
}

section! {
    /// `method = "carrier_login"`.
    pub struct CarrierConfig {
        account: String = String::new(),
        password_file: File<Password> = File::default(),
        /// `x-hw-agentName`.
        agent_name: HeaderValue as HeaderText = HeaderValue::from_static(""),
    }
}

section! {
    /// `method = "app_signature"`.
    pub struct AppConfig {
        app_id: String as AppId = String::new(),
        app_secret_file: File<Password> = File::default(),
    }
}
