//! An OTLP collector: takes spans over HTTP/protobuf and keeps them in a form tests can read.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1 as otlp;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::canary::Canaries;
use crate::support::faults::Switch;
use crate::support::recording::{Received, Recorder, hex, read};
use crate::support::server::{Answer, Answers, Cut, Listener, Simulator, json_answer, whole};
use crate::support::time::{OwnClock, until};

/// A span as it was exported; ids in lower-case hex.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub name: String,
    pub kind: Kind,
    pub trace_id: String,
    pub span_id: String,
    pub parent: Option<String>,
    pub trace_state: String,
    pub attributes: BTreeMap<String, Value>,
    pub links: Vec<Link>,
    pub events: Vec<Event>,
    pub status: Status,
    pub status_message: String,
    /// Nanoseconds since 1970.
    pub started: u64,
    pub ended: u64,
    pub resource: BTreeMap<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Unset,
    Ok,
    Error,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub trace_id: String,
    pub span_id: String,
    pub attributes: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub attributes: BTreeMap<String, Value>,
}

impl Span {
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.get(name)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.attribute(name).and_then(Value::as_str)
    }

    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.ended.saturating_sub(self.started))
    }
}

/// A running collector. Dropping it closes all its connections, and fails when it ever received a
/// secret of its world.
pub struct Collector(Simulator<State>);

impl Deref for Collector {
    type Target = Simulator<State>;

    fn deref(&self) -> &Simulator<State> {
        &self.0
    }
}

/// What the collector keeps; reached through [`Collector`].
pub struct State {
    url: String,
    clock: OwnClock,
    canaries: Canaries,
    spans: Mutex<Vec<Span>>,
    changed: Notify,
    pub switch: Switch,
    pub received: Recorder,
}

impl Collector {
    pub fn start(listener: Listener, canaries: &Canaries) -> Self {
        let state = State {
            url: listener.url(),
            clock: listener.clock(),
            canaries: canaries.clone(),
            spans: Mutex::default(),
            changed: Notify::new(),
            switch: Switch::default(),
            received: Recorder::default(),
        };
        Self(Simulator::run(listener, state))
    }
}

impl Answers for State {
    fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
        connection: u64,
    ) -> BoxFuture<'static, Result<Answer, Cut>> {
        Box::pin(self.handle(request, connection))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let net = self.canaries.net();
        for export in self.received.all() {
            let head = format!("{} {} {:?}", export.method, export.target, export.headers);
            net.find_none_in(head.as_bytes(), "the head of an export");
            net.find_none_in(&export.body.prefix, "an export");
        }
    }
}

impl State {
    /// A base address, as `telemetry.otlp_endpoint` wants it.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().expect("no holder panics").clone()
    }

    pub fn clear(&self) {
        self.spans.lock().expect("no holder panics").clear();
    }

    /// Waits until `enough` holds for all spans so far; `None` when it does not in time.
    pub async fn wait_for(
        &self,
        within: Duration,
        mut enough: impl FnMut(&[Span]) -> bool,
    ) -> Option<Vec<Span>> {
        let check = || {
            let spans = self.spans();
            enough(&spans).then_some(spans)
        };
        until(&self.changed, within, check).await
    }

    /// Waits until the SERVER span that carries this X-Traceid is there; its whole trace so far.
    ///
    /// A SERVER span ends after its children, so with a batch exporter they have come too.
    pub async fn trace_of(&self, x_traceid: &str, within: Duration) -> Option<Vec<Span>> {
        let root = |span: &Span| {
            span.kind == Kind::Server && span.text("koodrive.traceid") == Some(x_traceid)
        };
        let spans = self.wait_for(within, |spans| spans.iter().any(root)).await?;
        let trace_id = spans.iter().find(|span| root(span))?.trace_id.clone();
        Some(spans.into_iter().filter(|span| span.trace_id == trace_id).collect())
    }

    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        connection: u64,
    ) -> Result<Answer, Cut> {
        let (head, body) = request.into_parts();
        let received = Received {
            at: self.clock.now(),
            connection,
            version: head.version,
            method: head.method,
            target: head.uri.path().to_owned(),
            headers: head.headers,
            body: read(body).await,
        };
        self.received.add(received.clone());
        let behaviour = self.switch.draw();
        self.switch.pass(&behaviour).await?;
        let lost = behaviour.answer.is_some();
        let answer = self.take(&received, lost);
        Ok(behaviour.dress(|| answer))
    }

    fn take(&self, received: &Received, lost: bool) -> Answer {
        let protobuf = received.header("content-type") == Some("application/x-protobuf");
        if (&received.method, received.path()) != (&Method::POST, "/v1/traces") || !protobuf {
            return json_answer(404, &json!({ "message": "POST /v1/traces as protobuf" }));
        }
        let Ok(export) = ExportTraceServiceRequest::decode(received.body.prefix.as_slice()) else {
            return json_answer(400, &json!({ "message": "not an export request" }));
        };
        if !lost {
            self.spans.lock().expect("no holder panics").extend(spans(export));
            self.changed.notify_waiters();
        }
        let mut answer = Response::new(whole(Bytes::new()));
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        answer.headers_mut().insert(CONTENT_TYPE, protobuf);
        answer
    }
}

