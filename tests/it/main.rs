mod admin;
mod architecture;
mod config;
mod open_metrics;
mod support;
mod telemetry;
mod telemetry_export;
mod telemetry_logs;
