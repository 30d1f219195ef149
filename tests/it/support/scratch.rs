//! A directory that goes away with its owner.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::support::recording::random_hex;

#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("koodrive-{}", random_hex(6)));
        DirBuilder::new().mode(0o700).create(&path)?; // tokens may lie in it
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into the directory, replacing one of that name in a single step.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> io::Result<PathBuf> {
        let (path, fresh) = (self.0.join(name), self.0.join(format!("{name}.new")));
        std::fs::write(&fresh, content)?;
        std::fs::rename(fresh, &path)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning.
        std::fs::remove_dir_all(&self.0).unwrap_or(());
    }
}
