mod admin;
mod architecture;
mod config;
mod open_metrics;
pub mod support; // public, so that what only the demo uses counts as used
mod telemetry;
mod telemetry_export;
mod telemetry_logs;
mod trace_id;
mod validate;
