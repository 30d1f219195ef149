//! Files the configuration names: secrets, certificates, key sets.
//!
//! The document holds only their paths. They are read in the same pass as the document, so a
//! configuration and its files change together or not at all, and two configurations compare
//! equal only when the contents of their files do.

use std::borrow::Cow;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::Kind;
use super::text::{AnyText, EXPECTED_ONE_LINE, is_one_line};
use crate::config::document::Node;
use crate::config::keys::Shape;
use crate::config::reader::Reader;
use crate::digest;

/// Largest file the configuration may name, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What a file can hold.
pub(in crate::config) trait Content: Sized {
    /// Reads it. What is wrong is said so that it can stand behind "file PATH".
    fn parse(text: &str) -> Result<Self, Cow<'static, str>>;
}

/// A file and what it holds, as of the last load. Empty path: none.
pub struct File<C> {
    path: PathBuf,
    content: Option<Arc<C>>,
    /// Of its text: files are equal when their paths and texts are.
    digest: [u8; 32],
}

impl<C> File<C> {
    /// Whether a path was given.
    pub fn is_set(&self) -> bool {
        !self.path.as_os_str().is_empty()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// None when no path was given.
    pub fn content(&self) -> Option<&Arc<C>> {
        self.content.as_ref()
    }
}

impl<C> Default for File<C> {
    fn default() -> Self {
        Self { path: PathBuf::new(), content: None, digest: [0; 32] }
    }
}

impl<C> Clone for File<C> {
    fn clone(&self) -> Self {
        Self { path: self.path.clone(), content: self.content.clone(), digest: self.digest }
    }
}

impl<C> PartialEq for File<C> {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.digest == other.digest
    }
}

impl<C> fmt::Debug for File<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<C: Content> Kind for File<C> {
    type Value = Self;

    fn shape() -> Shape {
        path_shape()
    }

    fn read(node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let (path, text) = path_and_text(node, key, reader)?;
        let mut file = Self { path, ..Self::default() };
        if let Some(text) = text {
            let text = text.expose_secret();
            reader.has_read(key, text);
            file.digest = digest::of([text.as_bytes()]);
            match C::parse(text) {
                Ok(content) => file.content = Some(Arc::new(content)),
                Err(fault) => {
                    let reason = format!("file {}{fault}", file.path.display());
                    reader.problem(&node.at, key, reason);
                }
            }
        }
        Some(file)
    }

    fn write(value: &Self) -> toml::Value {
        value.path.to_string_lossy().into_owned().into()
    }
}

/// A secret, without the line end behind it.
pub struct Secret(SecretString);

/// A secret of one line: a password, not a key in PEM form.
pub struct Password(SecretString);

impl Content for Secret {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let text =
            text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        if text.is_empty() { Err(" is empty".into()) } else { Ok(Self(text.into())) }
    }
}

impl Content for Password {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let Secret(secret) = Secret::parse(text)?;
        if is_one_line(secret.expose_secret()) {
            Ok(Self(secret))
        } else {
            Err(format!(": {EXPECTED_ONE_LINE}").into())
        }
    }
}

impl File<Secret> {
    /// None without a file.
    pub fn secret(&self) -> Option<&SecretString> {
        self.content.as_deref().map(|Secret(secret)| secret)
    }
}

impl File<Password> {
    /// None without a file.
    pub fn password(&self) -> Option<&SecretString> {
        self.content.as_deref().map(|Password(secret)| secret)
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

    /// Where it is.
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// What it holds now. Blocks.
    pub fn read_now(&self) -> io::Result<SecretString> {
        read_text(&self.at).map(SecretString::from)
    }
}

impl Kind for LiveFile {
    type Value = Self;

    fn shape() -> Shape {
        path_shape()
    }

    fn read(node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let (path, _) = path_and_text(node, key, reader)?;
        let mut file = Self { path, ..Self::default() };
        if let Some(base) = reader.base().filter(|_| file.is_set()) {
            file.at = base.join(&file.path);
        }
        Some(file)
    }

    fn write(value: &Self) -> toml::Value {
        value.path.to_string_lossy().into_owned().into()
    }
}

/// How the content of a PEM file begins, and no path.
const CONTENT: &str = "-----BEGIN";

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

/// The path that is written, and what the file holds; nothing where none is written, or where it
/// cannot be read.
fn path_and_text(
    node: &Node,
    key: &str,
    reader: &mut Reader<'_>,
) -> Option<(PathBuf, Option<SecretString>)> {
    let path = PathBuf::from(AnyText::read(node, key, reader)?);
    let Some(base) = reader.base().filter(|_| !path.as_os_str().is_empty()) else {
        return Some((path, None));
    };
    let at = base.join(&path);
    let text = read_text(&at).map(SecretString::from);
    let text = text.inspect_err(|error| unreadable(node, key, &at, error, reader)).ok();
    Some((path, text))
}

/// The path of a file; nobody writes there what the file should hold.
fn path_shape() -> Shape {
    Shape::Text { expected: None, rule: json!({"not": {"pattern": CONTENT}}) }
}

fn unreadable(node: &Node, key: &str, at: &Path, error: &io::Error, reader: &mut Reader<'_>) {
    let cause = file_error(error);
    reader.has_read(key, &cause);
    let path = at.display().to_string();
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
