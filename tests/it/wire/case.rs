//! One raw request and what must become of it.

use std::io;
use std::time::Duration;

use serde_json::Value;

use crate::support::raw::{RawAnswer, RawConnection};
use crate::support::recording::{Received, sha256};
use crate::support::world::{Plan, World};

/// What must become of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected {
    /// One of these statuses without a body of ours, and a closed connection: it was not parsed.
    Bare(&'static [u16]),
    /// This status and reason, and a closed connection.
    Closed(u16, &'static str),
    /// This status and reason; the connection may go on.
    Refused(u16, &'static str),
    /// Crosses: method, target and body as they must arrive.
    Crosses(&'static str, &'static str, &'static str),
}

/// Name, request in [`raw`]'s spelling, expectation.
pub(super) type Case<'a> = (&'a str, &'a str, Expected);

/// A world in which only the wire decides.
pub(super) fn plan() -> Plan {
    World::plan().config("[limit]\nmode = 'off'")
}

/// Runs every case on a connection of its own; all that differ are named at once.
pub(super) async fn check_all(world: &World, cases: &[Case<'_>]) {
    let mut wrong = Vec::new();
    for (name, text, expected) in cases {
        if let Err(why) = check(world, text, *expected).await {
            wrong.push(format!("{name}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

async fn check(world: &World, text: &str, expected: Expected) -> Result<(), String> {
    world.koodrive.received.clear();
    let request = raw(world, text);
    let mut connection = open(world).await;
    // A refusal may close the connection before everything was sent.
    connection.send(&request).await.unwrap_or(());
    let answer = connection.answer().await.map_err(|error| format!("no answer: {error}"))?;
    let reason = reason(&answer);
    match expected {
        Expected::Bare(statuses) => {
            if !statuses.contains(&answer.status) || !reason.is_empty() {
                return Err(format!("{} {reason:?} instead of a bare refusal", answer.status));
            }
            closes(&mut connection).await?;
        }
        Expected::Closed(status, expected) => {
            if (answer.status, &*reason) != (status, expected) {
                return Err(format!("{} {reason:?}", answer.status));
            }
            closes(&mut connection).await?;
        }
        Expected::Refused(status, expected) => {
            if (answer.status, &*reason) != (status, expected) {
                return Err(format!("{} {reason:?}", answer.status));
            }
        }
        Expected::Crosses(method, target, body) => {
            if answer.status != 200 {
                return Err(format!("{} {reason:?} instead of 200", answer.status));
            }
            let arrived = world.koodrive.received.all();
            let [one] = &arrived[..] else {
                return Err(format!("{} requests upstream", arrived.len()));
            };
            return correct(world, one, method, target, body);
        }
    }
    match &world.koodrive.received.all()[..] {
        [] => Ok(()),
        some => Err(format!("{} requests upstream", some.len())),
    }
}

/// Whether a request upstream is the gateway's own: its credentials, its ids, and nothing that was
/// smuggled beside them.
pub(super) fn correct(
    world: &World,
    received: &Received,
    method: &str,
    target: &str,
    body: &str,
) -> Result<(), String> {
    let line = (received.method.as_str(), received.target.as_str());
    if line != (method, target) {
        return Err(format!("upstream: {line:?}"));
    }
    if received.body.sha256 != sha256(body.as_bytes()) || !received.body.complete {
        return Err(format!("upstream body: {:?}", received.body));
    }
    let host = world.koodrive.url().split("://").nth(1).unwrap();
    if received.header_values("host") != [host] {
        return Err(format!("upstream Host: {:?}", received.header_values("host")));
    }
    let credentials = received.header_values("authorization");
    let tokens = world.koodrive.sessions.all_tokens();
    let ours = tokens.iter().any(|token| credentials == [format!("Bearer {token}")]);
    if !ours {
        return Err("upstream Authorization is not exactly one KooDrive token".to_owned());
    }
    let ids = received.header_values("x-traceid");
    if ids.len() != 1 || ids[0].len() != 58 {
        return Err(format!("upstream X-Traceid: {ids:?}"));
    }
    if received.header_values("connection").iter().any(|value| *value != "TE") {
        return Err("the caller's Connection upstream".to_owned());
    }
    for name in received.headers.keys() {
        let spelled = name.as_str().replace('_', "-");
        if NEVER.contains(&&*spelled) || spelled != name.as_str() && OURS.contains(&&*spelled) {
            return Err(format!("upstream has {name}"));
        }
    }
    if received.contains(b"SMUGGLED") {
        return Err("something was smuggled upstream".to_owned());
    }
    if received.body.trailers.is_some() {
        return Err("request trailers upstream".to_owned());
    }
    Ok(())
}

/// No spelling of these may arrive.
const NEVER: [&str; 22] = [
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "upgrade",
    "http2-settings",
    "expect",
    "trailer",
    "cookie",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "x-user-id",
    "x-date",
    "x-session-id",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-method",
    "x-original-url",
    "x-rewrite-url",
];

/// These only as the gateway spells them.
const OURS: [&str; 7] = [
    "authorization",
    "x-traceid",
    "host",
    "via",
    "traceparent",
    "content-length",
    "transfer-encoding",
];

/// `⏎` is CRLF, `␊` LF, `␍` CR, `␀` NUL, `␉` a tab; `{H}` a Host line, `{A}` a line with a good SSO
/// token, `{T}` that token.
pub(super) fn raw(world: &World, text: &str) -> Vec<u8> {
    let token = world.sso.token_for("alice");
    text.replace("{H}", "Host: gateway⏎")
        .replace("{A}", &format!("Authorization: Bearer {token}⏎"))
        .replace("{T}", &token)
        .replace('⏎', "\r\n")
        .replace('␊', "\n")
        .replace('␍', "\r")
        .replace('␀', "\0")
        .replace('␉', "\t")
        .into_bytes()
}

pub(super) async fn open(world: &World) -> RawConnection {
    RawConnection::open(world.gateway.address).await.expect("the gateway listens")
}

pub(super) fn reason(answer: &RawAnswer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    body["reason"].as_str().unwrap_or_default().to_owned()
}

/// Nothing more comes, and the other side closes.
pub(super) async fn closes(connection: &mut RawConnection) -> Result<(), String> {
    let rest = tokio::time::timeout(Duration::from_secs(5), connection.rest()).await;
    match rest.map_err(|_| "the connection stays open".to_owned())? {
        Ok(rest) if rest.is_empty() => Ok(()),
        Ok(rest) => Err(format!("more came: {:?}", String::from_utf8_lossy(&rest))),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(format!("the connection does not close: {error}")),
    }
}
