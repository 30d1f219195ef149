//! Promises to operators and callers, against the library and real sockets.

mod admin;
mod open_metrics;
mod support;
mod telemetry;
mod telemetry_export;
mod telemetry_logs;
