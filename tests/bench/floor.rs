//! What hyper costs by itself: a plain proxy and a plain server, each on one thread.
//!
//! `floor proxy LISTEN UPSTREAM` sends everything on and looks at nothing; `floor serve LISTEN`
//! reads every body and answers in a few bytes, or in N for a path that ends in `/bytes/N`.
//! `tests/bench/cost` and `tests/bench/large-bodies` measure the gateway beside them.

use std::convert::Infallible;
use std::env;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Either, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["proxy", listen, upstream] => proxy(listen, upstream).await,
        ["serve", listen] => accept(listen, || service_fn(answer)).await,
        _ => panic!("floor proxy LISTEN UPSTREAM | floor serve LISTEN"),
    }
}

async fn proxy(listen: &str, upstream: &str) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build::<_, Incoming>(connector);
    let upstream: &'static str = String::leak(upstream.to_owned());
    accept(listen, || {
        let client = client.clone();
        service_fn(move |mut request: Request<Incoming>| {
            let client = client.clone();
            async move {
                let path = request.uri().path_and_query().expect("origin form");
                *request.uri_mut() = Uri::builder()
                    .scheme("http")
                    .authority(upstream)
                    .path_and_query(path.clone())
                    .build()
                    .expect("its parts are well-formed");
                request.headers_mut().remove(http::header::HOST);
                Ok::<_, Infallible>(match client.request(request).await {
                    Ok(response) => response.map(Either::Left),
                    Err(_) => bad_gateway(),
                })
            }
        })
    })
    .await;
}

fn bad_gateway<B>() -> Response<Either<B, Empty<Bytes>>> {
    let mut response = Response::new(Either::Right(Empty::new()));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

async fn answer(request: Request<Incoming>) -> Result<Response<Pattern>, Infallible> {
    let (parts, mut body) = request.into_parts();
    while let Some(Ok(_)) = body.frame().await {}
    let bytes = parts.uri.path().rsplit_once("/bytes/").and_then(|(_, n)| n.parse().ok());
    let mut response = Response::new(match bytes {
        Some(left) => Pattern { left, piece: Bytes::from(vec![b'x'; 64 * 1024]) },
        None => Pattern { left: ANSWER.len() as u64, piece: Bytes::from_static(ANSWER) },
    });
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    Ok(response)
}

const ANSWER: &[u8] = br#"{"code":0,"msg":"Successful","data":[{"isSuccess":0}]}"#;

async fn accept<S, B>(listen: &str, mut service: impl FnMut() -> S)
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
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service());
        connections.spawn(async move {
            // Who hangs up, hangs up.
            connection.await.unwrap_or_default();
        });
    }
}

/// The same piece again and again.
struct Pattern {
    left: u64,
    piece: Bytes,
}

impl Body for Pattern {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let now = usize::try_from(this.left).unwrap_or(usize::MAX).min(this.piece.len());
        this.left -= now as u64;
        Poll::Ready(Some(Ok(Frame::data(this.piece.slice(..now)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
