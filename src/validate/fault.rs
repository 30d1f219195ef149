//! What can be wrong with a batch: facts only; `text` puts them into words.

use super::field::Field;

/// One fault. Holds rules and kinds, never anything the batch said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The body stops being JSON here.
    Syntax(Syntax),
    /// A value of another JSON type than the field's.
    WrongKind { field: Field, found: Kind },
    /// OrgID's `deptId` where KooDrive's `id` of a department belongs.
    OrgIdDepartment,
    /// A number where an integer is wanted, but not written as one.
    NotInteger { field: Field, form: NumberForm },
    /// An integer below the field's range.
    TooSmall { field: Field },
    /// An integer above the field's range.
    TooLarge { field: Field },
    /// A required member is absent.
    Missing { field: Field },
    /// `users` is empty.
    NoUsers,
    /// `users` is longer than allowed.
    TooManyUsers { max: usize, found: usize },
    /// `targetDeptName` is longer than allowed, in Unicode scalar values.
    NameTooLong { max: usize, found: usize },
    /// Capacity without `isAllocateCapacity`.
    CapacityNotAllocated,
    /// `isAllocateCapacity` without capacity.
    CapacityZero,
    /// Capacity above the operator's ceiling, in GB.
    CapacityAbove { max: u64 },
    /// A member nobody knows, where the operator refuses such.
    UnknownMember { of: Field },
    /// An unknown name that a known one equals but for case, `_` or `-`.
    LookalikeMember { field: Field },
    /// A name that its object already had; the field if it is a known one.
    DuplicateMember { field: Option<Field> },
    /// Half a surrogate pair in a string, or in a member's name.
    LoneSurrogate { in_name: bool },
    /// A container below the allowed depth.
    TooDeep { max: usize },
    /// A number in an unknown member that not every parser can hold.
    NumberTooLarge,
}

impl Fault {
    /// The rule that is broken, in one word: for logs, where sentences would be too long.
    pub(super) fn rule(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "syntax",
            Self::WrongKind { .. } => "wrong_type",
            Self::OrgIdDepartment => "org_id_department",
            Self::NotInteger { .. } => "not_integer",
            Self::TooSmall { .. } => "too_small",
            Self::TooLarge { .. } => "too_large",
            Self::Missing { .. } => "missing",
            Self::NoUsers => "no_users",
            Self::TooManyUsers { .. } => "max_users",
            Self::NameTooLong { .. } => "max_dept_name_chars",
            Self::CapacityNotAllocated => "capacity_not_allocated",
            Self::CapacityZero => "require_capacity_when_allocated",
            Self::CapacityAbove { .. } => "max_capacity",
            Self::UnknownMember { .. } => "unknown_fields",
            Self::LookalikeMember { .. } => "lookalike",
            Self::DuplicateMember { .. } => "duplicate",
            Self::LoneSurrogate { .. } => "lone_surrogate",
            Self::TooDeep { .. } => "max_depth",
            Self::NumberTooLarge => "number_too_large",
        }
    }
}

/// The JSON types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

/// Ways to write a number that make it no integer for the strictest of parsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberForm {
    Fraction,
    Exponent,
    MinusZero,
}

/// How a body stops being JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Empty,
    /// Text of another kind: what it begins with is no JSON value.
    NoJson,
    ByteOrderMark,
    NotUtf8,
    ControlInString,
    UnknownEscape,
    LeadingZero,
    Unexpected {
        expected: Expected,
        found: Found,
    },
}

/// What the grammar wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Value,
    /// The value after a comma of an array.
    Element,
    /// The value after an opening bracket.
    ElementOrEnd,
    /// The name after a comma of an object.
    Name,
    /// The name after an opening brace.
    NameOrEnd,
    Colon,
    CommaOrBrace,
    CommaOrBracket,
    Digit,
    HexDigit,
    Literal,
    ClosingQuote,
    EndOfBody,
}

/// What stood there instead, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    End,
    String,
    Number,
    Word,
    /// `NaN` or `Infinity`, which some writers take for numbers.
    NotANumber,
    /// One of `{}[],:`.
    Sign(char),
    SingleQuote,
    Comment,
    Control,
    /// Punctuation or a space that only looks like JSON's.
    Lookalike,
    Other,
}

impl Found {
    /// The kind of character that starts at `at`; the bytes before it are UTF-8.
    pub(super) fn at(bytes: &[u8], at: usize) -> Self {
        let Some(byte) = bytes.get(at) else { return Self::End };
        let rest = &bytes[at..];
        match byte {
            b'N' | b'I' if rest.starts_with(b"NaN") || rest.starts_with(b"Infinity") => {
                Self::NotANumber
            }
            b'"' => Self::String,
            b'0'..=b'9' | b'-' => Self::Number,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' => Self::Word,
            b'{' | b'}' | b'[' | b']' | b',' | b':' => Self::Sign(char::from(*byte)),
            b'\'' | b'`' => Self::SingleQuote,
            b'/' | b'#' => Self::Comment,
            0..0x20 | 0x7f => Self::Control,
            0x80.. if is_lookalike(rest) => Self::Lookalike,
            _ => Self::Other,
        }
    }
}

/// Typographic quotes, full-width punctuation, and spaces other than JSON's four.
fn is_lookalike(rest: &[u8]) -> bool {
    const LOOKALIKES: [&str; 23] = [
        "“", "”", "„", "‘", "’", "«", "»", "，", "、", "：", "；", "｛", "｝", "［", "］", "【",
        "】", "＂", "\u{a0}", "\u{2003}", "\u{200b}", "\u{3000}", "\u{feff}",
    ];
    LOOKALIKES.iter().any(|sign| rest.starts_with(sign.as_bytes()))
}
