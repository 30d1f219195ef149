//! Member names: decoding them, telling them apart, and the pointers they make up.
//!
//! A name is known by the offset of its opening quote; nothing of it is copied. Every name that
//! comes here has already passed the grammar.

use std::cmp::Ordering;

use super::field::Field;
use super::json::hex4;

/// One step of a JSON Pointer (RFC 6901).
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// The member whose name starts at this offset.
    Name(usize),
    /// An element of an array.
    Index(usize),
    /// A known member, there or missing.
    Field(Field),
}

/// The way down to the value being read, kept on the call stack.
#[derive(Clone, Copy)]
pub(super) struct Trail<'t> {
    pub(super) up: Option<&'t Trail<'t>>,
    pub(super) step: Option<Step>,
}

impl Trail<'_> {
    pub(super) const ROOT: Trail<'static> = Trail { up: None, step: None };

    #[inline]
    pub(super) fn down(&self, step: Step) -> Trail<'_> {
        Trail { up: Some(self), step: Some(step) }
    }

    /// From the root down.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> =
            std::iter::successors(Some(self), |trail| trail.up).filter_map(|t| t.step).collect();
        steps.reverse();
        steps
    }
}

/// Writes a pointer. Names are the caller's choice, so each is cut after `NAME_CHARS_MAX`
/// characters and the whole after `POINTER_CHARS_MAX`; `…` marks a cut.
pub(super) fn pointer(bytes: &[u8], steps: impl Iterator<Item = Step>) -> String {
    const NAME_CHARS_MAX: usize = 64;
    const POINTER_CHARS_MAX: usize = 512;
    let mut pointer = String::new();
    let mut chars = 0;
    for step in steps {
        pointer.push('/');
        match step {
            Step::Index(index) => pointer.push_str(&index.to_string()),
            Step::Field(field) => pointer.push_str(field.name()),
            Step::Name(at) => {
                let mut name = decoded_chars(bytes, at);
                for char in name.by_ref().take(NAME_CHARS_MAX) {
                    match char {
                        '~' => pointer.push_str("~0"),
                        '/' => pointer.push_str("~1"),
                        char => pointer.push(char),
                    }
                    chars += 1;
                }
                if name.next().is_some() {
                    pointer.push('…');
                }
            }
        }
        chars += 1;
        if POINTER_CHARS_MAX < chars {
            pointer.push_str("/…");
            break;
        }
    }
    pointer
}

/// Whether a written name spells `name`.
pub(super) fn spells(bytes: &[u8], at: usize, name: &str) -> bool {
    decoded_units(bytes, at).eq(name.chars().map(u32::from))
}

/// Whether a lenient reader could take a written name for `name`: case, `_` and `-` ignored.
pub(super) fn resembles(bytes: &[u8], at: usize, name: &str) -> bool {
    let mut letters = name.bytes();
    for byte in &bytes[at + 1..] {
        match byte {
            b'"' => return letters.next().is_none(),
            b'_' | b'-' => {}
            // From here on it takes more than a look at each byte.
            b'\\' | 0x80.. => break,
            _ if letters.next().is_some_and(|letter| letter.eq_ignore_ascii_case(byte)) => {}
            _ => return false,
        }
    }
    // Upper, then lower: folds letters such as the Kelvin sign that have no other ASCII form.
    let fold = |char: char| char.to_uppercase().flat_map(char::to_lowercase);
    let written = decoded_chars(bytes, at).filter(|char| !matches!(char, '_' | '-'));
    written.flat_map(fold).eq(name.chars().flat_map(fold))
}

