//! `[limit]` and `[validate]`: what guards the preverify call.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::config::addresses::LimitStore;
use crate::config::units;

/// Whether a guard refuses, only counts, or sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardMode {
    #[default]
    Enforce,
    /// Count and log, never refuse.
    Observe,
    Off,
}

/// Preverify limits.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitConfig {
    pub mode: GuardMode,
    pub calls_per_minute: NonZeroU32,
    pub calls_burst: NonZeroU32,
    pub users_per_minute: NonZeroU32,
    pub users_burst: NonZeroU32,
    pub total_calls_per_second: NonZeroU32,
    pub total_burst: NonZeroU32,
    /// Preverify calls in flight, whole process.
    pub concurrent: NonZeroU32,
    pub store: LimitStore,
    /// Beyond it newcomers share one bucket until places come free.
    #[serde(with = "units::count")]
    pub max_tracked_callers: usize,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            mode: GuardMode::Enforce,
            calls_per_minute: units::non_zero(60),
            calls_burst: units::non_zero(10),
            users_per_minute: units::non_zero(20_000),
            users_burst: units::non_zero(5000),
            total_calls_per_second: units::non_zero(100),
            total_burst: units::non_zero(50),
            concurrent: units::non_zero(32),
            store: LimitStore::Local,
            max_tracked_callers: 100_000,
        }
    }
}

/// What happens to batch members no rule names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownFields {
    #[default]
    Allow,
    Reject,
}

/// The preverify batch rules.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidateConfig {
    pub mode: GuardMode,
    #[serde(with = "units::size")]
    pub max_body: usize,
    #[serde(with = "units::count")]
    pub max_users: usize,
    /// Unicode scalar values; 0 = unlimited.
    pub max_dept_name_chars: usize,
    /// The root object is depth 1.
    #[serde(with = "units::count")]
    pub max_depth: usize,
    /// GB ceiling for `personalCapacity`; 0 = none.
    pub max_capacity: u64,
    /// `isAllocateCapacity = true` wants `personalCapacity >= 1`.
    pub require_capacity_when_allocated: bool,
    pub unknown_fields: UnknownFields,
    #[serde(with = "units::count")]
    pub max_findings: usize,
    /// `language` header sent when the caller gives none; empty = nothing.
    pub default_language: String,
}

impl Default for ValidateConfig {
    fn default() -> Self {
        Self {
            mode: GuardMode::Enforce,
            max_body: units::MIB,
            max_users: 1000,
            max_dept_name_chars: 20,
            max_depth: 16,
            max_capacity: 0,
            require_capacity_when_allocated: true,
            unknown_fields: UnknownFields::Allow,
            max_findings: 50,
            default_language: String::new(),
        }
    }
}
