//! skeleton
pub mod body;
pub mod client;
pub mod clock;
pub mod config;
pub mod lifecycle;
pub mod trace_context;
