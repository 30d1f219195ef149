//! One request head: the few things about it that decide its framing.

use super::{Fault, Verdict};

/// What was seen of the current head.
#[derive(Debug, Default)]
pub(super) struct Head {
    line: Vec<u8>,
    /// The line is longer than was kept.
    cut: bool,
    lines: usize,
    hosts: usize,
    lengths: usize,
    length: Option<u64>,
    coding: Coding,
    /// Of the empty lines before it.
    before: Verdict,
    bare_lf: bool,
    fragment: bool,
}

/// A line of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Fit,
    /// A coding other than one `chunked`.
    Unfit,
    /// The empty one that ends the head.
    Last,
}

/// What the `Transfer-Encoding` lines say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coding {
    #[default]
    None,
    Chunked,
    Other,
}

/// Of a longer line only the end is looked at. No legal field that decides the framing is longer.
const LINE_KEPT_MAX: usize = 1024;

const CODING: &[u8] = b"transfer-encoding";

impl Head {
    /// `before` is the fault of empty lines before the head.
    pub(super) fn begin(&mut self, before: Verdict) {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        *self = Self { line, before, ..Self::default() };
    }

    /// Takes a part of the current line.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        if self.lines == 0 {
            // A long target: its fragment may stand anywhere.
            self.fragment |= bytes.contains(&b'#');
        }
        let room = LINE_KEPT_MAX.saturating_sub(self.line.len());
        let kept = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.line.extend_from_slice(kept);
        if kept.len() < bytes.len() {
            self.cut = true;
            // The last byte must stay visible: it tells CRLF from LF.
            if let (Some(last), Some(seen)) = (self.line.last_mut(), bytes.last()) {
                *last = *seen;
            }
        }
    }

    /// Takes the line that just ended.
    pub(super) fn end_line(&mut self) -> Line {
        let mut kept = std::mem::take(&mut self.line);
        let crlf = kept.pop_if(|last| *last == b'\r').is_some();
        self.bare_lf |= !crlf;
        let line = match (kept.is_empty(), self.lines) {
            (true, _) => Line::Last,
            (false, 0) => Line::Fit,
            (false, _) => self.note_field(&kept),
        };
        self.lines += 1;
        self.cut = false;
        kept.clear();
        self.line = kept;
        line
    }

    fn note_field(&mut self, line: &[u8]) -> Line {
        // No field that decides the framing begins with another letter.
        let first = line.first().map(u8::to_ascii_lowercase);
        if matches!(first, Some(b'a'..=b'z')) && !matches!(first, Some(b'c' | b'h' | b't')) {
            return Line::Fit;
        }
        let mut halves = line.splitn(2, |b| *b == b':');
        let name = halves.next().unwrap_or_default().trim_ascii();
        let value = halves.next().unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths += 1;
            self.length = if self.cut { None } else { digits(value) };
        } else if name.eq_ignore_ascii_case(CODING) {
            let chunked = !self.cut && value.eq_ignore_ascii_case(b"chunked");
            let only = self.coding == Coding::None;
            if !(chunked && only) {
                self.coding = Coding::Other;
                return Line::Unfit;
            }
            self.coding = Coding::Chunked;
        }
        Line::Fit
    }

    /// How many bytes of the line that has not ended yet may be those of a coding.
    pub(super) fn may_be_coding(&self) -> usize {
        let (name, value) = self.line.split_at(self.line.len().min(CODING.len()));
        let alike =
            CODING.get(..name.len()).is_some_and(|coding| name.eq_ignore_ascii_case(coding));
        let named = value.first().is_none_or(|after| *after == b':');
        if 0 < self.lines && alike && named && !self.cut { self.line.len() } else { 0 }
    }

    pub(super) fn verdict(&self) -> Verdict {
        let faults = [
            (self.bare_lf, Fault::BareLf),
            (0 < self.lengths && self.coding != Coding::None, Fault::LengthAndCoding),
            (self.coding == Coding::Other, Fault::Coding),
            (1 < self.lengths, Fault::SeveralLengths),
            (0 < self.lengths && self.length.is_none(), Fault::Length),
            (self.hosts == 0, Fault::NoHost),
            (1 < self.hosts, Fault::SeveralHosts),
            (self.fragment, Fault::Fragment),
        ];
        let first = faults.into_iter().find(|(found, _)| *found).map(|(_, fault)| fault);
        self.before.or(first)
    }

    /// Of a head without fault: whether its body is chunked.
    pub(super) fn is_chunked(&self) -> bool {
        self.coding == Coding::Chunked
    }

    /// Of a head without fault: the length of its body when it is not chunked.
    pub(super) fn length(&self) -> u64 {
        self.length.unwrap_or(0)
    }
}

/// `1*DIGIT` and nothing else: no sign, no list.
fn digits(value: &[u8]) -> Option<u64> {
    let plain = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    plain.then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten()
}
