//! The threads that serve connections, each with a runtime of its own.
//!
//! A connection stays with the worker it was given to, and so do its calls and the connections to
//! KooDrive that they use. Measured at two workers: a scheduler that threads share costs each call a
//! tenth more, for wake-ups across threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{io, thread};

use tokio::runtime::{Builder, Handle};

/// Whom connections are given to, in turn. Clones take turns together.
#[derive(Clone, Debug, Default)]
pub struct Workers {
    others: Arc<[Handle]>,
    turns: Arc<AtomicUsize>,
}

impl Workers {
    /// So many: whoever asks for the [`next`](Self::next), and threads that live as long as the
    /// process. The default is the former alone.
    pub fn start(count: usize) -> io::Result<Self> {
        let others = (1..count).map(start).collect::<io::Result<_>>()?;
        Ok(Self { others, turns: Arc::default() })
    }

    /// The worker whose turn it is. Within a runtime.
    pub fn next(&self) -> Handle {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed) % (self.others.len() + 1);
        self.others.get(turn).cloned().unwrap_or_else(Handle::current)
    }
}

fn start(number: usize) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let serve = move || runtime.block_on(std::future::pending::<()>());
    thread::Builder::new().name(format!("worker-{number}")).spawn(serve)?;
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn workers_take_turns_whoever_asks_first() {
        let workers = Workers::start(3).unwrap();
        let mut names = Vec::new();
        for _ in 0..4 {
            let name = workers.next().spawn(async { thread::current().name().map(str::to_owned) });
            names.push(name.await.unwrap());
        }
        let here = thread::current().name().map(str::to_owned);
        let [one, two] = ["worker-1", "worker-2"].map(|name| Some(name.to_owned()));
        assert_eq!(names, [one.clone(), two, here, one]);
    }
}
