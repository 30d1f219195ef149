//! The grammar of RFC 8259 over bytes: white space, strings, literals, punctuation.
//!
//! Knows nothing of batches, nor of what may stand inside what.

use super::fault::{Expected, Found, Kind, Syntax};

/// Where and why a scan ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) at: usize,
    pub(super) syntax: Syntax,
}

/// A string just read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    /// Unicode scalar values after decoding; a lone surrogate counts as one.
    pub(super) chars: usize,
    pub(super) escaped: bool,
    pub(super) lone_surrogate: bool,
}

/// A place in a body, everything before it known to fit.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'b> {
    pub(super) bytes: &'b [u8],
    pub(super) at: usize,
}

impl<'b> Cursor<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub(super) fn rest(&self) -> &'b [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Takes `byte` if it is next.
    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let fits = self.peek() == Some(byte);
        self.at += usize::from(fits);
        fits
    }

    /// Passes over white space. Compact batches have none, indented ones have runs of blanks.
    #[inline]
    pub(super) fn skip_space(&mut self) {
        if self.peek().is_some_and(|byte| byte <= b' ') {
            self.skip_some_space();
        }
    }

    #[inline(never)]
    fn skip_some_space(&mut self) {
        let mut rest = self.rest();
        loop {
            // Indentation, eight blanks at a time; what is left of it at once.
            while let Some((chunk, after)) = rest.split_first_chunk() {
                let others = u64::from_le_bytes(*chunk) ^ u64::from_le_bytes([b' '; 8]);
                if others != 0 {
                    rest = &rest[(others.trailing_zeros() / 8) as usize..];
                    break;
                }
                rest = after;
            }
            match rest {
                [b' ' | b'\n' | b'\r' | b'\t', after @ ..] => rest = after,
                _ => break,
            }
        }
        self.at = self.bytes.len() - rest.len();
    }

    /// The colon after a name, and the white space around it.
    #[inline]
    pub(super) fn colon(&mut self) -> Result<(), Stop> {
        self.skip_space();
        if !self.eat(b':') {
            return Err(self.unexpected(Expected::Colon));
        }
        self.skip_space();
        Ok(())
    }

    /// Reads the string whose opening quote is at the cursor.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Text, Stop> {
        let start = self.at + 1;
        self.at = start;
        self.skip_plain();
        let chars = self.at - start;
        if self.eat(b'"') {
            return Ok(Text { chars, escaped: false, lone_surrogate: false });
        }
        self.string_from(start)
    }

    /// Reads on in a string that began at `start` and is not all plain.
    #[inline(never)]
    fn string_from(&mut self, start: usize) -> Result<Text, Stop> {
        // Bytes that are not the only one of their character.
        let mut surplus = 0;
        let mut escaped = false;
        let mut lone_surrogate = false;
        loop {
            self.skip_plain();
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    let escape_at = self.at;
                    lone_surrogate |= self.escape()?;
                    surplus += self.at - escape_at - 1;
                }
                Some(0x80..) => {
                    let len = utf8_len(self.rest()).ok_or_else(|| self.stop(Syntax::NotUtf8))?;
                    self.at += len;
                    surplus += len - 1;
                }
                Some(_) => return Err(self.stop(Syntax::ControlInString)),
                None => return Err(self.unexpected(Expected::ClosingQuote)),
            }
        }
        let chars = self.at - start - surplus;
        self.at += 1;
        Ok(Text { chars, escaped, lone_surrogate })
    }

    /// Moves to the next quote, backslash, control or non-ASCII byte, eight bytes at a time.
    #[inline]
    fn skip_plain(&mut self) {
        while let Some(chunk) = self.rest().first_chunk() {
            let stops = special_bytes(u64::from_le_bytes(*chunk));
            if stops != 0 {
                self.at += (stops.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
        while let Some(byte) = self.peek()
            && (b' '..0x80).contains(&byte)
            && !matches!(byte, b'"' | b'\\')
        {
            self.at += 1;
        }
    }

    /// Passes over one escape, or over the two of a surrogate pair. True: a lone surrogate.
    fn escape(&mut self) -> Result<bool, Stop> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(false)
            }
            Some(b'u') => {
                self.at += 1;
                let unit = self.hex4()?;
                if !(0xd800..0xdc00).contains(&unit) {
                    return Ok((0xdc00..0xe000).contains(&unit));
                }
                let Some((b"\\u", digits)) = self.rest().split_first_chunk() else {
                    return Ok(true);
                };
                let low = digits.first_chunk().copied().and_then(hex4);
                if low.is_some_and(|unit| (0xdc00..0xe000).contains(&unit)) {
                    self.at += 6;
                    return Ok(false);
                }
                Ok(true)
            }
            None => Err(self.unexpected(Expected::ClosingQuote)),
            Some(_) => Err(self.stop(Syntax::UnknownEscape)),
        }
    }

    fn hex4(&mut self) -> Result<u16, Stop> {
        if let Some(unit) = self.rest().first_chunk().copied().and_then(hex4) {
            self.at += 4;
            return Ok(unit);
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
            self.at += 1;
        }
        Err(self.unexpected(Expected::HexDigit))
    }

    /// What starts at the cursor.
    #[inline]
    pub(super) fn kind(&self, expected: Expected) -> Result<Kind, Stop> {
        match self.peek() {
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Boolean),
            Some(b'n') => Ok(Kind::Null),
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            _ => Err(self.unexpected(expected)),
        }
    }

    /// Reads `true`, `false` or `null` (as `None`), whose first letter is at the cursor.
    #[inline]
    pub(super) fn literal(&mut self) -> Result<Option<bool>, Stop> {
        let (word, value): (&[u8], _) = match self.peek() {
            Some(b't') => (b"true", Some(true)),
            Some(b'f') => (b"false", Some(false)),
            _ => (b"null", None),
        };
        if self.rest().starts_with(word) {
            self.at += word.len();
            return Ok(value);
        }
        let fitting = self.rest().iter().zip(word).take_while(|(found, wanted)| found == wanted);
        self.at += fitting.count();
        Err(self.unexpected(Expected::Literal))
    }

    /// Where the value begins whose name, passed before, is at `name_at`.
    #[cold]
    pub(super) fn value_behind(&self, name_at: usize) -> usize {
        let mut member = Self { bytes: self.bytes, at: name_at };
        let passed = member.string().and_then(|_| member.colon());
        passed.map_or(name_at, |()| member.at)
    }

    #[cold]
    pub(super) fn stop(&self, syntax: Syntax) -> Stop {
        Stop { at: self.at, syntax }
    }

    /// What stands at the cursor does not fit.
    #[cold]
    pub(super) fn unexpected(&self, expected: Expected) -> Stop {
        let ill_coded =
            self.peek().is_some_and(|byte| 0x80 <= byte) && utf8_len(self.rest()).is_none();
        if ill_coded {
            return self.stop(Syntax::NotUtf8);
        }
        let found = Found::at(self.bytes, self.at);
        self.stop(Syntax::Unexpected { expected, found })
    }
}

