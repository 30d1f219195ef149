//! Follows the framing of HTTP/1 requests byte by byte. Pure.

/// What is ambiguous about a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    BareLf,
    LengthAndCoding,
    Coding,
    SeveralLengths,
    NoHost,
    SeveralHosts,
    Fragment,
}

impl Fault {
    /// For operators and callers alike: names the rule, repeats nothing of the request.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::BareLf => "a line ends in LF without CR",
            Self::LengthAndCoding => "Content-Length and Transfer-Encoding in one request",
            Self::Coding => "a Transfer-Encoding other than exactly chunked",
            Self::SeveralLengths => "more than one Content-Length",
            Self::NoHost => "no Host",
            Self::SeveralHosts => "more than one Host",
            Self::Fragment => "a fragment in the request target",
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum State {
    /// Before the first byte of a head; empty lines are skipped.
    #[default]
    Between,
    Head,
    Length(u64),
    /// In the size line of a chunk: digits so far.
    ChunkSize {
        size: u64,
        extension: bool,
    },
    ChunkData(u64),
    /// After a chunk's data, or in the trailers: waits for this line to end.
    ChunkEnd,
    Trailers {
        line_is_empty: bool,
    },
    /// What follows cannot be told: the connection closes after this request.
    Lost,
}

/// What was seen of the current head.
#[derive(Debug, Default)]
struct Head {
    line: Vec<u8>,
    lines: usize,
    hosts: usize,
    lengths: usize,
    length: Option<u64>,
    codings: usize,
    coding_is_chunked: bool,
    bare_lf: bool,
    fragment: bool,
}

/// A line longer than this is no field we must understand; hyper refuses it by its own limit.
const LINE_KEPT_MAX: usize = 1024;

impl Framing {
    /// Whether a head has begun and not ended.
    pub(super) fn in_head(&self) -> bool {
        self.state == State::Head
    }

    /// Follows further bytes; tells each head's verdict as the head ends.
    pub(super) fn follow(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Verdict)) {
        while let Some((first, rest)) = bytes.split_first() {
            match &mut self.state {
                State::Lost => return,
                State::Between => {
                    // Empty lines before a request line are to be skipped (RFC 9112 section 2.2).
                    if matches!(first, b'\r' | b'\n') {
                        bytes = rest;
                        continue;
                    }
                    let mut line = std::mem::take(&mut self.head.line);
                    line.clear();
                    self.head = Head { line, ..Head::default() };
                    self.state = State::Head;
                }
                State::Head => bytes = self.follow_head(bytes, &mut tell),
                State::Length(left) | State::ChunkData(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= taken as u64;
                    bytes = bytes.get(taken..).unwrap_or_default();
                    if *left == 0 {
                        let chunked = matches!(self.state, State::ChunkData(_));
                        self.state = if chunked { State::ChunkEnd } else { State::Between };
                    }
                }
                State::ChunkSize { size, extension } => {
                    match (first, &extension) {
                        (b'\n', _) if *size == 0 => {
                            self.state = State::Trailers { line_is_empty: true };
                        }
                        (b'\n', _) => self.state = State::ChunkData(*size),
                        (b'\r', _) | (_, true) => {}
                        (digit, _) => match char::from(*digit).to_digit(16) {
                            Some(digit) if *size < 1 << 58 => {
                                *size = *size << 4 | u64::from(digit);
                            }
                            Some(_) => self.state = State::Lost,
                            None => *extension = true,
                        },
                    }
                    bytes = rest;
                }
                State::ChunkEnd => {
                    if *first == b'\n' {
                        self.state = State::ChunkSize { size: 0, extension: false };
                    }
                    bytes = rest;
                }
                State::Trailers { line_is_empty } => {
                    match first {
                        b'\n' if *line_is_empty => self.state = State::Between,
                        b'\n' => *line_is_empty = true,
                        b'\r' => {}
                        _ => *line_is_empty = false,
                    }
                    bytes = rest;
                }
            }
        }
    }

    fn follow_head<'a>(&mut self, bytes: &'a [u8], tell: &mut impl FnMut(Verdict)) -> &'a [u8] {
        let Some(end) = bytes.iter().position(|b| *b == b'\n') else {
            self.head.keep(bytes);
            return &[];
        };
        let (line, rest) = bytes.split_at(end);
        self.head.keep(line);
        let rest = rest.get(1..).unwrap_or_default();
        if self.head.end_line() {
            return rest;
        }
        let verdict = self.head.verdict();
        tell(verdict);
        self.state = match (verdict, self.head.codings, self.head.length) {
            (Some(_), ..) => State::Lost,
            (None, 1, _) => State::ChunkSize { size: 0, extension: false },
            (None, _, Some(length)) if 0 < length => State::Length(length),
            _ if self.head.lengths != 0 && self.head.length.is_none() => State::Lost,
            _ => State::Between,
        };
        rest
    }
}

