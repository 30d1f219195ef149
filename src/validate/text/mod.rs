//! Faults in words: field, rule, what kind of thing was found, and the cure.
//!
//! No sentence repeats a value of the batch. One file per language, each exhaustive.

mod chinese;
mod english;

use super::fault::{Expected, Fault, Found};
use super::language::Language;

/// The sentence for a fault.
pub(super) fn of(fault: &Fault, language: Language) -> String {
    match language {
        Language::English => english::sentence(fault),
        Language::Chinese => chinese::sentence(fault),
    }
}

/// What usually cures a syntax error.
#[derive(Clone, Copy)]
enum Cure {
    SendWhole,
    PlainPunctuation,
    DoubleQuotes,
    NoComments,
    MissingComma,
    TrailingComma,
    ExtraComma,
    MissingValue,
    QuoteName,
    QuoteWord,
    MissingColon,
    OneValue,
    FourHexDigits,
    DigitsOnly,
    Look,
}

impl Cure {
    fn of(expected: Expected, found: Found) -> Self {
        match (expected, found) {
            (_, Found::End) => Self::SendWhole,
            (_, Found::Lookalike) => Self::PlainPunctuation,
            (Expected::HexDigit, _) => Self::FourHexDigits,
            (Expected::Digit, _) => Self::DigitsOnly,
            (Expected::EndOfBody, _) => Self::OneValue,
            (_, Found::SingleQuote) => Self::DoubleQuotes,
            (_, Found::Comment) => Self::NoComments,
            (
                Expected::CommaOrBrace | Expected::CommaOrBracket,
                Found::String | Found::Sign('{' | '['),
            )
            | (Expected::CommaOrBracket, Found::Number) => Self::MissingComma,
            (Expected::Name, Found::Sign('}')) | (Expected::Element, Found::Sign(']')) => {
                Self::TrailingComma
            }
            (Expected::Name | Expected::NameOrEnd, Found::Word | Found::Number) => Self::QuoteName,
            (
                Expected::Name | Expected::NameOrEnd | Expected::Element | Expected::ElementOrEnd,
                Found::Sign(','),
            ) => Self::ExtraComma,
            (Expected::Value, Found::Sign('}' | ',')) => Self::MissingValue,
            (
                Expected::Value | Expected::Element | Expected::ElementOrEnd | Expected::Literal,
                Found::Word,
            ) => Self::QuoteWord,
            (Expected::Colon, _) => Self::MissingColon,
            _ => Self::Look,
        }
    }
}
