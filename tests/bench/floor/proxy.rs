//! The proxy: hyper's server, hyper-util's client, and nothing between that can be left out.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode, Uri};
use http_body_util::{Either, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::accept;
use crate::tiers::Checks;

type Outbound = Either<Incoming, Full<Bytes>>;

const OF_THE_CONNECTION: [HeaderName; 5] = [
    http::header::CONNECTION,
    http::header::TE,
    http::header::TRAILER,
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
];

pub(crate) async fn run(listen: &str, upstream: &str, checks: Option<Checks>) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build::<_, Outbound>(connector);
    let upstream: &'static str = String::leak(upstream.to_owned());
    let checks = checks.map(Arc::new);
    accept(listen, None, || {
        let (client, checks) = (client.clone(), checks.clone());
        service_fn(move |request| {
            let (client, checks) = (client.clone(), checks.clone());
            async move {
                let passed = match checks {
                    None => Ok(request.map(Either::Left)),
                    Some(checks) => checks.pass(request).await,
                };
                Ok::<_, Infallible>(match passed {
                    Err(status) => refusal(status),
                    Ok(request) => send(&client, request, upstream).await,
                })
            }
        })
    })
    .await;
}

async fn send(
    client: &Client<HttpConnector, Outbound>,
    mut request: Request<Outbound>,
    upstream: &str,
) -> Response<Either<Incoming, Empty<Bytes>>> {
    let path = request.uri().path_and_query().expect("origin form");
    *request.uri_mut() = Uri::builder()
        .scheme("http")
        .authority(upstream)
        .path_and_query(path.clone())
        .build()
        .expect("its parts are well-formed");
    request.headers_mut().remove(http::header::HOST);
    for name in &OF_THE_CONNECTION {
        request.headers_mut().remove(name);
    }
    match client.request(request).await {
        Ok(response) => response.map(Either::Left),
        Err(_) => refusal(StatusCode::BAD_GATEWAY),
    }
}

fn refusal<B>(status: StatusCode) -> Response<Either<B, Empty<Bytes>>> {
    let mut response = Response::new(Either::Right(Empty::new()));
    *response.status_mut() = status;
    response
}
