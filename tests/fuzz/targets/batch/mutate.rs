//! Changes that keep most of a batch a batch: one token in, out, or written another way.

use libfuzzer_sys::fuzzer_mutate;

use crate::dice::Dice;
use crate::generate;

const TOKENS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "{}",
    "[]",
    "\"\"",
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "0.0",
    "1e0",
    "1E+1",
    "1e308",
    "1e309",
    "1e-400",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "01",
    "1.",
    ".1",
    "\"a\":1,",
    "\"a\":{\"a\":1},",
    "\"\\u0061\":0,",
    "\"users\":",
    "\"users\":[],",
    "\"curDeptId\":1,",
    "\"personalCapacity\":",
    "\"personalCapacity\":0,",
    "\"isAllocateCapacity\":",
    "\"isAllocateCapacity\":false,",
    "\"targetDeptName\":",
    "\"targetDeptName\":null,",
    "\"targetDeptName\":\"研发\",",
    "{\"personalCapacity\":1,\"isAllocateCapacity\":true},",
    "[[[[[[[[",
    "]]]]]]]]",
    "{\"a\":{\"a\":{\"a\":{\"a\":",
    "}}}}",
    "\\u0000",
    "\\ud83d\\ude00",
    "\\ud800",
    "\\udc00",
    "\\n",
    "\\/",
    "\\x",
    "é",
    "研",
    "😀",
    "\u{feff}",
    "\u{a0}",
    " ",
    "\n",
    "\t",
    "\r\n",
    "        ",
    "xxxxxxxxxxxxxxxxxxxxx",
    "/**/",
    "//",
    "'",
    "NaN",
    "Infinity",
    "\u{7f}",
    "\u{0}",
];
const RAW: &[&[u8]] = &[b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xff", b"\xe2\x80"];

/// Changes `data[..size]` and returns its new length.
pub(crate) fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut dice = Dice::new(seed);
    let mut body = match dice.below(12) {
        0..4 => return fuzzer_mutate(data, size, max_size),
        4..6 => generate::batch(&mut dice, max_size.min(1000)),
        6 => {
            let mut body = generate::batch(&mut dice, max_size.min(1000));
            change(&mut body, &mut dice);
            body
        }
        _ => {
            let mut body = data[..size].to_vec();
            (0..=dice.below(3)).for_each(|_| change(&mut body, &mut dice));
            body
        }
    };
    body.truncate(max_size);
    let size = body.len().min(data.len());
    data[..size].copy_from_slice(&body[..size]);
    size
}

fn change(body: &mut Vec<u8>, dice: &mut Dice) {
    let (from, to) = token(body, dice);
    match dice.below(9) {
        0 | 1 => insert(body, from, TOKENS[dice.below(TOKENS.len())].as_bytes()),
        2 => replace(body, from, to, TOKENS[dice.below(TOKENS.len())].as_bytes()),
        3 => replace(body, from, to, b""),
        4 => {
            // Everything between two tokens once more, somewhere.
            let (other_from, other_to) = token(body, dice);
            let piece = body[from.min(other_from)..to.max(other_to)].to_vec();
            let (at, _) = token(body, dice);
            insert(body, at, &piece[..piece.len().min(200)]);
        }
        5 => {
            let (other_from, other_to) = token(body, dice);
            replace(body, from.min(other_from), to.max(other_to), b"");
        }
        6 => escape_one(body, from + dice.below((to - from).max(1)), dice),
        7 => {
            let digits: String = (0..=dice.below(24)).map(|_| dice.digit()).collect();
            replace(body, from, to, digits.as_bytes());
        }
        _ => insert(body, from + dice.below(to - from + 1), RAW[dice.below(RAW.len())]),
    }
}

/// Start and end of a token somewhere in the body: a string, a run of letters, digits or blanks,
/// or one other byte.
fn token(body: &[u8], dice: &mut Dice) -> (usize, usize) {
    let class = |byte: u8| match byte {
        b'"' => 1,
        b'+' | b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => 2,
        b' ' | b'\n' | b'\r' | b'\t' => 3,
        _ => 0,
    };
    let wanted = dice.below(body.len() + 1);
    let mut from = 0;
    while from < body.len() {
        let kind = class(body[from]);
        let rest = &body[from + 1..];
        let more = match kind {
            0 => 0,
            1 => rest.iter().position(|byte| *byte == b'"').map_or(rest.len(), |at| at + 1),
            _ => rest.iter().take_while(|byte| class(**byte) == kind).count(),
        };
        let to = from + 1 + more;
        if wanted < to {
            return (from, to);
        }
        from = to;
    }
    (from, from)
}

/// Writes one character as an escape.
fn escape_one(body: &mut Vec<u8>, at: usize, dice: &mut Dice) {
    if let Some(byte) = body.get(at).copied().filter(u8::is_ascii) {
        let escape = match dice.below(3) {
            0 => format!("\\u{byte:04X}"),
            1 => format!("\\u{byte:04x}"),
            _ => format!("\\{}", char::from(byte)),
        };
        replace(body, at, at + 1, escape.as_bytes());
    }
}

fn insert(body: &mut Vec<u8>, at: usize, piece: &[u8]) {
    replace(body, at, at, piece);
}

fn replace(body: &mut Vec<u8>, from: usize, to: usize, piece: &[u8]) {
    let (from, to) = (from.min(body.len()), to.min(body.len()));
    body.splice(from..to.max(from), piece.iter().copied());
}
