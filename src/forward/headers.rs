//! Which headers cross the gateway, in both directions.
//!
//! Pure. The order keeps spoofing out: first everything that belongs to a connection or to the
//! gateway is dropped, in any spelling, and only then are the gateway's own values set.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Fields of one connection (RFC 9110 section 7.6.1), and what only makes sense with them.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "expect"
    )
}

/// Request fields that the gateway alone decides, spelled with dashes.
fn is_owned(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "x-traceid"
            | "x-user-id"
            | "x-date"
            | "x-session-id"
            | "cookie"
            | "host"
            | "trailer"
            | "content-length"
            | "traceparent"
            | "tracestate"
            | "baggage"
            | "forwarded"
            | "x-real-ip"
            | "x-http-method"
            | "x-http-method-override"
            | "x-method-override"
            | "x-original-method"
            // With these some servers take another path than the one that was judged.
            | "x-original-url"
            | "x-original-uri"
            | "x-original-path"
            | "x-rewrite-url"
            | "x-rewrite-uri"
            | "x-override-url"
            | "x-override-uri"
            | "x-envoy-original-path"
    )
}

const FORWARDED_PREFIX: &str = "x-forwarded-";

/// The cookie in which KooDrive's web front end keeps an access token.
const TOKEN_COOKIE: &[u8] = b"authorization";

/// What of a caller's request goes upstream. `sso_header` is where its SSO token arrived.
///
/// Also drops the length: it is set again from the body that is really sent.
pub(super) fn for_upstream(inbound: &HeaderMap, sso_header: &HeaderName) -> HeaderMap {
    let named = connection_options(inbound);
    let sso_spelled = spelling(sso_header);
    let sso_spelled = sso_spelled.as_deref().unwrap_or(sso_header.as_str());
    let mut headers = HeaderMap::with_capacity(inbound.len() + OURS_MAX);
    for (name, value) in inbound {
        let spelled = spelling(name);
        let spelled = spelled.as_deref().unwrap_or(name.as_str());
        let dropped = is_hop_by_hop(spelled)
            || is_owned(spelled)
            || spelled.starts_with(FORWARDED_PREFIX)
            || spelled == sso_spelled
            || is_named(&named, name);
        if !dropped {
            headers.append(name, value.clone());
        }
    }
    if accepts_trailers(inbound) {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        // Whoever sends TE says so (RFC 9110 section 10.1.4).
        headers.insert(header::CONNECTION, HeaderValue::from_static("TE"));
    }
    headers
}

