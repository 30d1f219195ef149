//! Buckets and their eviction under every order of callers.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shuttle::thread;

use super::bucket::{Buckets, Quota};
use crate::clock::Clock;
use crate::shuttled::explore;
use crate::shuttled::sync::Arc;

fn buckets(burst: u32, keys_max: usize) -> Arc<Buckets<u8>> {
    let [one, burst] = [1, burst].map(|number| NonZeroU32::new(number).unwrap());
    // Nothing comes back while the scene is played.
    let quota = Quota::new(one, Duration::from_hours(24), burst);
    Arc::new(Buckets::new(quota, keys_max, Clock::system()))
}

#[test]
fn a_caller_never_gets_more_than_his_bucket_and_the_table_keeps_its_bound() {
    explore("buckets", || {
        let buckets = buckets(3, 2);
        let granted: Arc<[AtomicU32; 2]> = Arc::default();
        let threads: Vec<_> = (0..4_usize)
            .map(|at| {
                let (buckets, granted) = (Arc::clone(&buckets), Arc::clone(&granted));
                thread::spawn(move || {
                    for tokens in [1, 2] {
                        let key = u8::try_from(at % 2).unwrap();
                        if buckets.charge(&key, NonZeroU32::new(tokens).unwrap()).is_ok() {
                            granted[at % 2].fetch_add(tokens, Ordering::SeqCst);
                        }
                        if at == 0 {
                            // Nobody's bucket is full, so nobody is forgotten and begins anew.
                            buckets.sweep();
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        for granted in granted.iter() {
            // One and two, or one and one, when what is left is too little for two.
            let granted = granted.load(Ordering::SeqCst);
            assert!((2..=3).contains(&granted), "{granted}");
        }
        assert!(buckets.len() <= 2);
    });
}

#[test]
fn newcomers_beyond_the_table_share_one_bucket() {
    explore("overflow", || {
        let buckets = buckets(2, 1);
        let granted = Arc::new(AtomicU32::new(0));
        let threads: Vec<_> = (0..4_u8)
            .map(|key| {
                let (buckets, granted) = (Arc::clone(&buckets), Arc::clone(&granted));
                thread::spawn(move || {
                    let tokens = (0..2).filter(|_| buckets.charge(&key, NonZeroU32::MIN).is_ok()).count();
                    granted.fetch_add(u32::try_from(tokens).unwrap(), Ordering::SeqCst);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(granted.load(Ordering::SeqCst), 4, "one bucket of its own, and one for all");
        assert_eq!(buckets.len(), 1);
    });
}
