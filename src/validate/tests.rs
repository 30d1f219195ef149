use proptest::prelude::*;

use super::json::Cursor;
use super::member_names::{self, Trail};
use super::scanner::Scanner;
use super::*;

#[test]
fn characters_are_measured_as_the_standard_library_does() {
    let mut ill_coded = 0;
    for lead in 0x80..=0xff_u8 {
        for second in (0..=0xff_u8).step_by(3).chain([0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf]) {
            for rest in [[0x80, 0x80], [0xbf, 0xbf], [0x80, 0x20], [0x20, 0x80]] {
                let text = [&[b'"', lead, second][..], &rest, b"\""].concat();
                let end = text.iter().rposition(|byte| *byte == b'"').expect("written above");
                let wanted = match str::from_utf8(&text[1..end]) {
                    Ok(text) if !text.contains(['"', '\\']) && !text.contains(char::is_control) => {
                        Some(text.chars().count())
                    }
                    Ok(_) => continue,
                    Err(_) => None,
                };
                if matches!(second, b'"' | b'\\' | 0..0x20) {
                    continue;
                }
                let found = Cursor::new(&text).string();
                // Some C1 characters are legal in JSON and filtered out above.
                assert_eq!(found.ok().map(|text| text.chars), wanted, "{text:x?}");
                ill_coded += usize::from(wanted.is_none());
            }
        }
    }
    assert!(1000 < ill_coded);
}

#[test]
fn a_string_ends_at_its_quote_wherever_that_stands() {
    for len in 0..40 {
        for (written, chars) in [("a", 1), ("\\n", 1), ("\\u00e9", 1), ("é", 1), ("研", 1)] {
            let before = "x".repeat(len);
            let text = format!("\"{before}{written}yy\",\"");
            let mut cursor = Cursor::new(text.as_bytes());
            let read = cursor.string().expect("it is well formed");
            assert_eq!(read.chars, len + chars + 2, "{text}");
            assert_eq!(cursor.at, text.len() - 2, "{text}");
        }
    }
}

/// Offsets of the opening quotes of names written one after another.
fn offsets(written: &[String]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = Vec::new();
    let mut at = Vec::new();
    for name in written {
        at.push(bytes.len());
        bytes.extend_from_slice(format!("\"{name}\"").as_bytes());
    }
    (bytes, at)
}

fn duplicates(bytes: &[u8], names: &[usize]) -> Vec<usize> {
    let mut names = names.to_vec();
    let count = member_names::gather_duplicates(bytes, &mut names);
    names.truncate(count);
    names
}

#[test]
fn names_are_compared_decoded() {
    let same = [
        ("users", "\\u0075sers"),
        ("a/b", "a\\/b"),
        ("é", "\\u00e9"),
        ("é", "\\u00E9"),
        ("研发", "\\u7814发"),
        ("😀", "\\ud83d\\ude00"),
        ("\\n", "\\u000a"),
        ("\\\"", "\\u0022"),
        ("\\\\", "\\u005c"),
        ("\\ud800", "\\uD800"),
        ("", ""),
    ];
    for (a, b) in same {
        let (bytes, at) = offsets(&[a.to_owned(), b.to_owned()]);
        assert_eq!(duplicates(&bytes, &at), [at[1]], "{a} {b}");
    }
    let different =
        [("a", "b"), ("a", ""), ("a", "a "), ("a", "a!"), ("A", "a"), ("\\ud800", "\\ud801")];
    for (a, b) in different {
        let (bytes, at) = offsets(&[a.to_owned(), b.to_owned()]);
        assert!(duplicates(&bytes, &at).is_empty(), "{a} {b}");
    }
}

const RULES: BatchRules = BatchRules {
    max_body: 0,
    max_users: 10,
    max_dept_name_chars: 5,
    max_depth: 16,
    max_capacity: 1000,
    require_capacity_when_allocated: true,
    reject_unknown: false,
    max_findings: 10,
};

#[test]
fn users_in_order_take_the_short_way() {
    for user in [
        r#"{"targetDeptName":"Dept","personalCapacity":10,"isAllocateCapacity":true}"#,
        r#"{"targetDeptName":null,"personalCapacity":0,"isAllocateCapacity":false}"#,
        r#"{"isAllocateCapacity":true,"personalCapacity":1000,"targetDeptName":"研发一部"}"#,
        "{ \"personalCapacity\" : 1 ,\r\n\t\"isAllocateCapacity\" : true\n}",
    ] {
        let followed = format!("{user} ,");
        assert_eq!(ordinary::user(followed.as_bytes(), &RULES), Some(user.len()), "{user}");
    }
}

/// Text that is `usual` but now and then one of `others`.
fn mostly(
    usual: &'static str,
    others: &'static [&'static str],
) -> impl Strategy<Value = &'static str> {
    prop_oneof![12 => Just(usual), 1 => prop::sample::select(others)]
}

