//! Flags, counts and shares.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use serde_json::json;

use super::{Fault, Scalar};
use crate::config::keys::Shape;

impl Scalar for bool {
    type Value = Self;

    fn shape() -> Shape {
        Shape::Flag
    }

    fn read(written: &toml::Value) -> Result<Self, Fault> {
        written.as_bool().ok_or(Fault::Unlike)
    }

    fn write(value: &Self) -> toml::Value {
        (*value).into()
    }
}

/// Kinds of integers: what a section holds, from where to where they go, and what to say of those
/// beyond, if the range alone does not tell.
macro_rules! integers {
    ($( $kind:ty => $value:ty, $range:expr, $beyond:literal; )+) => {$(
        impl Scalar for $kind {
            type Value = $value;

            fn shape() -> Shape {
                let range: RangeInclusive<u64> = $range;
                Shape::Integer { min: *range.start(), max: *range.end() }
            }

            fn read(written: &toml::Value) -> Result<$value, Fault> {
                let number = written.as_integer().ok_or(Fault::Unlike)?;
                let number = u64::try_from(number).ok().filter(|number| ($range).contains(number));
                let beyond = || if $beyond.is_empty() { Fault::Unlike } else { $beyond.into() };
                number.and_then(|number| number.try_into().ok()).ok_or_else(beyond)
            }

            fn write(value: &$value) -> toml::Value {
                toml::Value::Integer(i64::try_from(*value).unwrap_or(i64::MAX))
            }
        }
    )+};
}

/// How many; zero has no meaning.
pub(in crate::config) struct Count;

/// An HTTP status.
pub(in crate::config) struct Status;

/// How deep JSON may be nested: at least as deep as every batch is.
pub(in crate::config) struct Depth;

integers! {
    u64 => u64, 0..=u64::MAX, "";
    usize => usize, 0..=COUNT_MAX, "";
    Count => usize, 1..=COUNT_MAX, "";
    Status => u16, 100..=599, "expected a status from 100 to 599";
    Depth => usize, 3..=COUNT_MAX, "expected 3 or more: the depth of every preverify batch";
}

/// What is counted here is held in memory; a semaphore can count no further than to 2^61.
const COUNT_MAX: u64 = u32::MAX as u64;

impl Scalar for NonZeroU32 {
    type Value = Self;

    fn shape() -> Shape {
        Shape::Integer { min: 1, max: u32::MAX.into() }
    }

    fn read(written: &toml::Value) -> Result<Self, Fault> {
        let number = written.as_integer().and_then(|number| u32::try_from(number).ok());
        number.and_then(Self::new).ok_or(Fault::Unlike)
    }

    fn write(value: &Self) -> toml::Value {
        i64::from(value.get()).into()
    }
}

/// Kinds of numbers with a fraction: whether one is meant, the words for them, the schema.
macro_rules! numbers {
    ($( $kind:ty: $is:expr, $expected:literal, $rule:tt; )+) => {$(
        impl Scalar for $kind {
            type Value = f64;

            fn shape() -> Shape {
                Shape::Number { rule: json!($rule) }
            }

            fn read(written: &toml::Value) -> Result<f64, Fault> {
                #[expect(clippy::cast_precision_loss, reason = "shares are small")]
                let whole = || written.as_integer().map(|number| number as f64);
                let number = written.as_float().or_else(whole).ok_or(Fault::Unlike)?;
                if $is(number) { Ok(number) } else { Err($expected.into()) }
            }

            fn write(value: &f64) -> toml::Value {
                (*value).into()
            }
        }
    )+};
}

/// A part of a whole: none and all of it, too.
pub(in crate::config) struct Share;

/// A part of a whole that is neither none nor all of it.
pub(in crate::config) struct ProperShare;

numbers! {
    Share: |share| (0.0..=1.0).contains(&share),
        "expected a number from 0 to 1",
        {"minimum": 0, "maximum": 1};
    ProperShare: |share| 0.0 < share && share < 1.0,
        "expected a number above 0 and below 1, such as 0.8",
        {"exclusiveMinimum": 0, "exclusiveMaximum": 1};
}
