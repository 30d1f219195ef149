//! What operators write: TOML and environment in, one checked [`Config`] out.
//!
//! Knows nothing of what the rooms do with their sections.
//!
//! ```text
//! document ──▶ tree ──▶ environment writes over it ──▶ read against the known keys ──▶ Config
//!                                                      named files read ──▶ checks ──▶ Loaded
//! ```
//! Each step adds what is wrong to one list, so an operator sees all mistakes at once.

mod addresses;
mod ask;
mod check;
mod document;
mod effective;
mod environment;
mod error;
mod files;
mod keys;
mod load;
mod read;
mod reload;
mod schema;
mod sections;
mod units;

pub use addresses::{HeaderField, HttpUrl, LimitStore, ListenAddress};
pub use effective::effective;
pub use environment::{ENVIRONMENT_PREFIX, environment};
pub use error::{ConfigError, Origin, Problem};
pub use files::{SecretFile, TextFile};
pub use keys::{Key, Shape, keys};
pub use load::{Loaded, load};
pub use reload::{Watcher, keeping_restart_only, restart_only};
pub use schema::schema;
pub use sections::*;
pub use units::parse_duration;
