//! The KooDrive credential of a caller: cached, exchanged or signed for.
//!
//! The front door of the room. [`Tokens::token_for`] looks into the cache, else joins a flight or
//! leads one: an exchange behind the gate. KooDrive's own word comes back through
//! [`Tokens::accepted`] and [`Tokens::refused`]. Knows nothing of requests, statuses or metrics.
//!
//! ```text
//!  token_for ─▶ cache: fresh ─────────────────────────────────────▶ the token
//!                 │      └ due? ─▶ flight, nobody waits ┐
//!                 └ stale, refused, none ─▶ flight ─────┴▶ gate ─▶ exchange ─▶ cache, all who wait
//! ```
//!
//! A token outlives the SSO token that earned it: KooDrive gave it for its own time, and every
//! call needs a valid SSO token anyway. Only an exchange needs one that is still valid.

mod app_signature;
mod cache;
mod damping;
mod error;
mod exchange;
mod explain;
mod flight;
mod gate;
mod key;
mod lead;
mod report;
mod store;
mod trial;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

pub use self::app_signature::AppIdentity;
pub use self::error::{Crowded, Denial, Outage, Said, TokenError, Unusable};
pub use self::explain::{Explanation, explain};
pub use self::report::{ExchangeOutcome, ExchangeReport, TokenVerdict};
pub use self::store::TokenStore;
pub use self::trial::{Trial, TrialVerdict, try_client};

use self::app_signature::Signatures;
use self::cache::{CachedToken, Lifetimes, TokenCache};
use self::exchange::Exchange;
use self::gate::{Gate, GateNumbers};
use self::key::Sharing;
use self::store::Shared;
use crate::accept::{Accepted, CallerId};
use crate::client::Client;
use crate::clock::Moment;
use crate::config::{HttpUrl, IssuerConfig, Login, TokenConfig};
use crate::trace_context::SpanContext;
use crate::words::words;

/// Gives callers their KooDrive credential. Immutable per configuration; what it remembers is in
/// the [`TokenStore`]. Clones share everything.
#[derive(Clone, Debug)]
pub struct Tokens {
    inner: Arc<Inner>,
}

/// What a call carries to KooDrive, and how it was obtained.
#[derive(Clone, Debug)]
pub struct Issued {
    pub credential: Credential,
    pub source: TokenSource,
    /// The exchange this call led or joined.
    pub exchange: Option<SpanContext>,
}

/// The claims of an SSO token that `config` has this room read.
pub fn claims_read(config: &TokenConfig, issuers: &[IssuerConfig]) -> BTreeSet<String> {
    match &*config.login {
        Login::Exchange { grant, .. } => {
            Sharing::new(config, grant).claims().cloned().unwrap_or_default()
        }
        Login::Signature(_) => {
            issuers.iter().map(|issuer| issuer.koodrive_user_claim.clone()).collect()
        }
    }
}

/// What proves the caller to KooDrive.
#[derive(Clone, Debug)]
pub enum Credential {
    Token(AccessToken),
    /// Signed per attempt, see `forward/sign.rs`.
    Signature(AppIdentity),
}

/// One KooDrive access token. Clones are the same token.
#[derive(Clone)]
pub struct AccessToken(Arc<CachedToken>);

impl AccessToken {
    /// The value of `Authorization`, scheme included; marked sensitive.
    pub fn header(&self) -> &HeaderValue {
        &self.0.header
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("generation", &self.0.generation)
            .finish_non_exhaustive()
    }
}

words! {
    /// Where a look-up found its token.
    pub enum TokenSource {
        /// In the cache; also a signature, which needs nothing from outside.
        Cached = "cached",
        /// Another call's exchange was waited for.
        Joined = "joined",
        /// This call led an exchange, the first one for its caller.
        Exchanged = "exchanged",
        /// This call led an exchange that replaced a token refused or past its time.
        Refreshed = "refreshed",
        /// There is none: the caller is denied. Said by who asked, of [`TokenError::Denied`].
        Denied = "denied",
    }
}

/// What a refusal by KooDrive asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another token, and the call once more with it, if its body allows.
    Renew,
    /// Nothing: it says more about the call than about the token.
    Damped,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    method: Method,
    lifetimes: Lifetimes,
    timeout: Duration,
    denied_for: Duration,
    unavailable_for: Duration,
    cache: TokenCache,
    gate: Arc<Gate>,
}

#[derive(Debug)]
enum Method {
    Network { exchange: Box<Exchange>, sharing: Sharing },
    Signature(Signatures),
}

