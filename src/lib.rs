//! The walk of a request, and the rooms it goes through. (map follows)

pub mod accept;
pub mod admin;
pub mod app;
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
pub mod trace_id;
pub mod validate;
