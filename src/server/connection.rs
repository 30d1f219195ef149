//! One connection, from its first byte to its end.

use std::iter;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::guard::{Guarded, Leaving, Rewind};
use super::h2_pace::Paced;
use super::h2_streams::Streams;
use super::preface::{detect, other_than_http};
use super::presence::Presence;
use super::renewal::Renewed;
use super::unwritten::Unwritten;
use super::{framing, target, tls};
use crate::body;
use crate::body::{InboundBody, Intake};
use crate::digest;
use crate::lifecycle::{DrainWatch, Phase};
use crate::listener::{CallerAddress, Socket, WriteTimeout};
use crate::pipeline::{Arrival, CurrentPipeline, ResponseBody};
use crate::rejection::Reason;
use crate::wakes;

/// Serves connections; what all of them share.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    pub(super) pipeline: CurrentPipeline,
    pub(super) drain: DrainWatch,
    /// Of HTTP/2, which were begun and are not being worked on yet.
    pub(super) waiting_streams: Arc<AtomicUsize>,
    pub(super) header_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) body_timeout: Duration,
    pub(super) max_header_bytes: usize,
}

impl Connections {
    /// Each step is on the heap by itself and gone when the next begins: a connection spends most of
    /// its time waiting, and should not keep the room of what it has behind it.
    pub(super) async fn serve(
        self,
        socket: Socket,
        tls: Option<TlsAcceptor>,
        caller: CallerAddress,
        presence: Presence,
    ) {
        let deadline = Instant::now() + self.header_timeout;
        let socket = WriteTimeout::new(socket, self.idle_timeout);
        let presence = Arc::new(presence);
        let leaving = self.leaving(&presence);
        let opening: Pin<Box<dyn Future<Output = Option<Serving>> + Send>> = match tls {
            None => Box::pin(self.detect_protocol(socket, deadline, caller, presence)),
            Some(tls) => Box::pin(self.tls_handshake(tls, socket, deadline, caller, presence)),
        };
        // Who has sent nothing yet is hardly waited for.
        let serving = tokio::select! {
            serving = opening => serving,
            () = leaving.over() => None,
        };
        if let Some(serving) = serving {
            serving.await;
        }
    }

    fn leaving(&self, presence: &Presence) -> Leaving {
        let until = Instant::now() + FIRST_HEAD_GRACE;
        Leaving { drain: self.drain.clone(), leave: presence.leave().clone(), until }
    }

    async fn detect_protocol(
        self,
        socket: WriteTimeout<Socket>,
        deadline: Instant,
        caller: CallerAddress,
        presence: Arc<Presence>,
    ) -> Option<Serving> {
        match tokio::time::timeout_at(deadline, detect(socket)).await {
            Ok(Ok((socket, prefix, true))) => {
                return Some(Box::pin(self.serve_h2(socket, prefix, caller, presence)));
            }
            Ok(Ok((socket, prefix, false))) => {
                return Some(Box::pin(self.serve_h1(socket, prefix, deadline, caller, presence)));
            }
            Ok(Err(error)) => tracing::debug!(%error, "connection ended before a request"),
            Err(_) => tracing::debug!("no request within header_timeout"),
        }
        None
    }

    async fn tls_handshake(
        self,
        tls: TlsAcceptor,
        socket: WriteTimeout<Socket>,
        deadline: Instant,
        caller: CallerAddress,
        presence: Arc<Presence>,
    ) -> Option<Serving> {
        match tokio::time::timeout_at(deadline, tls.accept(socket)).await {
            Ok(Ok(stream)) => {
                let session = stream.get_ref().1;
                let http2 = session.alpn_protocol() == Some(tls::ALPN_H2);
                let presented = session.peer_certificates().and_then(<[_]>::first);
                let certificate = presented.map(|certificate| digest::sha256(certificate));
                let caller = CallerAddress { certificate, ..caller };
                let stream = Box::new(stream);
                return Some(if http2 {
                    Box::pin(self.serve_h2(stream, Bytes::new(), caller, presence))
                } else {
                    Box::pin(self.serve_h1(stream, Bytes::new(), deadline, caller, presence))
                });
            }
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake not finished within header_timeout"),
        }
        None
    }

