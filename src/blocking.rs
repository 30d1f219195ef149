//! Work that blocks a thread, with a bound for each kind of it.
//!
//! The runtime has one number of such threads for everybody. A kind that hangs (names, while a
//! resolver is silent; files, while a volume is) holds no more of them than its own, and leaves the
//! others theirs. Knows nothing of what the work is.

use std::io;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// The threads of one kind of work. Clones share them.
#[derive(Clone, Debug)]
pub struct Blocking(Arc<Semaphore>);

impl Blocking {
    pub fn new(threads_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(threads_max)))
    }

    /// Does it on a thread of its own; waits for one first. Whoever waits bounds the wait. What was
    /// begun goes on when nobody waits for it any more, and keeps its thread until it has ended.
    ///
    /// # Errors
    /// Its own, or that it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let threads = Arc::clone(&self.0);
        let thread = threads.acquire_owned().await.map_err(io::Error::other)?;
        let done = tokio::task::spawn_blocking(move || {
            let _until_it_ends = thread;
            work()
        });
        done.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn what_hangs_keeps_its_own_threads_and_leaves_the_others_theirs() {
        let (names, files) = (Blocking::new(2), Blocking::new(1));
        let mut hanging = Vec::new();
        for _ in 0..2 {
            let (begun, begins) = tokio::sync::oneshot::channel();
            let (release, released) = mpsc::channel::<()>();
            let mut work = Box::pin(names.run(move || {
                begun.send(()).unwrap_or_default();
                released.recv().map_err(io::Error::other)
            }));
            assert!(work.as_mut().now_or_never().is_none());
            begins.await.unwrap();
            // Nobody waits for it any more; its thread is not free for that.
            drop(work);
            hanging.push(release);
        }
        let mut third = pin!(names.run(|| Ok(3)));
        assert!(third.as_mut().now_or_never().is_none());
        assert_eq!(files.run(|| Ok(7)).await.unwrap(), 7);
        assert!(third.as_mut().now_or_never().is_none());
        hanging.pop().unwrap().send(()).unwrap();
        assert_eq!(third.await.unwrap(), 3);
    }
}
