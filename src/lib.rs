//! skeleton
pub mod accept;
pub mod body;
pub mod call;
pub mod client;
pub mod clock;
pub mod config;
pub mod forward;
pub mod lifecycle;
pub mod limit;
pub mod listener;
pub mod pipeline;
pub mod rejection;
pub mod server;
pub mod telemetry;
pub mod token;
pub mod trace_context;
pub mod validate;
