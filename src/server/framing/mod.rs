//! Follows the framing of HTTP/1 requests byte by byte. Pure.
//!
//! Stricter than the parser behind it, so that both always agree where a request ends: whatever
//! only one of them might take is a fault here (RFC 9112 sections 2, 5, 6 and 7).

mod head;

use memchr::memchr;

use self::head::{Head, Line};

/// What is ambiguous about a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    BareLf,
    BareCr,
    LengthAndCoding,
    Coding,
    SeveralLengths,
    Length,
    NoHost,
    SeveralHosts,
    Fragment,
    /// Follows something that could not be followed.
    AfterUnknown,
}

impl Fault {
    /// For operators and callers alike: names the rule, repeats nothing of the request.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::BareLf => "a line ends in LF without CR",
            Self::BareCr => "a CR without LF before the request",
            Self::LengthAndCoding => "Content-Length and Transfer-Encoding in one request",
            Self::Coding => "a Transfer-Encoding other than exactly chunked",
            Self::SeveralLengths => "more than one Content-Length",
            Self::Length => "a Content-Length other than digits",
            Self::NoHost => "no Host",
            Self::SeveralHosts => "more than one Host",
            Self::Fragment => "a fragment in the request target",
            Self::AfterUnknown => "it follows a request of which the end is uncertain",
        }
    }
}

/// The judgement on one head: fine, or the first fault in the order of [`Fault`]'s variants.
pub(super) type Verdict = Option<Fault>;

/// Where in the stream of requests the connection is.
#[derive(Debug, Default)]
pub(super) struct Framing {
    state: State,
    head: Head,
    heads: u64,
    /// Bytes of the current line of a head, its end included.
    line_bytes: usize,
}

/// What is told of a head while it is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The head has ended.
    Judged(Verdict),
    /// A line has ended that the parser behind would refuse by itself: its first byte is so many
    /// bytes before the end of those followed so far.
    Unfit { back: usize },
}

/// In the states with `cr` a CR was seen last, and only LF may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first byte of a head; empty lines are skipped, but how they end is not forgotten.
    Between {
        cr: bool,
        fault: Verdict,
    },
    Head,
    Length(u64),
    ChunkSize(SizeLine),
    ChunkData(u64),
    ChunkEnd {
        cr: bool,
    },
    Trailers {
        empty: bool,
        cr: bool,
    },
    /// The head was faulty: the connection closes after its answer.
    Lost,
    /// The body was: nothing more may be read.
    Broken,
}

/// The line before a chunk, as far as it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SizeLine {
    size: u64,
    digits: bool,
    /// Behind the digits: blanks and extensions.
    behind: bool,
    cr: bool,
}

const BETWEEN: State = State::Between { cr: false, fault: None };

impl Default for State {
    fn default() -> Self {
        BETWEEN
    }
}

impl Framing {
    /// Whether a head is awaited to end: it has begun, or none ever came.
    pub(super) fn awaits_head(&self) -> bool {
        self.state == State::Head || self.heads == 0
    }

