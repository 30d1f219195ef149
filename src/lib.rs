//! skeleton
pub mod accept;
pub mod body;
pub mod call;
pub mod client;
pub mod clock;
pub mod config;
pub mod forward;
pub mod lifecycle;
pub mod token;
pub mod trace_context;
pub mod trace_id;
pub mod validate;
