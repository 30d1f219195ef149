//! Secrets of a world, every disguise in which they could come out, and the net that finds them.
//!
//! Whoever makes a secret here notes it ([`Canaries`]), whether or not a test thinks of it. When a
//! world ends, everything its gateways and its collector have put out is searched for all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::support::recording::hex;

/// Shorter ones would be found by chance.
const SECRET_BYTES_MIN: usize = 12;
/// A long secret that is betrayed in part is betrayed, so it is looked for in pieces.
const PIECE_BYTES: usize = 32;

/// Secrets, and what each of them is. Clones share them. The default takes no notes: simulators
/// that serve for long, to people with secrets of any length, need none.
#[derive(Clone, Default)]
pub struct Canaries(Option<Arc<Mutex<Secrets>>>);

/// Secret → what it is.
type Secrets = BTreeMap<String, &'static str>;

impl Canaries {
    pub fn keeping() -> Self {
        Self(Some(Arc::default()))
    }

    /// Whoever notes a secret first says what it is.
    ///
    /// # Panics
    /// When the secret is so short that it would be found by chance: use a longer one.
    pub fn note(&self, of: &'static str, secret: &str) {
        let Some(secrets) = &self.0 else { return };
        assert!(SECRET_BYTES_MIN <= secret.len(), "{of} is too short to be looked for");
        secrets.lock().expect("no holder panics").entry(secret.to_owned()).or_insert(of);
    }

    /// What stands in `Authorization` headers behind the scheme, where it is long enough.
    pub fn note_credentials(&self, of: &'static str, headers: &HeaderMap) {
        for value in headers.get_all(AUTHORIZATION) {
            let value = value.to_str().unwrap_or_default();
            let (_, secret) = value.split_once(' ').unwrap_or(("", value));
            let secret = secret.rsplit_once("Signature=").map_or(secret, |(_, made)| made);
            if secret.contains('.') {
                self.note_token(of, secret);
            } else if SECRET_BYTES_MIN <= secret.len() {
                self.note(of, secret);
            }
        }
    }

    /// The parts of a JSON Web Token that nobody can guess: all but its header.
    pub fn note_token(&self, of: &'static str, token: &str) {
        for part in token.split('.').skip(1).filter(|part| SECRET_BYTES_MIN <= part.len()) {
            self.note(of, part);
        }
    }

    /// The content of a file: the lines of a key in PEM form, or one line that is the secret.
    pub fn note_file(&self, of: &'static str, content: &str) {
        let secret = |line: &&str| SECRET_BYTES_MIN <= line.len() && !line.starts_with("-----");
        content.lines().filter(secret).for_each(|line| self.note(of, line));
    }

    /// Some of them, by what they are.
    #[must_use]
    pub fn only(&self, of: &[&str]) -> Self {
        let mut some = self.noted();
        some.retain(|_, what| of.contains(what));
        Self(Some(Arc::new(Mutex::new(some))))
    }

    pub fn net(&self) -> Net {
        let mut net = Net { needles: Vec::new(), by_head: HashMap::new(), heads: Heads::default() };
        for (secret, of) in self.noted() {
            for piece in pieces(&secret) {
                for needle in disguises(piece) {
                    net.add(of, needle);
                }
            }
        }
        net
    }

    fn noted(&self) -> Secrets {
        let noted =
            self.0.as_ref().map(|secrets| secrets.lock().expect("no holder panics").clone());
        noted.unwrap_or_default()
    }
}

/// Cut so that every character is in a piece and no piece is short.
fn pieces(secret: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = secret;
    while 2 * PIECE_BYTES <= rest.len()
        && let Some((piece, after)) = rest.split_at_checked(PIECE_BYTES)
    {
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

/// Everything a secret looks like to someone who could read it back.
pub fn disguises(secret: &str) -> BTreeSet<String> {
    let spelt = [
        secret.to_owned(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        Value::from(secret).to_string().trim_matches('"').to_owned(),
    ];
    let mut needles = BTreeSet::new();
    for spelling in spelt {
        // Inside other bytes base64 takes one of three shapes; only its middle is sure.
        for skipped in 0..3 {
            let whole = (spelling.len() - skipped) / 3 * 3;
            let middle = &spelling.as_bytes()[skipped..skipped + whole];
            needles.insert(STANDARD_NO_PAD.encode(middle));
            needles.insert(URL_SAFE_NO_PAD.encode(middle));
        }
        needles.insert(spelling);
    }
    let (lower, list) = (hex(secret.as_bytes()), format!("{:?}", secret.as_bytes()));
    needles.insert(lower.to_ascii_uppercase());
    needles.insert(lower);
    needles.insert(list.trim_matches(['[', ']']).to_owned());
    needles
}

/// All disguises of many secrets, looked for in one pass.
pub struct Net {
    needles: Vec<(&'static str, String)>,
    /// The first eight bytes of a needle → the needles that begin so.
    by_head: HashMap<u64, Vec<usize>>,
    heads: Heads,
}

impl Net {
    fn add(&mut self, of: &'static str, needle: String) {
        let head = needle.bytes().take(8).fold(0, pushed);
        self.heads.add(head);
        self.by_head.entry(head).or_default().push(self.needles.len());
        self.needles.push((of, needle));
    }

    /// What stands in `hay` that must not, and what is around it.
    pub fn find(&self, hay: &[u8]) -> Option<String> {
        let mut window = 0;
        for (at, byte) in hay.iter().enumerate() {
            window = pushed(window, *byte);
            if at < 7 || !self.heads.may_have(window) {
                continue;
            }
            let begins = at - 7;
            for needle in self.by_head.get(&window).into_iter().flatten() {
                let (of, needle) = &self.needles[*needle];
                if hay[begins..].starts_with(needle.as_bytes()) {
                    let around = begins.saturating_sub(300)..(at + 300).min(hay.len());
                    let around = String::from_utf8_lossy(&hay[around]);
                    return Some(format!("{of}, as {needle}:\n…{around}…"));
                }
            }
        }
        None
    }

    /// # Panics
    /// When a secret stands in `hay`.
    pub fn find_none_in(&self, hay: &[u8], place: &str) {
        if let Some(found) = self.find(hay) {
            panic!("in {place} stands {found}");
        }
    }
}

/// The last eight bytes, as one number.
fn pushed(window: u64, byte: u8) -> u64 {
    window << 8 | u64::from(byte)
}

/// Says "no" to almost every window that no needle begins with, without looking it up.
struct Heads(Vec<bool>);

impl Default for Heads {
    fn default() -> Self {
        Self(vec![false; 1 << 18])
    }
}

impl Heads {
    fn place(head: u64) -> usize {
        usize::try_from(head.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 46).expect("18 bits")
    }

    fn add(&mut self, head: u64) {
        self.0[Self::place(head)] = true;
    }

    fn may_have(&self, head: u64) -> bool {
        self.0[Self::place(head)]
    }
}
