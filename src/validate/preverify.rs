//! The preverify batch: one department, and the users to be checked for it.
//!
//! Only this file knows the members of the batch and what they must be. Page: KooDrive API
//! reference, "Pre-verification API".

use super::fault::{Expected, Fault, Kind, Syntax};
use super::field::{Field, Seen};
use super::finding::Findings;
use super::json::{Stop, Why};
use super::names::{Step, Trail};
use super::number::Integer;
use super::walk::Walk;
use super::{BatchFacts, BatchRules, Malformed, MalformedKind, field};

/// Depth of the containers of a batch.
const ROOT_DEPTH: usize = 1;
const USERS_DEPTH: usize = ROOT_DEPTH + 1;
const USER_DEPTH: usize = USERS_DEPTH + 1;
/// Depth of a container that stands where none belongs, in a user.
const BELOW_USER_DEPTH: usize = USER_DEPTH + 1;

/// Judges one body by all rules.
pub(super) fn check(body: &[u8], rules: &BatchRules) -> Result<BatchFacts, Malformed> {
    let mut walk = Walk::new(body, rules.max_depth, rules.max_findings);
    let mut users = None;
    match check_body(&mut walk, rules, &mut users) {
        Ok(()) | Err(Stop { why: Why::Bottomless, .. }) => {}
        Err(Stop { at, why: Why::Syntax(syntax) }) => {
            let mut findings = Findings::new(1);
            findings.push(at, Fault::Syntax(syntax), String::new);
            let (findings, more) = findings.place(body);
            return Err(Malformed { kind: MalformedKind::NotJson, findings, more });
        }
    }
    match walk.findings.place(body) {
        (findings, 0) if findings.is_empty() => {
            let users = users.and_then(|users| u32::try_from(users).ok());
            Ok(BatchFacts { users: users.unwrap_or(u32::MAX) })
        }
        (findings, more) => Err(Malformed { kind: MalformedKind::Malformed, findings, more }),
    }
}

fn check_body(
    walk: &mut Walk<'_>,
    rules: &BatchRules,
    users: &mut Option<usize>,
) -> Result<(), Stop> {
    if walk.cursor.bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(walk.cursor.stop(Syntax::ByteOrderMark));
    }
    walk.cursor.skip_space();
    if walk.cursor.peek().is_none() {
        return Err(walk.cursor.stop(Syntax::Empty));
    }
    check_root(walk, rules, users)?;
    walk.cursor.skip_space();
    match walk.cursor.peek() {
        None => Ok(()),
        Some(_) => Err(walk.cursor.unexpected(Expected::EndOfBody)),
    }
}

fn check_root(
    walk: &mut Walk<'_>,
    rules: &BatchRules,
    users: &mut Option<usize>,
) -> Result<(), Stop> {
    let brace_at = walk.cursor.at;
    if !opens(walk, b'{', ROOT_DEPTH) {
        return other_kind(walk, Field::Root, Kind::Object, &Trail::ROOT, ROOT_DEPTH);
    }
    let seen =
        walk.object(&Trail::ROOT, field::root_member, |walk, field, name_at, trail| match field {
            Some(Field::CurDeptId) => check_department(walk, trail),
            Some(_) => {
                let count = check_users(walk, rules, trail)?;
                // Of several, the first counts; the others are refused as duplicates.
                users.get_or_insert(count);
                Ok(())
            }
            None => check_unknown(walk, rules, Field::Root, name_at, trail, USERS_DEPTH),
        })?;
    report_missing(walk, brace_at, seen, &[Field::CurDeptId, Field::Users], &Trail::ROOT);
    Ok(())
}

fn check_department(walk: &mut Walk<'_>, trail: &Trail<'_>) -> Result<(), Stop> {
    let at = walk.cursor.at;
    if let Some((_, 0)) = integer(walk, Field::CurDeptId, trail, USERS_DEPTH)? {
        walk.report(at, Fault::TooSmall { field: Field::CurDeptId }, trail);
    }
    Ok(())
}

/// Returns how many elements there are.
fn check_users(walk: &mut Walk<'_>, rules: &BatchRules, trail: &Trail<'_>) -> Result<usize, Stop> {
    let at = walk.cursor.at;
    if !opens(walk, b'[', USERS_DEPTH) {
        other_kind(walk, Field::Users, Kind::Array, trail, USERS_DEPTH)?;
        return Ok(0);
    }
    walk.cursor.at += 1;
    walk.cursor.skip_space();
    if walk.cursor.eat(b']') {
        walk.report(at, Fault::NoUsers, trail);
        return Ok(0);
    }
    let mut found = 0;
    let mut expected = Expected::ElementOrEnd;
    loop {
        let trail = trail.down(Step::Index(found));
        if opens(walk, b'{', USER_DEPTH) {
            check_user(walk, rules, &trail)?;
        } else {
            walk.cursor.kind(expected)?;
            other_kind(walk, Field::User, Kind::Object, &trail, USER_DEPTH)?;
        }
        found += 1;
        walk.cursor.skip_space();
        if !walk.cursor.eat(b',') {
            break;
        }
        walk.cursor.skip_space();
        expected = Expected::Element;
    }
    if !walk.cursor.eat(b']') {
        return Err(walk.cursor.unexpected(Expected::CommaOrBracket));
    }
    if rules.max_users < found {
        walk.report(at, Fault::TooManyUsers { max: rules.max_users, found }, trail);
    }
    Ok(found)
}

