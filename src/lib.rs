//! skeleton
pub mod body;
pub mod call;
pub mod client;
pub mod clock;
pub mod config;
pub mod lifecycle;
pub mod trace_context;
pub mod trace_id;