/// Whether an answer has a coding that would be lost with its framing: nobody may send one who was
/// not asked for it (RFC 9112 section 7.4).
pub(super) fn has_other_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// What of KooDrive's answer goes back to the caller.
pub(super) fn for_caller(headers: &mut HeaderMap) {
    let stays_here = |name: &HeaderName| is_hop_by_hop(name.as_str()) || *name == header::ALT_SVC;
    // Most answers go back as they came.
    if !headers.keys().any(|name| stays_here(name) || *name == header::SET_COOKIE) {
        return;
    }
    // A length beside a coding is wrong (RFC 9112 section 6.3): the body is not so long.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    let named = connection_options(headers);
    // `Alt-Svc` would lead callers past the gateway.
    remove(headers, |name| stays_here(name) || is_named(&named, name));
    if headers.get_all(header::SET_COOKIE).iter().any(sets_token) {
        let kept: Vec<HeaderValue> = headers
            .get_all(header::SET_COOKIE)
            .iter()
            .filter(|cookie| !sets_token(cookie))
            .cloned()
            .collect();
        headers.remove(header::SET_COOKIE);
        for cookie in kept {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
}

/// What of an answer's trailers goes back to the caller: nothing that belongs to a connection, to
/// the framing, or to the gateway (RFC 9110 section 6.5.1).
pub(super) fn trailers_for_caller(mut trailers: HeaderMap) -> HeaderMap {
    remove(&mut trailers, |name| {
        is_hop_by_hop(name.as_str()) || is_owned(name.as_str()) || *name == header::SET_COOKIE
    });
    trailers
}

fn remove(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    let unwanted: Vec<_> = headers.keys().filter(|name| unwanted(name)).cloned().collect();
    for name in unwanted {
        headers.remove(name);
    }
}

/// The names listed in `Connection`, lower case.
fn connection_options(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|option| option.trim().to_ascii_lowercase())
        .filter(|option| !option.is_empty())
        .collect()
}

fn is_named(options: &[String], name: &HeaderName) -> bool {
    options.iter().any(|option| option == name.as_str())
}

/// The name with dashes for underscores, which many servers cannot tell apart; `None` when it has
/// none.
fn spelling(name: &HeaderName) -> Option<String> {
    name.as_str().contains('_').then(|| name.as_str().replace('_', "-"))
}

/// Whether `TE` names `trailers` (RFC 9110 section 10.1.4).
fn accepts_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::TE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

fn sets_token(cookie: &HeaderValue) -> bool {
    let bytes = cookie.as_bytes();
    let name = bytes.split(|b| *b == b'=').next().unwrap_or_default();
    name.trim_ascii().eq_ignore_ascii_case(TOKEN_COOKIE)
}

/// How many headers the gateway may add.
const OURS_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        map
    }

    #[test]
    fn what_the_gateway_owns_is_dropped_in_any_spelling() {
        for name in [
            "Authorization",
            "X-Traceid",
            "X_Traceid",
            "x_traceid",
            "X-User-Id",
            "X_User-Id",
            "x_user_id",
            "X-Date",
            "X_DATE",
            "x-session-id",
            "X_Session_Id",
            "Cookie",
            "Forwarded",
            "X-Forwarded-For",
            "X_Forwarded_For",
            "X-Forwarded-Whatever",
            "X-HTTP-Method-Override",
            "X_HTTP_Method_Override",
            "X-Method-Override",
            "X-HTTP-Method",
            "X-Sso-Token",
            "X_Sso_Token",
            "traceparent",
            "tracestate",
            "baggage",
            "Connection",
            "Keep-Alive",
            "Proxy-Authorization",
            "Transfer-Encoding",
            "Upgrade",
            "HTTP2-Settings",
            "Expect",
            "Host",
            "X-Original-URL",
            "X_Original_URI",
            "X-Rewrite-URL",
            "X-Override-Url",
            "X-Envoy-Original-Path",
        ] {
            let sent = for_upstream(
                &headers(&[(name, "x"), ("Accept", "a/b")]),
                &HeaderName::from_static("x-sso-token"),
            );
            assert_eq!(sent, headers(&[("accept", "a/b")]), "{name}");
        }
    }

    #[test]
    fn names_listed_in_connection_are_dropped() {
        let sent = for_upstream(
            &headers(&[
                ("Connection", "close, X-Hop"),
                ("Connection", "x-two"),
                ("X-Hop", "1"),
                ("X-Two", "2"),
                ("X-Stay", "3"),
            ]),
            &header::AUTHORIZATION,
        );
        assert_eq!(sent, headers(&[("x-stay", "3")]));
    }

    #[test]
    fn repeated_fields_keep_their_order() {
        let given = headers(&[("X-A", "1"), ("X-A", "2"), ("Accept", "*/*")]);
        assert_eq!(for_upstream(&given, &header::AUTHORIZATION), given);
    }

    #[test]
    fn trailers_are_asked_for_when_the_caller_wants_them() {
        let sent = for_upstream(&headers(&[("TE", "gzip, trailers")]), &header::AUTHORIZATION);
        assert_eq!(sent, headers(&[("te", "trailers"), ("connection", "TE")]));
    }

    #[test]
    fn a_length_beside_a_coding_is_dropped() {
        let mut answer = headers(&[("Content-Length", "3"), ("Transfer-Encoding", "chunked")]);
        for_caller(&mut answer);
        assert_eq!(answer, headers(&[]));
    }

    #[test]
    fn an_access_token_cookie_never_returns() {
        let mut answer = headers(&[
            ("Set-Cookie", "Authorization=Bearer abc; Path=/"),
            ("Set-Cookie", "lang=en"),
            ("Set-Cookie", " authorization =x"),
            ("Connection", "X-Hop"),
            ("X-Hop", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Content-Type", "application/json"),
        ]);
        for_caller(&mut answer);
        assert_eq!(
            answer,
            headers(&[("set-cookie", "lang=en"), ("content-type", "application/json")])
        );
    }
}
