//! HTTP/1 connections that give back the memory of large bodies.
//!
//! hyper reads into a buffer that grows with what comes, and keeps it for as long as its connection
//! lives. So between two calls a connection that has grown is replaced: the same socket, the same
//! service, a new buffer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::Body;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::HttpService;

use super::guard::Watched;
use super::presence::Presence;
use super::unwritten::Unwritten;
use crate::body::Intake;

/// An HTTP/1 connection, served until it ends.
pub(super) struct Renewed<I, S: HttpService<Incoming>> {
    /// `None` once it was given up.
    connection: Option<http1::Connection<I, S>>,
    builder: http1::Builder,
    watched: Watched,
    intake: Intake,
    unwritten: Arc<Unwritten>,
    presence: Arc<Presence>,
    /// Ends when a grown buffer was kept long enough.
    idle: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// How it has ended, while it is being closed.
    ended: Option<hyper::Result<()>>,
}

impl<I, S, B> Renewed<I, S>
where
    I: Read + Write + Unpin,
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(super) fn new(
        builder: http1::Builder,
        io: I,
        service: S,
        watched: Watched,
        intake: Intake,
        unwritten: Arc<Unwritten>,
        presence: Arc<Presence>,
    ) -> Self {
        let connection = Some(builder.serve_connection(io, service));
        Self { connection, builder, watched, intake, unwritten, presence, idle: None, ended: None }
    }

    pub(super) fn graceful_shutdown(self: Pin<&mut Self>) {
        let this = self.get_mut();
        // hyper waits for the request of which it has read a beginning, and takes an empty line for one.
        if this.ended.is_none() && this.is_between() {
            this.renew();
        }
        if let Some(connection) = &mut this.connection {
            Pin::new(connection).graceful_shutdown();
        }
    }

    /// Whether nothing is lost with hyper's buffer: the last request was read to its end, its answer
    /// was written, and no byte of another has come.
    fn is_between(&self) -> bool {
        !self.presence.is_busy() && !self.intake.is_in_body() && self.watched.is_at_rest()
    }

    /// Whether the next call is likely to come soon, and there is memory for the buffer until then.
    fn may_keep(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.intake.may_keep() {
            return false;
        }
        let presence = &self.presence;
        let idle = self.idle.get_or_insert_with(|| {
            let presence = Arc::clone(presence);
            Box::pin(async move { presence.idle_for(KEPT_FOR).await })
        });
        idle.as_mut().poll(cx).is_pending()
    }

    /// Replaces the connection, or gives it up if hyper has read on in spite of all that.
    fn renew(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let parts = connection.into_parts();
        // Empty lines before a request are to be skipped (RFC 9112 section 2.2).
        if parts.read_buf.iter().any(|byte| !b"\r\n".contains(byte)) {
            tracing::debug!("connection ended: hyper had read more than was seen");
            return;
        }
        self.idle = None;
        self.intake.renew();
        self.connection = Some(self.builder.serve_connection(parts.io, parts.service));
    }
}

impl<I, S, B> Future for Renewed<I, S>
where
    I: Read + Write + Unpin,
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Output = hyper::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        while let Some(connection) = &mut this.connection {
            if let Poll::Ready(ended) = Pin::new(connection).poll(cx) {
                // If a request has asked for an upgrade, hyper ends without closing the socket, for
                // others to go on with it. Nobody does; asked once more, hyper writes what is left and
                // closes. Whoever takes nothing of that is cut off by the socket's own timeout.
                let first = this.ended.take();
                if first.is_none() && ended.as_ref().err().is_none_or(hyper::Error::is_parse) {
                    this.ended = Some(ended);
                    continue;
                }
                return Poll::Ready(first.unwrap_or(ended));
            }
            if this.ended.is_some() {
                return Poll::Pending;
            }
            // Its answer waited for what the socket has just taken.
            if this.unwritten.is_wanted() {
                continue;
            }
            if !this.intake.has_grown() {
                return Poll::Pending;
            }
            this.intake.watch(cx.waker());
            if !this.is_between() || this.may_keep(cx) {
                return Poll::Pending;
            }
            this.renew();
        }
        Poll::Ready(Ok(()))
    }
}

