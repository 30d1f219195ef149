//! What holds for every value of a batch, known or not: names, surrogates, depth, numbers.

use koodrive_gateway::config::ValidateConfig;
use koodrive_gateway::validate::MalformedKind;

use super::{
    USER, check, expect, expect_malformed, expect_not_json, expect_users, unknown, user, users,
};

#[test]
fn duplicate_names_are_found_at_any_depth() {
    let again = "may appear only once in its object, found again: remove one of them";
    for (body, pointers) in [
        (
            format!("{{\"curDeptId\":1,\"users\":[{USER}],\"curDeptId\":▲2}}"),
            &["/curDeptId: curDeptId"][..],
        ),
        (format!("{{\"curDeptId\":1,\"users\":[{USER}],\"users\":▲[{USER}]}}"), &["/users: users"]),
        (
            format!("{{\"curDeptId\":1,\"users\":[{USER}],\"cur\\u0044eptId\":▲1}}"),
            &["/curDeptId: curDeptId"],
        ),
        (
            user(
                "\"personalCapacity\":1,\"isAllocateCapacity\":true,\"personalCapacity\":▲1,\"isAllocateCapacity\":▲true",
            ),
            &[
                "/users/0/personalCapacity: personalCapacity",
                "/users/0/isAllocateCapacity: isAllocateCapacity",
            ],
        ),
        (
            user(
                "\"a\":1,\"personalCapacity\":1,\"isAllocateCapacity\":true,\"a\":▲1,\"\\u0061\":▲1",
            ),
            &["/users/0/a: this member", "/users/0/a: this member"],
        ),
        (unknown("0,\"y\":1,\"x\":▲2"), &["/x: this member"]),
        (unknown("{\"k\":1,\"k\":▲1}"), &["/x/k: this member"]),
        (unknown("{\"k\":1,\"k\" :\n ▲1}"), &["/x/k: this member"]),
        (unknown("[0,{\"k\":{\"é\":1,\"\\u00E9\":▲2}}]"), &["/x/1/k/é: this member"]),
        (unknown("{\"\":1,\"\":▲1}"), &["/x/: this member"]),
        (
            unknown("{\"a/b\":1,\"a\\/b\":▲1,\"~\":0,\"~\":▲0}"),
            &["/x/a~1b: this member", "/x/~0: this member"],
        ),
        (unknown("{\"😀\":1,\"\\ud83d\\ude00\":▲1}"), &["/x/😀: this member"]),
        (
            unknown("{\"a\":{\"a\":1},\"b\":{\"a\":1,\"a\":▲[{\"a\":1}]},\"a\":▲2}"),
            &["/x/b/a: this member", "/x/a: this member"],
        ),
        (
            unknown(
                "{\"1\":0,\"2\":0,\"3\":0,\"4\":0,\"5\":0,\"6\":0,\"7\":0,\"8\":0,\"9\":0,\"3\":▲0,\"10\":0,\"1\":▲0}",
            ),
            &["/x/3: this member", "/x/1: this member"],
        ),
    ] {
        let wanted: Vec<_> = pointers.iter().map(|pointer| format!("{pointer} {again}")).collect();
        let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
        expect_malformed(&body, &wanted);
    }
}

#[test]
fn lone_surrogates_are_found() {
    let value = "this string must be valid Unicode, found half of a surrogate pair: write both \
        \\u escapes, or the character itself";
    let name = value.replace("this string", "the name of this member");
    for half in [
        "\\ud800",
        "\\uDBFF",
        "\\udc00",
        "\\uDFFF",
        "\\ud800\\ud800",
        "\\ud800\\n",
        "\\ud800\\u0041",
        "\\udc00\\ud800",
        "x\\ud800研",
    ] {
        expect_malformed(&unknown(&format!("▲\"{half}\"")), &[&format!("/x: {value}")]);
        expect_malformed(&unknown(&format!("[1,▲\"{half}\"]")), &[&format!("/x/1: {value}")]);
        let members = "\"personalCapacity\":1,\"isAllocateCapacity\":true,\"targetDeptName\":";
        expect_malformed(
            &user(&format!("{members}▲\"{half}\"")),
            &[&format!("/users/0/targetDeptName: {value}")],
        );
    }
    expect_malformed(&unknown("{\"a\\ud800\":▲1}"), &[&format!("/x/a\u{fffd}: {name}")]);
    expect_malformed(&unknown("1,\"\\udc00\":▲1"), &[&format!("/\u{fffd}: {name}")]);
}

#[test]
fn depth_is_bounded() {
    let deep = "this value may be nested at most 16 levels deep, found a deeper one: flatten it \
                (of what it holds only the syntax was checked)";
    let below = "/0".repeat(15);
    expect_malformed(
        &unknown("[[[[[[[[[[[[[[[▲[\"\\ud800\",{\"a\":1,\"a\":1}],0,▲{}]]]]]]]]]]]]]]]"),
        &[&format!("/x{below}: {deep}"), &format!("/x{}/2: {deep}", "/0".repeat(14))],
    );
    let narrow = ValidateConfig { max_depth: 2, ..ValidateConfig::default() };
    let sentence = deep.replace("16", "2");
    expect(
        &narrow,
        MalformedKind::Malformed,
        &format!("{{\"curDeptId\":1,\"users\":[▲{USER},▲{USER}]}}"),
        &[&format!("/users/0: {sentence}"), &format!("/users/1: {sentence}")],
    );
}

/// A value of 17 levels at depth 2, the innermost being the array around `inner`.
fn deeper(inner: &str) -> String {
    format!("{}[{inner}]{}", "[".repeat(16), "]".repeat(16))
}

