//! Findings: a fault, and where it stands. Kept in order, bounded, and placed only at the end.

use serde::Serialize;

use super::fault::Fault;
use super::language::Language;
use super::text;

/// One fault of one body. Repeats nothing of the body but the names in its pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// JSON Pointer (RFC 6901) to the value, or to the member that is missing. Empty for the
    /// whole body, so also where the body is not JSON. Long names are cut with `…`.
    pub pointer: String,
    /// Where the value begins, also when its name is the fault; the object that lacks the member;
    /// the first character that is no JSON. From 1; lines end with a line feed.
    pub line: u32,
    /// From 1, in Unicode scalar values.
    pub column: u32,
    pub(super) fault: Fault,
    /// In bytes from the start of the body.
    pub(super) offset: usize,
}

impl Finding {
    /// A sentence that names field, rule, the kind of thing found, and the cure.
    pub fn text(&self, language: Language) -> String {
        text::of(&self.fault, language)
    }

    /// The rule that is broken, in one word.
    pub fn rule(&self) -> &'static str {
        self.fault.rule()
    }

    /// What callers see of it.
    pub fn view(&self, language: Language) -> FindingView<'_> {
        let Self { pointer, line, column, .. } = self;
        FindingView { pointer, line: *line, column: *column, reason: self.text(language) }
    }
}

/// An element of `errors` in a rejection and in the answer of `check-batch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FindingView<'f> {
    pub pointer: &'f str,
    pub line: u32,
    pub column: u32,
    pub reason: String,
}

/// The first so many faults of a body.
pub(super) struct Findings {
    /// In order of position.
    kept: Vec<Kept>,
    max: usize,
    more: usize,
}

struct Kept {
    at: usize,
    fault: Fault,
    pointer: String,
}

impl Findings {
    pub(super) fn new(max: usize) -> Self {
        Self { kept: Vec::new(), max, more: 0 }
    }

    /// Keeps the fault unless enough stand before it. Pointers are made only for those kept.
    pub(super) fn push(&mut self, at: usize, fault: Fault, pointer: impl FnOnce() -> String) {
        let index = self.kept.partition_point(|kept| kept.at <= at);
        if self.max <= index {
            self.more += 1;
            return;
        }
        self.kept.insert(index, Kept { at, fault, pointer: pointer() });
        if self.max < self.kept.len() {
            self.kept.pop();
            self.more += 1;
        }
    }

    /// Turns offsets into lines and columns; also how many faults were not kept.
    pub(super) fn place(self, body: &[u8]) -> (Vec<Finding>, usize) {
        let mut place = Place { line: 1, column: 1, at: 0 };
        let placed = self.kept.into_iter().map(|Kept { at, fault, pointer }| {
            place.advance(&body[place.at..at]);
            let Place { line, column, .. } = place;
            Finding { pointer, line, column, fault, offset: at }
        });
        (placed.collect(), self.more)
    }
}

/// Where an offset is for a reader.
struct Place {
    line: u32,
    column: u32,
    at: usize,
}

impl Place {
    fn advance(&mut self, passed: &[u8]) {
        let mut lines = passed.split(|byte| *byte == b'\n');
        let last_line = lines.next_back().unwrap_or_default();
        let breaks = lines.count();
        let chars = saturate(last_line.iter().filter(|byte| **byte & 0xc0 != 0x80).count());
        self.line = self.line.saturating_add(saturate(breaks));
        self.column = if breaks == 0 { self.column.saturating_add(chars) } else { chars + 1 };
        self.at += passed.len();
    }
}

fn saturate(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX - 1)
}
