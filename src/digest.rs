//! SHA-256 over fields that cannot run into each other: "a" + "bc" differs from "ab" + "c".
//!
//! Where a digest decides whose something is (a caller's id, an access token, a configuration
//! that counts as changed), this is the one way it is made.

use aws_lc_rs::{digest, hmac};

/// A digest in the making. Each field goes in behind its length, so the same bytes cut elsewhere
/// make another digest.
pub struct Fields(digest::Context);

impl Fields {
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    pub fn add(&mut self, field: &[u8]) {
        self.0.update(&(field.len() as u64).to_be_bytes());
        self.0.update(field);
    }

    pub fn finish(self) -> [u8; 32] {
        *self.0.finish().as_ref().first_chunk().expect("SHA-256 has 32 bytes")
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self::new()
    }
}

/// SHA-256 as others know it: of the bytes alone.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    *digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

/// [`half_of`], but nobody without `key` can find out which fields were meant by trying.
pub fn keyed_half_of<'f>(key: &hmac::Key, fields: impl IntoIterator<Item = &'f [u8]>) -> [u8; 16] {
    let tag = hmac::sign(key, &of(fields));
    *tag.as_ref().first_chunk().expect("HMAC-SHA-256 has 32 bytes")
}

/// The digest of all fields.
pub fn of<'f>(fields: impl IntoIterator<Item = &'f [u8]>) -> [u8; 32] {
    let mut digest = Fields::new();
    for field in fields {
        digest.add(field);
    }
    digest.finish()
}

/// The first half of [`of`]: still beyond all guessing, where 32 bytes are too long to read.
pub fn half_of<'f>(fields: impl IntoIterator<Item = &'f [u8]>) -> [u8; 16] {
    *of(fields).first_chunk().expect("32 bytes have 16")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cut_elsewhere_make_another_digest() {
        let cuts: [&[&[u8]]; 5] = [&[b"abc"], &[b"a", b"bc"], &[b"ab", b"c"], &[b"abc", b""], &[]];
        let digests = cuts.map(|fields| of(fields.iter().copied()));
        for (at, digest) in digests.iter().enumerate() {
            assert!(!digests[..at].contains(digest), "{:?}", cuts[at]);
        }
        assert_eq!(of([b"a".as_slice(), b"bc"]), digests[1]);
        assert_eq!(half_of([b"a".as_slice(), b"bc"]), digests[1][..16]);
    }
}