/// Puts the names (offsets) that an earlier one already spelt to the front, in order of position,
/// and returns how many they are. Needs no memory; the other names are lost.
pub(super) fn gather_duplicates(bytes: &[u8], names: &mut [usize]) -> usize {
    // Sorting costs the same whatever the names are; a hash table could be filled with collisions.
    names.sort_unstable_by(|a, b| compare(bytes, *a, *b).then(a.cmp(b)));
    let mut count = 0;
    let mut last_new = names.first().copied();
    for index in 1..names.len() {
        let at = names[index];
        if last_new.is_some_and(|new| compare(bytes, new, at).is_eq()) {
            names[count] = at;
            count += 1;
        } else {
            last_new = Some(at);
        }
    }
    names[..count].sort_unstable();
    count
}

/// A total order of decoded names.
fn compare(bytes: &[u8], a: usize, b: usize) -> Ordering {
    let (left, right) = (&bytes[a + 1..], &bytes[b + 1..]);
    // Bytes written alike decode alike; escapes are looked at only where the spellings part.
    let same =
        left.iter().zip(right).take_while(|(x, y)| x == y && !matches!(x, b'"' | b'\\')).count();
    match (left.get(same), right.get(same)) {
        (Some(b'"'), Some(b'"')) => Ordering::Equal,
        (Some(b'"'), _) => Ordering::Less,
        (_, Some(b'"')) => Ordering::Greater,
        (Some(x), Some(y)) if *x != b'\\' && *y != b'\\' && x.is_ascii() && y.is_ascii() => {
            x.cmp(y)
        }
        _ => {
            let start = char_start(left, same);
            units(&left[start..]).cmp(units(&right[start..]))
        }
    }
}

/// The character that byte `at` belongs to.
fn char_start(bytes: &[u8], at: usize) -> usize {
    let is_inside = |at: &usize| bytes.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
    at - (0..at.min(3)).take_while(|back| is_inside(&(at - back))).count()
}

fn decoded_units(bytes: &[u8], at: usize) -> impl Iterator<Item = u32> {
    units(&bytes[at + 1..])
}

fn decoded_chars(bytes: &[u8], at: usize) -> impl Iterator<Item = char> {
    decoded_units(bytes, at).map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
}

/// Decodes up to the closing quote: scalar values, and lone surrogates as themselves.
fn units(mut rest: &[u8]) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let (unit, len) = match rest {
            [] | [b'"', ..] => return None,
            [b'\\', b'u', digits @ ..] => escaped_unit(digits),
            [b'\\', b'b', ..] => (0x08, 2),
            [b'\\', b'f', ..] => (0x0c, 2),
            [b'\\', b'n', ..] => (0x0a, 2),
            [b'\\', b'r', ..] => (0x0d, 2),
            [b'\\', b't', ..] => (0x09, 2),
            [b'\\', other, ..] => (u32::from(*other), 2),
            [ascii @ 0..0x80, ..] => (u32::from(*ascii), 1),
            [a, b, ..] if *a < 0xe0 => (join(u32::from(a & 0x1f), &[*b]), 2),
            [a, b, c, ..] if *a < 0xf0 => (join(u32::from(a & 0x0f), &[*b, *c]), 3),
            [a, b, c, d, ..] => (join(u32::from(a & 0x07), &[*b, *c, *d]), 4),
            _ => return None,
        };
        rest = rest.get(len..).unwrap_or_default();
        Some(unit)
    })
}

fn join(lead: u32, following: &[u8]) -> u32 {
    following.iter().fold(lead, |unit, byte| unit << 6 | u32::from(byte & 0x3f))
}

/// What `\u` and the given digits write, and how long it is; a pair is two escapes.
fn escaped_unit(digits: &[u8]) -> (u32, usize) {
    let unit = |digits: &[u8]| digits.first_chunk().copied().and_then(hex4).map_or(0, u32::from);
    let high = unit(digits);
    if (0xd800..0xdc00).contains(&high)
        && let Some(digits) = digits.get(4..).and_then(|rest| rest.strip_prefix(b"\\u"))
    {
        let low = unit(digits);
        if (0xdc00..0xe000).contains(&low) {
            return (0x1_0000 + ((high - 0xd800) << 10 | (low - 0xdc00)), 12);
        }
    }
    (high, 6)
}
