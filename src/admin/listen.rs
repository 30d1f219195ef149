//! Serves the pages.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::uri::Authority;
use http::{Method, Request, Response};
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;

use super::calls::PageOrEvents;
use super::{Pages, calls, forget};
use crate::lifecycle::Tasks;
use crate::listener::{Listener, Socket, WriteTimeout};

/// Answers visitors until the tasks are stopped: probes must be answered while draining too.
///
/// `hosts` are the names, besides `localhost` and IP addresses, under which visitors may ask.
pub async fn serve(listener: Listener, pages: Arc<Pages>, hosts: Arc<[String]>, tasks: Tasks) {
    let mut visitors: VecDeque<CancellationToken> = VecDeque::new();
    loop {
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "admin connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        visitors.retain(|visitor| !visitor.is_cancelled());
        // Whoever has been here longest makes room: a probe is always let in, and is quick.
        if visitors.len() == VISITORS_MAX
            && let Some(longest) = visitors.pop_front()
        {
            longest.cancel();
        }
        let visitor = CancellationToken::new();
        visitors.push_back(visitor.clone());
        let visits = serve_visitor(socket, peer, Arc::clone(&pages), Arc::clone(&hosts));
        tasks.spawn("admin-connection", async move {
            let _gone = visitor.clone().drop_guard();
            visitor.run_until_cancelled(visits).await.unwrap_or_default();
        });
    }
}

/// One connection: as many visits as fit into its time. An answer that is under way then is
/// finished, as long as it is read.
async fn serve_visitor(
    socket: Socket,
    peer: Option<SocketAddr>,
    pages: Arc<Pages>,
    hosts: Arc<[String]>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (pages, hosts) = (Arc::clone(&pages), Arc::clone(&hosts));
        async move { Ok::<_, Infallible>(visit(&pages, &hosts, request, peer).await) }
    });
    let socket = TokioIo::new(WriteTimeout::new(socket, VISIT_TIMEOUT));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(VISIT_TIMEOUT)
        .max_header_size(HEADER_BYTES_MAX)
        .serve_connection(socket, service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = tokio::time::sleep(VISIT_TIMEOUT) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "admin connection ended early");
    }
}

async fn visit(
    pages: &Pages,
    hosts: &[String],
    request: Request<Incoming>,
    peer: Option<SocketAddr>,
) -> Response<PageOrEvents> {
    if !is_known(hosts, &request) {
        return Pages::host_unknown().map(Either::Left);
    }
    let (head, body) = request.into_parts();
    let page = match (&head.method, head.uri.path()) {
        (&Method::POST, forget::PATH) => forget::answer(pages, &head.headers, body, peer).await,
        (&Method::GET, calls::PATH) => return calls::answer(pages),
        (method, path) => pages.answer(method, path, &head.headers),
    };
    page.map(Either::Left)
}

/// Whether the request names this listener by an address or by a name it is known under: a page
/// in a browser may have another name lead here (DNS rebinding), but not an address.
fn is_known<B>(hosts: &[String], request: &Request<B>) -> bool {
    let mut named = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (named.next(), named.next()) else { return false };
    let Ok(host) = Authority::try_from(host.as_bytes()) else { return false };
    let known = |name: &Authority| {
        let name = name.host();
        let address =
            name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        address.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || hosts.iter().any(|host| name.eq_ignore_ascii_case(host))
    };
    known(&host) && request.uri().authority().is_none_or(known)
}

const VISITORS_MAX: usize = 64;
/// To the end of each head, for each write of an answer, and for a connection as a whole.
const VISIT_TIMEOUT: Duration = Duration::from_secs(30);
const HEADER_BYTES_MAX: usize = 16 * 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_localhost_and_listed_names_are_known() {
        let hosts = ["gateway.tools.svc".to_owned()];
        for (host, known) in [
            ("127.0.0.1:9901", true),
            ("10.1.2.3", true),
            ("[::1]:9901", true),
            ("localhost", true),
            ("LocalHost:9901", true),
            ("gateway.tools.svc:9901", true),
            ("evil.example:9901", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("gateway.tools.svc.evil.example", false),
            ("", false),
        ] {
            let request = Request::builder().header(HOST, host).body(()).unwrap();
            assert_eq!(is_known(&hosts, &request), known, "{host}");
        }
        let absolute = Request::builder().uri("http://evil.example/config");
        assert!(!is_known(&hosts, &absolute.header(HOST, "127.0.0.1").body(()).unwrap()));
        assert!(!is_known(&hosts, &Request::new(())), "no Host");
    }
}