fn spans(export: ExportTraceServiceRequest) -> Vec<Span> {
    let mut all = Vec::new();
    for group in export.resource_spans {
        let resource = group.resource.map(|resource| map(resource.attributes)).unwrap_or_default();
        let of_group = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
        all.extend(of_group.map(|span| read_span(span, resource.clone())));
    }
    all
}

fn read_span(span: otlp::Span, resource: BTreeMap<String, Value>) -> Span {
    let kind = match span.kind() {
        otlp::span::SpanKind::Unspecified => Kind::Unspecified,
        otlp::span::SpanKind::Internal => Kind::Internal,
        otlp::span::SpanKind::Server => Kind::Server,
        otlp::span::SpanKind::Client => Kind::Client,
        otlp::span::SpanKind::Producer => Kind::Producer,
        otlp::span::SpanKind::Consumer => Kind::Consumer,
    };
    let status = span.status.unwrap_or_default();
    let links = span.links.into_iter().map(|link| Link {
        trace_id: hex(&link.trace_id),
        span_id: hex(&link.span_id),
        attributes: map(link.attributes),
    });
    let events = span.events.into_iter();
    let events = events.map(|event| Event { name: event.name, attributes: map(event.attributes) });
    Span {
        kind,
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent: Some(hex(&span.parent_span_id)).filter(|id| !id.is_empty()),
        trace_state: span.trace_state,
        attributes: map(span.attributes),
        links: links.collect(),
        events: events.collect(),
        status: match status.code() {
            otlp::status::StatusCode::Unset => Status::Unset,
            otlp::status::StatusCode::Ok => Status::Ok,
            otlp::status::StatusCode::Error => Status::Error,
        },
        status_message: status.message,
        started: span.start_time_unix_nano,
        ended: span.end_time_unix_nano,
        name: span.name,
        resource,
    }
}

fn map(attributes: Vec<KeyValue>) -> BTreeMap<String, Value> {
    attributes.into_iter().map(|pair| (pair.key, value(pair.value))).collect()
}

fn value(any: Option<AnyValue>) -> Value {
    match any.and_then(|any| any.value) {
        None => Value::Null,
        Some(any_value::Value::StringValue(text)) => json!(text),
        Some(any_value::Value::BoolValue(flag)) => json!(flag),
        Some(any_value::Value::IntValue(number)) => json!(number),
        Some(any_value::Value::DoubleValue(number)) => json!(number),
        Some(any_value::Value::BytesValue(bytes)) => json!(hex(&bytes)),
        Some(any_value::Value::ArrayValue(array)) => {
            array.values.into_iter().map(|item| value(Some(item))).collect()
        }
        Some(any_value::Value::KvlistValue(list)) => json!(map(list.values)),
        Some(any_value::Value::StringValueStrindex(index)) => json!(index),
    }
}
