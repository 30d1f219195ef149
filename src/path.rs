//! How servers read a path.
//!
//! Two answers: the one reading on which all servers agree, for rules about paths, and every
//! reading that some lenient server might make of it, so that no spelling escapes a rule. Both take
//! time linear in the length of the path. Pure.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// A path that all servers read alike: escapes undone once, empty and dot segments resolved
/// (RFC 3986 sections 5.2.4 and 6.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath<'a>(Vec<Cow<'a, str>>);

/// The path cannot be normalised: servers differ in what they make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path can be read in more than one way")]
pub struct AmbiguousPath;

impl<'a> CanonicalPath<'a> {
    /// Refuses separators and backslashes behind an escape, path parameters (`;`), escapes behind
    /// escapes, control characters, bytes that are not UTF-8, and segments that begin or end with
    /// white space or end with a dot.
    pub fn of(path: &'a str) -> Result<Self, AmbiguousPath> {
        let mut kept: Vec<Cow<'a, str>> = Vec::new();
        for segment in path.split('/') {
            let segment = percent_decode(segment.as_bytes());
            let segment = segment.decode_utf8().map_err(|_| AmbiguousPath)?;
            match &*segment {
                "" | "." => {}
                ".." => {
                    kept.pop();
                }
                text if is_ambiguous(text) => return Err(AmbiguousPath),
                _ => kept.push(segment),
            }
        }
        Ok(Self(kept))
    }

    /// The segments, decoded; never empty ones. Compare them without regard to ASCII case.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator + Clone {
        self.0.iter().map(|segment| &**segment)
    }

    /// Whether the first segments are `head`, but for ASCII case.
    pub fn begins_with(&self, head: &[String]) -> bool {
        let alike = self.segments().zip(head).filter(|(a, b)| a.eq_ignore_ascii_case(b));
        alike.count() == head.len()
    }

    /// Whether the last segments are `tail`, but for ASCII case; how many stand before them.
    pub fn ends_with(&self, tail: &[&str]) -> Option<usize> {
        let before = self.0.len().checked_sub(tail.len())?;
        let alike = self.segments().skip(before).zip(tail).all(|(a, b)| a.eq_ignore_ascii_case(b));
        alike.then_some(before)
    }
}

fn is_ambiguous(segment: &str) -> bool {
    let trimmed = segment.trim_end_matches('.').trim();
    trimmed.len() < segment.len()
        || segment.contains(['/', '\\', ';'])
        || segment.chars().any(char::is_control)
        || is_escaped(segment.as_bytes())
}

fn is_escaped(text: &[u8]) -> bool {
    text.windows(3)
        .any(|at| at[0] == b'%' && at[1].is_ascii_hexdigit() && at[2].is_ascii_hexdigit())
}

/// Whether some lenient server might read `path` as one of which `is` says so. The segments are in
/// lower case, without path parameters, white space and control characters.
///
/// Servers differ in how often they undo escapes, and in whether they drop path parameters and
/// resolve dots before that or after; each order is tried. A path that still changes after
/// `DECODINGS_MAX` rounds is refused: no client needs it.
pub fn any_reading(path: &str, is: impl FnMut(&[&str]) -> bool) -> Result<bool, AmbiguousPath> {
    Reader::default().any_reading(path, is)
}

/// How often escapes are undone.
const DECODINGS_MAX: u32 = 3;

/// Counts the bytes it visits, so that a test can hold it to its promise.
#[derive(Debug, Default)]
struct Reader {
    visited: usize,
}

impl Reader {
    fn any_reading(
        &mut self,
        path: &str,
        mut is: impl FnMut(&[&str]) -> bool,
    ) -> Result<bool, AmbiguousPath> {
        // At most twice as many texts in each round: 1, 2, 4, 8.
        let mut texts = vec![path.as_bytes().to_vec()];
        for _ in 0..=DECODINGS_MAX {
            let mut decoded = Vec::new();
            for text in &texts {
                let lenient = self.lenient(text);
                if is(&self.segments(&lenient)) {
                    return Ok(true);
                }
                let resolved = self.resolve(text);
                decoded.extend([text, &resolved].into_iter().filter_map(|text| self.decode(text)));
            }
            if decoded.is_empty() {
                return Ok(false);
            }
            decoded.sort_unstable();
            decoded.dedup();
            texts = decoded;
        }
        Err(AmbiguousPath)
    }

    /// Undoes escapes once; `None` when there are none.
    fn decode(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        self.visited += text.len();
        is_escaped(text).then(|| percent_decode(text).collect())
    }

    /// Without path parameters and dot segments, as a server has it that looks for them before it
    /// undoes escapes.
    fn resolve(&mut self, text: &[u8]) -> Vec<u8> {
        self.visited += text.len();
        let mut kept: Vec<&[u8]> = Vec::new();
        for segment in text.split(|byte| *byte == b'/') {
            let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
            match name {
                b"" | b"." => {}
                b".." => {
                    kept.pop();
                }
                name => kept.push(name),
            }
        }
        let mut whole = vec![b'/'];
        whole.extend_from_slice(&kept.join(&b'/'));
        whole
    }

