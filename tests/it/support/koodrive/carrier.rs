//! The carrier edition's sessions: log in by account, refresh (pages `Login` and `RefreshToken`).

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::support::koodrive::envelopes::{parameters_wrong, success};
use crate::support::recording::{Received, random_hex};
use crate::support::server::Answer;
use crate::support::sessions::Sessions;

pub(super) const LOGIN: &str = "/koodrive/ose/v1/auth/login";
pub(super) const REFRESH: &str = "/koodrive/ose/v1/auth/refreshToken";
/// Seconds, as the page's example has it.
const EXPIRES_IN: u64 = 1800;

/// The one account that can log in, and its session.
#[derive(Clone, Debug)]
pub struct Carrier {
    pub account: String,
    pub password: String,
    refresh_token: Option<String>,
}

impl Carrier {
    pub fn new(account: &str, password: &str) -> Self {
        Self { account: account.to_owned(), password: password.to_owned(), refresh_token: None }
    }

    pub(super) fn login(
        &mut self,
        received: &Received,
        sessions: &Sessions,
        now: SystemTime,
    ) -> Answer {
        let body: Value = serde_json::from_slice(&received.body.prefix).unwrap_or_default();
        let right = received.headers.contains_key("x-hw-agentname")
            && body["account"] == *self.account
            && body["authType"] == "1"
            && body["password"] == *self.password;
        if !right {
            return parameters_wrong(&received.headers);
        }
        let session = self.session(random_hex(24), sessions, now);
        let user = json!({ "userId": "1505084218764547200", "firstname": self.account });
        success(&received.headers, &json!({ "userInfo": user, "sessionInfo": session }))
    }

    pub(super) fn refresh(
        &mut self,
        received: &Received,
        sessions: &Sessions,
        now: SystemTime,
    ) -> Answer {
        let body: Value = serde_json::from_slice(&received.body.prefix).unwrap_or_default();
        let sent = body["refreshToken"].as_str().map(str::to_owned);
        match sent {
            Some(sent) if self.refresh_token.as_deref() == Some(&sent) => {
                let session = self.session(sent, sessions, now);
                success(&received.headers, &json!({ "sessionInfo": session }))
            }
            _ => parameters_wrong(&received.headers),
        }
    }

    fn session(&mut self, refresh_token: String, sessions: &Sessions, now: SystemTime) -> Value {
        sessions.canaries.note("a carrier's refresh token", &refresh_token);
        let issued_at = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let session = json!({
            "accessToken": format!("AT {}", sessions.issue(&self.account)),
            "expiresIn": EXPIRES_IN,
            "issuedAt": issued_at.as_millis().to_string(),
            "refreshToken": refresh_token,
        });
        self.refresh_token = Some(refresh_token);
        session
    }
}