#[inline]
fn check_user(walk: &mut Walk<'_>, rules: &BatchRules, trail: &Trail<'_>) -> Result<(), Stop> {
    let brace_at = walk.cursor.at;
    let mut capacity = None;
    let mut is_allocated = None;
    let seen = walk.object(trail, field::user_member, |walk, field, name_at, trail| {
        match field {
            Some(Field::TargetDeptName) => check_department_name(walk, rules, trail)?,
            Some(Field::PersonalCapacity) => {
                let found = integer(walk, Field::PersonalCapacity, trail, BELOW_USER_DEPTH)?;
                capacity = capacity.or(found);
            }
            Some(_) => {
                let found = boolean(walk, Field::IsAllocateCapacity, trail, BELOW_USER_DEPTH)?;
                is_allocated = is_allocated.or(found);
            }
            None => check_unknown(walk, rules, Field::User, name_at, trail, BELOW_USER_DEPTH)?,
        }
        Ok(())
    })?;
    report_missing(
        walk,
        brace_at,
        seen,
        &[Field::PersonalCapacity, Field::IsAllocateCapacity],
        trail,
    );
    if let Some((at, capacity)) = capacity
        && let Some(fault) = capacity_fault(rules, capacity, is_allocated)
    {
        // No name to point at by offset: the member is known to be there.
        walk.report(at, fault, &trail.down(Step::Field(Field::PersonalCapacity)));
    }
    Ok(())
}

#[inline]
fn capacity_fault(rules: &BatchRules, capacity: u64, is_allocated: Option<bool>) -> Option<Fault> {
    match (is_allocated, capacity) {
        (Some(false), 1..) => Some(Fault::CapacityNotAllocated),
        (Some(true), 0) if rules.require_capacity_when_allocated => Some(Fault::CapacityZero),
        _ if rules.max_capacity != 0 && rules.max_capacity < capacity => {
            Some(Fault::CapacityAbove { max: rules.max_capacity })
        }
        _ => None,
    }
}

#[inline]
fn check_department_name(
    walk: &mut Walk<'_>,
    rules: &BatchRules,
    trail: &Trail<'_>,
) -> Result<(), Stop> {
    let at = walk.cursor.at;
    if walk.cursor.peek() != Some(b'"') {
        if walk.cursor.peek() == Some(b'n') {
            return walk.cursor.literal().map(drop);
        }
        return other_kind(walk, Field::TargetDeptName, Kind::String, trail, BELOW_USER_DEPTH);
    }
    let text = walk.cursor.string()?;
    if text.lone_surrogate {
        walk.report(at, Fault::LoneSurrogate { in_name: false }, trail);
    }
    let max = rules.max_dept_name_chars;
    if max != 0 && max < text.chars {
        walk.report(at, Fault::NameTooLong { max, found: text.chars }, trail);
    }
    Ok(())
}

fn check_unknown(
    walk: &mut Walk<'_>,
    rules: &BatchRules,
    of: Field,
    name_at: usize,
    trail: &Trail<'_>,
    depth: usize,
) -> Result<(), Stop> {
    if rules.reject_unknown {
        walk.report(name_at, Fault::UnknownMember { of }, trail);
    }
    walk.value(trail, depth).map(drop)
}

/// Reads an integer from 0 to 2^63-1 and says where it stood; anything else is reported.
#[inline]
fn integer(
    walk: &mut Walk<'_>,
    field: Field,
    trail: &Trail<'_>,
    depth: usize,
) -> Result<Option<(usize, u64)>, Stop> {
    let at = walk.cursor.at;
    if !matches!(walk.cursor.peek(), Some(b'-' | b'0'..=b'9')) {
        other_kind(walk, field, Kind::Number, trail, depth)?;
        return Ok(None);
    }
    let fault = match walk.cursor.number()?.as_integer() {
        Integer::Exact(value) => return Ok(Some((at, value))),
        Integer::Negative => Fault::TooSmall { field },
        Integer::Huge => Fault::TooLarge { field },
        Integer::Not(form) => Fault::NotInteger { field, form },
    };
    walk.report(at, fault, trail);
    Ok(None)
}

#[inline]
fn boolean(
    walk: &mut Walk<'_>,
    field: Field,
    trail: &Trail<'_>,
    depth: usize,
) -> Result<Option<bool>, Stop> {
    match walk.cursor.peek() {
        Some(b't' | b'f') => walk.cursor.literal(),
        _ => other_kind(walk, field, Kind::Boolean, trail, depth).map(|()| None),
    }
}

/// Whether the container that belongs here starts at the cursor and may be looked into.
#[inline]
fn opens(walk: &Walk<'_>, sign: u8, depth: usize) -> bool {
    walk.cursor.peek() == Some(sign) && walk.allows_depth(depth)
}

/// Walks a value that is not `wanted`, or too deep, and says so.
#[cold]
fn other_kind(
    walk: &mut Walk<'_>,
    field: Field,
    wanted: Kind,
    trail: &Trail<'_>,
    depth: usize,
) -> Result<(), Stop> {
    let at = walk.cursor.at;
    let found = walk.cursor.kind(Expected::Value)?;
    if found != wanted {
        walk.report(at, Fault::WrongKind { field, found }, trail);
    }
    walk.value(trail, depth).map(drop)
}

#[inline]
fn report_missing(
    walk: &mut Walk<'_>,
    brace_at: usize,
    seen: Seen,
    required: &[Field],
    trail: &Trail<'_>,
) {
    for field in required.iter().copied().filter(|field| !seen.has(*field)) {
        walk.report(brace_at, Fault::Missing { field }, &trail.down(Step::Field(field)));
    }
}