    /// `\` as `/`, white space and control characters dropped, case folded.
    fn lenient(&mut self, text: &[u8]) -> String {
        self.visited += text.len();
        let mut bytes = text.to_vec();
        // Overlong UTF-8 for `/` and `\`, which lenient decoders accept.
        for at in 1..bytes.len() {
            if matches!([bytes[at - 1], bytes[at]], [0xc0, 0xaf] | [0xc1, 0x9c]) {
                bytes[at - 1] = b'/';
                bytes[at] = b'/';
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let visible = text.chars().filter(|c| !c.is_whitespace() && !c.is_control());
        let visible: String = visible.map(|c| if c == '\\' { '/' } else { c }).collect();
        if visible.is_ascii() {
            return visible.to_ascii_lowercase();
        }
        // Upper, then lower: folds letters such as the Kelvin sign that have no other ASCII form.
        visible.to_uppercase().to_lowercase()
    }

    fn segments<'a>(&mut self, text: &'a str) -> Vec<&'a str> {
        self.visited += text.len();
        let mut kept: Vec<&str> = Vec::new();
        for segment in text.split('/') {
            match segment.split(';').next().unwrap_or_default() {
                "" | "." => {}
                ".." => {
                    kept.pop();
                }
                name => kept.push(name),
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_all_servers_read_alike_has_one_form() {
        for (path, segments) in [
            ("/a/b", &["a", "b"][..]),
            ("//a///b/", &["a", "b"]),
            ("/a/./x/../b/.", &["a", "b"]),
            ("/%61/x/%2E%2e/b", &["a", "b"]),
            ("/../../a", &["a"]),
            ("/%E4%B8%AD%20x.txt", &["中 x.txt"]),
            ("/100%25.txt", &["100%.txt"]),
            ("/C%23/a%3fb", &["C#", "a?b"]),
            ("/", &[]),
        ] {
            let path = CanonicalPath::of(path).unwrap();
            assert_eq!(path.segments().collect::<Vec<_>>(), segments);
        }
    }

    #[test]
    fn what_servers_read_differently_has_none() {
        for path in [
            "/a%2fb",
            "/a%5cb",
            "/a\\b",
            "/a;x=1/b",
            "/a%3bx",
            "/a%2541",
            "/a%00",
            "/a%09b",
            "/a%20/b",
            "/%20a",
            "/a./b",
            "/a%c0%afb",
            "/a%ff",
            "/a.%20",
        ] {
            assert_eq!(CanonicalPath::of(path), Err(AmbiguousPath), "{path}");
        }
    }

    fn reads_as(path: &str, wanted: &[&str]) -> Result<bool, AmbiguousPath> {
        any_reading(path, |segments| segments == wanted)
    }

    #[test]
    fn every_order_of_leniencies_is_tried() {
        for path in [
            "/a/b",
            "/A/%42",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "/a;x/b;y",
            "/a/b%20",
            "/a/%00b",
            "/a/%2562",
            "/a/%252562",
            "/a%c0%afb",
            // Parameters dropped before the escape is undone, and after.
            "/a/b;%2f..",
            "/a%3bx/b",
            "/a/b;%252f..",
            // Dots resolved before the escape is undone.
            "/a/x%252fy/../%2562",
            "/a/\u{212a}/../b",
        ] {
            assert_eq!(reads_as(path, &["a", "b"]), Ok(true), "{path}");
        }
        assert_eq!(reads_as("/\u{212a}", &["k"]), Ok(true), "the Kelvin sign");
        for path in ["/a/c", "/a/b/c", "/ab", "/a/b%2fc", "/a/100%25"] {
            assert_eq!(reads_as(path, &["a", "b"]), Ok(false), "{path}");
        }
        assert_eq!(reads_as("/a/%25252562", &["a", "b"]), Err(AmbiguousPath));
    }

    /// Pieces of which hostile paths are made.
    fn piece() -> impl Strategy<Value = &'static str> {
        const PIECES: [&str; 24] = [
            "%",
            "25",
            "%25",
            "%2525",
            "2",
            "5",
            "%2f",
            "%5c",
            "\\",
            "/",
            "//",
            ".",
            "..",
            "/../",
            ";",
            ";x",
            "%3b",
            "a",
            "preverify",
            "%20",
            "%00",
            "%c0%af",
            "\u{212a}",
            "中",
        ];
        prop::sample::select(&PIECES[..])
    }

    proptest! {
        /// Whatever the path: at most 15 texts are read, each at most six times over, and none of
        /// them is longer than the path but for folded letters.
        #[test]
        fn the_work_is_linear_in_the_length(
            pieces in prop::collection::vec(piece(), 0..40),
            times in 1..200_usize,
        ) {
            let path = pieces.concat().repeat(times);
            let mut reader = Reader::default();
            let mut seen = 0;
            let outcome = reader.any_reading(&path, |segments| {
                seen += segments.len();
                false
            });
            prop_assert!(reader.visited <= 15 * 6 * path.len() + 15, "{} of {}", reader.visited, path.len());
            prop_assert!(seen <= 15 * (path.len() + 1));
            prop_assert_ne!(outcome, Ok(true));
        }

        /// A path that has one form is among its own readings.
        #[test]
        fn the_canonical_form_is_one_of_the_readings(pieces in prop::collection::vec(piece(), 0..12)) {
            let path = format!("/{}", pieces.concat());
            if let Ok(canonical) = CanonicalPath::of(&path) {
                let wanted: Vec<String> = canonical
                    .segments()
                    .map(|segment| segment.replace(char::is_whitespace, "").to_uppercase().to_lowercase())
                    .collect();
                let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
                prop_assert_eq!(reads_as(&path, &wanted), Ok(true), "{}", path);
            }
        }
    }
}
