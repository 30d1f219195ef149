//! A user as nearly all are written, judged in one go.
//!
//! Batches are long because of their users, and nearly every user is in order. So each is first read
//! by the shortest way there is; what is written otherwise or breaks a rule is none of these, and the
//! scanner, which knows all rules and says what is wrong, reads it from its brace.

use super::BatchRules;
use super::field::{Field, Seen, user_member};
use super::json::Cursor;

/// How long the user is that `bytes` begin with, if nothing can be said against it.
#[inline]
pub(super) fn user(bytes: &[u8], rules: &BatchRules) -> Option<usize> {
    let mut rest = after_space(bytes.strip_prefix(b"{")?);
    let mut seen = Seen::default();
    let (mut capacity, mut is_allocated) = (0, false);
    loop {
        let (field, len) = user_member(rest)?;
        if seen.has(field) {
            return None;
        }
        seen.add(field);
        let value = after_space(after_sign(b':', &rest[len..])?);
        rest = match field {
            Field::PersonalCapacity => {
                let rest;
                (capacity, rest) = integer(value)?;
                rest
            }
            Field::IsAllocateCapacity => {
                is_allocated = value.starts_with(b"t");
                let word: &[u8] = if is_allocated { b"true" } else { b"false" };
                value.strip_prefix(word)?
            }
            _ => department_name(value, rules.max_dept_name_chars)?,
        };
        match after_sign(b',', rest) {
            Some(after) => rest = after_space(after),
            None => break,
        }
    }
    let after = after_sign(b'}', rest)?;
    let is_whole = seen.has(Field::PersonalCapacity) && seen.has(Field::IsAllocateCapacity);
    let fits = is_whole && rules.capacity_fault(capacity, Some(is_allocated)).is_none();
    fits.then_some(bytes.len() - after.len())
}

/// A number of so few digits that no reader differs, and what follows it.
#[inline]
fn integer(mut rest: &[u8]) -> Option<(u64, &[u8])> {
    const DIGITS_MAX: usize = 18;
    let from = rest;
    let mut value = 0;
    while let [digit @ b'0'..=b'9', after @ ..] = rest {
        value = value * 10 + u64::from(digit - b'0');
        rest = after;
        if DIGITS_MAX < from.len() - rest.len() {
            return None;
        }
    }
    match from.len() - rest.len() {
        0 => None,
        1 => Some((value, rest)),
        _ => (from[0] != b'0').then_some((value, rest)),
    }
}

/// What follows a name that is not too long, or the absence of one.
#[inline]
fn department_name(value: &[u8], chars_max: usize) -> Option<&[u8]> {
    if value.first() != Some(&b'"') {
        return value.strip_prefix(b"null");
    }
    let mut cursor = Cursor::new(value);
    let text = cursor.string().ok()?;
    let fits = !text.lone_surrogate && (chars_max == 0 || text.chars <= chars_max);
    fits.then_some(cursor.rest())
}

/// What follows `sign`, which may have white space before it.
#[inline]
fn after_sign(sign: u8, bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [first, after @ ..] if *first == sign => Some(after),
        _ => after_space(bytes).strip_prefix(&[sign]),
    }
}

#[inline]
fn after_space(bytes: &[u8]) -> &[u8] {
    match bytes {
        [0..=b' ', ..] => {
            let mut cursor = Cursor::new(bytes);
            cursor.skip_space();
            cursor.rest()
        }
        _ => bytes,
    }
}
