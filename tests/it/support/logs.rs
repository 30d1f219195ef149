//! The lines a gateway writes, as they come.

use std::io;
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;

use crate::support::time::until;

/// Clones share the lines.
#[derive(Clone, Default)]
pub struct Logs(Arc<Shared>);

#[derive(Default)]
struct Shared {
    lines: Mutex<Lines>,
    changed: Notify,
}

#[derive(Default)]
struct Lines {
    whole: Vec<String>,
    begun: Vec<u8>,
    ended: bool,
}

impl Logs {
    /// Everything written so far, whole lines only.
    pub fn lines(&self) -> Vec<String> {
        self.lock().whole.clone()
    }

    /// How many whole lines there are.
    pub fn count(&self) -> usize {
        self.lock().whole.len()
    }

    /// The lines behind the first so many.
    pub fn behind(&self, lines: usize) -> String {
        self.lock().whole.get(lines..).unwrap_or_default().join("\n")
    }

    /// Everything written so far, parsed; what is not JSON is left out.
    pub fn json(&self) -> Vec<Value> {
        self.lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for the first line that is JSON and fits; `None` when none comes in time, or at all.
    pub async fn wait_for(
        &self,
        within: Duration,
        mut fits: impl FnMut(&Value) -> bool,
    ) -> Option<Value> {
        let found = until(&self.0.changed, within, || {
            let ended = self.lock().ended;
            let found = self.json().into_iter().find(&mut fits);
            (found.is_some() || ended).then_some(found)
        });
        found.await.flatten()
    }

    /// Waits for the access-log line of the call with this X-Traceid.
    pub async fn of_call(&self, x_traceid: &str, within: Duration) -> Option<Value> {
        let fits = |line: &Value| line["traceid"] == x_traceid && line.get("status").is_some();
        self.wait_for(within, fits).await
    }

    /// Reads lines until the other end closes, on a thread of its own.
    pub fn follow(&self, from: impl Read + Send + 'static) -> JoinHandle<()> {
        let mut logs = self.clone();
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|bytes| 0 < bytes) {
                logs.write_all(&line).expect("memory takes every line");
                line.clear();
            }
            logs.lock().ended = true;
            logs.0.changed.notify_waiters();
        })
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lines.lock().expect("no holder panics")
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = self.lock();
        lines.begun.extend_from_slice(bytes);
        while let Some(end) = lines.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = lines.begun.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]).into_owned();
            lines.whole.push(line);
        }
        drop(lines);
        self.0.changed.notify_waiters();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
