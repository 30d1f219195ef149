//! What holds for every value of a batch, known or not: names, surrogates, depth, numbers.

use koodrive_gateway::config::ValidateConfig;
use koodrive_gateway::validate::MalformedKind;

use super::{USER, expect, expect_malformed, expect_users, unknown, user};

#[test]
fn duplicate_names_are_found_at_any_depth() {
    let again = "may appear only once in its object, found again: remove one of them";
    for (body, pointers) in [
        (
            format!("{{\"curDeptId\":1,\"users\":[{USER}],▲\"curDeptId\":2}}"),
            &["/curDeptId: curDeptId"][..],
        ),
        (format!("{{\"curDeptId\":1,\"users\":[{USER}],▲\"users\":[{USER}]}}"), &["/users: users"]),
        (
            format!("{{\"curDeptId\":1,\"users\":[{USER}],▲\"cur\\u0044eptId\":1}}"),
            &["/curDeptId: curDeptId"],
        ),
        (
            user(
                "\"personalCapacity\":1,\"isAllocateCapacity\":true,▲\"personalCapacity\":1,▲\"isAllocateCapacity\":true",
            ),
            &[
                "/users/0/personalCapacity: personalCapacity",
                "/users/0/isAllocateCapacity: isAllocateCapacity",
            ],
        ),
        (
            user(
                "\"a\":1,\"personalCapacity\":1,\"isAllocateCapacity\":true,▲\"a\":1,▲\"\\u0061\":1",
            ),
            &["/users/0/a: this member", "/users/0/a: this member"],
        ),
        (unknown("0,\"y\":1,▲\"x\":2"), &["/x: this member"]),
        (unknown("{\"k\":1,▲\"k\":1}"), &["/x/k: this member"]),
        (unknown("[0,{\"k\":{\"é\":1,▲\"\\u00E9\":2}}]"), &["/x/1/k/é: this member"]),
        (unknown("{\"\":1,▲\"\":1}"), &["/x/: this member"]),
        (
            unknown("{\"a/b\":1,▲\"a\\/b\":1,\"~\":0,▲\"~\":0}"),
            &["/x/a~1b: this member", "/x/~0: this member"],
        ),
        (unknown("{\"😀\":1,▲\"\\ud83d\\ude00\":1}"), &["/x/😀: this member"]),
        (
            unknown("{\"a\":{\"a\":1},\"b\":{\"a\":1,▲\"a\":[{\"a\":1}]},▲\"a\":2}"),
            &["/x/b/a: this member", "/x/a: this member"],
        ),
        (
            unknown(
                "{\"1\":0,\"2\":0,\"3\":0,\"4\":0,\"5\":0,\"6\":0,\"7\":0,\"8\":0,\"9\":0,▲\"3\":0,\"10\":0,▲\"1\":0}",
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
    expect_malformed(&unknown("{▲\"a\\ud800\":1}"), &[&format!("/x/a\u{fffd}: {name}")]);
    expect_malformed(&unknown("1,▲\"\\udc00\":1"), &[&format!("/\u{fffd}: {name}")]);
}

#[test]
fn depth_is_bounded() {
    let deep = "this value may be nested at most 16 levels deep, found a deeper one: flatten it \
                (nothing behind it was checked)";
    let below = "/0".repeat(15);
    expect_malformed(
        &unknown("[[[[[[[[[[[[[[[▲[\"\\ud800\",{\"a\":1,\"a\":1}],0,{}]]]]]]]]]]]]]]]"),
        &[&format!("/x{below}: {deep}")],
    );
    let narrow = ValidateConfig { max_depth: 2, ..ValidateConfig::default() };
    let sentence = deep.replace("16", "2");
    expect(
        &narrow,
        MalformedKind::Malformed,
        &format!("{{\"curDeptId\":1,\"users\":[▲{USER},{USER}]}}"),
        &[&format!("/users/0: {sentence}")],
    );
    // What stands before it is found all the same; whether the rest is JSON is not asked.
    expect_malformed(
        &unknown(&format!("▲\"\\ud800\",\"y\":{}▲[", "[".repeat(15))),
        &[
            "/x: this string must be valid Unicode, found half of a surrogate pair: write both \
             \\u escapes, or the character itself",
            &format!("/y{below}: {deep}"),
        ],
    );
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