#[test]
fn faults_before_and_behind_what_is_too_deep_are_told_with_it() {
    let deep = |name: &str, below: &str| {
        format!(
            "/{name}{}{below}: this value may be nested at most 16 levels deep, found a deeper \
             one: flatten it (of what it holds only the syntax was checked)",
            "/0".repeat(15)
        )
    };
    let half = "this string must be valid Unicode, found half of a surrogate pair: write both \
        \\u escapes, or the character itself";
    let arrays = "[".repeat(15);
    let end = "]".repeat(15);
    expect_malformed(
        &format!(
            "▲{{\"v\":▲\"\\ud800\",\"w\":{arrays}▲[1,{{\"a\":[]}}],0,▲{{\"a\":[{{}}],\"a\":1}}{end},\
             \"users\":[▲▲{{\"x\":[]}}],\"y\":▲\"\\ud800\"}}"
        ),
        &[
            "/curDeptId: curDeptId is required but missing: add it as an integer",
            &format!("/v: {half}"),
            &deep("w", ""),
            &deep("w", "").replace("/0: ", "/2: "),
            "/users/0/personalCapacity: personalCapacity is required but missing: add it as an \
             integer",
            "/users/0/isAllocateCapacity: isAllocateCapacity is required but missing: add it as \
             a boolean",
            &format!("/y: {half}"),
        ],
    );
    // A user's member, and an element of users.
    let malformed = check(users(&format!("{{\"x\":{}}},7", deeper(""))).as_bytes());
    let malformed = malformed.expect_err("too deep");
    assert_eq!((malformed.findings.len(), malformed.users), (4, Some(2)), "{malformed:?}");
}

#[test]
fn what_is_too_deep_is_json_all_the_same() {
    let in_object = "expected `,` or `}`, found";
    let in_array = "expected `,` or `]`, found";
    let look = "correct the JSON here";
    let trailing = "remove the comma before it";
    let value = "expected a value, found";
    let name = "expected a name in double quotes, found";
    // Within it, on both sides of a word of 64 levels.
    let objects = "{\"a\":".repeat(70);
    for (inner, sentence) in [
        ("1 ▲2", format!("{in_array} a number: a comma is missing before it")),
        ("1▲}", format!("{in_array} `}}`: {look}")),
        ("1,▲", format!("{value} `]`: {trailing}")),
        ("▲,", "expected a value or `]`, found `,`: remove this comma".to_owned()),
        ("{\"a\":1▲]", format!("{in_object} `]`: {look}")),
        ("{\"a\":1,▲}", format!("{name} `}}`: {trailing}")),
        ("{▲a:1}", "expected a name in double quotes or `}`, found a letter: put the name in double quotes".to_owned()),
        ("{\"a\"▲}", "expected `:`, found `}`: put a colon between name and value".to_owned()),
        ("{\"a\":▲}", format!("{value} `}}`: a value is missing before it")),
        ("[[[],{}],{\"a\":[{}▲}]}]", format!("{in_array} `}}`: {look}")),
        ("nul▲", format!("expected `true`, `false` or `null`, found `]`: {look}")),
        ("0▲1", "a number must not start with 0 and go on, found another digit: remove the leading zeros".to_owned()),
        ("\"\\▲x\"", "a backslash must start a JSON escape, found another character: write \\\\ for a backslash".to_owned()),
        (&format!("{objects}[0]{}▲]", "}".repeat(69)), format!("{in_object} `]`: {look}")),
        (&format!("{objects}[0]{}▲}}", "}".repeat(70)), format!("{in_array} `}}`: {look}")),
    ] {
        expect_not_json(&unknown(&deeper(inner)), &sentence);
    }
    // Behind it.
    for (body, sentence) in [
        (unknown(&format!("{},\"y\":1e▲", deeper(""))), "expected a digit, found `}`: complete the number".to_owned()),
        (format!("{{\"deep\":{},\"x\":1e▲,\"users\":[{USER}]}}", deeper("")), "expected a digit, found `,`: complete the number".to_owned()),
        (format!("{}▲\u{feff}", unknown(&deeper(""))), "expected the end of the body, found typographic punctuation or space: write plain ASCII quotes, commas, colons and spaces".to_owned()),
        (format!("{}▲]", unknown(&deeper(""))), "expected the end of the body, found `]`: remove what follows the value".to_owned()),
        (unknown(&deeper("")).trim_end_matches('}').to_owned() + "▲", format!("{in_object} the end of the body: the body is cut off, send it whole")),
    ] {
        expect_not_json(&body, &sentence);
    }
    let mut body = unknown(&deeper("")).into_bytes();
    let at = body.len();
    body.push(0xc3);
    let malformed = check(&body).expect_err("not UTF-8");
    assert_eq!((malformed.kind, malformed.findings.len()), (MalformedKind::NotJson, 1));
    assert_eq!(malformed.findings[0].column as usize, at + 1);
}

#[test]
fn numbers_every_parser_must_hold_are_bounded() {
    let sentence = "/x: this number must be within 1e308, found a larger one: not every parser \
        can read it, write a smaller number or a string";
    for number in ["1e309", "-1e309", "1e400", "1e99999999999999999999", "10e308", "1.1e308"] {
        expect_malformed(&unknown(&format!("▲{number}")), &[sentence]);
    }
    expect_malformed(&unknown(&format!("▲{}", "9".repeat(309))), &[sentence]);
    expect_malformed(&unknown(&format!("▲-{}.5", "9".repeat(5000))), &[sentence]);
    for number in
        ["1e308", "-1e308", "0e999999999999", "1e-400", "0.1e309", "123456789012345678901234567890"]
    {
        expect_users(&unknown(number), 1);
    }
}