/// The high bit of each byte that is a quote, a backslash, a control or not ASCII. Bits above the
/// lowest one set may be wrong: borrows run upwards.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let quote = word ^ (ONES * u64::from(b'"'));
    let backslash = word ^ (ONES * u64::from(b'\\'));
    let is_quote = quote.wrapping_sub(ONES) & !quote;
    let is_backslash = backslash.wrapping_sub(ONES) & !backslash;
    let is_control = word.wrapping_sub(ONES * 0x20) & !word;
    (is_quote | is_backslash | is_control | word) & HIGHS
}

/// Length of the well-formed character that starts a slice (Unicode 16, table 3-7).
#[inline]
fn utf8_len(bytes: &[u8]) -> Option<usize> {
    let follows = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let second = || bytes.get(1).copied().unwrap_or_default();
    let lead = *bytes.first()?;
    let (len, fits) = match lead {
        0x00..0x80 => (1, true),
        0xc2..=0xdf => (2, follows(1)),
        0xe0 => (3, (0xa0..0xc0).contains(&second()) && follows(2)),
        0xed => (3, (0x80..0xa0).contains(&second()) && follows(2)),
        0xe1..=0xef => (3, follows(1) && follows(2)),
        0xf0 => (4, (0x90..0xc0).contains(&second()) && follows(2) && follows(3)),
        0xf1..=0xf3 => (4, follows(1) && follows(2) && follows(3)),
        0xf4 => (4, (0x80..0x90).contains(&second()) && follows(2) && follows(3)),
        _ => (0, false),
    };
    fits.then_some(len)
}

/// Four hexadecimal digits as the code unit they write.
pub(super) fn hex4(digits: [u8; 4]) -> Option<u16> {
    digits.iter().try_fold(0, |unit, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}
