//! The grammar as `serde_json` has it.

use koodrive_gateway::validate::Finding;
use serde::de::IgnoredAny;

/// One JSON value in UTF-8, at any depth. Names, numbers and surrogates are not judged.
pub(crate) fn is_json(body: &[u8]) -> bool {
    str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// Everything before the finding can go on to be JSON; with the next character it cannot.
pub(crate) fn assert_stops_at(body: &[u8], finding: &Finding) {
    let at = offset(body, finding);
    let before = str::from_utf8(&body[..at]).expect("what fits is UTF-8");
    assert!(can_go_on(before), "stopped too late at {at}");
    if let Some(next) = after_one_character(body, at) {
        assert!(!can_go_on(next), "stopped too early at {at}");
    } else {
        let is_end = at == body.len();
        let is_ill_coded = str::from_utf8(&body[at..]).is_err_and(|error| error.valid_up_to() == 0);
        assert!(is_end || is_ill_coded, "stopped too early at {at}");
    }
}

fn can_go_on(text: &str) -> bool {
    // serde_json calls a number cut off a fault, unlike all else that is cut off, and looks at no
    // digit of an escape before it has four bytes.
    let is_escape_cut = text.rfind("\\u").is_some_and(|at| {
        let backslashes = text[..=at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        text.len() < at + 6 && backslashes % 2 == 1
    });
    let wants_more = is_escape_cut || text.ends_with(['-', '+', '.', 'e', 'E']);
    let longer = wants_more.then(|| format!("{text}1111"));
    let fits = |text: &str| {
        serde_json::from_str::<IgnoredAny>(text).map_or_else(|error| error.is_eof(), |_| true)
    };
    longer.is_some_and(|text| fits(&text)) || !is_escape_cut && fits(text)
}

/// The body up to and with the character at `at`.
fn after_one_character(body: &[u8], at: usize) -> Option<&str> {
    (1..=4).find_map(|len| str::from_utf8(body.get(..at + len)?).ok())
}

/// Where line and column point.
fn offset(body: &[u8], finding: &Finding) -> usize {
    let (line, column) = (finding.line as usize, finding.column as usize);
    let line_start: usize =
        body.split(|byte| *byte == b'\n').take(line - 1).map(|l| l.len() + 1).sum();
    let is_start = |byte: &u8| *byte & 0xc0 != 0x80;
    let mut starts = (line_start..body.len()).filter(|at| is_start(&body[*at]));
    // A stray byte of a character is no start; it ends what is UTF-8.
    let utf8_len = str::from_utf8(body).map_or_else(|error| error.valid_up_to(), str::len);
    let at = starts.nth(column - 1).unwrap_or(body.len()).min(utf8_len);
    let passed = &body[line_start..at];
    assert_eq!(passed.iter().filter(|byte| is_start(byte)).count(), column - 1, "column");
    assert!(!passed.contains(&b'\n'), "line");
    at
}
