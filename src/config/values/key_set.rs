//! Key sets (RFC 7517) as documents: which keys they list, not what those are worth.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::file::Content;

/// `{"keys": […]}`, each key as it is written.
#[derive(Debug, Deserialize)]
pub struct KeySetDocument {
    pub keys: Vec<Box<RawValue>>,
}

impl KeySetDocument {
    /// From a file or an issuer's answer; `None` if it is something else.
    pub fn read(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(without_bom(text)).ok()
    }
}

/// Without the byte order mark that RFC 8259 section 8.1 lets a reader ignore.
pub fn without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Only as strict as the room that uses the keys: one bad key spoils no set.
impl Content for KeySetDocument {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        Self::read(text.as_bytes())
            .filter(|set| set.keys.iter().any(|key| key.get().starts_with('{')))
            .ok_or_else(|| {
                " is no key set: expected JSON such as {\"keys\": […]} with at least one key".into()
            })
    }
}
