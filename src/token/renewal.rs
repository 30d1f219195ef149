//! Renewal ahead of need: off the request path, for callers still active, bounded overall.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::cache::CachedToken;
use super::error::TokenError;
use super::flight::{Boarding, Departure};
use super::{Inner, Method};
use crate::accept::Accepted;
use crate::trace_context::SpanContext;

impl Inner {
    /// Starts the renewals that are due, as many as a second may see and as have places.
    pub(super) fn refresh_due(self: &Arc<Self>) {
        let Method::Network(exchange) = &self.method else { return };
        let now = self.shared.clock.now();
        let mut left = self.gate.background_per_second();
        while 0 < left {
            let Some(place) = self.gate.background() else { return };
            let Some(token) = self.shared.ahead.take_due(now) else { return };
            if token.setup != self.setup.mark() || !token.is_alive(now) {
                continue; // of another configuration, or beyond renewal
            }
            let Some(caller) = token.take_active() else { continue };
            if exchange.speaks_for_caller() && caller.identity.expires_at <= now + self.timeout {
                continue; // his SSO token has had its day; the next call brings a new one
            }
            left -= 1;
            self.renew(token, caller, place);
        }
    }

    fn renew(
        self: &Arc<Self>,
        token: Arc<CachedToken>,
        caller: Box<Accepted>,
        place: OwnedSemaphorePermit,
    ) {
        let monotonic = self.shared.clock.monotonic();
        let board = self.shared.flights.board(token.key, monotonic, || SpanContext::root(true));
        let departure = match board {
            Boarding::Leading(_, departure) => departure,
            // Somebody renews it already, or just failed to.
            Boarding::Joined(_) | Boarding::Failed(_) => return,
        };
        let inner = Arc::clone(self);
        self.shared.tasks.spawn("token-refresh", async move {
            inner.fly_ahead(departure, token, caller).await;
            drop(place);
        });
    }

    async fn fly_ahead(
        self: Arc<Self>,
        departure: Departure,
        token: Arc<CachedToken>,
        caller: Box<Accepted>,
    ) {
        let landing = self.lead(&departure, &caller, None, Some(&token)).await;
        if let Err(error) = &landing.result {
            tracing::debug!(error = %error, "access token not renewed ahead of need");
            let for_now = !matches!(error, TokenError::Denied(_) | TokenError::AnswerUnusable(_));
            let now = self.shared.clock.now();
            if for_now && token.is_fresh(now) {
                // Its own time is the bound: tried again until nobody may use the token.
                token.put_back_active(caller);
                self.shared.ahead.schedule(&token, now + AGAIN_AFTER, self.max_entries);
            }
        }
        self.land(departure, landing);
    }
}

/// Between two attempts to renew one token ahead of need.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