impl Tokens {
    /// Callers' tokens under `config`, over what the process already holds.
    pub fn new(
        config: &TokenConfig,
        issuers: &[IssuerConfig],
        store: &TokenStore,
        client: Client,
    ) -> Self {
        let method = match &*config.login {
            Login::Exchange { endpoint, grant } => Method::Network {
                exchange: Box::new(Exchange::new(config, endpoint, grant, client)),
                sharing: Sharing::new(config, grant),
            },
            Login::Signature(app) => Method::Signature(Signatures::new(app, issuers)),
        };
        let shared = Arc::clone(store.shared());
        let numbers = GateNumbers {
            endpoint: config.endpoint.as_ref().map_or("", HttpUrl::as_str).to_owned(),
            max_concurrent: config.max_concurrent,
            max_per_second: config.max_per_second,
        };
        let inner = Inner {
            method,
            lifetimes: Lifetimes {
                idle: config.idle_lifetime,
                absolute: config.absolute_lifetime,
                margin: config.freshness_margin,
                refresh_ahead: config.refresh_ahead,
                expires_in: config.expires_in,
            },
            timeout: config.timeout,
            denied_for: config.denied_for,
            unavailable_for: config.unavailable_for,
            cache: shared.cache(config.max_entries, config.idle_lifetime),
            gate: shared.gate(numbers),
            shared,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The credential of `caller`. `span` is the call's; an exchange becomes its child.
    ///
    /// Takes at most the time in the queue and one exchange, `timeout` each.
    pub async fn token_for(
        &self,
        caller: &Accepted,
        span: &SpanContext,
    ) -> Result<Issued, TokenError> {
        let (exchange, sharing) = match &self.inner.method {
            Method::Network { exchange, sharing } => (exchange, sharing),
            Method::Signature(app) => {
                let identity = app.identity_of(&caller.identity).map_err(TokenError::Denied)?;
                let credential = Credential::Signature(identity);
                return Ok(Issued { credential, source: TokenSource::Cached, exchange: None });
            }
        };
        let key = sharing.key(&caller.identity);
        let cached = self.inner.cache.get(&key).await;
        let now = self.inner.shared.clock.moment();
        if let Some(token) = &cached
            && token.is_fresh(now)
        {
            self.inner.renew_if_due(exchange, (key, token), caller, now, span);
            return Ok(Issued::of(Arc::clone(token), TokenSource::Cached, None));
        }
        // Boxed: nearly every call has left by now, and need not carry the room for the rest.
        Box::pin(self.inner.obtain(key, cached, caller, span)).await
    }

    /// KooDrive accepted a call of `caller` that carried `token` and was sent at `sent_at`.
    pub fn accepted(&self, token: &AccessToken, caller: &Accepted, sent_at: Moment) {
        token.0.slide(sent_at);
        self.inner.shared.damping.accepted(caller.identity.caller);
    }

    /// KooDrive refused a call of `caller` that carried `token`. Where that says something about
    /// the token, it is never sent again; its successors are not touched.
    pub fn refused(&self, token: &AccessToken, caller: &Accepted) -> Refusal {
        let (token, caller) = (&token.0, caller.identity.caller);
        let now = self.inner.shared.clock.moment();
        if token.is_refused() {
            return Refusal::Renew; // as others were told before
        }
        let damping = &self.inner.shared.damping;
        if damping.holds(caller, now.monotonic) {
            return Refusal::Damped;
        }
        if token.is_unproved(now) {
            damping.refused_again(caller, now.monotonic);
            tracing::debug!(generation = token.generation, "access token refused again, kept");
            return Refusal::Damped;
        }
        if token.refuse() {
            tracing::debug!(generation = token.generation, "access token refused");
        }
        Refusal::Renew
    }

    /// Forgets tokens, failures and damping of one caller, or of all; how many tokens and
    /// failures. A call under way keeps what it has.
    pub async fn forget(&self, caller: Option<CallerId>) -> usize {
        let named = |known: &CallerId| caller.is_none_or(|caller| caller == *known);
        let shared = &self.inner.shared;
        shared.damping.forget(named);
        let mut forgotten = shared.flights.forget(named);
        let keys = self.inner.cache.iter().filter(|(_, token)| match &token.caller {
            Some(known) => named(known),
            None => caller.is_none(), // the whole process's
        });
        for key in keys.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.inner.cache.invalidate(&key).await;
            forgotten += 1;
        }
        forgotten
    }

    /// Tokens in the cache, as of the last housekeeping.
    pub fn entries(&self) -> u64 {
        self.inner.cache.entry_count()
    }

    /// Exchanges under way or queueing.
    pub fn flights(&self) -> usize {
        self.inner.shared.flights.count()
    }
}

impl Issued {
    fn of(token: Arc<CachedToken>, source: TokenSource, exchange: Option<SpanContext>) -> Self {
        Self { credential: Credential::Token(AccessToken(token)), source, exchange }
    }
}

#[cfg(test)]
mod tests;
