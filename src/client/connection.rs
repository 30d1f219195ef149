//! One connection of the pool: HTTP/1.1, one call at a time.
//!
//! hyper's connection is polled by whoever waits for the answer, head and body; no task stands
//! between. Therefore hyper's own channels never need to wake anybody: all ends of them are polled
//! in turn by one task.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use tokio::runtime;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep};

use super::connector::{History, Stream};
use super::error::ClientError;
use crate::body::OutboundBody;
use crate::wakes::{Wakes, muted};

/// A connection, and what the pool must know of it.
#[derive(Debug)]
pub(super) struct Http1 {
    requests: http1::SendRequest<OutboundBody>,
    /// `None` once it has ended.
    driver: Option<Box<http1::Connection<Stream, OutboundBody>>>,
    wakes: Arc<Wakes>,
    /// Of `wakes`: the same for the whole life of the connection.
    waker: Waker,
    history: History,
    pub(super) deadline: Deadline,
    opened_at: Instant,
    /// The runtime whose sockets it is one of.
    opened_in: runtime::Id,
    idle_since: Instant,
}

/// How an exchange ended without an answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The connection had closed before any of the request was written.
    Unsent(Box<Request<OutboundBody>>, ClientError),
    Failed(ClientError),
}

impl Http1 {
    pub(super) async fn handshake(stream: Stream, now: Instant) -> Result<Self, hyper::Error> {
        let history = stream.history();
        let (requests, driver) = http1::Builder::new()
            .max_headers(HEADER_LINES_MAX)
            .max_buf_size(BUFFER_BYTES)
            .handshake(stream)
            .await?;
        let wakes = Arc::new(Wakes::default());
        Ok(Self {
            requests,
            driver: Some(Box::new(driver)),
            waker: Waker::from(Arc::clone(&wakes)),
            wakes,
            history,
            deadline: Deadline::at(now),
            opened_at: now,
            opened_in: Handle::current().id(),
            idle_since: now,
        })
    }

    /// Sends a request and waits for the head of the answer, at most `timeout` from when the
    /// request's body last moved.
    pub(super) async fn exchange(
        &mut self,
        mut request: Request<OutboundBody>,
        timeout: Duration,
    ) -> Result<Response<Incoming>, Unanswered> {
        let progress = request.body_mut().progress();
        self.deadline.set(Instant::now() + timeout);
        let mut sending = std::pin::pin!(muted(|_| self.requests.try_send_request(request)));
        std::future::poll_fn(|cx| {
            self.drive(cx);
            if let Poll::Ready(outcome) = muted(|cx| sending.as_mut().poll(cx)) {
                return Poll::Ready(outcome.map_err(|error| self.unanswered(error)));
            }
            loop {
                ready!(self.poll_deadline());
                match progress.as_ref().map(|progress| progress.last() + timeout) {
                    Some(later) if self.deadline.at < later => self.deadline.set(later),
                    _ => {
                        let timed_out = ClientError::TimedOut(timeout);
                        return Poll::Ready(Err(Unanswered::Failed(timed_out)));
                    }
                }
            }
        })
        .await
    }

    fn unanswered(&self, mut error: TrySendError<Request<OutboundBody>>) -> Unanswered {
        let unsent = error.take_message();
        let error = ClientError::broken(error.into_error(), &self.history);
        match unsent {
            Some(request) => Unanswered::Unsent(Box::new(request), error),
            None => Unanswered::Failed(error),
        }
    }

    /// Moves on what is sent and read. Whether the connection is still open.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(driver) = &mut self.driver else { return false };
        self.wakes.register(cx.waker());
        let open = Pin::new(driver).poll(&mut Context::from_waker(&self.waker)).is_pending();
        if !open {
            // How it ended is told by the request or the body that it ended for. With it go what
            // waited in its channels, so that nobody waits for it for ever.
            self.driver = None;
        }
        open
    }

    /// Ready when the deadline has passed. Wakes whom the driver would wake.
    pub(super) fn poll_deadline(&mut self) -> Poll<()> {
        self.deadline.poll(&mut Context::from_waker(&self.waker))
    }

    /// Whether the last exchange is over and another may follow.
    pub(super) fn is_reusable(&mut self, now: Instant) -> bool {
        let mut unheard = Context::from_waker(Waker::noop());
        (self.requests.is_ready() || self.drive(&mut unheard))
            && self.requests.is_ready()
            && now.saturating_duration_since(self.opened_at) < AGE_MAX
    }

    /// Whether it was opened in this runtime, so that waiting on it there wakes no other thread.
    pub(super) fn is_of(&self, runtime: runtime::Id) -> bool {
        self.opened_in == runtime
    }

    /// From now on `watcher` is woken when something happens to the connection.
    pub(super) fn rest(&mut self, now: Instant, watcher: Option<&Waker>) {
        self.idle_since = now;
        match watcher {
            Some(watcher) => self.wakes.register(watcher),
            None => self.wakes.forget(),
        }
    }

    /// How long it has been idle.
    pub(super) fn idle(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.idle_since)
    }
}

/// A deadline that costs a timer only when it passes: moving it later leaves the timer where it
/// is, which then finds that it came too early.
#[derive(Debug)]
pub(super) struct Deadline {
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    fn at(at: Instant) -> Self {
        Self { at, timer: Box::pin(tokio::time::sleep_until(at)) }
    }

    pub(super) fn set(&mut self, at: Instant) {
        self.at = at;
        if at < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(at);
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if self.at <= self.timer.deadline() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.at);
        }
    }
}

/// More than any server sends; hyper's own bound is 100.
const HEADER_LINES_MAX: usize = 256;
/// What of an answer is read before its reader asks for it, head included, and what of a request
/// waits to be written. hyper's own bound is 408 KiB, which many slow readers make much.
const BUFFER_BYTES: usize = 64 * 1024;
/// After so long the peer's name may mean another address, and its load may have moved.
const AGE_MAX: Duration = Duration::from_mins(5);
