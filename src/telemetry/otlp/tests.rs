//! Held to the types that are generated from the protocol's own files.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Proto;
use opentelemetry_proto::tonic::common::v1::{self as common, AnyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as proto;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::telemetry::TEXT_BYTES_MAX;

/// A span as it is told to the writer.
#[derive(Clone, Debug)]
struct Told {
    context: SpanContext,
    parent: Option<SpanContext>,
    remote: bool,
    kind: SpanKind,
    name: [String; 2],
    times: [SystemTime; 2],
    attributes: Vec<(String, Attribute)>,
    link: Option<SpanContext>,
    status: Status,
}

#[derive(Clone, Debug)]
enum Attribute {
    Texts(Vec<String>),
    Flag(bool),
    Number(i64),
}

fn attribute() -> impl Strategy<Value = (String, Attribute)> {
    let value = prop_oneof![
        prop::collection::vec(".{0,400}", 0..4).prop_map(Attribute::Texts),
        any::<bool>().prop_map(Attribute::Flag),
        any::<i64>().prop_map(Attribute::Number),
    ];
    ("[a-z.]{1,200}", value)
}

fn context() -> impl Strategy<Value = SpanContext> {
    any::<[bool; 2]>()
        .prop_map(|[sampled, random]| SpanContext { random, ..SpanContext::root(sampled) })
}

fn time() -> impl Strategy<Value = SystemTime> {
    any::<[u32; 2]>().prop_map(|[seconds, nanos]| {
        UNIX_EPOCH + Duration::new(u64::from(seconds), nanos % 1_000_000_000)
    })
}

prop_compose! {
    fn told()(
        context in context(),
        parent in prop::option::of(context()),
        remote in any::<bool>(),
        kind in prop::sample::select(vec![
            SpanKind::Internal,
            SpanKind::Server,
            SpanKind::Client,
            SpanKind::Producer,
            SpanKind::Consumer,
        ]),
        name in [".{0,100}", ".{0,100}"],
        times in [time(), time()],
        attributes in prop::collection::vec(attribute(), 0..9),
        link in prop::option::of(context()),
        status in prop_oneof![
            Just(Status::Unset),
            Just(Status::Ok),
            ".{0,200}".prop_map(Status::error),
        ],
    ) -> Told {
        Told { context, parent, remote, kind, name, times, attributes, link, status }
    }
}

fn write(to: &mut Spans, told: &Told) {
    let head = Head {
        context: told.context,
        parent: told.parent,
        parent_is_remote: told.remote,
        kind: told.kind.clone(),
        name: &[&told.name[0], &told.name[1]],
        start: told.times[0],
        end: told.times[1],
    };
    to.add(&head, |span| {
        for (key, value) in &told.attributes {
            match value {
                Attribute::Texts(parts) => {
                    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                    span.texts(key, &parts);
                }
                Attribute::Flag(flag) => span.flag(key, *flag),
                Attribute::Number(number) => span.number(key, *number),
            }
        }
        if let Some(link) = told.link {
            span.link(link);
        }
        span.status = told.status.clone();
    });
}

fn pair(key: &str, value: Proto) -> common::KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    common::KeyValue { key: key.to_owned(), value, ..common::KeyValue::default() }
}

fn expected(told: &Told) -> proto::Span {
    let flags = |context: SpanContext, remote| {
        u32::from(context.flags()) | 0x100 | if remote { 0x200 } else { 0 }
    };
    let nanos = |time: SystemTime| {
        u64::try_from(time.duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
    };
    let attributes = told.attributes.iter().map(|(key, value)| {
        let value = match value {
            Attribute::Texts(parts) => {
                let mut whole = parts.concat();
                whole.truncate(whole.floor_char_boundary(TEXT_BYTES_MAX));
                Proto::StringValue(whole)
            }
            Attribute::Flag(flag) => Proto::BoolValue(*flag),
            Attribute::Number(number) => Proto::IntValue(*number),
        };
        pair(key, value)
    });
    let (code, message) = match &told.status {
        Status::Unset => (0, String::new()),
        Status::Ok => (1, String::new()),
        Status::Error { description } => (2, description.to_string()),
    };
    let links = told.link.iter().map(|link| proto::span::Link {
        trace_id: link.trace_id.to_bytes().to_vec(),
        span_id: link.span_id.to_bytes().to_vec(),
        flags: flags(*link, false),
        ..proto::span::Link::default()
    });
    proto::Span {
        trace_id: told.context.trace_id.to_bytes().to_vec(),
        span_id: told.context.span_id.to_bytes().to_vec(),
        parent_span_id: told.parent.map_or_else(Vec::new, |p| p.span_id.to_bytes().to_vec()),
        name: told.name.concat(),
        kind: i32::try_from(number_of(&told.kind)).unwrap(),
        start_time_unix_nano: nanos(told.times[0]),
        end_time_unix_nano: nanos(told.times[1]),
        attributes: attributes.collect(),
        links: links.collect(),
        status: Some(proto::Status { message, code }),
        flags: flags(told.context, told.remote),
        ..proto::Span::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_is_what_the_generated_types_would_send(
        told in prop::collection::vec(told(), 1..20),
        named in prop::collection::vec(("[a-z.]{1,200}", ".{0,200}"), 0..9),
    ) {
        let resource: Vec<_> =
            named.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
        let scope = InstrumentationScope::builder("ours").with_version("1.2.3").build();
        let mut spans = Spans::with_room_for(1);
        for one in &told {
            write(&mut spans, one);
        }
        prop_assert_eq!(spans.count(), told.len());
        let written = Envelope::new(&resource, &scope).request(&spans.into_bytes());
        let resource = Resource {
            attributes: named
                .iter()
                .map(|(key, value)| pair(key, Proto::StringValue(value.clone())))
                .collect(),
            ..Resource::default()
        };
        let scope = common::InstrumentationScope {
            name: "ours".to_owned(),
            version: "1.2.3".to_owned(),
            ..common::InstrumentationScope::default()
        };
        let expected = ExportTraceServiceRequest {
            resource_spans: vec![proto::ResourceSpans {
                resource: Some(resource),
                scope_spans: vec![proto::ScopeSpans {
                    scope: Some(scope),
                    spans: told.iter().map(expected).collect(),
                    ..proto::ScopeSpans::default()
                }],
                ..proto::ResourceSpans::default()
            }],
        };
        prop_assert_eq!(written.len(), expected.encoded_len());
        let read = ExportTraceServiceRequest::decode(written.as_slice()).unwrap();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn an_answer_of_any_bytes_is_read_without_harm(bytes: Vec<u8>) {
        rejected_spans(&bytes);
    }
}

#[test]
fn what_the_collector_did_not_take_is_read() {
    for (rejected_spans, message, expected) in
        [(0, "", 0), (7, "", 7), (300, "too many of them", 300), (0, "a warning", 0)]
    {
        let partial_success =
            Some(ExportTracePartialSuccess { rejected_spans, error_message: message.into() });
        let response = ExportTraceServiceResponse { partial_success }.encode_to_vec();
        assert_eq!(super::rejected_spans(&response), expected, "{rejected_spans} {message}");
    }
    assert_eq!(rejected_spans(b""), 0);
    assert_eq!(rejected_spans(b"<html>"), 0);
}
