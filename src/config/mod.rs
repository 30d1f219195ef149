//! What operators write: TOML and environment in, one checked [`Config`] out.
//!
//! Knows nothing of what the rooms do with their sections.
//!
//! ```text
//! document ──▶ tree ──▶ environment writes over it ──▶ sections read their keys and the files
//!                                                      they name ──▶ checks of keys together ──▶ Loaded
//! ```
//! Each step adds what is wrong to one list, so an operator sees all mistakes at once.

mod changes;
mod check;
mod document;
mod effective;
mod environment;
mod error;
mod keys;
mod load;
mod reader;
mod reload;
mod schema;
mod sections;
mod values;

pub use changes::changes;
pub use effective::{effective, keys_set};
pub use environment::{ENVIRONMENT_PREFIX, environment};
pub use error::{ConfigError, Origin, Problem, nearest};
pub use keys::{Key, Shape, keys};
pub use load::{Loaded, batch_rules, load};
pub use reload::{Watcher, keeping_restart_only, restart_only};
pub use schema::schema;
pub use sections::*;
pub use values::{
    AssertionAlgorithm, AssertionKey, CertificateChain, ClaimValue, Derived, EgressProxy, Expected,
    File, HttpUrl, Issuer, JsonPointer, KeySetDocument, KooDriveUsers, LimitStore, ListenAddress,
    LiveFile, Part, Password, PathPattern, PathSegment, RedisAddress, Required, Roots, Secret,
    Template, TlsKey, certified_key, file_error, is_loopback, parse_duration, user_id, without_bom,
};
