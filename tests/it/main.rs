//! The whole gateway and its rooms, from outside.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

pub mod support;

mod accept;
mod admin;
mod architecture;
mod config;
mod deploy;
mod gateway;
mod open_metrics;
mod telemetry;
mod telemetry_export;
mod telemetry_logs;
mod token;
mod trace_id;
mod validate;
