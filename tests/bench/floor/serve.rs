//! The server: reads every body and answers in a few bytes, or in N for a path that ends in
//! `/bytes/N`. It gives out tokens at `/token`, keys at `/jwks`, takes spans at `/v1/traces`, and
//! `/seen` tells what the last call to KooDrive came with.

use std::convert::Infallible;
use std::fs;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio_rustls::TlsAcceptor;

use crate::accept;

#[derive(Default)]
struct Seen {
    calls: u64,
    spans: u64,
    authorization: Option<HeaderValue>,
    trace_id: Option<HeaderValue>,
    body: usize,
}

pub(crate) async fn run(listen: &str, jwks: Option<&str>, tls: Option<TlsAcceptor>) {
    let jwks = jwks.map(|file| Bytes::from(fs::read(file).expect("the keys can be read")));
    let seen = Arc::new(Mutex::new(Seen::default()));
    accept(listen, tls, || {
        let (seen, jwks) = (seen.clone(), jwks.clone().unwrap_or_default());
        service_fn(move |request| answer(request, seen.clone(), jwks.clone()))
    })
    .await;
}

pub(crate) fn acceptor(certificate: &str, key: &str) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificate).expect("a file in PEM");
    let chain = chain.collect::<Result<_, _>>().expect("certificates in PEM");
    let key = PrivateKeyDer::from_pem_file(key).expect("a private key in PEM");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows them")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("the key fits the certificate");
    TlsAcceptor::from(Arc::new(config))
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Seen>>,
    jwks: Bytes,
) -> Result<Response<Pattern>, Infallible> {
    let (parts, mut body) = request.into_parts();
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        length += frame.data_ref().map_or(0, Bytes::len);
    }
    let mut seen = seen.lock().expect("nobody panics here");
    let body = match parts.uri.path() {
        "/token" => Pattern::once(Bytes::from_static(TOKEN)),
        "/jwks" => Pattern::once(jwks),
        "/seen" => {
            let text = |value: &Option<HeaderValue>| {
                value.as_ref().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            };
            let told = json!({
                "calls": seen.calls,
                "spans": seen.spans,
                "authorization": text(&seen.authorization),
                "trace_id": text(&seen.trace_id),
                "body": seen.body,
            });
            Pattern::once(Bytes::from(told.to_string()))
        }
        "/v1/traces" => {
            seen.spans += 1;
            Pattern::once(Bytes::new())
        }
        path => {
            seen.calls += 1;
            seen.authorization = parts.headers.get(AUTHORIZATION).cloned();
            seen.trace_id = parts.headers.get("x-traceid").cloned();
            seen.body = length;
            match path.rsplit_once("/bytes/").and_then(|(_, n)| n.parse().ok()) {
                Some(left) => Pattern { left, piece: Bytes::from(vec![b'x'; 64 * 1024]) },
                None => Pattern::once(Bytes::from_static(ANSWER)),
            }
        }
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

const ANSWER: &[u8] = br#"{"code":0,"msg":"Successful","data":[{"isSuccess":0}]}"#;
const TOKEN: &[u8] =
    br#"{"access_token":"koodrive-token-that-never-changes","token_type":"Bearer","expires_in":1200}"#;

/// The same piece again and again.
struct Pattern {
    left: u64,
    piece: Bytes,
}

impl Pattern {
    fn once(piece: Bytes) -> Self {
        Self { left: piece.len() as u64, piece }
    }
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
