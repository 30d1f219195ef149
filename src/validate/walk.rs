//! Walks any JSON value, however deep, and judges what holds for all of them: grammar, duplicate
//! names, surrogates, depth, numbers.
//!
//! Nothing recurses. Below the allowed depth only the grammar is followed, at one bit a level.

use super::fault::Expected;
use super::fault::Fault;
use super::fault::Kind;
use super::field::Field;
use super::field::Seen;
use super::finding::Findings;
use super::json::Cursor;
use super::json::Stop;
use super::names;
use super::names::Step;
use super::names::Trail;

/// One pass over a body.
pub(super) struct Walk<'b> {
    pub(super) cursor: Cursor<'b>,
    pub(super) findings: Findings,
    depth_max: usize,
    /// Names of the open objects, those of the innermost last.
    names: Vec<usize>,
    /// Kept between values for its memory.
    frames: Vec<Frame>,
}

/// A container being walked.
struct Frame {
    step: Step,
    /// Where its names begin in `Walk::names`; `None` for an array.
    names_from: Option<usize>,
}

/// Which member of its object a body goes on with: the field, and the length of the quoted name.
pub(super) trait Known: Fn(&[u8]) -> Option<(Field, usize)> {}

impl<F: Fn(&[u8]) -> Option<(Field, usize)>> Known for F {}

impl<'b> Walk<'b> {
    pub(super) fn new(bytes: &'b [u8], depth_max: usize, findings_max: usize) -> Self {
        Self {
            cursor: Cursor::new(bytes),
            findings: Findings::new(findings_max),
            depth_max,
            names: Vec::new(),
            frames: Vec::new(),
        }
    }

    /// Notes a fault at `at`, in the value the trail leads to.
    #[cold]
    pub(super) fn report(&mut self, at: usize, fault: Fault, trail: &Trail<'_>) {
        self.report_below(at, fault, trail, &[], None);
    }

    #[cold]
    fn report_below(
        &mut self,
        at: usize,
        fault: Fault,
        trail: &Trail<'_>,
        frames: &[Frame],
        last: Option<Step>,
    ) {
        let bytes = self.cursor.bytes;
        self.findings.push(at, fault, || {
            let frames = frames.iter().map(|frame| frame.step);
            names::pointer(bytes, trail.steps().into_iter().chain(frames).chain(last))
        });
    }

    /// Whether a container that is this deep may be looked into.
    #[inline]
    pub(super) fn allows_depth(&self, depth: usize) -> bool {
        depth <= self.depth_max
    }

    /// Walks the object whose brace is at the cursor, handing each member's value to `on_member`.
    /// Returns the set of known fields that were there, as bits.
    #[inline]
    pub(super) fn object(
        &mut self,
        trail: &Trail<'_>,
        known: impl Known,
        mut on_member: impl FnMut(&mut Self, Option<Field>, usize, &Trail<'_>) -> Result<(), Stop>,
    ) -> Result<Seen, Stop> {
        let mut seen = Seen::default();
        let names_from = self.names.len();
        self.cursor.at += 1;
        self.cursor.skip_space();
        if self.cursor.eat(b'}') {
            return Ok(seen);
        }
        let mut expected = Expected::NameOrEnd;
        loop {
            let name_at = self.cursor.at;
            let member = trail.down(Step::Name(name_at));
            let field = self.known_name(&known, expected, &member)?;
            match field {
                Some(field) if seen.has(field) => {
                    self.report(name_at, Fault::DuplicateMember { field: Some(field) }, &member);
                }
                Some(field) => seen.add(field),
                None => self.names.push(name_at),
            }
            self.cursor.colon()?;
            on_member(self, field, name_at, &member)?;
            self.cursor.skip_space();
            if !self.cursor.eat(b',') {
                break;
            }
            self.cursor.skip_space();
            expected = Expected::Name;
        }
        if !self.cursor.eat(b'}') {
            return Err(self.cursor.unexpected(Expected::CommaOrBrace));
        }
        if names_from != self.names.len() {
            self.forget_names(names_from, trail, &[]);
        }
        Ok(seen)
    }

    #[inline]
    fn known_name(
        &mut self,
        known: impl Known,
        expected: Expected,
        member: &Trail<'_>,
    ) -> Result<Option<Field>, Stop> {
        if let Some((field, len)) = known(self.cursor.rest()) {
            self.cursor.at += len;
            return Ok(Some(field));
        }
        self.other_name(known, expected, member)
    }

    /// A name that is unknown, or written with escapes.
    #[inline(never)]
    fn other_name(
        &mut self,
        known: impl Known,
        expected: Expected,
        member: &Trail<'_>,
    ) -> Result<Option<Field>, Stop> {
        let at = self.cursor.at;
        if self.cursor.peek() != Some(b'"') {
            return Err(self.cursor.unexpected(expected));
        }
        let text = self.cursor.string()?;
        if text.lone_surrogate {
            self.report(at, Fault::LoneSurrogate { in_name: true }, member);
        }
        let is_known = |field: &Field| {
            known(format!("\"{}\"", field.name()).as_bytes()).is_some()
                && names::spells(self.cursor.bytes, at, field.name())
        };
        Ok(Field::MEMBERS.into_iter().filter(|_| text.escaped).find(is_known))
    }

    /// Walks the value at the cursor, whatever it is. `depth` is its own if it is a container.
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

    /// Walks the container at the cursor; `frames` is empty before and after.
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
                self.cursor.skip_container()?;
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
        if text.lone_surrogate {
            self.report_below(at, Fault::LoneSurrogate { in_name: true }, trail, frames, None);
        }
        self.cursor.colon()
    }

    /// An object closed: its names are compared and dropped.
    fn forget_names(&mut self, from: usize, trail: &Trail<'_>, frames: &[Frame]) {
        if 1 < self.names.len() - from {
            for at in names::duplicates(self.cursor.bytes, &self.names[from..]) {
                let last = Some(Step::Name(at));
                self.report_below(at, Fault::DuplicateMember { field: None }, trail, frames, last);
            }
        }
        self.names.truncate(from);
    }
}
