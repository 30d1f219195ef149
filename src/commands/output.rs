//! What commands print: one writer for all of them, and how it fails.

use std::fmt;
use std::io;
use std::io::{BufWriter, IsTerminal as _, Stdout, Write};

use super::failure::Failure;

/// Standard output. Written when the command has ended, or by [`Output::flush`].
///
/// A reader that goes away early (`| head`) ends the printing and nothing else: the command still
/// finishes, with the exit code it would have had.
pub(super) struct Output {
    to: BufWriter<Pipe<Stdout>>,
    is_terminal: bool,
}

impl Output {
    pub(super) fn stdout() -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        Self { to: BufWriter::new(Pipe { to: stdout, is_closed: false }), is_terminal }
    }

    /// Whether colours make sense: a terminal, and nobody who said otherwise (no-color.org).
    pub(super) fn has_colours(&self) -> bool {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        self.is_terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
    }

    /// What `write!` and `writeln!` call.
    pub(super) fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> Result<(), Failure> {
        self.to.write_fmt(text).map_err(Failure::Output)
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.to.write_all(bytes).map_err(Failure::Output)
    }

    /// Whether there is nobody left to read.
    pub(super) fn is_closed(&self) -> bool {
        self.to.get_ref().is_closed
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.to.flush().map_err(Failure::Output)
    }
}

/// Writes to standard error, for people. There is nowhere left to complain to when that fails.
pub(super) fn complain(text: fmt::Arguments<'_>) {
    io::stderr().write_fmt(text).unwrap_or(());
}

/// Swallows what is written once the other end has been closed.
struct Pipe<W> {
    to: W,
    is_closed: bool,
}

impl<W: Write> Pipe<W> {
    fn unless_closed<T>(
        &mut self,
        done: T,
        act: impl FnOnce(&mut W) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.is_closed {
            return Ok(done);
        }
        match act(&mut self.to) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(done)
            }
            outcome => outcome,
        }
    }
}

impl<W: Write> Write for Pipe<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unless_closed(bytes.len(), |to| to.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_closed((), W::flush)
    }
}
