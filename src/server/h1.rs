//! An HTTP/1 connection.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{CONNECTION_AGE_MAX, CallerGone, Connections, Outlived};
use super::framing;
use super::guard::Guarded;
use super::preface::other_than_http;
use super::presence::Presence;
use super::renewal::Renewed;
use super::unwritten::Unwritten;
use crate::body;
use crate::body::{InboundBody, Intake};
use crate::lifecycle::Phase;
use crate::listener::CallerAddress;
use crate::pipeline::{Arrival, ResponseBody};
use crate::wakes;

impl Connections {
    pub(super) async fn serve_h1<T>(
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
                let mut response = served.handle_http1(request, arrival, taken, leave).await?;
                response.body().holder().inspect(|holder| presence.accepted(*holder));
                if last {
                    response.headers_mut().insert(CONNECTION, CLOSE);
                }
                // hyper drops the length of what an unconditional answer would have had unless it
                // believes that the body may have it (RFC 9110 section 15.4.5).
                let hides_length = response.status() == StatusCode::NOT_MODIFIED
                    && response.headers().contains_key(CONTENT_LENGTH);
                let response = response.map(|body| exchange.carry(body, hides_length, unwritten));
                Ok::<_, CallerGone>(response)
            });
            Box::into_pin(on_heap)
        });
        let mut builder = http1::Builder::new();
        builder
            .max_headers(HEADER_LINES_MAX)
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

    /// An HTTP/1 request: its answer decides about the connection. `leave` is cancelled when that is to
    /// make room.
    async fn handle_http1(
        &self,
        request: Request<Incoming>,
        arrival: Arrival,
        intake: Intake,
        leave: CancellationToken,
    ) -> Result<Response<ResponseBody>, CallerGone> {
        let ambiguous = arrival.framing_fault.is_some();
        let awaits_continue = request.headers().contains_key(EXPECT);
        let tunnel = request.method() == Method::CONNECT;
        let left = Arc::new(AtomicBool::new(false));
        let (drain, mark) = (self.drain.clone(), Arc::clone(&left));
        let taken = intake.clone();
        // A caller that is still sending its body must be able to read the refusal; so the rest
        // is taken in, within bounds, while the answer goes out. Who waits to be asked is not.
        let rest = move |rest: Incoming, asked: bool| {
            if ambiguous || awaits_continue && !asked {
                mark.store(true, Ordering::Relaxed);
                return;
            }
            let unread = taken.rest();
            let discarding = body::discard(rest, LEFTOVER_BYTES_MAX, LEFTOVER_TIMEOUT);
            drain.finish(async move {
                if leave.run_until_cancelled(discarding).await == Some(true) {
                    unread.end();
                }
            });
        };
        let (parts, body) = request.into_parts();
        let body = InboundBody::new(body, self.body_timeout).rest_to(rest).taken_by(intake);
        let mut response = self.dispatch(parts, body, arrival).await?;
        let left = left.load(Ordering::Relaxed);
        if ambiguous || tunnel || left || self.drain.phase() != Phase::Serving {
            response.headers_mut().insert(CONNECTION, CLOSE);
        }
        Ok(response)
    }
}

const CLOSE: HeaderValue = HeaderValue::from_static("close");
/// As many as an answer of KooDrive may have; hyper's own bound is 100.
const HEADER_LINES_MAX: usize = 256;
/// How much of a refused request is still taken in so that its sender can read why.
const LEFTOVER_BYTES_MAX: u64 = 16 * 1024 * 1024;
const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(10);
