//! Files the configuration names: secrets, certificates, key sets.
//!
//! The document holds only their paths. [`super::load()`] reads them all in the same pass, so a
//! configuration and its files change together or not at all, and two configurations compare
//! equal only when the contents of their files do.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Largest file the configuration may name, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A file whose content is public: certificates, key sets, maps. Empty path: none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TextFile {
    path: PathBuf,
    text: Arc<str>,
}

impl TextFile {
    /// Whether a path was given.
    pub fn is_set(&self) -> bool {
        !self.path.as_os_str().is_empty()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content, as of the last load; empty when no path was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn read(&mut self, base: &Path) -> io::Result<()> {
        if self.is_set() {
            self.text = read_text(&base.join(&self.path))?.into();
        }
        Ok(())
    }
}

/// A file whose content is a secret. Empty path: none.
#[derive(Clone, Default)]
pub struct SecretFile {
    path: PathBuf,
    secret: SecretString,
}

impl SecretFile {
    /// Whether a path was given.
    pub fn is_set(&self) -> bool {
        !self.path.as_os_str().is_empty()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content without its trailing line end, as of the last load.
    pub fn secret(&self) -> &SecretString {
        &self.secret
    }

    fn read(&mut self, base: &Path) -> io::Result<()> {
        if self.is_set() {
            let mut text = read_text(&base.join(&self.path))?;
            if text.ends_with('\n') {
                text.pop();
                if text.ends_with('\r') {
                    text.pop();
                }
            }
            if text.is_empty() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty"));
            }
            self.secret = text.into();
        }
        Ok(())
    }
}

impl PartialEq for SecretFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.secret.expose_secret() == other.secret.expose_secret()
    }
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl fmt::Debug for TextFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// How the content of a PEM file begins, and no path.
pub(super) const CONTENT: &str = "-----BEGIN";

pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if FILE_BYTES_MAX < read as u64 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than 4 MiB"));
    }
    Ok(text)
}

/// A file a configuration names, of either kind.
pub(super) enum NamedFile<'c> {
    Text(&'c mut TextFile),
    Secret(&'c mut SecretFile),
}

impl NamedFile<'_> {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Text(file) => &file.path,
            Self::Secret(file) => &file.path,
        }
    }

    pub(super) fn read(&mut self, base: &Path) -> io::Result<()> {
        match self {
            Self::Text(file) => file.read(base),
            Self::Secret(file) => file.read(base),
        }
    }

    /// What was read. For digests, never for print.
    pub(super) fn content(&self) -> &str {
        match self {
            Self::Text(file) => &file.text,
            Self::Secret(file) => file.secret.expose_secret(),
        }
    }
}

/// Why a file could not be read, in a few words.
pub(super) fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        io::ErrorKind::InvalidData if error.get_ref().is_none() => "it is no UTF-8 text".to_owned(),
        _ => error.to_string(),
    }
}

macro_rules! written_as_path {
    ($($name:ty),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Ok(Self { path: PathBuf::deserialize(from)?, ..Self::default() })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                self.path.serialize(to)
            }
        }
    )*};
}

written_as_path!(TextFile, SecretFile);
