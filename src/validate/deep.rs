//! Passes over a container that is nested too deep: nothing in it is judged but its grammar.
//!
//! It may be nearly as deep as it is long, so only a bit is kept of each level.

use super::fault::{Expected, Kind};
use super::json::{Cursor, Stop};

/// The open containers, the innermost last: whether each is an object.
#[derive(Default)]
struct Levels {
    words: Vec<u64>,
    count: usize,
}

impl Levels {
    fn push(&mut self, is_object: bool) {
        let (word, bit) = (self.count / 64, self.count % 64);
        if word == self.words.len() {
            self.words.push(0);
        }
        self.words[word] = self.words[word] & !(1 << bit) | u64::from(is_object) << bit;
        self.count += 1;
    }

    fn pop(&mut self) {
        self.count -= 1;
    }

    fn innermost(&self) -> Option<bool> {
        let last = self.count.checked_sub(1)?;
        Some(self.words[last / 64] >> (last % 64) & 1 == 1)
    }
}

impl Cursor<'_> {
    /// Passes over the container at the cursor.
    #[cold]
    pub(super) fn pass_over(&mut self) -> Result<(), Stop> {
        let mut levels = Levels::default();
        let mut expected = Expected::Value;
        loop {
            match self.kind(expected)? {
                Kind::Array => {
                    self.at += 1;
                    self.skip_space();
                    if !self.eat(b']') {
                        levels.push(false);
                        expected = Expected::ElementOrEnd;
                        continue;
                    }
                }
                Kind::Object => {
                    self.at += 1;
                    self.skip_space();
                    if !self.eat(b'}') {
                        levels.push(true);
                        self.pass_over_name(Expected::NameOrEnd)?;
                        expected = Expected::Value;
                        continue;
                    }
                }
                Kind::String => self.string().map(drop)?,
                Kind::Number => self.number().map(drop)?,
                Kind::Boolean | Kind::Null => self.literal().map(drop)?,
            }
            match self.pass_over_end(&mut levels)? {
                Some(next) => expected = next,
                None => return Ok(()),
            }
        }
    }

    /// What follows a value: closing signs, then a comma and perhaps a name. Returns what is
    /// expected next, `None` when the outermost container has closed.
    fn pass_over_end(&mut self, levels: &mut Levels) -> Result<Option<Expected>, Stop> {
        while let Some(is_object) = levels.innermost() {
            self.skip_space();
            if self.eat(b',') {
                self.skip_space();
                if !is_object {
                    return Ok(Some(Expected::Element));
                }
                self.pass_over_name(Expected::Name)?;
                return Ok(Some(Expected::Value));
            }
            let (sign, expected) = if is_object {
                (b'}', Expected::CommaOrBrace)
            } else {
                (b']', Expected::CommaOrBracket)
            };
            if !self.eat(sign) {
                return Err(self.unexpected(expected));
            }
            levels.pop();
        }
        Ok(None)
    }

    fn pass_over_name(&mut self, expected: Expected) -> Result<(), Stop> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected(expected));
        }
        self.string()?;
        self.colon()
    }
}