    /// Whether all that came was whole requests, and at most the beginning of empty lines after them.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.state, State::Between { .. })
    }

    /// Follows further bytes; tells each head's verdict as the head ends, with how many of the
    /// bytes were followed by then. Returns how many of them may be believed: fewer than given when
    /// the framing of a body breaks.
    pub(super) fn follow(&mut self, bytes: &[u8], mut tell: impl FnMut(usize, Told)) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() && self.state != State::Lost {
            rest = self.step(rest, &mut |left, told| tell(bytes.len() - left, told));
            if self.state == State::Broken {
                // The offending byte itself is not passed on either.
                return (bytes.len() - rest.len()).saturating_sub(1);
            }
        }
        bytes.len()
    }

    /// How many of the last bytes may be the beginning of a line that is told as unfit when it ends.
    pub(super) fn undecided(&self) -> usize {
        if self.state == State::Head { self.head.may_be_coding() } else { 0 }
    }

    /// Takes one byte, or as many as are alike; returns what is left.
    fn step<'a>(&mut self, bytes: &'a [u8], tell: &mut impl FnMut(usize, Told)) -> &'a [u8] {
        let Some((first, rest)) = bytes.split_first() else { return bytes };
        self.state = match self.state {
            State::Head => return self.follow_head(bytes, tell),
            State::Length(left) | State::ChunkData(left) => return self.skip(bytes, left),
            // Empty lines before a request line are to be skipped (RFC 9112 section 2.2).
            State::Between { cr, fault } => match (first, cr) {
                (b'\n', true) => State::Between { cr: false, fault },
                (b'\n', false) => {
                    State::Between { cr: false, fault: fault.or(Some(Fault::BareLf)) }
                }
                (b'\r', false) => State::Between { cr: true, fault },
                (b'\r', true) => State::Between { cr: true, fault: fault.or(Some(Fault::BareCr)) },
                (_, cr) => {
                    self.head.begin(fault.or(cr.then_some(Fault::BareCr)));
                    self.state = State::Head;
                    return bytes;
                }
            },
            State::ChunkSize(line) => line.next(*first),
            State::ChunkEnd { cr } => match (first, cr) {
                (b'\r', false) => State::ChunkEnd { cr: true },
                (b'\n', true) => State::ChunkSize(SizeLine::default()),
                _ => State::Broken,
            },
            State::Trailers { empty, cr } => match (first, cr, empty) {
                (b'\n', true, true) => BETWEEN,
                (b'\n', true, false) => State::Trailers { empty: true, cr: false },
                (b'\n', false, _) | (_, true, _) => State::Broken,
                (b'\r', false, empty) => State::Trailers { empty, cr: true },
                (_, false, _) => State::Trailers { empty: false, cr: false },
            },
            State::Lost => State::Lost,
            State::Broken => State::Broken,
        };
        rest
    }

    /// Takes what is at hand of the `left` bytes of a body or chunk.
    fn skip<'a>(&mut self, bytes: &'a [u8], left: u64) -> &'a [u8] {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left - taken as u64;
        let chunked = matches!(self.state, State::ChunkData(_));
        self.state = match (chunked, left) {
            (true, 0) => State::ChunkEnd { cr: false },
            (false, 0) => BETWEEN,
            (true, left) => State::ChunkData(left),
            (false, left) => State::Length(left),
        };
        bytes.get(taken..).unwrap_or_default()
    }

    /// `tell` is given how many of the bytes are left.
    fn follow_head<'a>(&mut self, bytes: &'a [u8], tell: &mut impl FnMut(usize, Told)) -> &'a [u8] {
        let Some(end) = memchr(b'\n', bytes) else {
            self.head.keep(bytes);
            self.line_bytes += bytes.len();
            return &[];
        };
        let (line, rest) = bytes.split_at(end);
        self.head.keep(line);
        let back = std::mem::take(&mut self.line_bytes) + end + 1;
        let rest = rest.get(1..).unwrap_or_default();
        match self.head.end_line() {
            Line::Fit => return rest,
            Line::Unfit => {
                tell(rest.len(), Told::Unfit { back });
                return rest;
            }
            Line::Last => {}
        }
        let verdict = self.head.verdict();
        tell(rest.len(), Told::Judged(verdict));
        self.heads += 1;
        self.state = match (verdict, self.head.length()) {
            (Some(_), _) => State::Lost,
            (None, _) if self.head.is_chunked() => State::ChunkSize(SizeLine::default()),
            (None, 0) => BETWEEN,
            (None, length) => State::Length(length),
        };
        rest
    }
}

impl SizeLine {
    fn next(mut self, byte: u8) -> State {
        match byte {
            b'\n' if self.cr && self.size == 0 => {
                return State::Trailers { empty: true, cr: false };
            }
            b'\n' if self.cr => return State::ChunkData(self.size),
            _ if self.cr || byte == b'\n' => return State::Broken,
            b'\r' => self.cr = true,
            // Neither a token nor a quoted string has them (RFC 9110 sections 5.6.2 and 5.6.4).
            _ if self.behind && byte.is_ascii_control() && byte != b'\t' => return State::Broken,
            _ if self.behind => {}
            b';' | b' ' | b'\t' => self.behind = true,
            digit => match char::from(digit).to_digit(16) {
                Some(digit) if self.size < CHUNK_BYTES_MAX => {
                    self.size = self.size << 4 | u64::from(digit);
                    self.digits = true;
                }
                _ => return State::Broken,
            },
        }
        if self.digits { State::ChunkSize(self) } else { State::Broken }
    }
}

/// Far beyond any real chunk, and far from overflow.
const CHUNK_BYTES_MAX: u64 = 1 << 56;

#[cfg(test)]
mod tests;
