//! The world around the gateway, on real sockets: an SSO, KooDrive, an OTLP collector, callers.
//!
//! Everything but [`gateway`] is shared with the demo, so nothing here knows a test framework.
//! Nothing sleeps: whoever waits, waits for a fact, up to a deadline.

pub mod caller;
pub mod canary;
pub mod collector;
pub mod connection;
pub mod faults;
pub mod gateway;
pub mod koodrive;
pub mod logs;
pub mod own_log;
pub mod proxy;
pub mod raw;
pub mod recording;
pub mod schema;
pub mod scratch;
pub mod server;
pub mod sessions;
pub mod sso;
pub mod telemetry;
pub mod time;
pub mod tls;
pub mod told;
pub mod world;

#[cfg(test)]
mod tests;
