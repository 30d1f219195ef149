//! Limits shared through a real Redis or Valkey. Run by `tests/redis/run`.

#![expect(clippy::print_stderr, reason = "figures, shown with --nocapture")]

pub mod gateways;
pub mod limiters;
pub mod store;
pub mod support;
pub mod tls;
