//! What operators write: TOML and environment in, one checked [`Config`] out.
//!
//! Knows nothing of what the rooms do with their sections.

mod files;
mod sections;
mod units;

pub use files::SecretFile;
pub use files::TextFile;
pub use sections::*;
pub use units::HeaderField;
pub use units::HttpUrl;
pub use units::LimitStore;
pub use units::ListenAddress;
