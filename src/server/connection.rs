//! One connection, from its first byte to its end.

use std::iter;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http::request::Parts;
use http::{Response, StatusCode};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::guard::Leaving;
use super::preface::detect;
use super::presence::Presence;
use super::{target, tls};
use crate::body::InboundBody;
use crate::digest;
use crate::lifecycle::{DrainWatch, Phase};
use crate::listener::{CallerAddress, Socket, WriteTimeout};
use crate::pipeline::{Arrival, CurrentPipeline, ResponseBody};
use crate::rejection::Reason;

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

    pub(super) fn leaving(&self, presence: &Presence) -> Leaving {
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

    /// Serves a connection until it ends, or asks it to end when it has `outlived` a bound or the
    /// process drains; then only if it is to be `told`.
    pub(super) async fn drive<C>(
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

    pub(super) async fn dispatch(
        &self,
        parts: Parts,
        body: InboundBody,
        mut arrival: Arrival,
    ) -> Result<Response<ResponseBody>, CallerGone> {
        arrival.framing_fault = arrival.framing_fault.or_else(|| target::fault_in(&parts));
        // Nobody upstream may read a field that no stage has seen.
        let body = body.map_trailers(|_| None);
        let pipeline = self.pipeline.load();
        let handled = AssertUnwindSafe(pipeline.handle(parts, body, arrival)).catch_unwind().await;
        let handled = handled.unwrap_or_else(|_panic| {
            tracing::error!("request handler panicked");
            let mut response = Response::new(ResponseBody::default());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            Some(response)
        });
        handled.ok_or(CallerGone)
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

/// There is no answer: the connection ends, or in HTTP/2 the stream.
#[derive(Debug, thiserror::Error)]
#[error("the caller hung up while it sent its body")]
pub(super) struct CallerGone;

/// A connection that is served to its end.
type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Why a connection is asked to end.
pub(super) enum Outlived {
    /// Or the process drains: calls may be under way.
    Age,
    Idle,
    /// Others wait for it.
    Place,
}

/// So that connections spread over new replicas, and nothing lives for ever.
pub(super) const CONNECTION_AGE_MAX: Duration = Duration::from_hours(1);
/// For the last frames of a connection on which nothing happens.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);
/// The same while the process drains, or somebody waits for the place.
pub(super) const LAST_FRAMES_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection that was accepted less than this before the process drained may still send its first
/// head: whoever opened it is about to, and could not know.
const FIRST_HEAD_GRACE: Duration = Duration::from_millis(500);

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
