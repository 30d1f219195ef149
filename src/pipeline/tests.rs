//! What a call keeps in memory while it waits: growth is seen here first.

use http::request;

use super::{Arrival, Pipeline};
use crate::body::InboundBody;

type Call = (&'static Pipeline, request::Parts, InboundBody, Arrival);

/// Of the future that a call gives.
fn bytes_of<A, F: Future>(_: impl FnOnce(A) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn the_future_of_a_call_has_not_grown() {
    let bytes =
        bytes_of(|(pipeline, parts, body, arrival): Call| pipeline.handle(parts, body, arrival));
    assert!(bytes <= 6_560, "{bytes}: lower the bound, or say why a call keeps more");
}
