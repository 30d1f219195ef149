//! Scans any JSON value and judges what holds for all of them: grammar, duplicate names,
//! surrogates, depth, numbers.
//!
//! Nothing recurses. A container below the depth limit is one finding, whatever it holds, and is
//! passed over.

use super::fault::{Expected, Fault, Kind};
use super::json::Stop;
use super::member_names::{Step, Trail};
use super::scanner::{Frame, Scanner};

impl Scanner<'_> {
    /// Scans the value at the cursor, whatever it is. `depth` is its own if it is a container.
    pub(super) fn value(&mut self, trail: &Trail<'_>, depth: usize) -> Result<Kind, Stop> {
        let kind = self.cursor.kind(Expected::Value)?;
        if matches!(kind, Kind::Object | Kind::Array) {
            let mut frames = std::mem::take(&mut self.frames);
            frames.clear();
            self.container(&mut frames, trail, depth)?;
            self.frames = frames;
        } else {
            self.scalar(kind, trail, &[])?;
        }
        Ok(kind)
    }

    fn scalar(&mut self, kind: Kind, trail: &Trail<'_>, frames: &[Frame]) -> Result<(), Stop> {
        let at = self.cursor.at;
        let fault = match kind {
            Kind::String => {
                let text = self.cursor.string()?;
                text.lone_surrogate.then_some(Fault::LoneSurrogate { in_name: false })
            }
            Kind::Number => {
                let number = self.cursor.number()?;
                let written = &self.cursor.bytes[at..self.cursor.at];
                number.is_beyond_double(written).then_some(Fault::NumberTooLarge)
            }
            Kind::Boolean | Kind::Null | Kind::Object | Kind::Array => {
                self.cursor.literal()?;
                None
            }
        };
        if let Some(fault) = fault {
            self.report_below(at, fault, trail, frames, None);
        }
        Ok(())
    }

    /// Scans the container at the cursor; `frames` is empty before and after.
    fn container(
        &mut self,
        frames: &mut Vec<Frame>,
        trail: &Trail<'_>,
        depth: usize,
    ) -> Result<(), Stop> {
        let mut expected = Expected::Value;
        loop {
            let kind = self.cursor.kind(expected)?;
            let at = self.cursor.at;
            let is_container = matches!(kind, Kind::Object | Kind::Array);
            if is_container && !self.allows_depth(depth + frames.len()) {
                let fault = Fault::TooDeep { max: self.depth_max };
                self.report_below(at, fault, trail, frames, None);
                self.cursor.pass_over()?;
            } else if is_container {
                self.cursor.at += 1;
                self.cursor.skip_space();
                if kind == Kind::Array {
                    if !self.cursor.eat(b']') {
                        frames.push(Frame { step: Step::Index(0), names_from: None });
                        expected = Expected::ElementOrEnd;
                        continue;
                    }
                } else if !self.cursor.eat(b'}') {
                    let names_from = Some(self.names.len());
                    frames.push(Frame { step: Step::Index(0), names_from });
                    self.nested_name(frames, trail, Expected::NameOrEnd)?;
                    expected = Expected::Value;
                    continue;
                }
            } else {
                self.scalar(kind, trail, frames)?;
            }
            match self.after_value(frames, trail)? {
                Some(next) => expected = next,
                None => return Ok(()),
            }
        }
    }

    /// Passes over what follows a value: closing signs, then a comma and perhaps a name. Returns
    /// what is expected next, `None` when the outermost container has closed.
    fn after_value(
        &mut self,
        frames: &mut Vec<Frame>,
        trail: &Trail<'_>,
    ) -> Result<Option<Expected>, Stop> {
        while let Some(top) = frames.last_mut() {
            self.cursor.skip_space();
            if self.cursor.eat(b',') {
                self.cursor.skip_space();
                if top.names_from.is_some() {
                    self.nested_name(frames, trail, Expected::Name)?;
                    return Ok(Some(Expected::Value));
                }
                if let Step::Index(index) = &mut top.step {
                    *index += 1;
                }
                return Ok(Some(Expected::Element));
            }
            match top.names_from {
                Some(_) if !self.cursor.eat(b'}') => {
                    return Err(self.cursor.unexpected(Expected::CommaOrBrace));
                }
                None if !self.cursor.eat(b']') => {
                    return Err(self.cursor.unexpected(Expected::CommaOrBracket));
                }
                Some(names_from) => {
                    frames.pop();
                    self.forget_names(names_from, trail, frames);
                }
                None => {
                    frames.pop();
                }
            }
        }
        Ok(None)
    }

    /// Reads a name and its colon; the innermost frame now stands at that member.
    fn nested_name(
        &mut self,
        frames: &mut [Frame],
        trail: &Trail<'_>,
        expected: Expected,
    ) -> Result<(), Stop> {
        let at = self.cursor.at;
        if self.cursor.peek() != Some(b'"') {
            return Err(self.cursor.unexpected(expected));
        }
        let text = self.cursor.string()?;
        self.names.push(at);
        if let Some(top) = frames.last_mut() {
            top.step = Step::Name(at);
        }
        self.cursor.colon()?;
        if text.lone_surrogate {
            let (at, fault) = (self.cursor.at, Fault::LoneSurrogate { in_name: true });
            self.report_below(at, fault, trail, frames, None);
        }
        Ok(())
    }
}
