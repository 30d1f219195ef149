//! The preverify batch: one department, and the users to be checked for it.
//!
//! Only this file knows the members of the batch and what they must be. Page: KooDrive API
//! reference, "Pre-verification API".

use super::fault::{Expected, Fault, Found, Kind, Syntax};
use super::field::{Field, Seen};
use super::finding::Findings;
use super::json::{Cursor, Stop};
use super::member_names::{Step, Trail};
use super::number::Integer;
use super::scanner::Scanner;
use super::{BatchFacts, BatchRules, Malformed, MalformedKind, field, ordinary};

/// Depth of the containers of a batch.
const ROOT_DEPTH: usize = 1;
const USERS_DEPTH: usize = ROOT_DEPTH + 1;
const USER_DEPTH: usize = USERS_DEPTH + 1;
/// Depth of a container that stands where none belongs, in a user.
const BELOW_USER_DEPTH: usize = USER_DEPTH + 1;

/// Judges one body by all rules.
pub(super) fn check(body: &[u8], rules: &BatchRules) -> Result<BatchFacts, Malformed> {
    let mut scanner = Scanner::new(body, rules.max_depth, rules.max_findings);
    let mut users = None;
    match check_body(&mut scanner, rules, &mut users) {
        Ok(()) => {}
        Err(Stop { at, syntax }) => {
            let mut findings = Findings::new(1);
            findings.push(at, Fault::Syntax(syntax), String::new);
            let (findings, more) = findings.place(body);
            let users = counted(users);
            return Err(Malformed { kind: MalformedKind::NotJson, findings, more, users });
        }
    }
    match scanner.findings.place(body) {
        (findings, 0) if findings.is_empty() => {
            Ok(BatchFacts { users: counted(users).unwrap_or(u32::MAX) })
        }
        (findings, more) => {
            let users = counted(users);
            Err(Malformed { kind: MalformedKind::Malformed, findings, more, users })
        }
    }
}

/// How many users that is; none of what is no array, or an empty one.
fn counted(users: Option<usize>) -> Option<u32> {
    users.and_then(|users| u32::try_from(users).ok()).filter(|users| *users != 0)
}

fn check_body(
    scanner: &mut Scanner<'_>,
    rules: &BatchRules,
    users: &mut Option<usize>,
) -> Result<(), Stop> {
    if scanner.cursor.bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(scanner.cursor.stop(Syntax::ByteOrderMark));
    }
    scanner.cursor.skip_space();
    match Found::at(scanner.cursor.bytes, scanner.cursor.at) {
        Found::End => return Err(scanner.cursor.stop(Syntax::Empty)),
        Found::Word | Found::Other => is_not_foreign(scanner.cursor)?,
        _ => {}
    }
    check_root(scanner, rules, users)?;
    scanner.cursor.skip_space();
    match scanner.cursor.peek() {
        None => Ok(()),
        Some(_) => Err(scanner.cursor.unexpected(Expected::EndOfBody)),
    }
}

/// What begins with a letter, or a sign that JSON does not know, is most likely a form, a page or a
/// table: of more use than what JSON wants there is to say that it is no JSON at all.
#[cold]
fn is_not_foreign(mut start: Cursor<'_>) -> Result<(), Stop> {
    let is_word = matches!(start.peek(), Some(b't' | b'f' | b'n'));
    let stop =
        if is_word { start.literal().err() } else { Some(start.unexpected(Expected::Value)) };
    match stop {
        None => Ok(()),
        Some(Stop { at, syntax: Syntax::Unexpected { found, .. } }) if found != Found::End => {
            Err(Stop { at, syntax: Syntax::NoJson })
        }
        Some(stop) => Err(stop),
    }
}

fn check_root(
    scanner: &mut Scanner<'_>,
    rules: &BatchRules,
    users: &mut Option<usize>,
) -> Result<(), Stop> {
    let brace_at = scanner.cursor.at;
    if !opens(scanner, b'{', ROOT_DEPTH) {
        return other_kind(scanner, Field::Root, Kind::Object, &Trail::ROOT, ROOT_DEPTH);
    }
    let seen =
        scanner.object(&Trail::ROOT, field::root_member, |scanner, field, name_at, trail| {
            match field {
                Some(Field::CurDeptId) => check_department(scanner, trail),
                Some(_) => {
                    let count = check_users(scanner, rules, trail)?;
                    // Of several, the first counts; the others are refused as duplicates.
                    users.get_or_insert(count);
                    Ok(())
                }
                None => check_unknown(scanner, rules, Field::Root, name_at, trail, USERS_DEPTH),
            }
        })?;
    report_missing(scanner, brace_at, seen, &[Field::CurDeptId, Field::Users], &Trail::ROOT);
    Ok(())
}

