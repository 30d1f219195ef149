//! RFC 8259 in every position of a batch.

use koodrive_gateway::validate::{Language, MalformedKind};

use super::{USER, check, expect_not_json, expect_users, unknown, user, users};

#[test]
fn the_api_pages_own_example_is_refused_at_its_fault() {
    expect_not_json(
        "{ \"curDeptId\": 1575416580416769793 ▲\"users\": [ { \"targetDeptName\": \"Dept\", \
         \"personalCapacity\": 10, \"isAllocateCapacity\": true } ] }",
        "expected `,` or `}`, found a double quote: a comma is missing before it",
    );
    expect_not_json(
        "{\n    \"curDeptId\": 1575416580416769793\n    ▲\"users\": []\n}",
        "expected `,` or `}`, found a double quote: a comma is missing before it",
    );
}

#[test]
fn structure_is_strict() {
    let value = "expected a value, found";
    let name = "expected a name in double quotes, found";
    let first_name = "expected a name in double quotes or `}`, found";
    let in_object = "expected `,` or `}`, found";
    let in_array = "expected `,` or `]`, found";
    let colon = "put a colon between name and value";
    let comma = "a comma is missing before it";
    let look = "correct the JSON here";
    let trailing = "remove the comma before it";
    let one = "remove what follows the value";
    let end = "expected the end of the body, found";
    for (body, sentence) in [
        ("▲".to_owned(), "the body must be a JSON object, found nothing: send one".to_owned()),
        (" \n\t ▲".to_owned(), "the body must be a JSON object, found nothing: send one".into()),
        ("▲}".to_owned(), format!("{value} `}}`: a value is missing before it")),
        ("▲]".to_owned(), format!("{value} `]`: {look}")),
        ("{▲,}".to_owned(), format!("{first_name} `,`: remove this comma")),
        ("{▲1:2}".to_owned(), format!("{first_name} a number: put the name in double quotes")),
        ("{▲curDeptId:1}".to_owned(), format!("{first_name} a letter: put the name in double quotes")),
        ("{▲'curDeptId':1}".to_owned(), format!("{first_name} a single quote: write double quotes")),
        ("{▲[]:1}".to_owned(), format!("{first_name} `[`: {look}")),
        ("{▲“curDeptId”:1}".to_owned(), format!(
            "{first_name} typographic punctuation or space: write plain ASCII quotes, commas, colons and spaces"
        )),
        ("{\"curDeptId\" ▲}".to_owned(), format!("expected `:`, found `}}`: {colon}")),
        ("{\"curDeptId\"▲,1}".to_owned(), format!("expected `:`, found `,`: {colon}")),
        ("{\"curDeptId\"▲=1}".to_owned(), format!("expected `:`, found a character JSON does not use here: {colon}")),
        ("{\"curDeptId\"▲：1}".to_owned(), "expected `:`, found typographic punctuation or space: write plain ASCII quotes, commas, colons and spaces".to_owned()),
        ("{\"curDeptId\" ▲1}".to_owned(), format!("expected `:`, found a number: {colon}")),
        ("{\"curDeptId\":▲}".to_owned(), format!("{value} `}}`: a value is missing before it")),
        ("{\"curDeptId\":▲,\"users\":[]}".to_owned(), format!("{value} `,`: a value is missing before it")),
        ("{\"curDeptId\":▲:1}".to_owned(), format!("{value} `:`: {look}")),
        ("{\"curDeptId\":1▲:1}".to_owned(), format!("{in_object} `:`: {look}")),
        ("{\"curDeptId\":1▲]".to_owned(), format!("{in_object} `]`: {look}")),
        ("{\"curDeptId\":1,▲,\"users\":[]}".to_owned(), format!("{name} `,`: remove this comma")),
        ("{\"curDeptId\":1,▲}".to_owned(), format!("{name} `}}`: {trailing}")),
        ("{\"curDeptId\":1▲;\"users\":[]}".to_owned(), format!("{in_object} a character JSON does not use here: {look}")),
        ("{\"curDeptId\":1▲，\"users\":[]}".to_owned(), format!(
            "{in_object} typographic punctuation or space: write plain ASCII quotes, commas, colons and spaces"
        )),
        (users(&format!("{USER} ▲{USER}")), format!("{in_array} `{{`: {comma}")),
        (users(&format!("{USER},▲")), format!("expected a value, found `]`: {trailing}")),
        (users(&format!("{USER},▲,{USER}")), format!("{value} `,`: remove this comma")),
        (users("▲,"), "expected a value or `]`, found `,`: remove this comma".to_owned()),
        (users(&format!("{USER}▲}}")), format!("{in_array} `}}`: {look}")),
        (user("\"personalCapacity\":1 ▲\"isAllocateCapacity\":true"), format!("{in_object} a double quote: {comma}")),
        (user("\"personalCapacity\":1,▲"), format!("{name} `}}`: {trailing}")),
        (user("\"personalCapacity\":1▲]"), format!("{in_object} `]`: {look}")),
        (user("\"personalCapacity\"▲"), format!("expected `:`, found `}}`: {colon}")),
        (format!("{}▲,", users(USER)), format!("{end} `,`: {one}")),
        (format!("{}\n▲{{}}", users(USER)), format!("{end} `{{`: {one}")),
        (format!("{}▲x", users(USER)), format!("{end} a letter: {one}")),
        (format!("{}▲// done", users(USER)), format!("{end} a comment: {one}")),
        (format!("{}\n▲\u{1a}", users(USER)), format!("{end} a control character: {one}")),
        ("▲/* batch */ {}".to_owned(), format!("{value} a comment: remove it, JSON has no comments")),
        ("{▲// batch\n}".to_owned(), format!("{first_name} a comment: remove it, JSON has no comments")),
        ("▲\u{b}{}".to_owned(), format!("{value} a control character: {look}")),
        ("▲\u{a0}{}".to_owned(), format!("{value} typographic punctuation or space: write plain ASCII quotes, commas, colons and spaces")),
        ("▲\u{feff}{}".to_owned(), "JSON must not start with a byte order mark: save it as UTF-8 without BOM".to_owned()),
        (unknown("[1 ▲2]"), format!("{in_array} a number: {comma}")),
        (unknown("[1,▲]"), format!("{value} `]`: {trailing}")),
        (unknown("[▲,1]"), "expected a value or `]`, found `,`: remove this comma".to_owned()),
        (unknown("{\"a\":1,▲}"), format!("{name} `}}`: {trailing}")),
        (unknown("{\"a\"▲}"), format!("expected `:`, found `}}`: {colon}")),
        (unknown("{\"a\":▲}"), format!("{value} `}}`: a value is missing before it")),
        (unknown("{\"a\":1▲]"), format!("{in_object} `]`: {look}")),
        (unknown("[1▲}"), format!("{in_array} `}}`: {look}")),
        (unknown("[[]▲[]]"), format!("{in_array} `[`: {comma}")),
        (unknown("{▲a:1}"), format!("{first_name} a letter: put the name in double quotes")),
        (unknown("▲+1"), format!("{value} a character JSON does not use here: {look}")),
    ] {
        expect_not_json(&body, &sentence);
    }
}

