//! Held to the types that are generated from the protocol's own files.

use std::time::Duration;

use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
use proptest::prelude::*;
use prost::Message as _;

use super::*;

fn context(id: u64, flags: u8, remote: bool) -> SpanContext {
    let trace = TraceId::from(u128::from(id) << 7 | 1);
    let flags = TraceFlags::new(flags);
    SpanContext::new(trace, SpanId::from(id | 1), flags, remote, TraceState::NONE)
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        ".{0,300}".prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
    ]
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let one = ("[a-z.]{1,200}", value()).prop_map(|(key, value)| KeyValue::new(key, value));
    prop::collection::vec(one, 0..9)
}

prop_compose! {
    fn span_data()(
        ids in any::<[u64; 3]>(),
        flags in any::<[u8; 2]>(),
        remote in any::<[bool; 2]>(),
        name in ".{0,200}",
        kind in prop::sample::select(vec![
            SpanKind::Internal,
            SpanKind::Server,
            SpanKind::Client,
            SpanKind::Producer,
            SpanKind::Consumer,
        ]),
        times in any::<[u32; 4]>(),
        attributes in attributes(),
        linked in prop::option::of(attributes()),
        status in prop_oneof![
            Just(Status::Unset),
            Just(Status::Ok),
            ".{0,200}".prop_map(Status::error),
        ],
    ) -> SpanData {
        let at = |secs, nanos: u32| {
            UNIX_EPOCH + Duration::new(u64::from(secs), nanos % 1_000_000_000)
        };
        let mut links = SpanLinks::default();
        links.links.extend(linked.map(|attributes| {
            Link::new(context(ids[2], flags[1], remote[1]), attributes, 0)
        }));
        SpanData {
            span_context: context(ids[0], flags[0], false),
            parent_span_id: SpanId::from(ids[1]),
            parent_span_is_remote: remote[0],
            span_kind: kind,
            name: name.into(),
            start_time: at(times[0], times[1]),
            end_time: at(times[2], times[3]),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status,
            instrumentation_scope: InstrumentationScope::builder("ours")
                .with_version("1.2.3")
                .build(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_is_what_the_generated_types_would_send(
        spans in prop::collection::vec(span_data(), 1..20),
        named in attributes(),
    ) {
        let ours = Resource::builder_empty().with_attributes(named).build();
        let theirs = ResourceAttributesWithSchema::from(&ours);
        let expected = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(spans.clone(), &theirs),
        };
        let written = request(&resource(&ours), &spans);
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
