//! The connections to one origin: each carries one call at a time, and waits for the next.
//!
//! hyper-util's composable `client::pool::cache` keeps and hands out such connections too, but
//! bounds neither their number nor their age, watches none that is idle, and waits without an end.
//! What is left of it is a list under a mutex.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::ClientOptions;
use super::connection::{Http1, Unanswered};
use super::connector::Connector;
use super::egress::Way;
use super::error::ClientError;
use crate::body::{BodyError, OutboundBody};
use crate::places::{Holder, Place, Places};
use crate::wakes::muted;

/// Connections to one origin. Clones share them.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Shared>);

struct Shared {
    connector: Connector,
    origin: Uri,
    way: Way,
    connect_timeout: Duration,
    idle_timeout: Duration,
    connections_max: usize,
    /// One for each call that has a connection, or is making one.
    places: Places,
    idle: Mutex<Idle>,
}

/// Connections that wait for a call, the longest idle first. Each worker takes the last of its own,
/// so that what is not needed grows old.
#[derive(Default)]
struct Idle {
    #[expect(clippy::vec_box, reason = "each moves out and in with every call")]
    connections: Vec<Box<Http1>>,
    watcher: Option<Waker>,
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug)]
pub struct AnswerTimeouts {
    /// To the head, from when the request's body last moved.
    pub head: Duration,
    /// Between two reads of the body.
    pub idle: Duration,
}

/// A connection in use. It is closed on drop, unless its exchange is over.
#[derive(Debug)]
struct Lease {
    connection: Box<Http1>,
    pool: Arc<Shared>,
    _place: Place,
}

impl Pool {
    pub fn new(options: &ClientOptions<'_>, origin: &Uri) -> Self {
        let connections_max = options.connections_max;
        let connector = options.connector();
        Self(Arc::new(Shared {
            way: connector.way_to(origin),
            connector,
            origin: origin.clone(),
            connect_timeout: options.connect_timeout,
            idle_timeout: options.pool_idle_timeout,
            connections_max,
            places: Places::new("connections to KooDrive", connections_max),
            idle: Mutex::default(),
        }))
    }

    /// Sends a request in origin form, with a `Host`, and waits for the head of the answer. Waits
    /// for a connection on behalf of `holder` at most as long as connecting may take; only then the
    /// answer's time begins.
    /// A `fresh` connection is one that the peer cannot have been closing already.
    ///
    /// Dropping the future, or the body before its end, closes the connection and so ends the call.
    pub async fn send(
        &self,
        mut request: Request<OutboundBody>,
        timeouts: AnswerTimeouts,
        holder: Holder,
        fresh: bool,
    ) -> Result<Response<PooledBody>, ClientError> {
        self.0.way.address(&mut request, &self.0.origin);
        let begun = Instant::now();
        let deadline = begun + self.0.connect_timeout;
        let place = self.place(holder, deadline).await?;
        let idle = if fresh { None } else { self.0.take(begun) };
        let mut reused = idle.is_some();
        // Connecting is rare, and most of what a call's future would hold: on the heap by itself.
        let connection = match idle {
            Some(idle) => idle,
            None => Box::pin(self.0.connect(deadline)).await?,
        };
        let mut lease = Lease { connection, pool: Arc::clone(&self.0), _place: place };
        loop {
            match lease.connection.exchange(request, timeouts.head).await {
                Ok(answer) => {
                    self.0.way.check(answer.status())?;
                    return Ok(answer.map(|body| PooledBody::new(body, lease, timeouts.idle)));
                }
                Err(Unanswered::Unsent(unsent, _)) if reused => {
                    request = *unsent;
                    reused = false;
                    lease.connection = Box::pin(self.0.connect(deadline)).await?;
                }
                Err(Unanswered::Unsent(_, error) | Unanswered::Failed(error)) => return Err(error),
            }
        }
    }

    /// Connections that carry a call or are being made, and how many there may be.
    pub fn taken(&self) -> (usize, usize) {
        self.0.places.taken()
    }

    async fn place(&self, holder: Holder, deadline: Instant) -> Result<Place, ClientError> {
        if let Ok(place) = self.0.places.try_take(holder) {
            return Ok(place);
        }
        let place = tokio::time::timeout_at(deadline, self.0.places.take(holder)).await;
        place.map_err(|_| ClientError::Saturated)
    }

