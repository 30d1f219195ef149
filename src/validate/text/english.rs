//! English.

use super::Cure;
use crate::validate::fault::{Expected, Fault, Found, Kind, NumberForm, Syntax};
use crate::validate::field::Field;

pub(super) fn sentence(fault: &Fault) -> String {
    match *fault {
        Fault::Syntax(syntax) => self::syntax(syntax),
        Fault::WrongKind { field, found } => {
            let (subject, wanted, found) = (subject(field), wanted(field), kind(found));
            format!("{subject} must be {wanted}, found {found}: {}", kind_cure(field, found))
        }
        Fault::NotInteger { field, form } => {
            let form = match form {
                NumberForm::Fraction => "a number with a fraction",
                NumberForm::Exponent => "a number with an exponent",
                NumberForm::MinusZero => "minus zero",
            };
            format!("{} must be an integer, found {form}: write plain digits", subject(field))
        }
        Fault::TooSmall { field: Field::CurDeptId } => {
            "curDeptId must be from 1 to 9223372036854775807, found a smaller integer: give the \
             id of an existing department"
                .to_owned()
        }
        Fault::TooSmall { field } => format!(
            "{} must be from 0 to 9223372036854775807, found a negative integer: give 0 or more",
            subject(field)
        ),
        Fault::TooLarge { field } => {
            let least = i32::from(field == Field::CurDeptId);
            format!(
                "{} must be from {least} to 9223372036854775807, found a larger integer: check \
                 that no digit was added",
                subject(field)
            )
        }
        Fault::Missing { field } => {
            format!("{} is required but missing: add it as {}", subject(field), wanted(field))
        }
        Fault::NoUsers => {
            "users must hold at least one user, found an empty array: add the users to check"
                .to_owned()
        }
        Fault::TooManyUsers { max, found } => {
            format!("users may hold at most {max} users, found {found}: send several batches")
        }
        Fault::NameTooLong { max, found } => format!(
            "targetDeptName may have at most {max} characters, found {found}: shorten the name"
        ),
        Fault::CapacityNotAllocated => {
            "personalCapacity must be 0 when isAllocateCapacity is false, found more: write 0, or \
             set isAllocateCapacity to true"
                .to_owned()
        }
        Fault::CapacityZero => {
            "personalCapacity must be at least 1 when isAllocateCapacity is true, found less: \
             give the capacity in GB, or set isAllocateCapacity to false"
                .to_owned()
        }
        Fault::CapacityAbove { max } => {
            format!("personalCapacity may be at most {max} GB, found more: ask for less")
        }
        Fault::UnknownMember { of: Field::User } => {
            "this member is unknown: remove it; a user has targetDeptName, personalCapacity and \
             isAllocateCapacity"
                .to_owned()
        }
        Fault::UnknownMember { .. } => {
            "this member is unknown: remove it; a batch has curDeptId and users".to_owned()
        }
        Fault::DuplicateMember { field } => format!(
            "{} may appear only once in its object, found again: remove one of them",
            field.map_or("this member", subject)
        ),
        Fault::LoneSurrogate { in_name } => format!(
            "{} must be valid Unicode, found half of a surrogate pair: write both \\u escapes, or \
             the character itself",
            if in_name { "the name of this member" } else { "this string" }
        ),
        Fault::TooDeep { max } => format!(
            "this value may be nested at most {max} levels deep, found a deeper one: flatten it"
        ),
        Fault::NumberTooLarge => {
            "this number must be within 1e308, found a larger one: not every parser can read it, \
             write a smaller number or a string"
                .to_owned()
        }
    }
}

fn subject(field: Field) -> &'static str {
    match field {
        Field::Root => "the body",
        Field::User => "each element of users",
        member => member.name(),
    }
}

fn wanted(field: Field) -> &'static str {
    match field {
        Field::Root => "a JSON object",
        Field::User => "an object",
        Field::Users => "an array of objects",
        Field::CurDeptId | Field::PersonalCapacity => "an integer",
        Field::TargetDeptName => "a string or null",
        Field::IsAllocateCapacity => "a boolean",
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Object => "an object",
        Kind::Array => "an array",
        Kind::String => "a string",
        Kind::Number => "a number",
        Kind::Boolean => "a boolean",
        Kind::Null => "null",
    }
}

