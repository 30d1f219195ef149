//! A company SSO: real keys, a key set, discovery, and a token endpoint that hands out KooDrive
//! tokens for its own SSO tokens (RFC 8693).
//!
//! Strict about what it is asked; told by its switches how to misbehave.

mod answers;
pub mod grants;
pub mod keys;
pub mod mint;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::future::BoxFuture;
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::support::faults::Switch;
use crate::support::recording::{Recorder, random_hex};
use crate::support::server::{Answer, Answers, Cut, Listener, Simulator};
use crate::support::sessions::Sessions;
use crate::support::sso::keys::{KeyKind, SigningKey};
use crate::support::sso::mint::Mint;
use crate::support::time::OwnClock;

/// What an SSO is told at its start.
pub struct SsoOptions {
    /// The issuer is `http://host:port/realms/<realm>`.
    pub realm: String,
    pub audience: String,
    pub client_id: String,
    pub client_secret: String,
    /// The first of its kind signs; all are published.
    pub keys: Vec<KeyKind>,
    /// Life of a minted token, in seconds.
    pub token_seconds: i64,
    /// Hands a token to anyone who asks `/demo-token`.
    pub demo_tokens: bool,
}

impl Default for SsoOptions {
    fn default() -> Self {
        Self {
            realm: "tools".to_owned(),
            audience: "koodrive-gateway".to_owned(),
            client_id: "koodrive-gateway".to_owned(),
            // Characters that a careless client would send unescaped.
            client_secret: "test: 100% secret+".to_owned(),
            keys: vec![KeyKind::Rsa, KeyKind::P256, KeyKind::Ed25519],
            token_seconds: 300,
            demo_tokens: false,
        }
    }
}

/// A running SSO.
pub type Sso = Simulator<State>;

/// What an SSO knows and does; reached through [`Sso`].
pub struct State {
    base: String,
    realm: String,
    audience: String,
    client_id: String,
    client_secret: String,
    client_key: Arc<SigningKey>,
    token_seconds: i64,
    demo_tokens: bool,
    sessions: Sessions,
    keys: Mutex<Keys>,
    wording: Mutex<Wording>,
    granted: AtomicU64,
    clock: OwnClock,
    /// OpenID discovery.
    pub discovery: Switch,
    /// The key set.
    pub jwks: Switch,
    /// The token endpoint.
    pub token: Switch,
    pub received: Recorder,
}

struct Keys {
    signing: Arc<SigningKey>,
    published: Vec<Arc<SigningKey>>,
    extra: Vec<Value>,
    cache_control: Option<HeaderValue>,
}

/// How the token endpoint words a yes.
#[derive(Default)]
struct Wording {
    expires_in: Option<i64>,
    refresh_tokens: Option<BTreeMap<String, String>>,
    /// Put before the token inside the answer, as KooDrive's own API does.
    prefix: String,
    denied_subjects: BTreeSet<String>,
    /// Client secrets taken besides the first.
    more_secrets: Vec<String>,
}

impl Sso {
    pub fn start(listener: Listener, options: SsoOptions, sessions: &Sessions) -> Self {
        let made = options.keys.iter().enumerate();
        let made = made.map(|(number, kind)| {
            let kid = format!("key-{number}-{}", random_hex(4));
            Arc::new(SigningKey::generate(*kind, &kid))
        });
        let published: Vec<_> = made.collect();
        let signing = published.first().expect("an SSO has a key").clone();
        let client_key = Arc::new(SigningKey::generate(KeyKind::P256, "client-key"));
        sessions.canaries.note("the client secret", &options.client_secret);
        sessions.canaries.note_file("the client's private key", &client_key.pkcs8_pem());
        let keys = Keys { signing, published, extra: Vec::new(), cache_control: None };
        let state = State {
            base: listener.url(),
            realm: options.realm,
            audience: options.audience,
            client_id: options.client_id,
            client_secret: options.client_secret,
            client_key,
            token_seconds: options.token_seconds,
            demo_tokens: options.demo_tokens,
            sessions: sessions.clone(),
            keys: Mutex::new(keys),
            wording: Mutex::default(),
            granted: AtomicU64::new(0),
            clock: listener.clock(),
            discovery: Switch::default(),
            jwks: Switch::default(),
            token: Switch::default(),
            received: Recorder::default(),
        };
        Self::run(listener, state)
    }
}

impl Answers for State {
    fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
        connection: u64,
    ) -> BoxFuture<'static, Result<Answer, Cut>> {
        Box::pin(self.handle(request, connection))
    }
}

