//! Containers too deep to be judged: their grammar is followed, at one bit a level.

use super::fault::{Expected, Kind};
use super::json::{Cursor, Stop, Why};

/// Levels followed: half a mebibyte of bits. A body that goes deeper is given up.
const LEVELS_MAX: usize = 4 << 20;

impl Cursor<'_> {
    /// Passes over the container at the cursor.
    pub(super) fn skip_container(&mut self) -> Result<(), Stop> {
        let mut open = Bits::default();
        let mut expected = Expected::Value;
        loop {
            let kind = self.kind(expected)?;
            let is_object = kind == Kind::Object;
            match kind {
                Kind::Object | Kind::Array if open.len == LEVELS_MAX => {
                    return Err(Stop { at: self.at, why: Why::Bottomless });
                }
                Kind::Object | Kind::Array => {
                    open.push(is_object);
                    self.at += 1;
                    self.skip_space();
                    if self.peek() != Some(if is_object { b'}' } else { b']' }) {
                        expected = self.before_value(is_object, true)?;
                        continue;
                    }
                }
                Kind::String => drop(self.string()?),
                Kind::Number => drop(self.number()?),
                Kind::Boolean | Kind::Null => drop(self.literal()?),
            }
            loop {
                let Some(in_object) = open.last() else { return Ok(()) };
                self.skip_space();
                if self.eat(b',') {
                    self.skip_space();
                    expected = self.before_value(in_object, false)?;
                    break;
                }
                if !self.eat(if in_object { b'}' } else { b']' }) {
                    let closing =
                        if in_object { Expected::CommaOrBrace } else { Expected::CommaOrBracket };
                    return Err(self.unexpected(closing));
                }
                open.pop();
            }
        }
    }

    /// Passes over the name and colon that an object has before each value.
    fn before_value(&mut self, in_object: bool, is_first: bool) -> Result<Expected, Stop> {
        if !in_object {
            return Ok(if is_first { Expected::ElementOrEnd } else { Expected::Element });
        }
        if self.peek() != Some(b'"') {
            let expected = if is_first { Expected::NameOrEnd } else { Expected::Name };
            return Err(self.unexpected(expected));
        }
        self.string()?;
        self.colon()?;
        Ok(Expected::Value)
    }
}

/// A stack of bits.
#[derive(Default)]
struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    fn push(&mut self, bit: bool) {
        let (word, shift) = (self.len / 64, self.len % 64);
        if word == self.words.len() {
            self.words.push(0);
        }
        self.words[word] = self.words[word] & !(1 << shift) | u64::from(bit) << shift;
        self.len += 1;
    }

    fn last(&self) -> Option<bool> {
        let at = self.len.checked_sub(1)?;
        Some(self.words[at / 64] >> (at % 64) & 1 == 1)
    }

    fn pop(&mut self) {
        self.len = self.len.saturating_sub(1);
    }
}