fn check_department(scanner: &mut Scanner<'_>, trail: &Trail<'_>) -> Result<(), Stop> {
    let at = scanner.cursor.at;
    if is_org_id_department(&scanner.cursor.bytes[at..]) {
        scanner.report(at, Fault::OrgIdDepartment, trail);
        return scanner.value(trail, USERS_DEPTH).map(drop);
    }
    if let Some((_, 0)) = integer(scanner, Field::CurDeptId, trail, USERS_DEPTH)? {
        scanner.report(at, Fault::TooSmall { field: Field::CurDeptId }, trail);
    }
    Ok(())
}

/// Whether a value is written as OrgID names departments: a string of 32 hexadecimal digits.
fn is_org_id_department(value: &[u8]) -> bool {
    match value {
        [b'"', digits @ ..] => {
            digits.get(32) == Some(&b'"') && digits[..32].iter().all(u8::is_ascii_hexdigit)
        }
        _ => false,
    }
}

/// Returns how many elements there are.
fn check_users(
    scanner: &mut Scanner<'_>,
    rules: &BatchRules,
    trail: &Trail<'_>,
) -> Result<usize, Stop> {
    let at = scanner.cursor.at;
    if !opens(scanner, b'[', USERS_DEPTH) {
        other_kind(scanner, Field::Users, Kind::Array, trail, USERS_DEPTH)?;
        return Ok(0);
    }
    scanner.cursor.at += 1;
    scanner.cursor.skip_space();
    if scanner.cursor.eat(b']') {
        scanner.report(at, Fault::NoUsers, trail);
        return Ok(0);
    }
    let mut found = 0;
    let mut expected = Expected::ElementOrEnd;
    loop {
        let trail = trail.down(Step::Index(found));
        if opens(scanner, b'{', USER_DEPTH) {
            match ordinary::user(scanner.cursor.rest(), rules) {
                Some(len) => scanner.cursor.at += len,
                None => check_user(scanner, rules, &trail)?,
            }
        } else {
            scanner.cursor.kind(expected)?;
            other_kind(scanner, Field::User, Kind::Object, &trail, USER_DEPTH)?;
        }
        found += 1;
        scanner.cursor.skip_space();
        if !scanner.cursor.eat(b',') {
            break;
        }
        scanner.cursor.skip_space();
        expected = Expected::Element;
    }
    if !scanner.cursor.eat(b']') {
        return Err(scanner.cursor.unexpected(Expected::CommaOrBracket));
    }
    if rules.max_users < found {
        scanner.report(at, Fault::TooManyUsers { max: rules.max_users, found }, trail);
    }
    Ok(found)
}

/// Judges a user by all rules.
pub(super) fn check_user(
    scanner: &mut Scanner<'_>,
    rules: &BatchRules,
    trail: &Trail<'_>,
) -> Result<(), Stop> {
    let brace_at = scanner.cursor.at;
    let mut capacity = None;
    let mut is_allocated = None;
    let seen = scanner.object(trail, field::user_member, |scanner, field, name_at, trail| {
        match field {
            Some(Field::TargetDeptName) => check_department_name(scanner, rules, trail)?,
            Some(Field::PersonalCapacity) => {
                let found = integer(scanner, Field::PersonalCapacity, trail, BELOW_USER_DEPTH)?;
                capacity = capacity.or(found);
            }
            Some(_) => {
                let found = boolean(scanner, Field::IsAllocateCapacity, trail, BELOW_USER_DEPTH)?;
                is_allocated = is_allocated.or(found);
            }
            None => check_unknown(scanner, rules, Field::User, name_at, trail, BELOW_USER_DEPTH)?,
        }
        Ok(())
    })?;
    report_missing(
        scanner,
        brace_at,
        seen,
        &[Field::PersonalCapacity, Field::IsAllocateCapacity],
        trail,
    );
    if let Some((at, capacity)) = capacity
        && let Some(fault) = rules.capacity_fault(capacity, is_allocated)
    {
        // No name to point at by offset: the member is known to be there.
        scanner.report(at, fault, &trail.down(Step::Field(Field::PersonalCapacity)));
    }
    Ok(())
}