impl State {
    pub fn issuer(&self) -> String {
        format!("{}/realms/{}", self.base, self.realm)
    }

    pub fn jwks_url(&self) -> String {
        self.issuer() + "/jwks"
    }

    pub fn token_endpoint(&self) -> String {
        self.issuer() + "/token"
    }

    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    pub fn client_secret(&self) -> &str {
        &self.client_secret
    }

    /// From now on this secret is taken too, as while one is being rotated.
    pub fn also_take_secret(&self, secret: &str) {
        self.sessions.canaries.note("the next client secret", secret);
        self.lock_wording().more_secrets.push(secret.to_owned());
    }

    fn client_secrets(&self) -> Vec<String> {
        let first = std::iter::once(self.client_secret.clone());
        first.chain(self.lock_wording().more_secrets.iter().cloned()).collect()
    }

    /// The key the token endpoint knows the client by, for `private_key_jwt`.
    pub fn client_key(&self) -> &Arc<SigningKey> {
        &self.client_key
    }

    pub fn clock(&self) -> &OwnClock {
        &self.clock
    }

    /// A token about to be signed for a subject.
    pub fn mint(&self, subject: &str) -> Mint {
        let now = self.clock.unix_seconds();
        let claims = json!({
            "iss": self.issuer(),
            "sub": subject,
            "aud": self.audience,
            "iat": now,
            "exp": now + self.token_seconds,
            "jti": random_hex(8),
            "preferred_username": subject,
        });
        let Value::Object(claims) = claims else { unreachable!("the literal is an object") };
        Mint::new(self.lock_keys().signing.clone(), claims, now, &self.sessions.canaries)
    }

    /// A good token for a subject.
    pub fn token_for(&self, subject: &str) -> String {
        self.mint(subject).sign()
    }

    /// The published key of a kind.
    ///
    /// # Panics
    /// When there is none.
    pub fn key(&self, kind: KeyKind) -> Arc<SigningKey> {
        let keys = self.lock_keys();
        let key = keys.published.iter().find(|key| key.kind() == kind);
        key.expect("a key of this kind is published").clone()
    }

    /// Puts a key into the key set.
    pub fn publish(&self, key: &Arc<SigningKey>) {
        self.lock_keys().published.push(key.clone());
    }

    /// Puts anything into the key set.
    pub fn publish_raw(&self, jwk: Value) {
        self.lock_keys().extra.push(jwk);
    }

    /// Takes a key out of the key set.
    pub fn retire(&self, kid: &str) {
        self.lock_keys().published.retain(|key| key.kid() != kid);
    }

    /// Signs with this key from now on.
    pub fn sign_with(&self, key: &Arc<SigningKey>) {
        self.lock_keys().signing = key.clone();
    }

    /// A new key instead of the old one, which leaves the key set at once.
    pub fn rotate(&self, kind: KeyKind) -> Arc<SigningKey> {
        let key = SigningKey::fresh(kind);
        let mut keys = self.lock_keys();
        let old = std::mem::replace(&mut keys.signing, key.clone());
        keys.published.retain(|published| published.kid() != old.kid());
        keys.published.push(key.clone());
        key
    }

    /// `Cache-Control` of the key set.
    pub fn set_cache_control(&self, value: &'static str) {
        self.lock_keys().cache_control = Some(HeaderValue::from_static(value));
    }

    /// `expires_in` of the answers; none at the start.
    pub fn set_expires_in(&self, seconds: Option<i64>) {
        self.lock_wording().expires_in = seconds;
    }

    /// Whether refresh tokens come with access tokens.
    pub fn set_refresh_tokens(&self, on: bool) {
        self.lock_wording().refresh_tokens = on.then(BTreeMap::new);
    }

    /// What stands before the token inside the answer, such as `Bearer+`.
    pub fn set_prefix(&self, prefix: &str) {
        prefix.clone_into(&mut self.lock_wording().prefix);
    }

    /// From now on this subject gets no token.
    pub fn deny(&self, subject: &str) {
        self.lock_wording().denied_subjects.insert(subject.to_owned());
    }

    /// KooDrive tokens handed out.
    pub fn granted(&self) -> u64 {
        self.granted.load(Ordering::Relaxed)
    }

    fn lock_keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().expect("no holder panics")
    }

    fn lock_wording(&self) -> MutexGuard<'_, Wording> {
        self.wording.lock().expect("no holder panics")
    }
}
