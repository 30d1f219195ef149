//! The KooDrive access tokens that are alive: what the SSO hands out and KooDrive believes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use koodrive_gateway::clock::Clock;

use crate::support::canary::Canaries;
use crate::support::recording::random_hex;

/// How long a token lives after the last call that used it (`koodrive_05_0010`).
pub const IDLE_LIFETIME: Duration = Duration::from_mins(20);

/// Token → user, with a life that slides. Clones share the registry.
#[derive(Clone)]
pub struct Sessions {
    clock: Clock,
    alive: Arc<Mutex<HashMap<String, Session>>>,
    /// These tokens, and every other secret that SSO and KooDrive hand out or are told.
    pub canaries: Canaries,
}

#[derive(Clone, Debug)]
struct Session {
    user: String,
    used_at: SystemTime,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAlive {
    /// Never issued, or revoked.
    Unknown,
    /// Unused for too long.
    Expired,
}

impl Sessions {
    /// Who hands out or is told a secret notes it in `canaries`.
    pub fn new(clock: &Clock, canaries: Canaries) -> Self {
        Self { clock: clock.clone(), alive: Arc::default(), canaries }
    }

    /// A new token for a user: 48 lower-case hex digits. Older ones of that user stay alive.
    pub fn issue(&self, user: &str) -> String {
        let token = random_hex(24);
        self.canaries.note("a KooDrive token", &token);
        let session = Session { user: user.to_owned(), used_at: self.clock.now() };
        self.lock().insert(token.clone(), session);
        token
    }

    /// Whose token this is. Does not prolong its life.
    pub fn user_of(&self, token: &str) -> Result<String, NotAlive> {
        let alive = self.lock();
        let session = alive.get(token).ok_or(NotAlive::Unknown)?;
        let idle = self.clock.now().duration_since(session.used_at).unwrap_or_default();
        if IDLE_LIFETIME <= idle { Err(NotAlive::Expired) } else { Ok(session.user.clone()) }
    }

    /// Twenty more minutes.
    pub fn prolong(&self, token: &str) {
        if let Some(session) = self.lock().get_mut(token) {
            session.used_at = self.clock.now();
        }
    }

    /// Whether there was such a token.
    pub fn revoke(&self, token: &str) -> bool {
        self.lock().remove(token).is_some()
    }

    /// Ends all tokens of a user; how many there were.
    pub fn revoke_user(&self, user: &str) -> usize {
        let mut alive = self.lock();
        let before = alive.len();
        alive.retain(|_, session| session.user != user);
        before - alive.len()
    }

    pub fn revoke_all(&self) {
        self.lock().clear();
    }

    /// The tokens of a user, in no order.
    pub fn tokens_of(&self, user: &str) -> Vec<String> {
        let alive = self.lock();
        let of_user = alive.iter().filter(|(_, session)| session.user == user);
        of_user.map(|(token, _)| token.clone()).collect()
    }

    /// Every token that was issued and not revoked.
    pub fn all_tokens(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Session>> {
        self.alive.lock().expect("no holder panics")
    }
}
