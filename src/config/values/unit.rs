//! Durations and sizes: numbers with a unit.

use std::time::Duration;

use serde_json::json;

use super::{Fault, Scalar, text};
use crate::config::keys::Shape;

pub(in crate::config) const KIB: usize = 1024;
pub(in crate::config) const MIB: usize = 1024 * KIB;

/// How long; zero has no meaning.
pub(in crate::config) struct Period;

/// How long, of which zero has a meaning ("0s": none).
pub(in crate::config) struct PeriodOrZero;

const EXPECTED_DURATION: &str =
    "expected a duration such as \"250ms\", \"30s\", \"20m\" or \"12h\"";

impl Scalar for PeriodOrZero {
    type Value = Duration;

    fn shape() -> Shape {
        Shape::form(EXPECTED_DURATION, json!({"pattern": r"^\s*([0-9]+(d|h|m|s|ms))+\s*$"}))
    }

    fn read(written: &toml::Value) -> Result<Duration, Fault> {
        parse_duration(text(written)?).ok_or(Fault::Unlike)
    }

    fn write(value: &Duration) -> toml::Value {
        print_duration(*value).into()
    }
}

impl Scalar for Period {
    type Value = Duration;

    fn shape() -> Shape {
        let one = "([0-9]+(d|h|m|s|ms))";
        let pattern = format!(r"^\s*{one}*[0-9]*[1-9][0-9]*(d|h|m|s|ms){one}*\s*$");
        Shape::form(EXPECTED_DURATION, json!({"pattern": pattern}))
    }

    fn read(written: &toml::Value) -> Result<Duration, Fault> {
        match PeriodOrZero::read(written)? {
            Duration::ZERO => Err("expected a duration longer than zero".into()),
            duration => Ok(duration),
        }
    }

    fn write(value: &Duration) -> toml::Value {
        PeriodOrZero::write(value)
    }
}

/// How many bytes; zero has no meaning.
pub(in crate::config) struct Size;

impl Scalar for Size {
    type Value = usize;

    fn shape() -> Shape {
        Shape::form(
            "expected a size such as \"512B\", \"64KiB\" or \"1MiB\"",
            json!({"pattern": r"^\s*[0-9]*[1-9][0-9]*(B|KiB|MiB|GiB)\s*$"}),
        )
    }

    fn read(written: &toml::Value) -> Result<usize, Fault> {
        parse_size(text(written)?).filter(|bytes| *bytes != 0).ok_or(Fault::Unlike)
    }

    fn write(value: &usize) -> toml::Value {
        print_size(*value).into()
    }
}

/// How large a request head may be.
pub(in crate::config) struct HeadSize;

impl Scalar for HeadSize {
    type Value = usize;

    fn shape() -> Shape {
        // Written out: a pattern cannot count.
        let enough = r"^\s*0*((819[2-9]|8[2-9][0-9]{2}|9[0-9]{3}|[1-9][0-9]{4,})B|([89]|[1-9][0-9]+)KiB|[1-9][0-9]*(MiB|GiB))\s*$";
        Size::shape().with_rule(&json!({"pattern": enough}))
    }

    fn read(written: &toml::Value) -> Result<usize, Fault> {
        match Size::read(written)? {
            too_small if too_small < HEAD_BYTES_MIN => Err("expected 8KiB or more".into()),
            bytes => Ok(bytes),
        }
    }

    fn write(value: &usize) -> toml::Value {
        Size::write(value)
    }
}

/// hyper does not work with less.
const HEAD_BYTES_MIN: usize = 8 * KIB;

const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// `"250ms"`, `"20m"`, `"1h30m"`; `None` for anything else.
pub fn parse_duration(text: &str) -> Option<Duration> {
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
    (total_ms <= 36_500 * 86_400_000).then(|| Duration::from_millis(total_ms))
}

fn print_duration(duration: Duration) -> String {
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
