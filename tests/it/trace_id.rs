//! X-Traceid and the trace context: which inbound ids are kept, and what is made otherwise.

use std::time::Duration;
use std::time::UNIX_EPOCH;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use koodrive_gateway::trace_context::SpanContext;
use koodrive_gateway::trace_context::SpanId;
use koodrive_gateway::trace_context::TraceId;
use koodrive_gateway::trace_id::IllegalTraceId;
use koodrive_gateway::trace_id::XTraceId;
use proptest::prelude::*;

fn headers(name: &'static str, values: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        let value = HeaderValue::from_bytes(value).expect("the tables hold legal values");
        headers.append(HeaderName::from_static(name), value);
    }
    headers
}

fn kept(values: &[&[u8]]) -> Result<Option<String>, IllegalTraceId> {
    let id = XTraceId::from_headers(&headers("x-traceid", values))?;
    Ok(id.map(|id| id.as_str().to_owned()))
}

const DIGITS: &[u8; 58] = b"0123456789012345678901234567890123456789012345678901234567";

fn changed(at: usize, to: u8) -> Vec<u8> {
    let mut bytes = DIGITS.to_vec();
    bytes[at] = to;
    bytes
}

#[test]
fn exactly_58_legal_characters_are_kept_byte_for_byte() {
    for id in [
        DIGITS.to_vec(),
        vec![b'a'; 58],
        vec![b'Z'; 58],
        vec![b'_'; 58],
        vec![b'-'; 58],
        changed(0, b'-'),
        changed(57, b'_'),
        changed(30, b'q'),
    ] {
        let text = String::from_utf8(id.clone()).unwrap();
        assert_eq!(kept(&[&id]), Ok(Some(text)));
    }
}

#[test]
fn everything_else_is_illegal() {
    let long = [&DIGITS[..], b"0"].concat();
    for id in [
        &b""[..],
        b"0",
        &DIGITS[..57],
        &long,
        &changed(5, b'.'),
        &changed(5, b' '),
        &changed(0, b' '),
        &changed(57, b' '),
        &changed(5, b'+'),
        &changed(5, b'/'),
        &changed(5, b'='),
        &changed(5, b','),
        &changed(5, b'\t'),
        &changed(5, 0xe4),
        "中".repeat(19).as_bytes(),
    ] {
        assert_eq!(kept(&[id]), Err(IllegalTraceId), "{id:?}");
    }
}

#[test]
fn two_headers_are_illegal_even_when_equal() {
    assert_eq!(kept(&[DIGITS, DIGITS]), Err(IllegalTraceId));
}

#[test]
fn no_header_is_neither() {
    assert_eq!(kept(&[]), Ok(None));
}

#[test]
fn a_made_id_leads_to_its_trace_span_and_second() {
    let span = SpanContext {
        trace_id: TraceId::parse(b"4bf92f3577b34da6a3ce929d0e0e4736").unwrap(),
        span_id: SpanId::parse(b"00f067aa0ba902b7").unwrap(),
        sampled: true,
    };
    let id = XTraceId::generate(&span, UNIX_EPOCH + Duration::from_secs(1_795_000_000));
    assert_eq!(id.as_str(), "4bf92f3577b34da6a3ce929d0e0e473600f067aa0ba902b71795000000");
    assert_eq!(id.origin(), Some((span.trace_id, span.span_id)));
}

#[test]
fn only_an_id_of_our_own_form_names_a_trace() {
    let ours = "4bf92f3577b34da6a3ce929d0e0e473600f067aa0ba902b71795000000";
    for (id, expected) in [
        (ours.to_owned(), true),
        (ours.to_uppercase(), false),
        (ours.replace("1795000000", "179500000x"), false),
        (ours.replace("00f067aa0ba902b7", "0000000000000000"), false),
        (ours.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)), false),
        ("-".repeat(58), false),
    ] {
        let id = XTraceId::parse(&HeaderValue::from_str(&id).unwrap()).unwrap();
        assert_eq!(id.origin().is_some(), expected, "{}", id.as_str());
    }
}

#[test]
fn traceparent_is_read_strictly() {
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let read = |values: &[&str]| {
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        SpanContext::from_headers(&headers("traceparent", &values))
    };
    let context = read(&[good]).unwrap();
    assert_eq!(context.to_traceparent(), good);
    assert!(read(&["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"]).is_some());
    assert!(read(&["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"]).is_some());
    for wrong in [
        "",
        "00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
    ] {
        assert_eq!(read(&[wrong]), None, "{wrong}");
    }
    assert_eq!(read(&[good, good]), None);
}

proptest! {
    #[test]
    fn a_made_id_is_always_legal_and_found_again(trace: [u8; 16], span: [u8; 8], seconds in 0_u64..10_000_000_000) {
        let trace = format!("{:032x}", u128::from_be_bytes(trace));
        let span = format!("{:016x}", u64::from_be_bytes(span));
        let ids = (TraceId::parse(trace.as_bytes()), SpanId::parse(span.as_bytes()));
        if let (Some(trace_id), Some(span_id)) = ids {
            let context = SpanContext { trace_id, span_id, sampled: false };
            let made = XTraceId::generate(&context, UNIX_EPOCH + Duration::from_secs(seconds));
            prop_assert_eq!(XTraceId::parse(made.as_header()), Ok(made.clone()));
            prop_assert_eq!(made.origin(), Some((trace_id, span_id)));
        }
    }

    #[test]
    fn no_traceparent_panics(value in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", value);
            let _read = SpanContext::from_headers(&headers);
        }
    }
}
