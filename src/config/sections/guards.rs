//! `[limit]` and `[validate]`: what guards the preverify call.

use std::num::NonZeroU32;

use http::HeaderValue;

use super::section::{kind, section};
use crate::config::document::Node;
use crate::config::keys::{Key, Shape};
use crate::config::reader::{Reader, joined};
use crate::config::values::{
    CertificateChain, Count, Depth, File, Kind, Language, LimitStore, MIB, Password, Roots, Size,
    TlsKey, choice,
};

choice! {
    /// Whether a guard refuses, only counts, or sleeps.
    pub enum GuardMode {
        Enforce = "enforce",
        /// Count and log, never refuse.
        Observe = "observe",
        Off = "off",
    }
}

section! {
    /// Preverify limits.
    pub struct LimitConfig {
        mode: GuardMode = GuardMode::Enforce,
        calls_per_minute: NonZeroU32 = non_zero(60),
        calls_burst: NonZeroU32 = non_zero(10),
        users_per_minute: NonZeroU32 = non_zero(20_000),
        users_burst: NonZeroU32 = non_zero(5000),
        total_calls_per_second: NonZeroU32 = non_zero(100),
        total_burst: NonZeroU32 = non_zero(50),
        /// Preverify calls in flight, whole process.
        concurrent: NonZeroU32 = non_zero(32),
        /// Whether preverify pauses while KooDrive throttles.
        obey_throttling: bool = true,
        store: LimitStore = LimitStore::Local,
        store_password_file: File<Password> = File::default(),
        store_ca_file: File<Roots> = File::default(),
        store_certificate_file: File<CertificateChain> = File::default(),
        store_key_file: File<TlsKey> = File::default(),
        /// Beyond it newcomers share one bucket until places come free.
        max_tracked_callers: usize as Count = 100_000,
    }
}

choice! {
    /// What happens to batch members no rule names.
    pub enum UnknownFields {
        Allow = "allow",
        Reject = "reject",
    }
}

section! {
    /// The preverify batch rules.
    pub struct ValidateConfig {
        mode: GuardMode = GuardMode::Enforce,
        max_body: usize as Size = MIB,
        max_users: usize as Count = 1000,
        /// Unicode scalar values; 0 = unlimited.
        max_dept_name_chars: usize = 20,
        /// The root object is depth 1.
        max_depth: usize as Depth = 16,
        /// GB ceiling for `personalCapacity`; 0 = none.
        max_capacity: u64 = 0,
        /// `isAllocateCapacity = true` wants `personalCapacity >= 1`.
        require_capacity_when_allocated: bool = true,
        unknown_fields: UnknownFields = UnknownFields::Allow,
        max_findings: usize as Count = 50,
        /// `language` header sent when the caller gives none; empty = nothing.
        default_language: Option<HeaderValue> as Language = None,
    }
}

const fn non_zero(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).expect("the defaults are not zero")
}
