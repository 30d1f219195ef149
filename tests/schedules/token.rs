//! Flights, lives of tokens and damping under every order of callers.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use shuttle::future::{block_on, spawn};
use shuttle::thread;

use super::cache::{CachedToken, Issue, Lifetimes, NewToken};
use super::damping::Damping;
use super::error::{Denial, TokenError};
use super::flight::{Claimant, Flight, Flights, Outcome, Work};
use super::key::{CacheKey, SsoDigest};
use crate::accept::CallerId;
use crate::clock::Moment;
use crate::config::ExpiresIn;
use crate::shuttled::explore;
use crate::shuttled::sync::{Arc, Mutex};
use crate::trace_context::SpanContext;

const NOW: Duration = Duration::from_secs(5000);

fn now() -> Moment {
    Moment { wall: UNIX_EPOCH + Duration::from_hours(500_000), monotonic: NOW }
}

fn claimant(sso: u8) -> Claimant {
    let caller = CallerId::of("i", "alice");
    Claimant { key: CacheKey([0; 32]), caller, sso: SsoDigest([sso; 32]) }
}

fn token(generation: u64) -> Arc<CachedToken> {
    let lifetimes = Lifetimes {
        idle: Duration::from_mins(20),
        absolute: Duration::from_hours(12),
        margin: Duration::from_mins(1),
        refresh_ahead: 0.0,
        expires_in: ExpiresIn::Ends,
    };
    let header = HeaderValue::from_static("Bearer t");
    let (caller, proof, chance) = (None, Duration::ZERO, 0.5);
    let issue =
        Issue { generation, caller, sent_at: now(), proof, lifetimes: &lifetimes, chance };
    let new = NewToken { header, expires_in: None, session: None };
    Arc::new(CachedToken::issue(new, &issue))
}

/// However leaders end (with a token, with a failure, not at all), one flies at a time, and whoever
/// waits learns an outcome.
#[test]
fn one_leader_flies_at_a_time_and_everybody_learns_an_outcome() {
    explore("flights", || {
        block_on(async {
            let flights = Flights::default();
            let flying = Arc::new(AtomicUsize::new(0));
            let callers: Vec<_> = (0..4_u8)
                .map(|at| {
                    let (flights, flying) = (flights.clone(), Arc::clone(&flying));
                    spawn(async move {
                        let joined =
                            flights.join_or_lead(claimant(at % 2), NOW, || SpanContext::root(true));
                        let waiter = match joined {
                            Flight::Failed(_) => return,
                            Flight::Joined(waiter) => waiter,
                            Flight::Led(waiter, leader) => {
                                assert_eq!(flying.fetch_add(1, Ordering::SeqCst), 0);
                                shuttle::future::yield_now().await;
                                flying.fetch_sub(1, Ordering::SeqCst);
                                let work = Work::First;
                                let until = Some(NOW + Duration::from_secs(1));
                                let denied = || Err(TokenError::Denied(Denial::ClaimMissing));
                                match at {
                                    0 => drop(leader),
                                    1 => leader.end(Outcome { result: denied(), work }, until, NOW),
                                    _ => leader.end(Outcome { result: Ok(token(1)), work }, None, NOW),
                                }
                                waiter
                            }
                        };
                        drop(waiter.outcome().await);
                    })
                })
                .collect();
            for caller in callers {
                caller.await.unwrap();
            }
            assert_eq!(flights.count(), 0);
        });
    });
}

/// A caller who is forgotten while somebody flies for him: newcomers do not join that flight, and
/// its end takes none off the list that is not its own.
#[test]
fn a_forgotten_flight_is_joined_by_nobody_and_ends_no_other() {
    explore("forgotten flights", || {
        block_on(async {
            let flights = Flights::default();
            let enter = |flights: &Flights| {
                flights.join_or_lead(claimant(1), NOW, || SpanContext::root(true))
            };
            let Flight::Led(first, leader) = enter(&flights) else { panic!("nobody else flies") };
            let ending = flights.clone();
            let end = thread::spawn(move || {
                leader.end(Outcome { result: Ok(token(1)), work: Work::First }, None, NOW);
                drop(ending);
            });
            flights.forget(|_| true);
            let second = enter(&flights);
            let Flight::Led(second, leader) = second else { panic!("{second:?}") };
            end.join().unwrap();
            assert!(leader.is_seen(), "the end of the first is not that of the second");
            assert_ne!(first.span.span_id, second.span.span_id);
            leader.end(Outcome { result: Ok(token(2)), work: Work::First }, None, NOW);
            for (waiter, generation) in [(first, 1), (second, 2)] {
                assert_eq!(waiter.outcome().await.result.unwrap().generation, generation);
            }
            assert_eq!(flights.count(), 0);
        });
    });
}

/// Of all who find a token due one renews it; a refusal ends it for good, whoever slides it
/// meanwhile; and its successor is another.
#[test]
fn one_renews_and_a_refused_generation_stays_refused() {
    explore("generations", || {
        let (old, new) = (token(1), token(2));
        let renewals = Arc::new(Mutex::new(HashSet::new()));
        let threads: Vec<_> = (0..4_u64)
            .map(|at| {
                let (old, renewals) = (Arc::clone(&old), Arc::clone(&renewals));
                thread::spawn(move || match at {
                    0 => assert!(old.refuse()),
                    1 => old.slide(now()),
                    _ => {
                        if old.claim_renewal(now()) {
                            renewals.lock().unwrap().insert(at);
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(renewals.lock().unwrap().len(), 1);
        assert!(!old.is_fresh(now()) && !old.is_alive(now()));
        assert!(new.is_fresh(now()));
    });
}

#[test]
fn damping_ends_with_an_accepted_call_and_counts_whom_it_holds() {
    explore("damping", || {
        let damping = Arc::new(Damping::default());
        let [alice, bob] = ["alice", "bob"].map(|subject| CallerId::of("i", subject));
        let threads: Vec<_> = (0..3)
            .map(|at| {
                let damping = Arc::clone(&damping);
                thread::spawn(move || match at {
                    0 => damping.refused_again(alice, NOW),
                    1 => damping.refused_again(bob, NOW),
                    _ => damping.accepted(alice),
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(damping.holds(bob, NOW), "of whom nothing was accepted");
        damping.accepted(alice);
        damping.accepted(bob);
        assert!(!damping.holds(alice, NOW) && !damping.holds(bob, NOW));
    });
}
