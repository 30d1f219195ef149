//! Files the configuration names: secrets, certificates, key sets.
//!
//! The document holds only their paths. They are read in the same pass as the document, so a
//! configuration and its files change together or not at all, and two configurations compare
//! equal only when the contents of their files do.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::Kind;
use super::text::{EXPECTED_ONE_LINE, is_one_line};
use crate::config::document::Node;
use crate::config::keys::Shape;
use crate::config::reader::Reader;

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

    fn read_content(&mut self, base: &Path) -> io::Result<()> {
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

    fn read_content(&mut self, base: &Path) -> io::Result<()> {
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

/// A file that somebody else keeps fresh, read anew each time its content is needed. Empty path:
/// none. When the configuration is read it must be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveFile {
    path: PathBuf,
    /// The path from the process's own folder.
    at: PathBuf,
}

impl LiveFile {
    /// Whether a path was given.
    pub fn is_set(&self) -> bool {
        !self.path.as_os_str().is_empty()
    }

    /// Where to read it.
    pub fn at(&self) -> &Path {
        &self.at
    }
}

impl Kind for LiveFile {
    type Value = Self;

    fn shape() -> Shape {
        SecretFile::shape()
    }

    fn read(node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let path = PathBuf::from(String::read(node, key, reader)?);
        let at =
            if path.as_os_str().is_empty() { PathBuf::new() } else { reader.base().join(&path) };
        if !path.as_os_str().is_empty()
            && let Err(error) = read_text(&at)
        {
            unreadable(node, key, &path, &error, reader);
        }
        Some(Self { path, at })
    }

    fn write(value: &Self) -> toml::Value {
        value.path.to_string_lossy().into_owned().into()
    }
}

/// How the content of a PEM file begins, and no path.
pub(in crate::config) const CONTENT: &str = "-----BEGIN";

pub(in crate::config) fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // To open a pipe, or to read a device, may take for ever.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let read = std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if FILE_BYTES_MAX < read as u64 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than 4 MiB"));
    }
    Ok(text)
}

/// A kind whose value is what a file holds, named by its path.
macro_rules! files {
    ($($name:ident: $content:expr),*) => {$(
        impl Kind for $name {
            type Value = Self;

            fn shape() -> Shape {
                Shape::Text { expected: None, rule: json!({"not": {"pattern": CONTENT}}) }
            }

            fn read(node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
                let path = PathBuf::from(String::read(node, key, reader)?);
                let mut file = Self { path, ..Self::default() };
                let outcome = file.read_content(reader.base());
                let content: fn(&Self) -> &str = $content;
                reader.has_read(key, content(&file));
                if let Err(error) = outcome {
                    unreadable(node, key, &file.path, &error, reader);
                }
                Some(file)
            }

            fn write(value: &Self) -> toml::Value {
                value.path.to_string_lossy().into_owned().into()
            }
        }
    )*};
}

files!(TextFile: |file| &file.text, SecretFile: |file| file.secret.expose_secret());

/// A secret of one line: a password, not a key in PEM form.
pub(in crate::config) struct Password;

impl Kind for Password {
    type Value = SecretFile;

    fn shape() -> Shape {
        SecretFile::shape()
    }

    fn read(node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<SecretFile> {
        let file = SecretFile::read(node, key, reader)?;
        if !is_one_line(file.secret.expose_secret()) {
            let reason = format!("file {}: {EXPECTED_ONE_LINE}", file.path.display());
            reader.problem(&node.at, key, reason);
        }
        Some(file)
    }

    fn write(value: &SecretFile) -> toml::Value {
        SecretFile::write(value)
    }
}

fn unreadable(node: &Node, key: &str, path: &Path, error: &io::Error, reader: &mut Reader<'_>) {
    let cause = file_error(error);
    reader.has_read(key, &cause);
    let path = reader.base().join(path).display().to_string();
    let reason = if path.contains(CONTENT) || path.contains('\n') {
        "expected the path of a file, found its content".to_owned()
    } else {
        format!("cannot read file {path}: {cause}")
    };
    reader.problem(&node.at, key, reason);
}

/// Why a file could not be read, in a few words.
pub fn file_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        io::ErrorKind::InvalidData if error.get_ref().is_none() => "it is no UTF-8 text".to_owned(),
        _ => error.to_string(),
    }
}