    /// Closes connections that were idle for too long, or that the peer has closed. Ends some time
    /// after the last clone of the pool.
    pub fn watch(&self) -> impl Future<Output = ()> + Send + use<> {
        let (pool, every) = (Arc::downgrade(&self.0), self.0.idle_timeout);
        let mut timer = Box::pin(tokio::time::sleep(every));
        std::future::poll_fn(move |cx| {
            loop {
                let Some(next) = Weak::upgrade(&pool).map(|pool| pool.sweep(cx)) else {
                    return Poll::Ready(());
                };
                timer.as_mut().reset(next);
                ready!(timer.as_mut().poll(cx));
            }
        })
    }
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, now: Instant) -> Option<Box<Http1>> {
        let here = Handle::current().id();
        let connections = &mut self.idle().connections;
        let last = connections.iter().rposition(|connection| connection.is_of(here))?;
        let taken = connections.remove(last);
        // If the last used one is too old, all are.
        (taken.idle(now) < self.idle_timeout).then_some(taken)
    }

    fn put(&self, mut connection: Box<Http1>, now: Instant) {
        let mut idle = self.idle();
        connection.rest(now, idle.watcher.as_ref());
        idle.connections.push(connection);
    }

    async fn connect(&self, deadline: Instant) -> Result<Box<Http1>, ClientError> {
        self.make_room();
        let stream = self.connector.connect(self.origin.clone(), deadline).await;
        let stream = stream.map_err(ClientError::Connect)?;
        let connection = Http1::handshake(stream, Instant::now()).await;
        connection.map(Box::new).map_err(|error| ClientError::Connect(error.into()))
    }

    /// Whoever wants a fresh connection may do so while others are idle: one of them goes.
    fn make_room(&self) {
        let mut idle = self.idle();
        let (in_use, _) = self.places.taken();
        if self.connections_max < in_use + idle.connections.len() {
            idle.connections.remove(0);
        }
    }

    /// Returns when to look again.
    fn sweep(&self, cx: &mut Context<'_>) -> Instant {
        let now = Instant::now();
        let mut idle = self.idle();
        idle.watcher = Some(cx.waker().clone());
        idle.connections.retain_mut(|connection| {
            connection.idle(now) < self.idle_timeout && connection.drive(cx)
        });
        let oldest = idle.connections.first().map_or(Duration::ZERO, |oldest| oldest.idle(now));
        now + self.idle_timeout.saturating_sub(oldest)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Lease {
    /// The exchange is over: the connection waits for the next.
    fn end(mut self) {
        let now = Instant::now();
        if self.connection.is_reusable(now) {
            let Self { connection, pool, _place } = self;
            pool.put(connection, now);
        }
    }
}

/// The body of an answer, which has its connection until it ends.
#[derive(Debug)]
pub struct PooledBody {
    incoming: Incoming,
    /// `None` once the body has ended.
    lease: Option<Lease>,
    idle_timeout: Duration,
    /// Something came since the deadline was set.
    moved: bool,
}

impl PooledBody {
    fn new(incoming: Incoming, lease: Lease, idle_timeout: Duration) -> Self {
        let mut body = Self { incoming, lease: Some(lease), idle_timeout, moved: true };
        body.end_if(body.incoming.is_end_stream());
        body
    }

    fn end_if(&mut self, ended: bool) {
        if ended && let Some(lease) = self.lease.take() {
            lease.end();
        }
    }

    fn read(&mut self) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let read = muted(|cx| Pin::new(&mut self.incoming).poll_frame(cx));
        Poll::Ready(match ready!(read) {
            Some(Ok(frame)) => {
                self.moved = true;
                self.end_if(frame.is_trailers() || self.incoming.is_end_stream());
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                self.lease = None;
                Some(Err(error.into()))
            }
            None => {
                self.end_if(true);
                None
            }
        })
    }
}

impl Body for PooledBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Poll::Ready(read) = this.read() {
            return Poll::Ready(read);
        }
        let Some(lease) = &mut this.lease else { return Poll::Ready(None) };
        lease.connection.drive(cx);
        if let Poll::Ready(read) = this.read() {
            return Poll::Ready(read);
        }
        let Some(lease) = &mut this.lease else { return Poll::Ready(None) };
        if std::mem::take(&mut this.moved) {
            lease.connection.deadline.set(Instant::now() + this.idle_timeout);
        }
        ready!(lease.connection.poll_deadline());
        this.lease = None;
        Poll::Ready(Some(Err(BodyError::Idle(this.idle_timeout))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