/// A member of a user, and what follows it.
fn member(name: &'static str, value: &'static str) -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "\"targetDeptName\"",
        "\"personalCapacity\"",
        "\"personal\\u0043apacity\"",
        "\"PersonalCapacity\"",
        "\"mail\"",
        "personalCapacity",
    ];
    const VALUES: &[&str] = &[
        "\"研发一部\"",
        "\"too long\"",
        "\"\\ud83d\"",
        "\"\\n\"",
        "\"\n\"",
        "null",
        "nul",
        "false",
        "tru",
        "truer",
        "0",
        "1001",
        "-0",
        "-1",
        "01",
        "00",
        "1.0",
        "1e1",
        "1 0",
        "",
        "999999999999999999",
        "9999999999999999999",
        "18446744073709551617",
        "[]",
        "{}",
        "\"open",
    ];
    let value = prop_oneof![2 => Just(value), 1 => prop::sample::select(VALUES)];
    let space = || mostly("", &[" ", "\n  ", "\u{a0}", ",", ":"]);
    (space(), mostly(name, NAMES), mostly(":", &["", " : ", "="]), value, mostly(",", &["", ";"]))
        .prop_map(|(space, name, colon, value, comma)| {
            format!("{space}{name}{colon}{value}{comma}")
        })
}

/// A user with what is usual, in any order, and now and then something else.
fn user() -> impl Strategy<Value = String> {
    let usual = [
        ("\"targetDeptName\"", "\"Dept\""),
        ("\"personalCapacity\"", "10"),
        ("\"isAllocateCapacity\"", "true"),
        ("\"isAllocateCapacity\"", "false"),
    ];
    let members = Just(usual.to_vec()).prop_shuffle().prop_flat_map(|usual| {
        usual.into_iter().take(3).map(|(name, value)| member(name, value)).collect::<Vec<_>>()
    });
    (members, mostly("}", &["", ",}", "]"])).prop_map(|(members, end)| {
        let members = members.concat();
        format!("{{{}{end},", members.strip_suffix(',').unwrap_or(&members))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    /// What the short way lets pass, the rules do, and to the same place.
    #[test]
    fn the_short_way_lets_nothing_pass_that_the_rules_do_not(text in user()) {
        if let Some(len) = ordinary::user(text.as_bytes(), &RULES) {
            let mut scanner = Scanner::new(text.as_bytes(), RULES.max_depth, RULES.max_findings);
            preverify::check_user(&mut scanner, &RULES, &Trail::ROOT).expect("it is well formed");
            prop_assert_eq!(scanner.cursor.at, len);
            prop_assert_eq!(scanner.findings.place(text.as_bytes()), (vec![], 0));
        }
    }
}

proptest! {
    #[test]
    fn duplicates_are_those_a_set_finds(
        written in prop::collection::vec("[ab!]|\\\\u0061|\\\\u00e9|é|[ab]é|\\\\\\\\|ab?c?!?|研|矔", 0..24)
    ) {
        let (bytes, at) = offsets(&written);
        let mut seen = std::collections::HashSet::new();
        let decoded = written.iter().map(|name| {
            serde_json::from_str::<String>(&format!("\"{name}\"")).expect("it is well formed")
        });
        let wanted: Vec<usize> =
            decoded.zip(&at).filter_map(|(name, at)| (!seen.insert(name)).then_some(*at)).collect();
        prop_assert_eq!(duplicates(&bytes, &at), wanted);
    }

    #[test]
    fn white_space_is_passed_over_to_its_end_and_no_further(
        space in "[ \n\r\t]{0,4} {0,20}[ \n\r\t]{0,12}",
        rest in "(\"|x|\u{b}|\u{a0}|\u{0}|~ )?.{0,9}",
    ) {
        prop_assume!(!rest.starts_with([' ', '\n', '\r', '\t']));
        let text = format!("{space}{rest}");
        let mut cursor = Cursor::new(text.as_bytes());
        cursor.skip_space();
        prop_assert_eq!(cursor.at, space.len());
    }

    #[test]
    fn findings_are_bounded_ordered_and_all_counted(
        offsets in prop::collection::vec(0..50_usize, 0..40),
        max in 1..10_usize,
    ) {
        let mut findings = finding::Findings::new(max);
        for at in &offsets {
            findings.push(*at, Fault::NoUsers, String::new);
        }
        let (kept, more) = findings.place(&[b'x'; 50]);
        let mut wanted = offsets.clone();
        wanted.sort_unstable();
        wanted.truncate(max);
        prop_assert_eq!(kept.iter().map(|finding| finding.offset).collect::<Vec<_>>(), wanted);
        prop_assert_eq!(kept.len() + more, offsets.len());
    }
}
