//! Send it on, streaming both ways.

pub mod answer;
pub mod sign;