fn kind_cure(field: Field, found: &str) -> &'static str {
    match field {
        Field::Root => "send {\"curDeptId\": …, \"users\": […]}",
        Field::Users => "write [ ] around the users",
        Field::User => "write { } around each user",
        Field::CurDeptId | Field::PersonalCapacity if found == "a string" => {
            "write the digits without quotes"
        }
        Field::CurDeptId | Field::PersonalCapacity => "write plain digits",
        Field::TargetDeptName => "write it in double quotes, or leave it out",
        Field::IsAllocateCapacity => "write true or false, without quotes",
    }
}

fn syntax(syntax: Syntax) -> String {
    let (expected, found) = match syntax {
        Syntax::Empty => {
            return "the body must be a JSON object, found nothing: send one".to_owned();
        }
        Syntax::ByteOrderMark => {
            return "JSON must not start with a byte order mark: save it as UTF-8 without BOM"
                .to_owned();
        }
        Syntax::NotUtf8 => {
            return "JSON must be UTF-8, found bytes that are not: convert the body to UTF-8"
                .to_owned();
        }
        Syntax::ControlInString => {
            return "a string must not hold control characters, found one (or the closing quote \
                    is missing): write it as an escape such as \\n or \\t"
                .to_owned();
        }
        Syntax::UnknownEscape => {
            return "a backslash must start a JSON escape, found another character: write \\\\ for \
                    a backslash"
                .to_owned();
        }
        Syntax::LeadingZero => {
            return "a number must not start with 0 and go on, found another digit: remove the \
                    leading zeros"
                .to_owned();
        }
        Syntax::Unexpected { expected, found } => (expected, found),
    };
    let cure = match Cure::of(expected, found) {
        Cure::SendWhole => "the body is cut off, send it whole",
        Cure::PlainPunctuation => "write plain ASCII quotes, commas, colons and spaces",
        Cure::DoubleQuotes => "write double quotes",
        Cure::NoComments => "remove it, JSON has no comments",
        Cure::MissingComma => "a comma is missing before it",
        Cure::TrailingComma => "remove the comma before it",
        Cure::ExtraComma => "remove this comma",
        Cure::MissingValue => "a value is missing before it",
        Cure::QuoteName => "put the name in double quotes",
        Cure::QuoteWord => "put text in double quotes; true, false and null are lower case",
        Cure::MissingColon => "put a colon between name and value",
        Cure::OneValue => "remove what follows the value",
        Cure::FourHexDigits => "write four hexadecimal digits after \\u",
        Cure::DigitsOnly => "complete the number",
        Cure::Look => "correct the JSON here",
    };
    format!("expected {}, found {}: {cure}", self::expected(expected), self::found(found))
}

fn expected(expected: Expected) -> &'static str {
    match expected {
        Expected::Value | Expected::Element => "a value",
        Expected::ElementOrEnd => "a value or `]`",
        Expected::Name => "a name in double quotes",
        Expected::NameOrEnd => "a name in double quotes or `}`",
        Expected::Colon => "`:`",
        Expected::CommaOrBrace => "`,` or `}`",
        Expected::CommaOrBracket => "`,` or `]`",
        Expected::Digit => "a digit",
        Expected::HexDigit => "a hexadecimal digit",
        Expected::Literal => "`true`, `false` or `null`",
        Expected::ClosingQuote => "the closing quote of a string",
        Expected::EndOfBody => "the end of the body",
    }
}

fn found(found: Found) -> String {
    let text = match found {
        Found::Sign(sign) => return format!("`{sign}`"),
        Found::End => "the end of the body",
        Found::String => "a double quote",
        Found::Number => "a number",
        Found::Word => "a letter",
        Found::SingleQuote => "a single quote",
        Found::Comment => "a comment",
        Found::Control => "a control character",
        Found::Lookalike => "typographic punctuation or space",
        Found::Other => "a character JSON does not use here",
    };
    text.to_owned()
}