/// How long a buffer that has grown waits for the next call.
const KEPT_FOR: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Empty;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    use super::super::guard::{Guarded, Leaving};
    use super::super::presence::Roster;
    use super::*;
    use crate::body;
    use crate::body::{Budget, InboundBody};
    use crate::clock::Clock;
    use crate::lifecycle::Drain;

    /// A connection that answers each call, once its body has come, with how many bytes may be read
    /// at once by then.
    fn connection(spare: usize) -> (DuplexStream, Intake, Arc<Budget>, Drain) {
        let (caller, socket) = tokio::io::duplex(1024 * 1024);
        // A quarter is spared at most, an eighth between calls.
        let budget = Budget::new(8 * spare);
        let intake = Intake::new(Arc::clone(&budget));
        let later = Instant::now() + Duration::from_mins(1);
        let process = Drain::default();
        let drain = process.watch();
        let leaving = Leaving { drain, leave: CancellationToken::new(), until: later };
        let patient = Duration::from_mins(1);
        let (guarded, watched) =
            Guarded::new(socket, Bytes::new(), patient, later, leaving, intake.clone());
        let presence = Arc::new(Roster::new(Clock::system()).enter(None));
        let (present, told, taken) = (Arc::clone(&presence), watched.clone(), intake.clone());
        let unwritten = Arc::<Unwritten>::default();
        let waits = Arc::clone(&unwritten);
        let service = service_fn(move |request: Request<Incoming>| {
            assert_eq!(told.next_verdict(), None);
            let exchange = present.begin_exchange();
            let (taken, unwritten) = (taken.clone(), Arc::clone(&unwritten));
            let body = InboundBody::new(request.into_body(), patient).taken_by(taken.clone());
            async move {
                body::read_whole(body, usize::MAX).await.unwrap();
                let answer = Response::builder().header("x-most", taken.bytes_max());
                let body = exchange.carry(Empty::<Bytes>::new(), false, unwritten);
                Ok::<_, Infallible>(answer.body(body).unwrap())
            }
        });
        let mut builder = http1::Builder::new();
        builder.max_buf_size(Intake::BYTES_MAX);
        let socket = TokioIo::new(guarded);
        let taken = intake.clone();
        let connection = Renewed::new(builder, socket, service, watched, taken, waits, presence);
        process.watch().finish(async { drop(connection.await) });
        (caller, intake, budget, process)
    }

    fn call(body_bytes: usize) -> Vec<u8> {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {body_bytes}\r\n\r\n");
        [head.into_bytes(), vec![b'x'; body_bytes]].concat()
    }

    async fn answer(caller: &mut DuplexStream) -> usize {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(caller.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let most = head.lines().find_map(|line| line.strip_prefix("x-most: "));
        most.unwrap_or_else(|| panic!("{head}")).parse().unwrap()
    }

    /// Whether the buffer is still large when the connection has nothing more to do.
    async fn is_kept(intake: &Intake) -> bool {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        intake.has_grown()
    }

    #[tokio::test]
    async fn a_connection_that_has_grown_is_like_new_for_the_next_call() {
        let long = 3 * 1024 * 1024;
        // Bytes of the body, memory to spare, bytes read at once by its end, and whether the buffer
        // is kept for the next call.
        let cases = [
            (1000, 0, STRANGER, false),
            (1000, 160 * 1024, STRANGER, false),
            (20_000, 160 * 1024, STRANGER, false),
            (100_000, 0, COLD, false),
            (100_000, 160 * 1024, WARM, true),
            (long, 160 * 1024, WARM, true),
            (long, 500 * 1024, Intake::BYTES_MAX, false),
        ];
        for (body_bytes, spare, most, kept) in cases {
            let (mut caller, intake, budget, _process) = connection(spare);
            for _ in 0..2 {
                caller.write_all(&call(body_bytes)).await.unwrap();
                assert_eq!(answer(&mut caller).await, most, "{body_bytes} {spare}");
                assert_eq!(is_kept(&intake).await, kept, "{body_bytes} {spare}");
                let held = 8 * spare - budget.free();
                assert_eq!(held, if kept { 160 * 1024 } else { 0 }, "{body_bytes} {spare}");
            }
            let given_back = async {
                while is_kept(&intake).await {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            let soon = tokio::time::timeout(10 * KEPT_FOR, given_back).await;
            soon.unwrap_or_else(|_| panic!("{body_bytes} {spare}: it is kept for ever"));
            assert_eq!(budget.free(), 8 * spare, "{body_bytes} {spare}");
        }
    }

    #[tokio::test]
    async fn memory_for_a_long_body_that_came_in_small_pieces_is_given_back() {
        let spare = 500 * 1024;
        let (mut caller, intake, budget, _process) = connection(spare);
        let mut most_held = 0;
        for piece in call(2 * 1024 * 1024).chunks(8 * 1024) {
            caller.write_all(piece).await.unwrap();
            assert!(!is_kept(&intake).await, "no read was large");
            most_held = most_held.max(8 * spare - budget.free());
        }
        answer(&mut caller).await;
        assert_eq!((most_held, budget.free()), (3 * Intake::BYTES_MAX, 8 * spare));
    }

    #[tokio::test]
    async fn what_has_come_of_the_next_call_is_not_lost() {
        let (mut caller, _, _, _process) = connection(0);
        let two = [call(100_000), call(100_000)].concat();
        for early in [1, 2, 10, 60, 70, 1000, 99_999] {
            let (first, rest) = two.split_at(two.len() / 2 + early);
            caller.write_all(first).await.unwrap();
            answer(&mut caller).await;
            caller.write_all(rest).await.unwrap();
            answer(&mut caller).await;
        }
        // Empty lines between requests are not of the next one yet (RFC 9112 section 2.2).
        caller.write_all(&[call(100_000), b"\r\n".to_vec()].concat()).await.unwrap();
        answer(&mut caller).await;
        caller.write_all(&call(10)).await.unwrap();
        answer(&mut caller).await;
    }

    const STRANGER: usize = 16 * 1024;
    const COLD: usize = 64 * 1024 - 1;
    const WARM: usize = 112 * 1024;
}
