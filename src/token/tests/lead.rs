//! What a leader does when the world moved on before it began.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::cache::caller;
use crate::client::{Client, ClientOptions, Egress, ProxyFailures, ProxyVariables, SystemRoots};
use crate::clock::Clock;
use crate::config::{Config, EgressConfig};
use crate::lifecycle::Tasks;
use crate::token::cache::{CachedToken, Issue, NewToken};
use crate::token::flight::{Claimant, Flight, Work};
use crate::token::lead::Errand;
use crate::token::{Method, TokenStore, Tokens};
use crate::trace_context::SpanContext;

/// Between a caller's look into the cache and its flight, another may end.
#[tokio::test]
async fn a_leader_finds_the_token_of_a_flight_that_ended_meanwhile() {
    let clock = Clock::system();
    let store = TokenStore::new(clock.clone(), Tasks::default(), Arc::new(|_| panic!("exchanged")));
    let document = "[[accept.issuers]]\nissuer = \"https://sso\"\naudiences = [\"g\"]\n\
                    [forward]\nupstream = \"https://koodrive\"\n\
                    [token]\nendpoint = \"http://127.0.0.1:1/token\"";
    let loaded = Config::parse(document, "", Path::new(""), std::iter::empty()).unwrap();
    let config = loaded.config.token;
    let variables = ProxyVariables::read(&|_| None);
    let egress = Egress::new(&EgressConfig::default(), &variables, &ProxyFailures::default());
    let client = Client::new(&ClientOptions {
        connect_timeout: Duration::from_secs(1),
        pool_idle_timeout: Duration::from_secs(1),
        pool_max_idle: 1,
        connections_max: 1,
        roots: &SystemRoots::load(),
        extra_roots: None,
        identity: None,
        egress: &egress.unwrap(),
    });
    let inner = Tokens::new(&config, &[], &store, client).inner;
    let Method::Network { sharing, .. } = &inner.method else { panic!("a network method") };
    let alice = caller(Duration::from_hours(1));
    let key = sharing.key(&alice.identity);
    let claimant = Claimant::new(key, &alice);
    let flights = &inner.shared.flights;
    let span = SpanContext::root(true);
    let Flight::Led(_, leader) = flights.join_or_lead(claimant, clock.monotonic(), || span) else {
        panic!("nobody leads yet");
    };
    let header = HeaderValue::from_static("Bearer t");
    let token = NewToken { header, expires_in: None, session: None };
    let issue = Issue {
        generation: 7,
        caller: None,
        sent_at: clock.moment(),
        proof: Duration::ZERO,
        lifetimes: &inner.lifetimes,
        chance: 0.5,
    };
    let found = CachedToken::issue(token, &issue);
    inner.cache.insert(key, Arc::new(found)).await;

    let outcome = inner.lead(&leader, &alice, span, &Errand::Needed).await;
    assert_eq!((outcome.result.unwrap().generation, outcome.work), (7, Work::Found));
}
