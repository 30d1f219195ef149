//! What must hold for any bytes: no panic, no body passed that another parser refuses, no cost
//! that grows faster than the body.

use koodrive_gateway::config::ValidateConfig;
use koodrive_gateway::validate::{BatchRules, Language, MalformedKind, Report};
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{USER, check, unknown, users};

/// A batch that was good, and then changed in a few places.
fn changed_batch() -> impl Strategy<Value = Vec<u8>> {
    let good = prop_oneof![
        Just(users(USER)),
        Just(users(&[USER, USER].join(" ,\n"))),
        Just(unknown(r#"{"a":[1,-2.5e3,"\u00e9\n",{"b":null}],"c":"研发😀"}"#)),
        Just(unknown(r#"[[[[[[[[[[[[[["\ud83d\ude00"]]]]]]]]]]]]]]"#)),
        Just(unknown(r#"[[[[[[[[[[[[[[[[["a",{"b":[0,{"c":null}]}]]]]]]]]]]]]]]]]],"y":true"#)),
    ];
    let token = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\""),
        Just("\\"),
        Just("0"),
        Just("-"),
        Just("."),
        Just("e"),
        Just("1"),
        Just("\\u00"),
        Just("\\ud800"),
        Just("true"),
        Just("null"),
        Just(" "),
        Just("\n"),
        Just("é"),
        Just("\u{1}"),
        Just("\"a\":"),
        Just("999999999999999999999"),
        Just("e400"),
        Just(""),
        Just("\"users\":"),
        Just("/"),
    ];
    let byte = any::<u8>().prop_map(|byte| vec![byte]);
    let piece = prop_oneof![4 => token.prop_map(|token| token.as_bytes().to_vec()), 1 => byte];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), 0..6_usize, piece), 0..4);
    (good, changes).prop_map(|(good, changes)| {
        let mut body = good.into_bytes();
        for (at, dropped, piece) in changes {
            let at = at.index(body.len() + 1);
            let end = body.len().min(at + dropped);
            body.splice(at..end, piece);
        }
        body
    })
}

/// What we say must agree with `serde_json`, except where we are stricter.
fn agrees_with_serde_json(body: &[u8]) -> Result<(), TestCaseError> {
    let parsed = serde_json::from_slice::<Value>(body);
    match check(body) {
        Ok(facts) => {
            let value =
                parsed.map_err(|error| TestCaseError::fail(format!("passed, but {error}")))?;
            let users = value["users"].as_array().map_or(0, Vec::len);
            prop_assert_eq!(facts.users as usize, users);
            prop_assert!(value["curDeptId"].as_i64().is_some_and(|id| 1 <= id));
            for user in value["users"].as_array().into_iter().flatten() {
                let capacity = user["personalCapacity"].as_i64();
                prop_assert!(capacity.is_some_and(|capacity| 0 <= capacity), "{:?}", capacity);
                prop_assert_eq!(user["isAllocateCapacity"].as_bool(), capacity.map(|c| c != 0));
                let name = &user["targetDeptName"];
                prop_assert!(
                    name.is_null() || name.as_str().is_some_and(|name| name.chars().count() <= 20)
                );
            }
        }
        Err(malformed) if malformed.kind == MalformedKind::NotJson => {
            prop_assert!(parsed.is_err(), "called no JSON, but it parses");
            prop_assert_eq!(malformed.findings.len(), 1);
        }
        Err(malformed) => {
            prop_assert!(!malformed.findings.is_empty());
            let text = str::from_utf8(body);
            let is_json = text.is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
            prop_assert!(is_json, "called JSON, but it does not parse");
            prop_assert!(malformed.findings.is_sorted_by_key(|f| (f.line, f.column)));
            let verdict = Err(malformed);
            for language in [Language::English, Language::Chinese] {
                let report = Report {
                    name: "b",
                    body,
                    verdict: &verdict,
                    language,
                    width: 40,
                    colours: false,
                };
                let text = report.to_string();
                prop_assert!(
                    text.chars().all(|char| char == '\n' || !char.is_control()),
                    "{:?}",
                    text
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        agrees_with_serde_json(&body)?;
    }

    #[test]
    fn what_passes_is_what_other_parsers_read(body in changed_batch()) {
        agrees_with_serde_json(&body)?;
    }

    #[test]
    fn integers_pass_exactly(id in 1..=i64::MAX, capacity in 1..=i64::MAX) {
        let body = format!(
            "{{\"curDeptId\":{id},\"users\":[{{\"personalCapacity\":{capacity},\"isAllocateCapacity\":true}}]}}"
        );
        agrees_with_serde_json(body.as_bytes())?;
        prop_assert!(check(body.as_bytes()).is_ok());
    }
}

#[test]
fn ten_mebibytes_of_brackets_are_refused() {
    let malformed = check(&vec![b'['; 10 << 20]).expect_err("cut off");
    assert_eq!((malformed.kind, malformed.findings.len()), (MalformedKind::NotJson, 1));
    let (open, close) = ("{\"\":".repeat(2 << 20), "}".repeat(2 << 20));
    let malformed = check(open.as_bytes()).expect_err("cut off");
    assert_eq!((malformed.kind, malformed.findings.len()), (MalformedKind::NotJson, 1));
    let whole = unknown(&format!("{open}0{close}"));
    let malformed = check(whole.as_bytes()).expect_err("too deep");
    assert_eq!((malformed.kind, malformed.findings.len()), (MalformedKind::Malformed, 1));
    let wide = unknown(&format!("{}{}[]{}", "[".repeat(15), "[],".repeat(2 << 20), "]".repeat(15)));
    let malformed = check(wide.as_bytes()).expect_err("too deep");
    assert_eq!((malformed.findings.len(), malformed.more), (50, (2 << 20) - 49));
}

#[test]
fn many_names_and_many_faults_cost_no_more_than_their_bytes() {
    let members = |name: &dyn Fn(usize) -> String| {
        let members: Vec<_> = (0..40_000).map(|i| format!("\"{}\":0", name(i))).collect();
        unknown(&format!("{{{}}}", members.join(",")))
    };
    assert!(check(members(&|i| format!("{i}")).as_bytes()).is_ok());
    assert!(check(members(&|i| format!("\\u0061{i}")).as_bytes()).is_ok());
    let malformed = check(members(&|_| "a".to_owned()).as_bytes()).expect_err("all alike");
    assert_eq!((malformed.findings.len(), malformed.more), (50, 39_949));
    let malformed = check(users(&vec!["{}"; 200_000].join(",")).as_bytes()).expect_err("all empty");
    assert_eq!((malformed.findings.len(), malformed.more), (50, 399_951));
}

#[test]
fn pointers_are_bounded() {
    let long = "n".repeat(100_000);
    let body = unknown(&format!("{{\"{long}\":[\"\\ud800\"]}}"));
    let malformed = check(body.as_bytes()).expect_err("half a pair");
    assert_eq!(malformed.findings[0].pointer, format!("/x/{}…/0", "n".repeat(64)));
    let rules = ValidateConfig { max_depth: 100_000, ..ValidateConfig::default() };
    let body = unknown(&format!("{}\"\\ud800\"{}", "[".repeat(50_000), "]".repeat(50_000)));
    let malformed = BatchRules::new(&rules).check(body.as_bytes()).expect_err("half a pair");
    assert!(malformed.findings[0].pointer.len() < 1200, "{}", malformed.findings[0].pointer.len());
}
