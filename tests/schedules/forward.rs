//! The budget of retries under every order of those who earn and spend.

use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::thread;
use tokio::time::Instant;

use super::budget::RetryBudget;
use crate::shuttled::explore;
use crate::shuttled::sync::Arc;

#[test]
fn never_more_is_spent_than_there_was_and_was_earned() {
    explore("retries", || {
        let now = Instant::now();
        let budget = RetryBudget::new(now);
        // All but one of a full budget.
        (0..49).for_each(|_| assert!(budget.spend(now)));
        let spent = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (budget, spent) = (budget.clone(), Arc::clone(&spent));
                thread::spawn(move || {
                    (0..3).for_each(|_| budget.earn());
                    if budget.spend(now) {
                        spent.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        // One was left, and nine calls earn one and eight tenths.
        let spent = spent.load(Ordering::SeqCst);
        assert!((1..=2).contains(&spent), "{spent}");
        assert_eq!(budget.spend(now), spent == 1, "what is left");
    });
}
