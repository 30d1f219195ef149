//! Wakers that can be kept from waking.
//!
//! hyper's ends of a body, or of a call, wake each other whether or not there is anything left to
//! do. Where both are polled by one task, most of that would have it run once more for nothing.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Wakes whichever task has registered last; the waker made of it stays the same.
#[derive(Debug, Default)]
pub struct Wakes {
    task: AtomicWaker,
}

impl Wakes {
    /// From now on `waker` is woken.
    pub fn register(&self, waker: &Waker) {
        self.task.register(waker);
    }

    /// From now on nobody is.
    pub fn forget(&self) {
        drop(self.task.take());
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if WITHHOLDING.get() {
            WITHHELD.set(true);
        } else {
            self.task.wake();
        }
    }
}

/// Does something that wakes none of [`Wakes`], and says whether it would have.
pub fn withheld<T>(doing: impl FnOnce() -> T) -> (T, bool) {
    /// Also when it panics: the thread serves others.
    struct Over;
    impl Drop for Over {
        fn drop(&mut self) {
            WITHHOLDING.set(false);
        }
    }
    WITHHELD.set(false);
    WITHHOLDING.set(true);
    let over = Over;
    let done = doing();
    drop(over);
    (done, WITHHELD.get())
}

/// Does something that wakes nobody: whoever would be woken is doing it, and looks by itself
/// before it waits.
pub fn muted<T>(doing: impl FnOnce(&mut Context<'_>) -> T) -> T {
    withheld(|| doing(&mut Context::from_waker(Waker::noop()))).0
}

/// Polls `future` with a waker whose wakes can be withheld.
pub async fn through<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    std::future::poll_fn(|cx| {
        wakes.register(cx.waker());
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

thread_local! {
    static WITHHOLDING: Cell<bool> = const { Cell::new(false) };
    static WITHHELD: Cell<bool> = const { Cell::new(false) };
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::task::Poll;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_withheld_is_told_and_wakes_nobody() {
        let counted = Arc::new(Counted::default());
        let waker = Waker::from(Arc::clone(&counted));
        let (seen, inner) = mpsc::channel();
        let polled = pin!(std::future::poll_fn(|cx| {
            seen.send(cx.waker().clone()).unwrap();
            Poll::<()>::Pending
        }));
        let mut whole = pin!(through(polled));
        assert!(whole.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let inner = inner.recv().unwrap();
        assert_eq!(withheld(|| inner.wake_by_ref()), ((), true));
        assert_eq!(withheld(|| ()), ((), false));
        muted(|_| inner.wake_by_ref());
        std::panic::catch_unwind(|| withheld(|| panic!("as a body might"))).unwrap_err();
        assert_eq!(counted.0.load(Ordering::Relaxed), 0);
        inner.wake();
        assert_eq!(counted.0.load(Ordering::Relaxed), 1);
    }
}
