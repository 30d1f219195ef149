//! Numbers of RFC 8259 section 6, and which of them are integers for every parser.

use super::fault::{Expected, NumberForm, Syntax};
use super::json::{Cursor, Stop};

/// A number just read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    negative: bool,
    /// Digits before the point.
    digits: usize,
    /// Their value, if it fits.
    magnitude: Option<u64>,
    fraction: bool,
    exponent: bool,
}

/// What an integer field can make of a number.
pub(super) enum Integer {
    /// 0 to 2^63-1.
    Exact(u64),
    Negative,
    /// 2^63 or more.
    Huge,
    Not(NumberForm),
}

impl Number {
    #[inline]
    pub(super) fn as_integer(self) -> Integer {
        const MAX: u64 = i64::MAX.unsigned_abs();
        match self {
            Self { fraction: true, .. } => Integer::Not(NumberForm::Fraction),
            Self { exponent: true, .. } => Integer::Not(NumberForm::Exponent),
            Self { negative: true, magnitude: Some(0), .. } => Integer::Not(NumberForm::MinusZero),
            Self { negative: true, .. } => Integer::Negative,
            Self { magnitude: Some(magnitude @ 0..=MAX), .. } => Integer::Exact(magnitude),
            Self { .. } => Integer::Huge,
        }
    }

    /// Beyond ±1e308, where some parsers say infinity and others refuse. The bound is the last
    /// power of ten a double holds, so that no way of rounding crosses it.
    pub(super) fn is_beyond_double(self, written: &[u8]) -> bool {
        if !self.exponent && self.digits <= 308 {
            return false;
        }
        let value: Option<f64> = str::from_utf8(written).ok().and_then(|text| text.parse().ok());
        value.is_none_or(|value| 1e308 < value.abs())
    }
}

impl Cursor<'_> {
    /// Reads the number whose minus or first digit is at the cursor.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number, Stop> {
        let negative = self.eat(b'-');
        let first = self.at;
        let magnitude = self.digits()?;
        let digits = self.at - first;
        if digits != 1 && self.bytes.get(first) == Some(&b'0') {
            self.at = first + 1;
            return Err(self.stop(Syntax::LeadingZero));
        }
        // 19 digits always fit, and 20 are always more than 2^63-1.
        let magnitude = (digits <= 19).then_some(magnitude);
        let mut number = Number { negative, digits, magnitude, fraction: false, exponent: false };
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            if self.eat(b'.') {
                number.fraction = true;
                self.digits()?;
            }
            if self.eat(b'e') || self.eat(b'E') {
                number.exponent = true;
                if !self.eat(b'+') {
                    self.eat(b'-');
                }
                self.digits()?;
            }
        }
        Ok(number)
    }

    /// One digit or more; their value modulo 2^64.
    #[inline]
    fn digits(&mut self) -> Result<u64, Stop> {
        let mut value = match self.peek() {
            Some(digit @ b'0'..=b'9') => u64::from(digit - b'0'),
            _ => return Err(self.unexpected(Expected::Digit)),
        };
        self.at += 1;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        Ok(value)
    }
}
