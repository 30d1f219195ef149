//! The whole gateway and its rooms, from outside.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

pub mod support;

mod accept;
mod admin;
mod architecture;
mod authorize;
mod commands;
mod config;
mod deploy;
mod drain;
mod egress;
mod forward;
mod gateway;
mod limit;
mod open_metrics;
mod reload;
mod service_manager;
mod socket_activation;
mod telemetry;
mod token;
mod trace_id;
mod validate;
mod wire;
