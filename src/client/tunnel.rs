//! A tunnel through a forward proxy: CONNECT (RFC 9110 section 9.3.6).
//!
//! hyper-util's `Tunnel` does the same, but keeps the proxy's status to itself and drops what comes
//! right behind it.

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::proxy::{Proxy, ProxyFailure};

/// Has `proxy`, at the other end of `tcp`, connect to `destination`. Without a bound in time.
pub(super) async fn open(
    tcp: TokioIo<TcpStream>,
    destination: &Uri,
    proxy: &Proxy,
) -> Result<TokioIo<TcpStream>, ProxyFailure> {
    let (mut requests, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(tcp)
        .await
        .map_err(ProxyFailure::Broken)?;
    let request = connect(destination, proxy);
    let answer = std::pin::pin!(requests.send_request(request));
    // After a 2xx the connection gives the socket back; after anything else it is dropped.
    let driving = std::pin::pin!(connection.without_shutdown());
    let parts = match select(answer, driving).await {
        Either::Left((answer, driving)) => {
            check(answer, proxy)?;
            driving.await
        }
        Either::Right((parts, answer)) => {
            check(answer.await, proxy)?;
            parts
        }
    };
    let parts = parts.map_err(ProxyFailure::Broken)?;
    // The destination waits for our TLS; whatever is there already does not come from it.
    if parts.read_buf.is_empty() { Ok(parts.io) } else { Err(ProxyFailure::Unasked) }
}

fn connect(destination: &Uri, proxy: &Proxy) -> Request<Empty<Bytes>> {
    let host = destination.host().unwrap_or_default();
    let authority = format!("{host}:{}", destination.port_u16().unwrap_or(443));
    let host = HeaderValue::try_from(authority.as_str()).expect("an authority is visible ASCII");
    let mut request = Request::connect(authority)
        .body(Empty::new())
        .expect("host and port of an address make an authority");
    request.headers_mut().insert(HOST, host);
    if let Some(authorization) = proxy.authorization() {
        request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
    }
    request
}

fn check(answer: hyper::Result<Response<Incoming>>, proxy: &Proxy) -> Result<(), ProxyFailure> {
    match answer.map_err(ProxyFailure::Broken)?.status() {
        status if status.is_success() => Ok(()),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(proxy.credentials_wanted()),
        status => Err(ProxyFailure::Refused(status.as_u16())),
    }
}

/// Of the proxy's answer; its body is not read.
const HEAD_BYTES_MAX: usize = 16 * 1024;
