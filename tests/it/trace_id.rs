//! X-Traceid and the trace context: which inbound ids are kept, and what is made otherwise.

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};
use koodrive_gateway::trace_context;
use koodrive_gateway::trace_context::{SpanContext, SpanId, TraceId};
use koodrive_gateway::trace_id::{IllegalTraceId, XTraceId};
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
        random: true,
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

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn of_the_flags_the_known_ones_go_on() {
    for (given, sent) in [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("ff", "03")] {
        let parent = PARENT.replace("-01", &format!("-{given}"));
        let read = SpanContext::from_headers(&headers("traceparent", &[parent.as_bytes()]));
        let child = read.unwrap().child().to_traceparent();
        assert!(child.to_str().unwrap().ends_with(&format!("-{sent}")), "{child:?}");
    }
    let root = SpanContext::root(false).to_traceparent();
    assert!(root.to_str().unwrap().ends_with("-00"), "{root:?}");
}

#[test]
fn a_tracestate_goes_on_whole_or_not_at_all() {
    let members = |count| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
    let long = |key, value| format!("{}={}", "k".repeat(key), "v".repeat(value));
    let all_bytes: String = (b' '..=b'~').map(char::from).filter(|c| !",=".contains(*c)).collect();
    let good =
        ["a=1", "foo@=1,bar=2", "foo@@bar=1", "1a=1", "0@a=1", "a_-*/@9=1", "a=1,a=2", "a= b"];
    let longest = [long(256, 1), long(1, 256), members(32), format!("a={all_bytes}")];
    for state in good.into_iter().chain(longest.iter().map(String::as_str)) {
        assert_eq!(passed_on(&[PARENT], &[state]).as_deref(), Some(state));
    }
    let tidied: [(&[&str], &str); 5] = [
        (&["a=1 \t, \tb=2"], "a=1,b=2"),
        (&["a=1", "b=2,c=3"], "a=1,b=2,c=3"),
        (&["", "a=1"], "a=1"),
        (&["a=1", ""], "a=1"),
        (&["a=1,,b=2,"], "a=1,b=2"),
    ];
    for (given, expected) in tidied {
        assert_eq!(passed_on(&[PARENT], given).as_deref(), Some(expected), "{given:?}");
    }
    let bad =
        ["", " , ", "a", "=1", "a=", "a =1", "A=1", "a.b=1", "@a=1", "_a=1", "a=b=c", "a=\tb\tc"];
    let too_long = [long(257, 1), long(1, 257), members(33)];
    for state in bad.into_iter().chain(too_long.iter().map(String::as_str)) {
        assert_eq!(passed_on(&[PARENT], &[state]), None, "{state:?}");
        let beside_a_good_one = passed_on(&[PARENT], &["z=1", state]);
        let empty = state.trim_matches([' ', ',']).is_empty();
        assert_eq!(beside_a_good_one.as_deref(), empty.then_some("z=1"), "{state:?}");
    }
    for parents in [&[] as &[&str], &["00-0-0-01"], &[PARENT, PARENT]] {
        assert_eq!(passed_on(parents, &["a=1"]), None, "{parents:?}");
    }
}

fn passed_on(parents: &[&str], states: &[&str]) -> Option<String> {
    let mut both = HeaderMap::new();
    for (name, values) in [("traceparent", parents), ("tracestate", states)] {
        for value in values {
            both.append(name, HeaderValue::from_str(value).unwrap());
        }
    }
    trace_context::tracestate(&both).map(|state| state.to_str().unwrap().to_owned())
}

proptest! {
    #[test]
    fn a_made_id_is_always_legal_and_found_again(trace: [u8; 16], span: [u8; 8], seconds in 0_u64..10_000_000_000) {
        let trace = format!("{:032x}", u128::from_be_bytes(trace));
        let span = format!("{:016x}", u64::from_be_bytes(span));
        let ids = (TraceId::parse(trace.as_bytes()), SpanId::parse(span.as_bytes()));
        if let (Some(trace_id), Some(span_id)) = ids {
            let context = SpanContext { trace_id, span_id, sampled: false, random: true };
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
