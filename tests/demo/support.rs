//! The simulators the tests use too.

#[path = "../it/support/caller.rs"]
pub mod caller;
#[path = "../it/support/canary.rs"]
pub mod canary;
#[path = "../it/support/collector.rs"]
pub mod collector;
#[path = "../it/support/connection.rs"]
pub mod connection;
#[path = "../it/support/faults.rs"]
pub mod faults;
#[path = "../it/support/koodrive/mod.rs"]
pub mod koodrive;
#[path = "../it/support/recording.rs"]
pub mod recording;
#[path = "../it/support/scratch.rs"]
pub mod scratch;
#[path = "../it/support/server.rs"]
pub mod server;
#[path = "../it/support/sessions.rs"]
pub mod sessions;
#[path = "../it/support/sso/mod.rs"]
pub mod sso;
#[path = "../it/support/time.rs"]
pub mod time;
