//! Life as pure functions of time.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use proptest::prelude::*;

use crate::accept::{Accepted, CallerId, Identity, Memo, Met, SsoToken};
use crate::clock::Moment;
use crate::config::ExpiresIn;
use crate::token::cache::{CachedToken, Issue, Lifetimes, NewToken};

const LIFETIMES: Lifetimes = Lifetimes {
    idle: Duration::from_mins(20),
    absolute: Duration::from_hours(12),
    margin: Duration::from_mins(1),
    refresh_ahead: 0.8,
    expires_in: ExpiresIn::Ends,
};

fn start() -> Moment {
    let wall = UNIX_EPOCH + Duration::from_hours(500_000);
    Moment { wall, monotonic: Duration::from_secs(5000) }
}

fn issue(expires_in: Option<Duration>, lifetimes: &Lifetimes, chance: f64) -> CachedToken {
    let header = HeaderValue::from_static("Bearer t");
    let token = NewToken { header, expires_in, session: None };
    let (generation, proof) = (1, Duration::ZERO);
    let issue = Issue { generation, caller: None, sent_at: start(), proof, lifetimes, chance };
    CachedToken::issue(token, &issue)
}

pub(super) fn caller(expires_in: Duration) -> Accepted {
    Accepted {
        identity: Arc::new(Identity {
            issuer: "i".into(),
            subject: "s".into(),
            claims: serde_json::Map::new().into(),
            met: Met::default(),
            expires_at: start().wall + expires_in,
            caller: CallerId::of("i", "s"),
            memo: Memo::default(),
        }),
        sso_token: Arc::new(SsoToken::new("sso")),
        cached: false,
    }
}

#[test]
fn a_token_is_fresh_until_its_margin_and_alive_until_its_end() {
    // Lifetime given, last fresh second, last second alive.
    for (expires_in, fresh_until, alive_until) in [
        (None, 1170, 1199),
        (Some(3600), 1170, 1199),
        (Some(1200), 1140, 1199),
        (Some(600), 540, 599),
        (Some(240), 180, 239),
        (Some(60), 45, 59),
        (Some(4), 3, 3),
    ] {
        let token = issue(expires_in.map(Duration::from_secs), &LIFETIMES, 0.5);
        let at = |second| start() + Duration::from_secs(second);
        assert!(token.is_fresh(at(fresh_until)), "{expires_in:?}");
        assert!(!token.is_fresh(at(fresh_until + 1)), "{expires_in:?}");
        assert!(token.is_alive(at(alive_until)), "{expires_in:?}");
        assert!(!token.is_alive(at(alive_until + 1)), "{expires_in:?}");
    }
}

#[test]
fn neither_clock_set_back_or_standing_still_lengthens_a_life() {
    for expires_in in [None, Some(Duration::from_mins(10))] {
        let token = issue(expires_in, &LIFETIMES, 0.5);
        let (late, hour) = (start() + Duration::from_mins(21), Duration::from_hours(1));
        let set_back = Moment { wall: late.wall - hour, ..late };
        let slept = Moment { monotonic: start().monotonic, ..late };
        for now in [late, set_back, slept] {
            assert!(!token.is_fresh(now) && !token.is_alive(now), "{expires_in:?} {now:?}");
        }
        let early = start() + Duration::from_mins(5);
        assert!(token.is_alive(Moment { wall: early.wall - hour, ..early }));
    }
}

#[test]
fn a_refused_token_is_dead_at_once_and_sliding_does_not_revive_it() {
    let token = issue(None, &LIFETIMES, 0.5);
    assert!(token.refuse());
    assert!(!token.refuse());
    token.slide(start() + Duration::from_mins(1));
    assert!(!token.is_fresh(start()) && !token.is_alive(start()));
}

#[test]
fn a_due_token_is_renewed_by_one_of_all_who_find_it_so_and_again_after_a_while() {
    let token = issue(Some(Duration::from_mins(10)), &LIFETIMES, 0.5);
    let at = |second| start() + Duration::from_secs(second); // due after 0.8 of 540 s
    assert!(!token.is_due(at(431)) && !token.claim_renewal(at(431)));
    assert!(token.is_due(at(432)) && token.claim_renewal(at(432)));
    for second in [432, 441] {
        assert!(!token.is_due(at(second)) && !token.claim_renewal(at(second)));
    }
    assert!(token.is_due(at(442)) && token.claim_renewal(at(442)));
}

fn duration_in_s(seconds: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    seconds.prop_map(Duration::from_secs)
}

proptest! {
    #[test]
    fn freshness_only_ever_ends_unless_an_accepted_call_extends_it(
        expires_in in prop::option::of(duration_in_s(1..100_000)),
        idle in duration_in_s(1..10_000),
        absolute in duration_in_s(1..100_000),
        margin in duration_in_s(0..1000),
        refresh_ahead in 0.01..=1.0,
        slides_with_use in any::<bool>(),
        chance in 0.0..1.0,
        mut times in prop::collection::vec(0..200_000_u64, 2..40),
        slides in prop::collection::vec(0..200_000_u64, 0..4),
    ) {
        let expires_in_means = if slides_with_use { ExpiresIn::Slides } else { ExpiresIn::Ends };
        let lifetimes =
            Lifetimes { idle, absolute, margin, refresh_ahead, expires_in: expires_in_means };
        let token = issue(expires_in, &lifetimes, chance);
        let fixed = expires_in.filter(|_| !slides_with_use).unwrap_or(absolute).min(absolute);
        let end = start() + fixed;
        prop_assert!(token.is_due(end));
        for slide in slides {
            token.slide(start() + Duration::from_secs(slide));
        }
        times.sort_unstable();
        let mut fresh_before = true;
        for second in times {
            let now = start() + Duration::from_secs(second);
            let fresh = token.is_fresh(now);
            prop_assert!(fresh_before || !fresh);
            prop_assert!(!fresh || token.is_alive(now));
            prop_assert!(!token.is_alive(now) || now.wall < end.wall);
            fresh_before = fresh;
        }
    }
}
