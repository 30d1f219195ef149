//! What is ambiguous about a parsed request: whom it is for, and fields that must stand alone.

use http::uri::Authority;
use http::{HeaderName, Version, header, request};

/// Names the rule that is broken; repeats nothing of the request.
///
/// Judges requests of both protocols, so that a second Host or length cannot arrive in the one
/// where the bytes are not watched (RFC 9110 section 7.2, RFC 9113 section 8.3.1).
pub(super) fn fault_in(request: &request::Parts) -> Option<&'static str> {
    // Nearly always no field is, whatever its name.
    let any_is_repeated = request.headers.keys_len() < request.headers.len();
    if any_is_repeated
        && let Some((_, fault)) = ALONE.iter().find(|(name, _)| is_repeated(request, name))
    {
        return Some(fault);
    }
    let host = request.headers.get(header::HOST).map(header::HeaderValue::as_bytes);
    if host.is_some_and(|host| !names_a_host(host)) {
        return Some("a Host that names no host");
    }
    let target = request.uri.authority();
    if target.is_some_and(|target| target.as_str().contains('@')) {
        return Some("credentials in the request target");
    }
    // The target of CONNECT is no address of ours; it is refused for its method.
    let in_address_form = request.method != http::Method::CONNECT;
    match (target, host) {
        (None, None) => Some("no Host"),
        (Some(target), Some(host))
            if in_address_form && !host.eq_ignore_ascii_case(target.as_str().as_bytes()) =>
        {
            Some("the target names another host than Host")
        }
        (Some(_), _) if in_address_form && !is_http(request) => {
            Some("a request target that is not http or https")
        }
        _ => None,
    }
}

/// Fields of which two would be read differently by two servers.
const ALONE: [(HeaderName, &str); 8] = [
    (header::HOST, "more than one Host"),
    (header::CONTENT_LENGTH, "more than one Content-Length"),
    (header::CONTENT_TYPE, "more than one Content-Type"),
    (header::CONTENT_RANGE, "more than one Content-Range"),
    (header::RANGE, "more than one Range"),
    (header::IF_RANGE, "more than one If-Range"),
    (header::EXPECT, "more than one Expect"),
    (HeaderName::from_static("language"), "more than one language"),
];

fn is_repeated(request: &request::Parts, name: &HeaderName) -> bool {
    1 < request.headers.get_all(name).iter().take(2).count()
}

fn names_a_host(host: &[u8]) -> bool {
    is_plain(host)
        || Authority::try_from(host)
            .is_ok_and(|host| !host.host().is_empty() && !host.as_str().contains('@'))
}

/// A name or an IPv4 address, perhaps with a port: all the parser is spared.
fn is_plain(host: &[u8]) -> bool {
    let mut halves = host.splitn(2, |b| *b == b':');
    let (name, port) = (halves.next().unwrap_or_default(), halves.next());
    let in_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    !name.is_empty()
        && name.iter().all(in_name)
        && port.is_none_or(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit))
}

fn is_http(request: &request::Parts) -> bool {
    match request.uri.scheme_str() {
        Some(scheme) => matches!(scheme, "http" | "https"),
        // HTTP/1's authority form belongs to CONNECT; in HTTP/2 the parser wants a scheme itself.
        None => Version::HTTP_2 <= request.version,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn check(target: &str, headers: &[(&str, &str)], expected: Option<&str>) {
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(fault_in(&parts), expected, "{target} {headers:?}");
    }

    #[test]
    fn a_request_is_for_exactly_one_host() {
        let other = Some("the target names another host than Host");
        let none = Some("a Host that names no host");
        check("/a", &[("host", "h")], None);
        check("/a", &[("host", "h:8080")], None);
        check("/a", &[("host", "[::1]:80")], None);
        check("http://h/a", &[("host", "H")], None);
        check("http://h/a", &[], None);
        check("/a", &[], Some("no Host"));
        check("/a", &[("host", "h"), ("host", "h")], Some("more than one Host"));
        check("http://h/a", &[("host", "g")], other);
        check("http://h:80/a", &[("host", "h")], other);
        check("/a", &[("host", "")], none);
        check("/a", &[("host", "a, b")], none);
        check("/a", &[("host", "a b")], none);
        check("/a", &[("host", "u@h")], none);
        check("/a", &[("host", "h/x")], none);
        check("/a", &[("host", ":80")], none);
        check("http://u@h/a", &[("host", "h")], Some("credentials in the request target"));
        check("ftp://h/a", &[("host", "h")], Some("a request target that is not http or https"));
        check("h:80", &[("host", "h:80")], Some("a request target that is not http or https"));
    }

    #[test]
    fn fields_that_mean_one_thing_stand_alone() {
        for name in ["Content-Type", "Content-Length", "Range", "language", "Expect"] {
            let twice = [("host", "h"), (name, "1"), (name, "1")];
            check("/a", &twice[..2], None);
            check("/a", &twice, Some(&format!("more than one {name}")));
        }
        check("/a", &[("host", "h"), ("accept", "1"), ("accept", "2")], None);
    }
}
