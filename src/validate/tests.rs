use proptest::prelude::*;

use super::json::Cursor;
use super::member_names;
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
            findings.push(*at, fault::Fault::NoUsers, String::new);
        }
        let (kept, more) = findings.place(&[b'x'; 50]);
        let mut wanted = offsets.clone();
        wanted.sort_unstable();
        wanted.truncate(max);
        prop_assert_eq!(kept.iter().map(|finding| finding.offset).collect::<Vec<_>>(), wanted);
        prop_assert_eq!(kept.len() + more, offsets.len());
    }
}
