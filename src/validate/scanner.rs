//! One pass over a body: the place, the findings, and the objects with rules on the way down.

use super::fault::{Expected, Fault};
use super::field::{Field, Seen};
use super::finding::Findings;
use super::json::{Cursor, Stop};
use super::member_names;
use super::member_names::{Step, Trail};

/// One pass over a body.
pub(super) struct Scanner<'b> {
    pub(super) cursor: Cursor<'b>,
    pub(super) findings: Findings,
    pub(super) depth_max: usize,
    /// Names of the open objects, those of the innermost last.
    pub(super) names: Vec<usize>,
    /// Kept between values for its memory.
    pub(super) frames: Vec<Frame>,
}

/// A container that no rule names, being scanned.
pub(super) struct Frame {
    pub(super) step: Step,
    /// Where its names begin in `Scanner::names`; `None` for an array.
    pub(super) names_from: Option<usize>,
}

/// Which member of its object a body goes on with: the field, and the length of the quoted name.
pub(super) trait Known: Fn(&[u8]) -> Option<(Field, usize)> {}

impl<F: Fn(&[u8]) -> Option<(Field, usize)>> Known for F {}

impl<'b> Scanner<'b> {
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
    pub(super) fn report_below(
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
            member_names::pointer(bytes, trail.steps().into_iter().chain(frames).chain(last))
        });
    }

    /// Whether a container that is this deep may be looked into.
    #[inline]
    pub(super) fn allows_depth(&self, depth: usize) -> bool {
        depth <= self.depth_max
    }

    /// Scans the object whose brace is at the cursor, handing each member's value to `on_member`.
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
                    let fault = Fault::DuplicateMember { field: Some(field) };
                    self.report(self.cursor.at, fault, &member);
                }
                Some(field) => seen.add(field),
                None => self.names.push(name_at),
            }
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

    /// Reads a name and its colon.
    #[inline]
    fn known_name(
        &mut self,
        known: impl Known,
        expected: Expected,
        member: &Trail<'_>,
    ) -> Result<Option<Field>, Stop> {
        if let Some((field, len)) = known(self.cursor.rest()) {
            self.cursor.at += len;
            self.cursor.colon()?;
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
        self.cursor.colon()?;
        if text.lone_surrogate {
            self.report(self.cursor.at, Fault::LoneSurrogate { in_name: true }, member);
        }
        if !text.escaped {
            return Ok(None);
        }
        let is_known = |field: &Field| {
            known(format!("\"{}\"", field.name()).as_bytes()).is_some()
                && member_names::spells(self.cursor.bytes, at, field.name())
        };
        let mut members = Field::Root.members().iter().chain(Field::User.members()).copied();
        Ok(members.find(is_known))
    }

    /// The member that a lenient reader could take the name at `name_at`, in an object at the
    /// place `of`, for.
    pub(super) fn resembled(&self, name_at: usize, of: Field) -> Option<Field> {
        let resembles =
            |field: &&Field| member_names::resembles(self.cursor.bytes, name_at, field.name());
        of.members().iter().find(resembles).copied()
    }

    /// An object closed: its names are compared and dropped.
    pub(super) fn forget_names(&mut self, from: usize, trail: &Trail<'_>, frames: &[Frame]) {
        if 1 < self.names.len() - from {
            let count = member_names::gather_duplicates(self.cursor.bytes, &mut self.names[from..]);
            for index in from..from + count {
                let name_at = self.names[index];
                let at = self.cursor.value_behind(name_at);
                let last = Some(Step::Name(name_at));
                self.report_below(at, Fault::DuplicateMember { field: None }, trail, frames, last);
            }
        }
        self.names.truncate(from);
    }
}