#[inline]
fn check_department_name(
    scanner: &mut Scanner<'_>,
    rules: &BatchRules,
    trail: &Trail<'_>,
) -> Result<(), Stop> {
    let at = scanner.cursor.at;
    if scanner.cursor.peek() != Some(b'"') {
        if scanner.cursor.peek() == Some(b'n') {
            return scanner.cursor.literal().map(drop);
        }
        return other_kind(scanner, Field::TargetDeptName, Kind::String, trail, BELOW_USER_DEPTH);
    }
    let text = scanner.cursor.string()?;
    if text.lone_surrogate {
        scanner.report(at, Fault::LoneSurrogate { in_name: false }, trail);
    }
    let max = rules.max_dept_name_chars;
    if max != 0 && max < text.chars {
        scanner.report(at, Fault::NameTooLong { max, found: text.chars }, trail);
    }
    Ok(())
}

fn check_unknown(
    scanner: &mut Scanner<'_>,
    rules: &BatchRules,
    of: Field,
    name_at: usize,
    trail: &Trail<'_>,
    depth: usize,
) -> Result<(), Stop> {
    if let Some(field) = scanner.resembled(name_at, of) {
        scanner.report(scanner.cursor.at, Fault::LookalikeMember { field }, trail);
    } else if rules.reject_unknown {
        scanner.report(scanner.cursor.at, Fault::UnknownMember { of }, trail);
    }
    scanner.value(trail, depth).map(drop)
}

/// Reads an integer from 0 to 2^63-1 and says where it stood; anything else is reported.
#[inline]
fn integer(
    scanner: &mut Scanner<'_>,
    field: Field,
    trail: &Trail<'_>,
    depth: usize,
) -> Result<Option<(usize, u64)>, Stop> {
    let at = scanner.cursor.at;
    if !matches!(scanner.cursor.peek(), Some(b'-' | b'0'..=b'9')) {
        other_kind(scanner, field, Kind::Number, trail, depth)?;
        return Ok(None);
    }
    let fault = match scanner.cursor.number()?.as_integer() {
        Integer::Exact(value) => return Ok(Some((at, value))),
        Integer::Negative => Fault::TooSmall { field },
        Integer::Huge => Fault::TooLarge { field },
        Integer::Not(form) => Fault::NotInteger { field, form },
    };
    scanner.report(at, fault, trail);
    Ok(None)
}

#[inline]
fn boolean(
    scanner: &mut Scanner<'_>,
    field: Field,
    trail: &Trail<'_>,
    depth: usize,
) -> Result<Option<bool>, Stop> {
    match scanner.cursor.peek() {
        Some(b't' | b'f') => scanner.cursor.literal(),
        _ => other_kind(scanner, field, Kind::Boolean, trail, depth).map(|()| None),
    }
}

/// Whether the container that belongs here starts at the cursor and may be looked into.
#[inline]
fn opens(scanner: &Scanner<'_>, sign: u8, depth: usize) -> bool {
    scanner.cursor.peek() == Some(sign) && scanner.allows_depth(depth)
}

/// Scans a value that is not `wanted`, or too deep, and says so.
#[cold]
fn other_kind(
    scanner: &mut Scanner<'_>,
    field: Field,
    wanted: Kind,
    trail: &Trail<'_>,
    depth: usize,
) -> Result<(), Stop> {
    let at = scanner.cursor.at;
    let found = scanner.cursor.kind(Expected::Value)?;
    if found != wanted {
        scanner.report(at, Fault::WrongKind { field, found }, trail);
    }
    scanner.value(trail, depth).map(drop)
}

#[inline]
fn report_missing(
    scanner: &mut Scanner<'_>,
    brace_at: usize,
    seen: Seen,
    required: &[Field],
    trail: &Trail<'_>,
) {
    for field in required.iter().copied().filter(|field| !seen.has(*field)) {
        scanner.report(brace_at, Fault::Missing { field }, &trail.down(Step::Field(field)));
    }
}
