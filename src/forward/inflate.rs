//! Inflates a compressed answer as far as it takes to read its envelope, and asks for none that
//! could not be read.
//!
//! The bytes that go to the caller stay as they came; only the judgement sees the plain ones.

use std::io::Read;

use bytes::Bytes;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderMap, HeaderValue};

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Deflate,
}

impl Coding {
    /// By `Content-Encoding`; `None` for codings that are not read here, and for several at once.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut codings = headers.get_all(CONTENT_ENCODING).iter();
        let Some(coding) = codings.next() else { return Some(Self::Identity) };
        if codings.next().is_some() {
            return None;
        }
        Self::named(coding.to_str().ok()?)
    }

    fn named(name: &str) -> Option<Self> {
        const NAMES: [(&str, Coding); 5] = [
            ("", Coding::Identity),
            ("identity", Coding::Identity),
            ("gzip", Coding::Gzip),
            ("x-gzip", Coding::Gzip),
            ("deflate", Coding::Deflate),
        ];
        let name = name.trim();
        let named = NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        named.map(|(_, coding)| *coding)
    }

    /// The plain bytes of `body`. `None` when they are more than `bytes_max`, or when it is not what
    /// it says it is; no more than one byte beyond is inflated. Where `body` was cut off, what is
    /// read may be so, too.
    pub(super) fn plain(self, body: Bytes, bytes_max: usize) -> Option<Bytes> {
        let bytes = body.as_ref();
        let plain = match self {
            Self::Identity => return (body.len() <= bytes_max).then_some(body),
            Self::Gzip => read_up_to(MultiGzDecoder::new(bytes), bytes_max),
            // Named for the format, sent in its zlib wrapping (RFC 9110 section 8.4.1.2); some
            // servers leave that out.
            Self::Deflate => read_up_to(ZlibDecoder::new(bytes), bytes_max)
                .or_else(|| read_up_to(DeflateDecoder::new(bytes), bytes_max)),
        };
        plain.map(Bytes::from)
    }
}

fn read_up_to(plain: impl Read, bytes_max: usize) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    plain.take(bytes_max as u64 + 1).read_to_end(&mut read).ok()?;
    (read.len() <= bytes_max).then_some(read)
}

/// Leaves of `Accept-Encoding` only the codings whose answers can be judged. A field that would
/// be empty then says `identity`; without one the caller takes what comes, which is `identity`
/// from every server that is not asked otherwise.
pub(super) fn reduce_accept_encoding(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(ACCEPT_ENCODING).iter().peekable();
    if lines.peek().is_none() {
        return;
    }
    let mut kept = String::new();
    for item in lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')) {
        let name = item.split(';').next().unwrap_or_default();
        if !name.trim().is_empty() && Coding::named(name).is_some() {
            kept.push_str(if kept.is_empty() { "" } else { ", " });
            kept.push_str(item.trim());
        }
    }
    let value = match kept.as_str() {
        "" | "identity" => HeaderValue::from_static("identity"),
        _ => HeaderValue::try_from(kept).expect("made of parts of legal values"),
    };
    headers.insert(ACCEPT_ENCODING, value);
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const MAX: usize = 64 * 1024;

    fn compressed(plain: &[u8]) -> [(Coding, Bytes); 4] {
        let best = Compression::best();
        let mut gzip = GzEncoder::new(Vec::new(), best);
        let mut zlib = ZlibEncoder::new(Vec::new(), best);
        let mut raw = DeflateEncoder::new(Vec::new(), best);
        gzip.write_all(plain).unwrap();
        zlib.write_all(plain).unwrap();
        raw.write_all(plain).unwrap();
        [
            (Coding::Identity, plain.to_vec().into()),
            (Coding::Gzip, gzip.finish().unwrap().into()),
            (Coding::Deflate, zlib.finish().unwrap().into()),
            (Coding::Deflate, raw.finish().unwrap().into()),
        ]
    }

    #[test]
    fn what_was_compressed_is_read_up_to_the_bound_and_not_beyond() {
        for (length, fits) in [(0, true), (20, true), (MAX, true), (MAX + 1, false)] {
            let plain = vec![b' '; length];
            for (coding, body) in compressed(&plain) {
                let expected = fits.then(|| plain.clone().into());
                assert_eq!(coding.plain(body, MAX), expected, "{coding:?} {length}");
            }
        }
    }

    #[test]
    fn ten_mebibytes_cost_no_inflating_beyond_the_bound() {
        struct Counting<R>(R, usize);
        impl<R: Read> Read for Counting<R> {
            fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
                let read = self.0.read(into)?;
                self.1 += read;
                Ok(read)
            }
        }
        let bomb = compressed(&vec![b' '; 10 * 1024 * 1024]);
        let (_, gzip) = &bomb[1];
        assert!(gzip.len() < MAX, "small on the wire");
        let mut counting = Counting(MultiGzDecoder::new(gzip.as_ref()), 0);
        assert_eq!(read_up_to(&mut counting, MAX), None);
        assert!(counting.1 <= MAX + 1, "{} bytes were inflated", counting.1);
    }

    #[test]
    fn what_is_of_another_coding_than_it_says_is_not_read() {
        for (coding, body) in compressed(b"{\"code\":\"APIGW.0307\"}") {
            if coding == Coding::Gzip {
                assert_eq!(coding.plain(body.slice(..body.len() - 6), MAX), None, "{coding:?}");
            }
            if coding != Coding::Identity {
                assert_eq!(
                    coding.plain(Bytes::from_static(b"{\"code\":0}"), MAX),
                    None,
                    "{coding:?}"
                );
            }
        }
        for (value, expected) in [
            ("gzip", Some(Coding::Gzip)),
            ("X-GZIP", Some(Coding::Gzip)),
            (" deflate ", Some(Coding::Deflate)),
            ("identity", Some(Coding::Identity)),
            ("br", None),
            ("zstd", None),
            ("gzip, gzip", None),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_ENCODING, value.parse().unwrap())]);
            assert_eq!(Coding::of(&headers), expected, "{value}");
        }
        assert_eq!(Coding::of(&HeaderMap::new()), Some(Coding::Identity));
    }

    #[test]
    fn only_codings_that_can_be_judged_are_asked_for() {
        for (lines, expected) in [
            (&["gzip, deflate"][..], "gzip, deflate"),
            (&["gzip, deflate, br, zstd"], "gzip, deflate"),
            (&["br;q=1.0, gzip;q=0.8, *;q=0.1"], "gzip;q=0.8"),
            (&["br", "GZIP"], "GZIP"),
            (&["br"], "identity"),
            (&["*"], "identity"),
            (&[""], "identity"),
            (&["identity;q=1, br"], "identity;q=1"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(ACCEPT_ENCODING, line.parse().unwrap());
            }
            reduce_accept_encoding(&mut headers);
            let found: Vec<_> = headers.get_all(ACCEPT_ENCODING).iter().collect();
            assert_eq!(found, [expected], "{lines:?}");
        }
        let mut none = HeaderMap::new();
        reduce_accept_encoding(&mut none);
        assert!(none.is_empty());
    }
}
