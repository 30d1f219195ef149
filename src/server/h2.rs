//! An HTTP/2 connection.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{
    CONNECTION_AGE_MAX, CallerGone, Connections, LAST_FRAMES_TIMEOUT, Outlived,
};
use super::guard::Rewind;
use super::h2_pace::Paced;
use super::h2_streams::Streams;
use super::presence::Presence;
use crate::body::InboundBody;
use crate::lifecycle::Phase;
use crate::listener::CallerAddress;
use crate::pipeline::{Arrival, ResponseBody};

impl Connections {
    pub(super) async fn serve_h2<T>(
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
                let mut response = served.handle_http2(request, arrival).await?;
                match response.body().holder() {
                    Some(holder) => presence.accepted(holder),
                    None if stream.refuse(&streams) => leave_body_out(&mut response),
                    None => {}
                }
                Ok::<_, CallerGone>(response.map(|body| stream.carry(body)))
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

    /// An HTTP/2 request: it has its stream for itself.
    async fn handle_http2(
        &self,
        request: Request<Incoming>,
        arrival: Arrival,
    ) -> Result<Response<ResponseBody>, CallerGone> {
        let (parts, body) = request.into_parts();
        let body = InboundBody::new(body, self.body_timeout);
        let mut response = self.dispatch(parts, body, arrival).await?;
        // HTTP/2 has no such header (RFC 9113 section 8.2.2); a stream ends by itself.
        response.headers_mut().remove(CONNECTION);
        Ok(response)
    }
}

/// Leaves the head of a refusal alone.
fn leave_body_out(response: &mut Response<ResponseBody>) {
    *response.body_mut() = ResponseBody::default();
    response.headers_mut().remove(CONTENT_LENGTH);
    response.headers_mut().remove(CONTENT_TYPE);
}

const H2_STREAMS_MAX: u32 = 100;
/// What a caller may send before it is read, for each stream and for all of a connection.
const H2_STREAM_BYTES: u32 = 64 * 1024;
const H2_CONNECTION_BYTES: u32 = 256 * 1024;
/// What may wait to be sent on each stream.
const H2_SEND_BYTES_MAX: usize = 64 * 1024;
const H2_PING_EVERY: Duration = Duration::from_secs(30);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(20);
