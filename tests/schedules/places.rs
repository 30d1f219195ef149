//! Places and memory under every order of those who want them.

use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::future::{block_on, spawn};
use shuttle::thread;

use crate::body::Budget;
use crate::places::{Holder, Places};
use crate::shuttled::explore;
use crate::shuttled::sync::Arc;

fn caller(n: u8) -> Holder {
    Holder::Caller([n; 16])
}

#[test]
fn never_more_places_than_there_are_and_all_come_back() {
    explore("try_take", || {
        let places = Places::new("schedules", 3);
        let held = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let (places, held) = (places.clone(), Arc::clone(&held));
                thread::spawn(move || {
                    for _ in 0..2 {
                        let Ok(place) = places.try_take(Holder::Connection(n)) else { continue };
                        assert!(held.fetch_add(1, Ordering::SeqCst) < 3);
                        thread::yield_now();
                        // Handed on or given back: one place less is held either way, or as many.
                        let place = place.hand_to(caller(u8::try_from(n).unwrap() % 2));
                        thread::yield_now();
                        held.fetch_sub(1, Ordering::SeqCst);
                        drop(place);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(places.taken(), (0, 3));
    });
}

#[test]
fn whoever_waits_gets_a_place_in_the_end_and_who_leaves_keeps_none() {
    explore("take", || {
        block_on(async {
            let places = Places::new("schedules", 1);
            let waiters: Vec<_> = (0..4)
                .map(|n| {
                    let places = places.clone();
                    spawn(async move {
                        let mut taking = Box::pin(places.take(caller(n)));
                        if n == 3 {
                            // Looks once and leaves, perhaps in the moment in which its turn comes.
                            let looked = futures_util::poll!(taking.as_mut());
                            shuttle::future::yield_now().await;
                            drop((taking, looked));
                            return;
                        }
                        let place = taking.await;
                        shuttle::future::yield_now().await;
                        drop(place);
                    })
                })
                .collect();
            for waiter in waiters {
                waiter.await.unwrap();
            }
            assert_eq!(places.taken(), (0, 1));
        });
    });
}

#[test]
fn a_change_of_the_number_loses_nobody_who_waits() {
    explore("resize", || {
        block_on(async {
            let places = Places::new("schedules", 0);
            let waiters: Vec<_> = (0..3)
                .map(|n| {
                    let places = places.clone();
                    spawn(async move { drop(places.take(caller(n)).await) })
                })
                .collect();
            let more = places.clone();
            let resizing = thread::spawn(move || {
                more.resize(2);
                more.resize(1);
            });
            for waiter in waiters {
                waiter.await.unwrap();
            }
            resizing.join().unwrap();
            assert_eq!(places.taken(), (0, 1));
        });
    });
}

#[test]
fn memory_for_bodies_comes_back_whole() {
    explore("budget of bodies", || {
        let budget = Budget::new(10);
        let threads: Vec<_> = (1..5)
            .map(|n| {
                let budget = Arc::clone(&budget);
                thread::spawn(move || {
                    if let Some(mut taken) = budget.take(2 * n) {
                        thread::yield_now();
                        taken.shrink_to(n);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(budget.take(10).is_some() && budget.take(11).is_none());
    });
}
