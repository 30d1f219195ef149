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

pub use addresses::HeaderField;
pub use addresses::HttpUrl;
pub use addresses::LimitStore;
pub use addresses::ListenAddress;
pub use effective::effective;
pub use environment::ENVIRONMENT_PREFIX;
pub use environment::environment;
pub use error::ConfigError;
pub use error::Origin;
pub use error::Problem;
pub use files::SecretFile;
pub use files::TextFile;
pub use keys::Key;
pub use keys::Shape;
pub use keys::keys;
pub use load::Loaded;
pub use load::load;
pub use reload::Watcher;
pub use reload::keeping_restart_only;
pub use reload::restart_only;
pub use schema::schema;
pub use sections::*;
pub use units::parse_duration;
