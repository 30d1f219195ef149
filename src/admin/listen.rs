//! Serves the pages.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use super::{Pages, forget};
use crate::body::OutboundBody;
use crate::lifecycle::Tasks;
use crate::listener::Listener;

/// Answers visitors until the tasks are stopped: probes must be answered while draining too.
pub async fn serve(listener: Listener, pages: Arc<Pages>, tasks: Tasks) {
    let visitors = Arc::new(Semaphore::new(VISITORS_MAX));
    loop {
        let place =
            Arc::clone(&visitors).acquire_owned().await.expect("the semaphore is never closed");
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "admin connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let pages = Arc::clone(&pages);
        tasks.spawn("admin-connection", async move {
            let _place = place;
            let service = service_fn(move |request: Request<Incoming>| {
                let pages = Arc::clone(&pages);
                async move { Ok::<_, Infallible>(visit(&pages, request, peer).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_header_size(HEADER_BYTES_MAX)
                .serve_connection(TokioIo::new(socket), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "admin connection ended early");
            }
        });
    }
}

async fn visit(
    pages: &Pages,
    request: Request<Incoming>,
    peer: Option<SocketAddr>,
) -> Response<OutboundBody> {
    let (head, body) = request.into_parts();
    if head.method == Method::POST && head.uri.path() == forget::PATH {
        return forget::answer(pages, &head.headers, body, peer).await;
    }
    pages.answer(&head.method, head.uri.path())
}

const VISITORS_MAX: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const HEADER_BYTES_MAX: usize = 16 * 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
