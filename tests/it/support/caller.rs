//! Internal tools: an HTTP client that presents an SSO token and reads answers whole.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use crate::support::koodrive::PREVERIFY;
use crate::support::server::Cut;

type CallBody = UnsyncBoxBody<Bytes, Cut>;

/// A pooled HTTP client. Clones share the pool.
#[derive(Clone)]
pub struct Http {
    inner: legacy::Client<HttpsConnector<HttpConnector>, CallBody>,
}

/// An answer that was read whole.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum NoReply {
    #[error("no answer")]
    Request(#[source] legacy::Error),
    #[error("the answer broke off")]
    Body(#[source] hyper::Error),
}

impl NoReply {
    /// The innermost cause, in words.
    pub fn cause(&self) -> String {
        let mut cause: &dyn std::error::Error = self;
        while let Some(next) = cause.source() {
            cause = next;
        }
        cause.to_string()
    }
}

impl Http {
    /// Believes `root_pem` (empty: nobody) over TLS; speaks HTTP/2 only when asked to.
    pub fn new(root_pem: &str, http2: bool) -> Self {
        Self::build(root_pem, None, http2)
    }

    /// The same, with a certificate chain and key of its own, as PEM.
    pub fn with_identity(root_pem: &str, identity: (&str, &str), http2: bool) -> Self {
        Self::build(root_pem, Some(identity), http2)
    }

    fn build(root_pem: &str, identity: Option<(&str, &str)>, http2: bool) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(root_pem.as_bytes()) {
            roots.add(certificate.expect("PEM")).expect("a root certificate");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports TLS 1.2 and 1.3")
            .with_root_certificates(roots);
        let tls = match identity {
            None => tls.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
                let chain = chain.collect::<Result<Vec<_>, _>>().expect("PEM");
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
                tls.with_client_auth_cert(chain, key).expect("a pair")
            }
        };
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector =
            if http2 { connector.enable_http2().build() } else { connector.enable_http1().build() };
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .http2_only(http2)
            .build(connector);
        Self { inner }
    }

    /// The head of the answer, its body still to come.
    pub async fn open(&self, request: Request<CallBody>) -> Result<Response<Incoming>, NoReply> {
        self.inner.request(request).await.map_err(NoReply::Request)
    }

    pub async fn send(&self, request: Request<CallBody>) -> Result<Reply, NoReply> {
        let (head, mut body) = self.open(request).await?.into_parts();
        let mut reply = Reply {
            status: head.status.as_u16(),
            version: head.version,
            headers: head.headers,
            body: Bytes::new(),
            trailers: None,
        };
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame.map_err(NoReply::Body)?.into_data() {
                Ok(data) => whole.extend_from_slice(&data),
                Err(frame) => reply.trailers = frame.into_trailers().ok(),
            }
        }
        reply.body = whole.into();
        Ok(reply)
    }
}

impl Reply {
    /// The only value of a header.
    ///
    /// # Panics
    /// When there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next();
        assert!(values.next().is_none(), "several `{name}` headers");
        value.map(|value| value.to_str().expect("ASCII"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// `reason` of a rejection.
    pub fn reason(&self) -> Option<String> {
        self.json().get("reason").and_then(Value::as_str).map(str::to_owned)
    }

    /// The X-Traceid of the answer; empty when there is none.
    pub fn trace_id(&self) -> String {
        self.header("x-traceid").unwrap_or_default().to_owned()
    }
}

/// One internal tool, acting for one user.
#[derive(Clone)]
pub struct Caller {
    http: Http,
    base: String,
    token: Option<String>,
}

impl Caller {
    /// `base` is the gateway's address, such as `http://127.0.0.1:8080`.
    pub fn new(http: &Http, base: &str, token: Option<String>) -> Self {
        Self { http: http.clone(), base: base.to_owned(), token }
    }

    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// A call about to be made.
    pub fn call(&self, method: Method, target: &str) -> Call {
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.token {
            let value = HeaderValue::try_from(format!("Bearer {token}"));
            headers.insert(AUTHORIZATION, value.expect("a token is legal in a header"));
        }
        let uri = format!("{}{target}", self.base);
        Call { http: self.http.clone(), method, uri, headers, body: empty() }
    }

    pub async fn get(&self, target: &str) -> Reply {
        self.call(Method::GET, target).send().await
    }

    pub async fn post(&self, target: &str, body: impl Into<Bytes>) -> Reply {
        self.call(Method::POST, target).json(body).send().await
    }

    pub async fn preverify(&self, batch: impl Into<Bytes>) -> Reply {
        self.post(PREVERIFY, batch).await
    }
}

/// A call about to be made.
pub struct Call {
    http: Http,
    method: Method,
    uri: String,
    headers: HeaderMap,
    body: CallBody,
}

impl Call {
    /// Adds a header, also beside one of the same name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).expect("a legal header name");
        self.headers.append(name, HeaderValue::try_from(value).expect("a legal header value"));
        self
    }

    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// A JSON body.
    #[must_use]
    pub fn json(mut self, body: impl Into<Bytes>) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body(body)
    }

    #[must_use]
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        let body = Full::new(body.into()).map_err(|never| match never {});
        Self { body: body.boxed_unsync(), ..self }
    }

    /// A body that comes piece by piece.
    #[must_use]
    pub fn streaming(self, body: impl Body<Data = Bytes, Error = Cut> + Send + 'static) -> Self {
        Self { body: body.boxed_unsync(), ..self }
    }

    /// # Panics
    /// When no answer comes.
    pub async fn send(self) -> Reply {
        let (what, reply) = (format!("{} {}", self.method, self.uri), self.try_send().await);
        reply.unwrap_or_else(|error| panic!("{what}: {error:?}"))
    }

    pub async fn try_send(self) -> Result<Reply, NoReply> {
        let http = self.http.clone();
        http.send(self.into_request()).await
    }

    /// The head of the answer, its body still to come.
    pub async fn open(self) -> Result<Response<Incoming>, NoReply> {
        let http = self.http.clone();
        http.open(self.into_request()).await
    }

    fn into_request(self) -> Request<CallBody> {
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri.parse().expect("a legal address");
        *request.headers_mut() = self.headers;
        request
    }
}

fn empty() -> CallBody {
    Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync()
}
