//! What hyper costs by itself: a plain proxy and a plain server, each on one thread.
//!
//! `floor proxy LISTEN UPSTREAM` sends everything on and looks at nothing; with `JWKS TIER` behind it,
//! it does the least that tier 1 or 2 of `tests/bench/peers` can be done with. `floor serve LISTEN` is
//! KooDrive, its token endpoint and a collector in one, and with `JWKS` the SSO's keys; with
//! `CERTIFICATE KEY` behind it speaks TLS.

mod proxy;
mod serve;
mod tiers;

use std::convert::Infallible;
use std::env;
use std::net::SocketAddr;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["proxy", listen, upstream] => proxy::run(listen, upstream, None).await,
        ["proxy", listen, upstream, jwks, tier] => {
            let tier = tier.parse().expect("1 or 2");
            proxy::run(listen, upstream, Some(tiers::Checks::new(jwks, tier))).await;
        }
        ["serve", listen] => serve::run(listen, None, None).await,
        ["serve", listen, jwks] => serve::run(listen, Some(jwks), None).await,
        ["serve", listen, jwks, certificate, key] => {
            let acceptor = serve::acceptor(certificate, key);
            serve::run(listen, Some(jwks), Some(acceptor)).await;
        }
        _ => panic!(
            "floor proxy LISTEN UPSTREAM [JWKS TIER] | floor serve LISTEN [JWKS [CERTIFICATE KEY]]"
        ),
    }
}

async fn accept<S, B>(listen: &str, tls: Option<TlsAcceptor>, mut service: impl FnMut() -> S)
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Send
        + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let address: SocketAddr = listen.parse().expect("an address to listen at");
    let listener = TcpListener::bind(address).await.expect("the address is free");
    let connections = TaskTracker::new();
    loop {
        let (stream, _) = listener.accept().await.expect("connections can be accepted");
        stream.set_nodelay(true).expect("a TCP socket");
        let (service, tls) = (service(), tls.clone());
        connections.spawn(async move {
            match tls {
                None => serve_connection(stream, service).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve_connection(stream, service).await;
                    }
                }
            }
        });
    }
}

async fn serve_connection<S, B>(stream: impl AsyncRead + AsyncWrite + Unpin, service: S)
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    // Who hangs up, hangs up.
    connection.await.unwrap_or_default();
}
