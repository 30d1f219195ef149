//! Every spelling of the preverify path meets the preverify rules, or goes nowhere.

use super::case::Expected::{Crosses, Refused};
use super::case::{Case, Expected, check_all, plan};
use crate::support::koodrive::PREVERIFY;
use crate::support::world::GOOD_BATCH;

#[tokio::test]
async fn spellings_of_preverify() {
    let world = plan().start().await;
    let nowhere = Refused(404, "route_unknown");
    let validated = Refused(400, "batch_malformed");
    let paths: &[(&str, Expected)] = &[
        ("/koodrive/ose/v1/users/batchimport/preverify", validated),
        ("/koodrive/ose/v1/users/batchimport/preverify/", validated),
        ("/koodrive/ose/v1/users/batchimport/preverify?x=1", validated),
        ("/koodrive/ose/v1/users/batchimport/Preverify", validated),
        ("/KOODRIVE/OSE/V1/USERS/BATCHIMPORT/PREVERIFY", validated),
        ("//koodrive/ose/v1/users/batchimport/preverify", validated),
        ("/koodrive//ose/v1/users/batchimport/preverify", validated),
        ("/koodrive/ose/v1/users/batchimport/%70reverify", validated),
        ("/koodrive/ose/v1/users/batchimport/%50reverify", validated),
        ("/%6boodrive/ose/v1/users/batchimport/preverify", validated),
        ("/koodrive/./ose/v1/users/batchimport/preverify", validated),
        ("/koodrive/x/../ose/v1/users/batchimport/preverify", validated),
        ("/koodrive/%2e/ose/v1/users/batchimport/preverify", validated),
        ("/koodrive/x/%2E%2e/ose/v1/users/batchimport/preverify", validated),
        ("/koodrive/ose/v1/users/batchimport/preverify/x/..", validated),
        ("/x/../koodrive/ose/v1/users/batchimport/preverify", validated),
        ("http://gateway/koodrive/ose/v1/users/batchimport/preverify", validated),
        ("/koodrive/ose/v1/users/batchimport%2fpreverify", nowhere),
        ("/koodrive/ose/v1/users/batchimport%2Fpreverify", nowhere),
        ("/koodrive/ose/v1/users/batchimport%5cpreverify", nowhere),
        ("/koodrive/ose/v1/users/batchimport\\preverify", nowhere),
        ("/koodrive/ose/v1/users/batchimport/preverify;x=1", nowhere),
        ("/koodrive;x/ose/v1/users/batchimport/preverify", nowhere),
        ("/koodrive/ose/v1/users/batchimport/preverify%20", nowhere),
        ("/koodrive/ose/v1/users/batchimport/preverify%00", nowhere),
        ("/koodrive/ose/v1/users/batchimport/pre%0averify", nowhere),
        ("/koodrive/ose/v1/users/batchimport/%2570reverify", nowhere),
        ("/koodrive/ose/v1/users/batchimport/preverify%3b", nowhere),
        ("/koodrive/ose/v1/users/batchimport%c0%afpreverify", nowhere),
        ("/koodrive/ose/v1/users/batchimport/preverify.json", nowhere),
        ("/koodrive/ose/v1/users/batchimport/preverify.", nowhere),
        ("/koodrive/ose/v1/users/batchimport/preverify%3fx", nowhere),
        ("/koodrive/ose/v1/users/batchimport/preverify;%2f..", nowhere),
        ("/koodrive/a%25252541", nowhere),
        ("//evil/koodrive/test/echo", nowhere),
        ("//evil/x", nowhere),
        ("/koodrive", nowhere),
        ("/koodrivex/y", nowhere),
        ("/", nowhere),
        ("/koodrive/../admin", nowhere),
        ("/koodrive/..%2fadmin", nowhere),
        ("/koodrive/%2e%2e/admin", nowhere),
    ];
    // A batch that only the rules can refuse: whoever is not validated would cross.
    let batch = r#"{"curDeptId":1,"users":[]}"#;
    let text = |path: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1⏎{{H}}{{A}}Content-Type: application/json⏎Content-Length: {}⏎⏎{body}",
            body.len()
        )
    };
    let texts: Vec<String> = paths.iter().map(|(path, _)| text(path, batch)).collect();
    let cases: Vec<Case<'_>> = paths
        .iter()
        .zip(&texts)
        .map(|((path, expected), text)| (*path, &**text, *expected))
        .collect();
    check_all(&world, &cases).await;

    // The good batch crosses from every spelling, under the canonical one.
    let good: Vec<String> = paths
        .iter()
        .filter(|(path, expected)| matches!(expected, Refused(400, _)) && !path.contains('?'))
        .map(|(path, _)| path.replace("?x=1", ""))
        .collect();
    let batch = GOOD_BATCH.replace("\r\n", "\n");
    let batch: &'static str = Box::leak(batch.into_boxed_str());
    let texts: Vec<String> = good.iter().map(|path| text(path, batch)).collect();
    let cases: Vec<Case<'_>> = good
        .iter()
        .zip(&texts)
        .map(|(path, text)| (&**path, &**text, Crosses("POST", PREVERIFY, batch)))
        .collect();
    check_all(&world, &cases).await;

    // Another method on any of them is told the only one that is allowed.
    let texts: Vec<String> =
        good.iter().map(|path| format!("GET {path} HTTP/1.1⏎{{H}}{{A}}⏎")).collect();
    let cases: Vec<Case<'_>> = good
        .iter()
        .zip(&texts)
        .map(|(path, text)| (&**path, &**text, Refused(405, "method_refused")))
        .collect();
    check_all(&world, &cases).await;
}

#[tokio::test]
async fn other_paths_go_upstream_as_they_are_written() {
    let world = plan().start().await;
    let paths: &[&str] = &[
        "/koodrive/test/echo",
        "/koodrive/test/echo?x=%2e%2e%2f&y=%00&z=a/../b",
        "/koodrive/test/echo?;x",
    ];
    let texts: Vec<String> =
        paths.iter().map(|path| format!("GET {path} HTTP/1.1⏎{{H}}{{A}}⏎")).collect();
    let cases: Vec<Case<'_>> = paths
        .iter()
        .zip(&texts)
        .map(|(path, text)| (*path, &**text, Crosses("GET", path, "")))
        .collect();
    check_all(&world, &cases).await;
}

#[tokio::test]
async fn what_is_judged_is_the_path_that_will_be_sent() {
    let mut world = plan().start().await;
    let upstream =
        format!("[forward]\nupstream = '{}/koodrive'\nprefix = '/ose/'", world.koodrive.url());
    assert!(world.reconfigure(&upstream).await);
    let text = |path: &str, body: &str| {
        let length = body.len();
        format!("POST {path} HTTP/1.1⏎{{H}}{{A}}Content-Length: {length}⏎⏎{body}")
    };
    let good = GOOD_BATCH.replace("\r\n", "\n");
    let good: &'static str = Box::leak(good.into_boxed_str());
    let preverify = "/ose/v1/users/batchimport/preverify";
    check_all(
        &world,
        &[
            ("a bad batch", &text(preverify, "not json"), Refused(400, "batch_not_json")),
            ("a good batch", &text(preverify, good), Crosses("POST", PREVERIFY, good)),
            ("a suffix", &text(&format!("{preverify}.json"), good), Refused(404, "route_unknown")),
        ],
    )
    .await;
}