#[test]
fn numbers_and_words_are_strict() {
    let digit = "expected a digit, found";
    let complete = "complete the number";
    let zero =
        "a number must not start with 0 and go on, found another digit: remove the leading zeros";
    let word = "put text in double quotes; true, false and null are lower case";
    let no_number = "`NaN` or `Infinity`: JSON has no such number, write the integer that is meant";
    let literal = "expected `true`, `false` or `null`, found";
    for (value, sentence) in [
        ("0▲1", zero.to_owned()),
        ("-0▲1", zero.to_owned()),
        ("0▲0.5", zero.to_owned()),
        ("-▲", format!("{digit} `}}`: {complete}")),
        ("-▲a", format!("{digit} a letter: {complete}")),
        ("-▲-1", format!("{digit} a number: {complete}")),
        ("1.▲", format!("{digit} `}}`: {complete}")),
        ("1.▲e3", format!("{digit} a letter: {complete}")),
        ("1e▲", format!("{digit} `}}`: {complete}")),
        ("1E+▲", format!("{digit} `}}`: {complete}")),
        ("1e-▲x", format!("{digit} a letter: {complete}")),
        (
            "1e5▲.2",
            "expected `,` or `}`, found a character JSON does not use here: correct the JSON here"
                .to_owned(),
        ),
        ("1▲_000", "expected `,` or `}`, found a letter: correct the JSON here".to_owned()),
        ("0▲x10", "expected `,` or `}`, found a letter: correct the JSON here".to_owned()),
        (
            "▲.5",
            "expected a value, found a character JSON does not use here: correct the JSON here"
                .to_owned(),
        ),
        ("▲NaN", format!("expected a value, found {no_number}")),
        ("▲Infinity", format!("expected a value, found {no_number}")),
        ("-▲Infinity", format!("{digit} {no_number}")),
        ("▲True", format!("expected a value, found a letter: {word}")),
        ("▲None", format!("expected a value, found a letter: {word}")),
        ("▲undefined", format!("expected a value, found a letter: {word}")),
        ("t▲", format!("{literal} `}}`: correct the JSON here")),
        ("tr▲ve", format!("{literal} a letter: {word}")),
        ("nul▲", format!("{literal} `}}`: correct the JSON here")),
        ("n▲il", format!("{literal} a letter: {word}")),
        ("fals▲y", format!("{literal} a letter: {word}")),
        ("true▲r", "expected `,` or `}`, found a letter: correct the JSON here".to_owned()),
        ("null▲0", "expected `,` or `}`, found a number: correct the JSON here".to_owned()),
        ("▲Dept", format!("expected a value, found a letter: {word}")),
        ("▲'Dept'", "expected a value, found a single quote: write double quotes".to_owned()),
        (
            "▲１",
            "expected a value, found a character JSON does not use here: correct the JSON here"
                .to_owned(),
        ),
    ] {
        // The same value where a rule wants an integer, a boolean, a name, and where none does.
        expect_not_json(&unknown(value), &sentence);
        expect_not_json(&user(&format!("\"personalCapacity\":{value}")), &sentence);
        expect_not_json(&user(&format!("\"isAllocateCapacity\":{value}")), &sentence);
        expect_not_json(&user(&format!("\"targetDeptName\":{value}")), &sentence);
        expect_not_json(&format!("{{\"curDeptId\":{value}}}"), &sentence);
        expect_not_json(&format!("{{\"users\":{value}}}"), &sentence);
    }
}

