//! The whole gateway and its rooms, from outside.

pub mod support;

mod accept;
mod admin;
mod architecture;
mod config;
mod deploy;
mod drain;
mod forward;
mod gateway;
mod open_metrics;
mod telemetry;
mod telemetry_export;
mod telemetry_logs;
mod token;
mod trace_id;
mod validate;
mod wire;
