//! The written forms of durations, sizes, counts.
//!
//! Each is read from, and printed in, the form an operator writes.

use std::num::NonZeroU32;

pub(super) const KIB: usize = 1024;
pub(super) const MIB: usize = 1024 * KIB;

pub(super) const fn non_zero(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).expect("the defaults are not zero")
}

/// What a text must look like: in words, and as a pattern (ECMA-262) that takes no less than the
/// reader of these texts does, for editors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) expected: &'static str,
    pub(super) pattern: &'static str,
}

pub(super) const DURATION_OR_ZERO: Form = Form {
    expected: "expected a duration such as \"250ms\", \"30s\", \"20m\" or \"12h\"",
    pattern: r"^\s*([0-9]+(d|h|m|s|ms))+\s*$",
};
pub(super) const DURATION: Form = Form {
    pattern: r"^\s*([0-9]+(d|h|m|s|ms))*[0-9]*[1-9][0-9]*(d|h|m|s|ms)([0-9]+(d|h|m|s|ms))*\s*$",
    ..DURATION_OR_ZERO
};
pub(super) const SIZE: Form = Form {
    expected: "expected a size such as \"512B\", \"64KiB\" or \"1MiB\"",
    pattern: r"^\s*[0-9]*[1-9][0-9]*(B|KiB|MiB|GiB)\s*$",
};

/// Durations such as `"250ms"`, `"20m"`, `"1h30m"`; zero is refused.
pub(super) mod duration {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserializer, Serializer};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let duration = super::duration_or_zero::deserialize(from)?;
        if duration.is_zero() {
            return Err(D::Error::custom("expected a duration longer than zero"));
        }
        Ok(duration)
    }

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        super::duration_or_zero::serialize(duration, to)
    }
}

/// Durations of which zero has a meaning ("0s": none).
pub(super) mod duration_or_zero {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        super::parse_duration(&text)
            .ok_or_else(|| D::Error::custom(super::DURATION_OR_ZERO.expected))
    }

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::print_duration(*duration))
    }
}

/// Sizes such as `"64KiB"` and `"1MiB"`; zero is refused.
pub(super) mod size {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
        let text = String::deserialize(from)?;
        super::parse_size(&text)
            .filter(|bytes| *bytes != 0)
            .ok_or_else(|| D::Error::custom(super::SIZE.expected))
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
    pub(crate) fn serialize<S: Serializer>(bytes: &usize, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::print_size(*bytes))
    }
}

/// Counts of which zero has no meaning.
pub(super) mod count {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
        match usize::deserialize(from)? {
            0 => Err(D::Error::custom("expected an integer of 1 or more")),
            count => Ok(count),
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
    pub(crate) fn serialize<S: Serializer>(count: &usize, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(*count as u64)
    }
}

/// An address that may be left empty.
pub(super) mod optional_url {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::config::addresses::HttpUrl;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<HttpUrl>, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(D::Error::custom)
    }

    #[expect(clippy::ref_option, reason = "serde hands out references")]
    pub(crate) fn serialize<S: Serializer>(
        url: &Option<HttpUrl>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(url.as_ref().map_or("", HttpUrl::as_str))
    }
}

const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// `"250ms"`, `"20m"`, `"1h30m"`; `None` for anything else.
pub fn parse_duration(text: &str) -> Option<std::time::Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let (_, unit_ms) = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?;
        total_ms = total_ms.checked_add(number.checked_mul(*unit_ms)?)?;
        rest = after;
    }
    // A hundred years: far beyond any use, far below what clocks can add.
    (total_ms <= 36_500 * 86_400_000).then(|| std::time::Duration::from_millis(total_ms))
}

fn print_duration(duration: std::time::Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (unit, unit_ms) = [("h", 3_600_000), ("m", 60_000), ("s", 1000)]
        .into_iter()
        .find(|(_, unit_ms)| ms != 0 && ms.is_multiple_of(*unit_ms))
        .unwrap_or(if ms == 0 { ("s", 1000) } else { ("ms", 1) });
    format!("{}{unit}", ms / unit_ms)
}

const SIZE_UNITS: [(&str, usize); 4] = [("GiB", 1024 * MIB), ("MiB", MIB), ("KiB", KIB), ("B", 1)];

fn parse_size(text: &str) -> Option<usize> {
    let (number, unit) = split_number(text.trim())?;
    let (_, scale) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    usize::try_from(number).ok()?.checked_mul(*scale)
}

fn print_size(bytes: usize) -> String {
    let (unit, scale) = SIZE_UNITS
        .into_iter()
        .find(|(_, scale)| bytes != 0 && bytes.is_multiple_of(*scale))
        .unwrap_or(("B", 1));
    format!("{}{unit}", bytes / scale)
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn durations_are_read_in_their_units() {
        let cases = [
            ("250ms", Some(250)),
            ("30s", Some(30_000)),
            ("20m", Some(1_200_000)),
            ("1h30m", Some(5_400_000)),
            ("1d", Some(86_400_000)),
            ("0s", Some(0)),
            ("", None),
            ("10", None),
            ("s", None),
            ("10 s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1y", None),
            ("1µs", None),
            ("36500d", Some(36_500 * 86_400_000)),
            ("36501d", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ];
        for (text, expected_ms) in cases {
            assert_eq!(parse_duration(text), expected_ms.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_in_their_units() {
        let cases = [
            ("512B", Some(512)),
            ("64KiB", Some(65_536)),
            ("1MiB", Some(1_048_576)),
            ("2GiB", Some(2_147_483_648)),
            ("1MB", None),
            ("1", None),
            ("KiB", None),
            ("1.5MiB", None),
            ("18446744073709551615GiB", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        for ms in [0, 1, 999, 1000, 1500, 60_000, 90_000, 3_600_000, 86_400_000] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse_duration(&print_duration(duration)), Some(duration));
        }
        for bytes in [1, 512, 1024, 1536, MIB, MIB + 1, 1024 * MIB] {
            assert_eq!(parse_size(&print_size(bytes)), Some(bytes));
        }
    }
}