#[test]
fn a_body_of_one_word_is_judged_to_the_letter() {
    let cut = "expected `true`, `false` or `null`, found the end of the body: the body is cut off, \
        send it whole";
    let foreign = "the body must be a JSON object, found something that is not JSON at all: send \
        the batch itself, which begins with `{`";
    for (body, sentence) in [
        ("tru▲", cut),
        ("nul▲", cut),
        (" \n f▲", cut),
        ("tr▲ve", foreign),
        ("nul▲\n", foreign),
        ("n▲ame,capacity\nA,10\n", foreign),
        ("t▲argetDeptName=Dept&personalCapacity=10", foreign),
        ("▲True", foreign),
        ("▲curDeptId=1&users=2", foreign),
        ("▲<html>", foreign),
        ("true▲r", "expected the end of the body, found a letter: remove what follows the value"),
    ] {
        expect_not_json(body, sentence);
    }
    let malformed = check(b"fa\xff").expect_err("not UTF-8");
    let [finding] = &malformed.findings[..] else { panic!("{malformed:?}") };
    assert_eq!((finding.rule(), finding.column), ("syntax", 3));
    assert!(finding.text(Language::English).starts_with("JSON must be UTF-8"), "{finding:?}");
}

#[test]
fn strings_are_strict() {
    let control = "a string must not hold control characters, found one (or the closing quote is \
        missing): write it as an escape such as \\n or \\t";
    let escape = "a backslash must start a JSON escape, found another character: write \\\\ for a \
        backslash";
    let hex = "expected a hexadecimal digit, found";
    let four = "write four hexadecimal digits after \\u";
    for (text, sentence) in [
        ("\"a▲\nb\"", control.to_owned()),
        ("\"▲\tb\"", control.to_owned()),
        ("\"abcdefgh▲\0\"", control.to_owned()),
        ("\"研▲\u{1f}\"", control.to_owned()),
        ("\"\\▲x41\"", escape.to_owned()),
        ("\"\\▲'\"", escape.to_owned()),
        ("\"C:\\▲Users\"", escape.to_owned()),
        ("\"\\▲é\"", escape.to_owned()),
        ("\"\\▲U0041\"", escape.to_owned()),
        ("\"\\u▲\"", format!("{hex} a double quote: {four}")),
        ("\"\\u00▲g0\"", format!("{hex} a letter: {four}")),
        ("\"\\u004▲ \"", format!("{hex} a character JSON does not use here: {four}")),
        ("\"\\ud800\\ud▲z00\"", format!("{hex} a letter: {four}")),
    ] {
        expect_not_json(&unknown(text), &sentence);
        expect_not_json(&unknown(&format!("{{{text}:1}}")), &sentence);
        expect_not_json(&user(&format!("\"targetDeptName\":{text}")), &sentence);
        expect_not_json(&user(&format!("{text}:1")), &sentence);
        expect_not_json(&format!("{{{text}:1}}"), &sentence);
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_found() {
    let sentence = "JSON must be UTF-8, found bytes that are not: convert the body to UTF-8";
    let ill_coded: [&[u8]; 12] = [
        b"\x80",
        b"\xff",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xf0\x82\x82\xac",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xe4\xb8",
        b"\xc3",
        b"\xd1\xd0",
    ];
    for bytes in ill_coded {
        for (before, column) in [
            ("{\"", 3),
            ("{\"研é", 5),
            ("{\"curDeptId\":1,\"x\":\"abcdefghi", 30),
            ("", 1),
            ("{", 2),
            ("{\"x\":", 6),
        ] {
            let body = [before.as_bytes(), bytes, b"\":1}"].concat();
            let malformed = check(&body).expect_err(before);
            assert_eq!(malformed.kind, MalformedKind::NotJson);
            let [finding] = &malformed.findings[..] else { panic!("{malformed:?}") };
            assert_eq!(finding.text(Language::English), sentence, "{body:x?}");
            assert_eq!((finding.line, finding.column), (1, column), "{body:x?}");
        }
    }
}

#[test]
fn every_truncation_is_found_at_its_end() {
    let whole = format!(
        "{{\"curDeptId\":15,\n\"users\":[{USER}],\"x\":[null,{{\"k\":-1.5e+3}},\"\\u00e9\\n研\"]}}"
    );
    for (at, _) in whole.char_indices().skip(1) {
        let cut = whole.get(..at).expect("a boundary of characters");
        let malformed = check(cut.as_bytes()).expect_err(cut);
        assert_eq!(malformed.kind, MalformedKind::NotJson, "{cut}");
        let [finding] = &malformed.findings[..] else { panic!("{malformed:?}") };
        let lines: Vec<_> = cut.split('\n').collect();
        let last = lines.last().map_or(0, |line| line.chars().count());
        assert_eq!(
            (finding.line as usize, finding.column as usize),
            (lines.len(), last + 1),
            "{cut}"
        );
        let text = finding.text(Language::English);
        assert!(
            text.ends_with("found the end of the body: the body is cut off, send it whole"),
            "{text}"
        );
    }
    expect_users(&whole, 1);
}