    async fn serve_h1<T>(
        self,
        stream: T,
        prefix: Bytes,
        deadline: Instant,
        caller: CallerAddress,
        presence: Arc<Presence>,
    ) where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let instead = other_than_http(&prefix);
        let leaving = self.leaving(&presence);
        let present = Arc::clone(&presence);
        let intake = Intake::new(Arc::clone(&self.pipeline.load().budget));
        let unwritten = Arc::<Unwritten>::default();
        let taken = intake.clone();
        let (stream, watched) =
            Guarded::new(stream, prefix, self.header_timeout, deadline, leaving, taken);
        let served = self.clone();
        let (seen, taken, waits) = (watched.clone(), intake.clone(), Arc::clone(&unwritten));
        let old_from = presence.clock().monotonic() + CONNECTION_AGE_MAX;
        let service = service_fn(move |request| {
            let served = served.clone();
            let fault = seen.next_verdict().map(framing::Fault::as_str);
            let last = old_from <= presence.clock().monotonic();
            let exchange = presence.begin_exchange();
            // Never too late: once the process drains, the next answer of a connection is its last, and
            // whoever called meanwhile could not know.
            let holder = presence.holder();
            let arrival =
                Arrival { caller, holder, framing_fault: fault, draining: false, accepted: None };
            let presence = Arc::clone(&presence);
            let (taken, unwritten) = (taken.clone(), Arc::clone(&unwritten));
            // On the heap, so that an idle connection does not keep the room a call needs; and written
            // there at once, for `Box::pin` would copy all of that room.
            let on_heap = Box::write(Box::new_uninit(), async move {
                let leave = presence.leave().clone();
                let mut response = served.handle_http1(request, arrival, taken, leave).await;
                response.body().holder().inspect(|holder| presence.accepted(*holder));
                if last {
                    response.headers_mut().insert(CONNECTION, CLOSE);
                }
                // hyper drops the length of what an unconditional answer would have had unless it
                // believes that the body may have it (RFC 9110 section 15.4.5).
                let hides_length = response.status() == StatusCode::NOT_MODIFIED
                    && response.headers().contains_key(CONTENT_LENGTH);
                let response = response.map(|body| exchange.carry(body, hides_length, unwritten));
                Ok::<_, std::convert::Infallible>(response)
            });
            Box::into_pin(on_heap)
        });
        let mut builder = http1::Builder::new();
        builder
            .max_header_size(self.max_header_bytes)
            .max_buf_size(Intake::BYTES_MAX.max(2 * self.max_header_bytes));
        let stream = TokioIo::new(stream);
        let present_too = Arc::clone(&present);
        let connection =
            Renewed::new(builder, stream, service, watched, intake, waits, present_too);
        let connection = pin!(connection);
        // An old one is not closed between two calls: the next might be under way already. Its next
        // answer is its last.
        // hyper's own timeout for heads would be a timer for each.
        let outlived = async {
            tokio::select! {
                () = present.idle_for(self.idle_timeout) => Outlived::Idle,
                () = present.leave().cancelled() => Outlived::Place,
            }
        };
        // Before its first call hyper would close it at once, even if the head is under way. The answer
        // ends the connection as well.
        let told = || present.has_called();
        let shut_down = Renewed::graceful_shutdown;
        let driven = pin!(self.drive(connection, shut_down, outlived, told, instead));
        wakes::through(driven).await;
    }

    async fn serve_h2<T>(
        self,
        stream: T,
        prefix: Bytes,
        caller: CallerAddress,
        presence: Arc<Presence>,
    ) where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let waiting = Arc::clone(&self.waiting_streams);
        let streams = Streams::new(self.drain.clone(), self.idle_timeout, waiting);
        let served = self.clone();
        let opened = streams.clone();
        let present = Arc::clone(&presence);
        let service = service_fn(move |request| {
            let served = served.clone();
            // Opened in spite of the farewell. The first was under way when the connection was made.
            let draining = presence.has_called() && Phase::Draining <= served.drain.phase();
            let (mut stream, waiting) = opened.begin(presence.begin_exchange());
            let holder = presence.holder();
            let accepted = Some(opened.accepted().clone());
            let arrival = Arrival { caller, holder, framing_fault: None, draining, accepted };
            let presence = Arc::clone(&presence);
            let streams = opened.clone();
            // On the heap, so that an answer that waits does not keep the room a call needs.
            let on_heap = Box::write(Box::new_uninit(), async move {
                drop(waiting);
                let mut response = served.handle_http2(request, arrival).await;
                match response.body().holder() {
                    Some(holder) => presence.accepted(holder),
                    None if stream.refuse(&streams) => leave_body_out(&mut response),
                    None => {}
                }
                Ok::<_, std::convert::Infallible>(response.map(|body| stream.carry(body)))
            });
            Box::into_pin(on_heap)
        });
        let mut builder = http2::Builder::new(streams.clone());
        builder
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(self.max_header_bytes).unwrap_or(u32::MAX))
            .max_concurrent_streams(H2_STREAMS_MAX)
            .initial_stream_window_size(H2_STREAM_BYTES)
            .initial_connection_window_size(H2_CONNECTION_BYTES)
            .max_send_buf_size(H2_SEND_BYTES_MAX)
            .keep_alive_interval(H2_PING_EVERY)
            .keep_alive_timeout(H2_PING_TIMEOUT);
        let stream = Paced::new(Rewind { prefix, inner: stream }, streams.clone());
        let connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let old = Box::pin(present.clock().sleep(CONNECTION_AGE_MAX));
        let outlived = async {
            tokio::select! {
                () = old => Outlived::Age,
                () = streams.outgrown(&present) => Outlived::Age,
                () = present.idle_for(self.idle_timeout) => Outlived::Idle,
                () = present.leave().cancelled() => Outlived::Place,
            }
        };
        // Whoever does not answer the farewell.
        let deaf = async {
            self.drain.clone().reached(Phase::Draining).await;
            tokio::time::sleep(LAST_FRAMES_TIMEOUT).await;
            present.idle_for(LAST_FRAMES_TIMEOUT).await;
        };
        let shut_down = http2::Connection::graceful_shutdown;
        tokio::select! {
            () = self.drive(connection, shut_down, outlived, || true, None) => {}
            () = deaf => tracing::debug!("idle connection cut off"),
        }
    }

    /// Serves a connection until it ends, or asks it to end when it has `outlived` a bound or the
    /// process drains; then only if it is to be `told`.
    async fn drive<C>(
        &self,
        mut connection: Pin<&mut C>,
        shut_down: impl FnOnce(Pin<&mut C>),
        outlived: impl Future<Output = Outlived>,
        told: impl FnOnce() -> bool,
        instead: Option<&'static str>,
    ) where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut drain = self.drain.clone();
        let asked = async {
            tokio::select! {
                () = drain.reached(Phase::Draining) => Outlived::Age,
                outlived = outlived => outlived,
            }
        };
        // Looked at when it wakes, and not at each step of each call.
        let mut asked: FuturesUnordered<_> = iter::once(asked).collect();
        let outlived = tokio::select! {
            biased;
            ended = connection.as_mut() => return self.note_end(ended, instead),
            Some(outlived) = asked.next() => outlived,
        };
        if !matches!(outlived, Outlived::Age) || told() {
            shut_down(connection.as_mut());
        }
        let patience = match outlived {
            Outlived::Age => return self.note_end(connection.await, instead),
            Outlived::Idle => GOODBYE_TIMEOUT,
            Outlived::Place => LAST_FRAMES_TIMEOUT,
        };
        // Nothing is in flight, so nothing is lost when the other side does not follow.
        if let Ok(ended) = tokio::time::timeout(patience, connection).await {
            self.note_end(ended, instead);
        } else {
            tracing::debug!("idle connection cut off");
        }
    }

    /// An HTTP/1 request: its answer decides about the connection. `leave` is cancelled when that is to
    /// make room.
    async fn handle_http1(
        &self,
        request: Request<Incoming>,
        arrival: Arrival,
        intake: Intake,
        leave: CancellationToken,
    ) -> Response<ResponseBody> {
        let ambiguous = arrival.framing_fault.is_some();
        let awaits_continue = request.headers().contains_key(EXPECT);
        let tunnel = request.method() == Method::CONNECT;
        let left = Arc::new(AtomicBool::new(false));
        let (drain, mark) = (self.drain.clone(), Arc::clone(&left));
        let taken = intake.clone();
        // A caller that is still sending its body must be able to read the refusal; so the rest
        // is taken in, within bounds, while the answer goes out. Who waits to be asked is not.
        let rest = move |rest: Incoming, asked: bool| {
            let unread = ambiguous || awaits_continue && !asked;
            if unread || taken.has_grown() {
                mark.store(true, Ordering::Relaxed);
            }
            if !unread {
                let discarding = body::discard(rest, LEFTOVER_BYTES_MAX, LEFTOVER_TIMEOUT);
                drain.finish(
                    async move { leave.run_until_cancelled(discarding).await.unwrap_or(()) },
                );
            }
        };
        let (parts, body) = request.into_parts();
        let body = InboundBody::new(body, self.body_timeout).rest_to(rest).taken_by(intake);
        let mut response = self.dispatch(parts, body, arrival).await;
        let left = left.load(Ordering::Relaxed);
        if ambiguous || tunnel || left || self.drain.phase() != Phase::Serving {
            response.headers_mut().insert(CONNECTION, CLOSE);
        }
        response
    }

    /// An HTTP/2 request: it has its stream for itself.
    async fn handle_http2(
        &self,
        request: Request<Incoming>,
        arrival: Arrival,
    ) -> Response<ResponseBody> {
        let (parts, body) = request.into_parts();
        let body = InboundBody::new(body, self.body_timeout);
        let mut response = self.dispatch(parts, body, arrival).await;
        // HTTP/2 has no such header (RFC 9113 section 8.2.2); a stream ends by itself.
        response.headers_mut().remove(CONNECTION);
        response
    }

    async fn dispatch(
        &self,
        parts: http::request::Parts,
        body: InboundBody,
        mut arrival: Arrival,
    ) -> Response<ResponseBody> {
        arrival.framing_fault = arrival.framing_fault.or_else(|| target::fault_in(&parts));
        // Nobody upstream may read a field that no stage has seen.
        let body = body.map_trailers(|_| None);
        let pipeline = self.pipeline.load();
        let handled = AssertUnwindSafe(pipeline.handle(parts, body, arrival)).catch_unwind().await;
        handled.unwrap_or_else(|_panic| {
            tracing::error!("request handler panicked");
            let mut response = Response::new(ResponseBody::default());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
    }

    /// What hyper answered by itself is counted here: no request was seen. `instead`: what came in
    /// its place, if that is known.
    fn note_end(&self, ended: Result<(), hyper::Error>, instead: Option<&'static str>) {
        let Err(error) = ended else { return };
        let pipeline = self.pipeline.load();
        if error.is_parse_too_large() {
            pipeline.unparsable(Reason::HeadersTooLarge, None);
        } else if error.is_parse() {
            pipeline.unparsable(Reason::FramingIllegal, instead);
        } else {
            tracing::debug!(%error, "connection ended early");
        }
    }
}

/// Leaves the head of a refusal alone.
fn leave_body_out(response: &mut Response<ResponseBody>) {
    *response.body_mut() = ResponseBody::default();
    response.headers_mut().remove(CONTENT_LENGTH);
    response.headers_mut().remove(CONTENT_TYPE);
}

/// A connection that is served to its end.
type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Why a connection is asked to end.
enum Outlived {
    /// Or the process drains: calls may be under way.
    Age,
    Idle,
    /// Others wait for it.
    Place,
}

const CLOSE: HeaderValue = HeaderValue::from_static("close");
const H2_STREAMS_MAX: u32 = 100;
/// What a caller may send before it is read, for each stream and for all of a connection.
const H2_STREAM_BYTES: u32 = 64 * 1024;
const H2_CONNECTION_BYTES: u32 = 256 * 1024;
/// What may wait to be sent on each stream.
const H2_SEND_BYTES_MAX: usize = 64 * 1024;
const H2_PING_EVERY: Duration = Duration::from_secs(30);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// So that connections spread over new replicas, and nothing lives for ever.
const CONNECTION_AGE_MAX: Duration = Duration::from_hours(1);
/// For the last frames of a connection on which nothing happens.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);
/// The same while the process drains, or somebody waits for the place.
const LAST_FRAMES_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection that was accepted less than this before the process drained may still send its first
/// head: whoever opened it is about to, and could not know.
const FIRST_HEAD_GRACE: Duration = Duration::from_millis(500);
/// How much of a refused request is still taken in so that its sender can read why.
const LEFTOVER_BYTES_MAX: u64 = 16 * 1024 * 1024;
const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    type Opened = (Connections, Socket, Option<TlsAcceptor>, CallerAddress, Presence);
    type Served = (Connections, WriteTimeout<Socket>, Instant, CallerAddress, Arc<Presence>);

    /// Of the future that a call gives.
    fn bytes_of<A, F: Future>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    /// What a connection keeps in memory while it waits: growth is seen here first.
    #[test]
    fn the_futures_of_a_connection_have_not_grown() {
        let whole = bytes_of(|(served, socket, tls, caller, presence): Opened| {
            served.serve(socket, tls, caller, presence)
        });
        let http1 = bytes_of(|(served, stream, deadline, caller, presence): Served| {
            served.serve_h1(stream, Bytes::new(), deadline, caller, presence)
        });
        let http2 = bytes_of(|(served, stream, _, caller, presence): Served| {
            served.serve_h2(stream, Bytes::new(), caller, presence)
        });
        let bounds = [808, 2_560, 3_968];
        let bytes = [whole, http1, http2];
        assert!(
            bytes.iter().zip(bounds).all(|(bytes, bound)| *bytes <= bound),
            "{bytes:?}: lower the bounds, or say why a connection keeps more"
        );
    }
}
