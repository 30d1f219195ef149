//! What the headers may say of a batch.

use http::{HeaderMap, HeaderName, HeaderValue};
use koodrive_gateway::config::ValidateConfig;
use koodrive_gateway::validate::{BatchRules, ContentRefused, Language};

fn check(lines: &[(&'static str, &'static str)]) -> Result<(), ContentRefused> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    BatchRules::new(&ValidateConfig::default()).check_content(&headers)
}

#[test]
fn json_in_utf_8_is_accepted() {
    assert_eq!(check(&[]), Ok(()));
    for value in [
        "application/json",
        "Application/JSON",
        "application/json;charset=utf-8",
        "application/json; charset=utf8",
        "application/json; charset=\"UTF8\"",
        "application/json; charset=UTF-8",
        "application/json ; charset=\"utf-8\"",
        "application/json; charset=\"ut\\f-8\"",
        "application/json;",
        "application/json; ; charset=utf-8;",
        "application/json; version=1; profile=\"a;charset=latin1\"",
        "application/vnd.koodrive+json",
        "application/problem+JSON; charset=utf-8",
    ] {
        assert_eq!(check(&[("content-type", value)]), Ok(()), "{value}");
    }
    for value in ["identity", "Identity", "", "identity, identity", " identity ,"] {
        assert_eq!(check(&[("content-encoding", value)]), Ok(()), "{value}");
    }
}

#[test]
fn everything_else_is_refused() {
    for (value, refused) in [
        ("text/json", ContentRefused::NotJson),
        ("text/plain", ContentRefused::NotJson),
        ("application/jsonp", ContentRefused::NotJson),
        ("application/x-json", ContentRefused::NotJson),
        ("application/+json", ContentRefused::NotJson),
        ("application/json+xml", ContentRefused::NotJson),
        ("application/x-www-form-urlencoded", ContentRefused::NotJson),
        ("multipart/form-data; boundary=x", ContentRefused::NotJson),
        ("application/json; charset=latin1", ContentRefused::NotUtf8),
        ("application/json; charset=gbk", ContentRefused::NotUtf8),
        ("application/json; charset=utf-16", ContentRefused::NotUtf8),
        ("application/json; charset=utf-8; charset=gbk", ContentRefused::NotUtf8),
        ("application/json; CHARSET=\"gb18030\"", ContentRefused::NotUtf8),
        ("", ContentRefused::IllegibleType),
        ("json", ContentRefused::IllegibleType),
        ("application/", ContentRefused::IllegibleType),
        ("application/json, application/json", ContentRefused::IllegibleType),
        ("application/json; charset", ContentRefused::IllegibleType),
        ("application/json; charset=", ContentRefused::IllegibleType),
        ("application/json; charset=\"utf-8", ContentRefused::IllegibleType),
        ("application/json; charset=\"utf-8\"x", ContentRefused::IllegibleType),
        ("application/json; =utf-8", ContentRefused::IllegibleType),
    ] {
        assert_eq!(check(&[("content-type", value)]), Err(refused), "{value}");
    }
    let twice = [("content-type", "application/json"), ("content-type", "application/json")];
    assert_eq!(check(&twice), Err(ContentRefused::SeveralTypes));
    for value in ["gzip", "identity, gzip", "br", "x"] {
        assert_eq!(check(&[("content-encoding", value)]), Err(ContentRefused::Encoded), "{value}");
    }
    let twice = [("content-encoding", "identity"), ("content-encoding", "deflate")];
    assert_eq!(check(&twice), Err(ContentRefused::Encoded));
}

#[test]
fn refusals_name_the_cure_in_both_languages() {
    for refused in [
        ContentRefused::SeveralTypes,
        ContentRefused::IllegibleType,
        ContentRefused::NotJson,
        ContentRefused::NotUtf8,
        ContentRefused::Encoded,
    ] {
        let (english, chinese) = (refused.text(Language::English), refused.text(Language::Chinese));
        assert!(english.is_ascii() && !chinese.is_ascii(), "{english} {chinese}");
    }
}
