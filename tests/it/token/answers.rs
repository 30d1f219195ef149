//! What the token endpoint's answers mean for the caller.

use std::time::Duration;

use koodrive_gateway::config::HttpUrl;
use koodrive_gateway::token::{Denial, ExchangeOutcome, TokenError, Unusable};

use super::endpoint::Answer;
use super::{World, caller, text_of};

/// A caller per row, and no memory of failures: rows do not touch each other.
const APART: &str = "unavailable_for = \"0s\"\ndenied_for = \"0s\"";

#[tokio::test]
async fn every_documented_shape_of_a_token_is_read() {
    let world = World::with(APART).await;
    for (row, (body, expected)) in [
        (r#"{"access_token":"t"}"#, "Bearer t"),
        (r#"{"access_token":"t","token_type":"N_A","issued_token_type":"x"}"#, "Bearer t"),
        (r#"{"access_token":"t","token_type":"bearer"}"#, "Bearer t"),
        (r#"{"access_token":"t","token_type":"Bearer"}"#, "Bearer t"),
        (r#"{"access_token":"t","token_type":null}"#, "Bearer t"),
        (r#"{"accessToken":"t"}"#, "Bearer t"),
        (r#"{"code":0,"msg":"ok","accessToken":"Bearer+t"}"#, "Bearer t"),
        (r#"{"code":"0","accessToken":"Bearer t"}"#, "Bearer t"),
        (r#"{"code":0,"data":{"accessToken":"Bearer t","sessionId":"s"}}"#, "Bearer t"),
        (r#"{"code":"0","data":{"access_token":"t"}}"#, "Bearer t"),
        (
            r#"{"code":0,"data":{"sessionInfo":{"accessToken":"AT t","expiresIn":1800}}}"#,
            "Bearer t",
        ),
        (r#"{"access_token":null,"accessToken":"t"}"#, "Bearer t"),
        (r#"{"access_token":"bEaReR t"}"#, "Bearer t"),
        (r#"{"access_token":"AT+t"}"#, "Bearer t"),
        (r#"{"access_token":"at t"}"#, "Bearer t"),
        (r#"{"access_token":"  Bearer   t "}"#, "Bearer t"),
        (r#"{"access_token":"Bearert"}"#, "Bearer Bearert"),
        (r#"{"access_token":"attic"}"#, "Bearer attic"),
        (r#"{"access_token":"+t/=~"}"#, "Bearer +t/=~"),
        (r#"{"access_token":"t\u0041"}"#, "Bearer tA"),
    ]
    .into_iter()
    .enumerate()
    {
        world.endpoint.always(Answer::json(200, body));
        let issued = world.ask(&caller(&row.to_string())).await;
        assert_eq!(
            text_of(&issued.unwrap_or_else(|e| panic!("{body}: {e:?}"))),
            expected,
            "{body}"
        );
    }
    let long = "x".repeat(64 * 1024);
    world.endpoint.always(Answer::token(&long, 60));
    assert_eq!(text_of(&world.ask(&caller("long")).await.unwrap()), format!("Bearer {long}"));
}

#[tokio::test]
async fn an_answer_without_a_usable_token_is_told_apart_and_is_no_fault_of_the_caller() {
    let world = World::with(APART).await;
    let too_long = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(64 * 1024 + 1));
    let too_large = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(256 * 1024));
    for (row, (body, expected)) in [
        ("", Unusable::NotJson),
        ("<html>", Unusable::NotJson),
        ("{}", Unusable::TokenAbsent),
        ("[]", Unusable::TokenAbsent),
        (r#""t""#, Unusable::TokenAbsent),
        (r#"{"access_token":null}"#, Unusable::TokenAbsent),
        (r#"{"data":{}}"#, Unusable::TokenAbsent),
        (r#"{"data":"t"}"#, Unusable::TokenAbsent),
        (r#"{"access_token":17}"#, Unusable::TokenNotText),
        (r#"{"access_token":["t"]}"#, Unusable::TokenNotText),
        (r#"{"access_token":""}"#, Unusable::TokenEmpty),
        (r#"{"access_token":" "}"#, Unusable::TokenEmpty),
        (r#"{"access_token":"Bearer"}"#, Unusable::TokenEmpty),
        (r#"{"access_token":"Bearer "}"#, Unusable::TokenEmpty),
        (r#"{"access_token":"at+"}"#, Unusable::TokenEmpty),
        (r#"{"access_token":"t\r\nX-Evil: 1"}"#, Unusable::TokenIllegal),
        (r#"{"access_token":"t\u0000"}"#, Unusable::TokenIllegal),
        (r#"{"access_token":"t\u007f"}"#, Unusable::TokenIllegal),
        (r#"{"access_token":"tökën"}"#, Unusable::TokenIllegal),
        (too_long.as_str(), Unusable::TokenTooLong),
        (too_large.as_str(), Unusable::TooLarge),
        (r#"{"code":13000201,"msg":"x","accessToken":"t"}"#, Unusable::NotSuccess),
        (r#"{"code":"1","data":{"accessToken":"t"}}"#, Unusable::NotSuccess),
        (r#"{"access_token":"t","token_type":"DPoP"}"#, Unusable::NotBearer),
        (r#"{"access_token":"t","token_type":7}"#, Unusable::NotBearer),
        (
            r#"{"access_token":"t","issued_token_type":"urn:ietf:params:oauth:token-type:id_token"}"#,
            Unusable::NoAccessToken,
        ),
        (
            r#"{"access_token":"t","issued_token_type":"urn:ietf:params:oauth:token-type:refresh_token"}"#,
            Unusable::NoAccessToken,
        ),
        (r#"{"access_token":"t","expires_in":0}"#, Unusable::Expired),
        (r#"{"access_token":"t","expires_in":-5}"#, Unusable::Expired),
    ]
    .into_iter()
    .enumerate()
    {
        world.endpoint.always(Answer::json(200, body));
        match world.ask(&caller(&row.to_string())).await.unwrap_err() {
            TokenError::AnswerUnusable(unusable) => assert_eq!(unusable, expected, "{body}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn every_status_of_the_table_has_its_meaning() {
    use ExchangeOutcome as Outcome;
    let world = World::with(APART).await;
    let error = |code: &str| format!(r#"{{"error":"{code}","error_description":"x"}}"#);
    let rows = [
        (403, String::new(), Outcome::Denied),
        (403, error("invalid_client"), Outcome::Denied),
        (400, error("invalid_grant"), Outcome::Denied),
        (400, error("access_denied"), Outcome::Denied),
        (400, error("invalid_client"), Outcome::AnswerUnusable),
        (400, error("unauthorized_client"), Outcome::AnswerUnusable),
        (400, error("unsupported_grant_type"), Outcome::AnswerUnusable),
        (400, error("invalid_scope"), Outcome::AnswerUnusable),
        (400, error("invalid_target"), Outcome::AnswerUnusable),
        (400, error("invalid_request"), Outcome::Denied), // RFC 8693 section 2.2.2: the subject token
        (400, "<html>".to_owned(), Outcome::AnswerUnusable),
        (401, error("invalid_client"), Outcome::AnswerUnusable),
        (401, error("invalid_grant"), Outcome::AnswerUnusable),
        (404, String::new(), Outcome::AnswerUnusable),
        (302, String::new(), Outcome::AnswerUnusable),
        (429, String::new(), Outcome::Busy),
        (500, String::new(), Outcome::Unavailable),
        (502, error("invalid_grant"), Outcome::Unavailable),
        (503, String::new(), Outcome::Unavailable),
    ];
    for (row, (status, body, expected)) in rows.into_iter().enumerate() {
        world.endpoint.always(Answer::json(status, body.as_str()));
        let error = world.ask(&caller(&row.to_string())).await.unwrap_err();
        let outcome = match error {
            TokenError::Denied(Denial::Endpoint(said)) => {
                assert_eq!(said.status, status);
                Outcome::Denied
            }
            TokenError::Denied(other) => panic!("{other:?}"),
            TokenError::AnswerUnusable(_) => Outcome::AnswerUnusable,
            TokenError::Busy { .. } => Outcome::Busy,
            TokenError::Unavailable { .. } => Outcome::Unavailable,
            TokenError::TimedOut { .. } => Outcome::TimedOut,
        };
        assert_eq!(outcome, expected, "{status} {body}");
        let report = world.reports().pop().unwrap();
        assert_eq!((report.outcome, report.status), (expected, Some(status)), "{status} {body}");
        if outcome == Outcome::Busy {
            world.advance(Duration::from_secs(2)); // its pause is the endpoint's word, not ours
        }
    }
}

#[tokio::test]
async fn lifetimes_are_numbers_or_numeric_strings_and_anything_else_counts_as_absent() {
    let world = World::start().await;
    for (row, (expires_in, lives_300_s)) in [
        ("200", false),
        ("\"200\"", false),
        ("200.9", false),
        ("\" 200 \"", false),
        ("400", true),
        ("\"400\"", true),
        ("null", true),
        ("\"soon\"", true),
        ("true", true),
        ("1e300", true),
        ("18446744073709551616", true),
        ("\"NaN\"", true),
    ]
    .into_iter()
    .enumerate()
    {
        world.endpoint.answers(move |asked| {
            let (token, number) = (format!("t-{row}"), asked.number);
            let body =
                format!(r#"{{"access_token":"{token}-{number}","expires_in":{expires_in}}}"#);
            Answer::json(200, body)
        });
        let caller = caller(&row.to_string());
        let before = world.token(&caller).await.header().clone();
        world.advance(Duration::from_mins(5));
        let after = world.token(&caller).await.header().clone();
        assert_eq!(before == after, lives_300_s, "{expires_in}");
    }
}

#[tokio::test]
async fn resets_and_refused_connections_are_unavailable() {
    let world = World::with(APART).await;
    world.endpoint.always(Answer::Reset);
    let error = world.ask(&caller("alice")).await.unwrap_err();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error:?}");
    assert_eq!(world.reports().pop().unwrap().outcome, ExchangeOutcome::Unavailable);

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut config = world.config.clone();
    config.endpoint = format!("http://{nobody}/token").parse::<HttpUrl>().unwrap().into();
    let tokens = koodrive_gateway::token::Tokens::new(&config, &[], &world.store, super::client());
    let span = koodrive_gateway::trace_context::SpanContext::root(true);
    let error = tokens.token_for(&caller("alice"), &span).await.unwrap_err();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn an_exchange_is_told_once_with_its_place_in_the_trace() {
    let world = World::start().await;
    let span = koodrive_gateway::trace_context::SpanContext::root(true);
    let issued = world.tokens.token_for(&caller("alice"), &span).await.unwrap();
    let reports = world.reports();
    let [report] = reports.as_slice() else { panic!("{reports:?}") };
    assert_eq!(report.parent, span);
    assert_eq!(report.span.trace_id, span.trace_id);
    assert_ne!(report.span.span_id, span.span_id);
    assert_eq!(issued.exchange, Some(report.span));
    assert_eq!((report.outcome, report.status), (ExchangeOutcome::Issued, Some(200)));
    assert!(!report.background && report.started <= report.ended);
    let sent = world.endpoint.asked().pop().unwrap();
    let traceparent = report.span.to_traceparent();
    assert_eq!(sent.header("traceparent"), traceparent.to_str().unwrap());
}

#[tokio::test]
async fn no_secret_shows_in_what_is_printed() {
    let world = World::start().await;
    world.endpoint.always(Answer::token("koodrive-secret", 1200));
    let alice = caller("sso-secret");
    let issued = world.ask(&alice).await.unwrap();
    let printed = format!("{issued:?} {:?} {:?}", world.tokens, world.reports());
    assert!(!printed.contains("koodrive-secret"), "{printed}");
    assert!(!format!("{:?}", alice.sso_token).contains("sso-secret"));
}