impl Head {
    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_KEPT_MAX.saturating_sub(self.line.len());
        // The last byte must stay visible: it tells CRLF from LF.
        let kept = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.line.extend_from_slice(kept);
        if kept.len() < bytes.len()
            && let (Some(last), Some(seen)) = (self.line.last_mut(), bytes.last())
        {
            *last = *seen;
        }
    }

    /// Takes the line that just ended; `false` when it was the empty one that ends the head.
    fn end_line(&mut self) -> bool {
        let mut kept = std::mem::take(&mut self.line);
        let crlf = kept.pop_if(|last| *last == b'\r').is_some();
        self.bare_lf |= !crlf;
        self.lines += 1;
        let empty = kept.is_empty();
        if self.lines == 1 {
            let target = kept.split(|b| *b == b' ').nth(1).unwrap_or_default();
            self.fragment = target.contains(&b'#');
        } else {
            self.note_field(&kept);
        }
        kept.clear();
        self.line = kept;
        !empty
    }

    fn note_field(&mut self, line: &[u8]) {
        let mut halves = line.splitn(2, |b| *b == b':');
        let name = halves.next().unwrap_or_default().trim_ascii();
        let value = halves.next().unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths += 1;
            self.length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.codings += 1;
            self.coding_is_chunked = value.eq_ignore_ascii_case(b"chunked");
        }
    }

    fn verdict(&self) -> Verdict {
        let faults = [
            (self.bare_lf, Fault::BareLf),
            (0 < self.lengths && 0 < self.codings, Fault::LengthAndCoding),
            (1 < self.codings || self.codings == 1 && !self.coding_is_chunked, Fault::Coding),
            (1 < self.lengths, Fault::SeveralLengths),
            (self.hosts == 0, Fault::NoHost),
            (1 < self.hosts, Fault::SeveralHosts),
            (self.fragment, Fault::Fragment),
        ];
        faults.into_iter().find(|(found, _)| *found).map(|(_, fault)| fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(bytes: &[u8], step: usize) -> Vec<Verdict> {
        let mut framing = Framing::default();
        let mut told = Vec::new();
        for part in bytes.chunks(step) {
            framing.follow(part, |verdict| told.push(verdict));
        }
        told
    }

    fn check(request: &str, expected: &[Verdict]) {
        for step in [1, 2, 3, 7, 4096] {
            assert_eq!(verdicts(request.as_bytes(), step), expected, "{request:?} by {step}");
        }
    }

    #[test]
    fn plain_requests_pass_one_after_another() {
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[None; 2]);
    }

    #[test]
    fn bodies_are_not_read_as_heads() {
        let inner = "GET / HTTP/1.1\nHost: a\n\n";
        check(
            &format!(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}\
                 POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n\
                 {:x};x=y\r\n{inner}\r\n0\r\nTrailer: 1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
                inner.len(),
                inner.len(),
            ),
            &[None; 3],
        );
    }

    #[test]
    fn each_ambiguity_is_named() {
        for (lines, fault) in [
            ("Host: a\n", Fault::BareLf),
            ("Host: a\r\nX: b\n", Fault::BareLf),
            ("", Fault::NoHost),
            ("Host: a\r\nhost: a\r\n", Fault::SeveralHosts),
            ("Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n", Fault::SeveralLengths),
            (
                "Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
                Fault::LengthAndCoding,
            ),
            ("Host: a\r\nTransfer-Encoding: gzip, chunked\r\n", Fault::Coding),
            ("Host: a\r\nTransfer-Encoding: chunked, chunked\r\n", Fault::Coding),
            (
                "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                Fault::Coding,
            ),
            ("Host: a\r\nTransfer-Encoding: identity\r\n", Fault::Coding),
            ("Host: a\r\nTransfer-Encoding:\r\n", Fault::Coding),
        ] {
            check(&format!("POST / HTTP/1.1\r\n{lines}\r\n"), &[Some(fault)]);
        }
        check("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", &[Some(Fault::Fragment)]);
        check("GET / HTTP/1.1\nHost: a\r\n\r\n", &[Some(Fault::BareLf)]);
        check("GET / HTTP/1.1\r\nHost: a\r\n\n", &[Some(Fault::BareLf)]);
    }

    #[test]
    fn long_lines_keep_their_end() {
        let long = "x".repeat(3000);
        check(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), &[None]);
        check(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\n\r\n"), &[Some(Fault::BareLf)]);
    }

    #[test]
    fn after_an_ambiguity_nothing_more_is_judged() {
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
             0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &[Some(Fault::LengthAndCoding)],
        );
    }
}
