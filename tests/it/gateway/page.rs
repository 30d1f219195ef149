//! The admin page, as an operator finds it after some calls.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::gateway::{SOON, WHO_AM_I, batch_of, trace_of};
use crate::support::faults::Behaviour;
use crate::support::raw::RawConnection;
use crate::support::world::World;

/// Asks for the page until it says all of this.
async fn shows(world: &World, expected: &[String]) -> String {
    let mut pause = tokio::time::interval(Duration::from_millis(20));
    let (mut page, mut missing) = (String::new(), Vec::new());
    let asking = async {
        loop {
            pause.tick().await;
            page = world.admin().get("/").await.text();
            missing = expected.iter().filter(|text| !page.contains(text.as_str())).collect();
            if missing.is_empty() {
                return;
            }
        }
    };
    let shown = tokio::time::timeout(SOON, asking).await.is_ok();
    assert!(shown, "without {missing:?}:\n{page}");
    page
}

/// A row of a table on the page, its cells under their columns.
fn row(cells: &[(&str, &str)]) -> String {
    let cell = |(column, text): &(&str, &str)| {
        format!("<td role=cell data-column=\"{column}\">{text}</td>")
    };
    cells.iter().map(cell).collect()
}

#[tokio::test]
async fn the_page_shows_neighbours_traffic_bounds_and_refusals_with_links_to_their_traces() {
    let config = "[telemetry]\njaeger_ui = 'http://jaeger.example:16686/ui/'";
    let world = World::plan().config(config).start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.preverify(batch_of(1)).await.status, 200);
    assert_eq!(alice.preverify("[]".to_owned()).await.status, 400);
    let refused = alice.preverify("{}".to_owned()).await;
    assert_eq!(refused.status, 400);
    let trace_id = refused.trace_id();
    let answered = |word: &str, calls: &str| {
        format!("{word}</td>{}", row(&[("last minute", calls), ("ten minutes", calls)]))
    };
    let page = shows(
        &world,
        &[
            "<strong class=good>ready</strong>".to_owned(),
            row(&[
                ("state", "<b class=good>ok</b>"),
                ("neighbour", &format!("sso {}", world.sso.issuer())),
            ]),
            answered("answered", "1"),
            answered("refused", "2"),
            answered("failed", "0"),
            "<td role=cell data-column=\"taken\">1 of 100000</td>".to_owned(),
            "<b class=note>400 batch_malformed</b>".to_owned(),
            "<b>2 ×</b> caller <code>".to_owned(),
            "<code>POST /koodrive/ose/v1/users/batchimport/preverify</code>".to_owned(),
            "correct everything in <code>errors</code>".to_owned(),
            format!("<a href=\"http://jaeger.example:16686/ui/trace/{}\">", trace_of(&trace_id)),
            trace_id,
        ],
    )
    .await;
    for timed in ["whole call", "accept", "validate", "forward"] {
        let named = format!("<td role=cell data-column=\"of ten minutes\">{timed}</td>");
        assert!(page.contains(&named), "{timed}: {page}");
    }
}

#[tokio::test]
async fn koodrives_failures_and_ours_stand_first_and_a_callers_do_not() {
    let world = World::start().await;
    let alice = world.caller("alice");
    world.koodrive.switch.next(1, Behaviour::status(503));
    assert_eq!(alice.get(WHO_AM_I).await.status, 503);
    world.koodrive.switch.next(1, Behaviour::close());
    assert_eq!(alice.preverify(batch_of(1)).await.status, 502);
    assert_eq!(alice.preverify("{}".to_owned()).await.status, 400);
    let page = shows(
        &world,
        &[
            "<li class=bad>1 of 3 calls of the last minute failed, most with upstream_broken</li>",
            "<li class=bad>1 of 3 calls of the last minute were answered by KooDrive itself with 5xx</li>",
        ]
        .map(str::to_owned),
    )
    .await;
    let concerns = page.split("<section").find(|section| section.contains("id=concerns"));
    assert!(!concerns.unwrap().contains("refused"), "one refusal is nobody's concern");
    let place = |text| page.find(text).unwrap();
    let (broken, malformed) =
        (place("<article id=\"upstream_broken"), place("<article id=\"batch_"));
    assert!(broken < malformed, "what callers cannot mend comes first");
}

#[tokio::test]
async fn a_storm_names_its_reason_and_its_caller() {
    let world =
        World::plan().config("[limit]\ncalls_per_minute = 1\ncalls_burst = 1").start().await;
    let mallory = world.caller("mallory");
    assert_eq!(mallory.preverify(batch_of(1)).await.status, 200);
    for _ in 0..12 {
        assert_eq!(mallory.preverify(batch_of(1)).await.status, 429);
    }
    let said = "<li class=note>12 of 13 calls of the last minute were refused, most with \
                limit_calls, above all caller ";
    shows(&world, &[said.to_owned()]).await;
}

#[tokio::test]
async fn what_a_caller_sends_is_text_on_the_page() {
    let world = World::start().await;
    let kid = "<img src=x onerror=alert(1)>";
    let token = world.sso.token_for("alice");
    let rest = token.split_once('.').unwrap().1;
    let header = format!(r#"{{"alg":"RS256","typ":"JWT","kid":"{kid}"}}"#);
    let token = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header));
    // A path that could be read as a tag is no request target (RFC 3986 §3.3).
    let path = "/koodrive/\"'onload=alert(2)";
    let mut caller = RawConnection::open(world.gateway.address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    caller.send(head).await.unwrap();
    assert_eq!(caller.answer().await.unwrap().status, 401);
    let page = shows(&world, &["token_key_unknown".to_owned()]).await;
    assert!(page.contains("onerror=alert(1)"), "the kid is shown: {page}");
    assert!(page.contains("/koodrive/&quot;&#39;onload=alert(2)"), "the path is shown: {page}");
    assert!(!page.contains("<img"), "{page}");
}
