//! Patterns of paths.

use std::fmt;
use std::str::FromStr;

use serde_json::json;

use super::{Fault, Scalar, text};
use crate::config::keys::Shape;

/// Paths of calls: at least one segment, [`PathSegment::Rest`] only as the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(Vec<PathSegment>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathSegment {
    Literal(String),
    /// `*`: any one.
    Any,
    /// `**`: any, and none.
    Rest,
}

impl PathPattern {
    pub fn segments(&self) -> &[PathSegment] {
        &self.0
    }
}

/// In words: the text is no pattern.
impl FromStr for PathPattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let segments = text.strip_prefix('/').ok_or(EXPECTED)?.split('/').map(PathSegment::read);
        let segments: Vec<_> = segments.collect::<Option<_>>().ok_or(EXPECTED)?;
        match segments.split_last() {
            Some((_, before)) if !before.contains(&PathSegment::Rest) => Ok(Self(segments)),
            _ => Err(EXPECTED),
        }
    }
}

impl PathSegment {
    fn read(text: &str) -> Option<Self> {
        let dots = text.trim_end_matches('.').is_empty();
        match text {
            "*" => Some(Self::Any),
            "**" => Some(Self::Rest),
            _ if dots || text.contains(['*', '%', '?', '#', '\\', ';']) => None,
            literal => Some(Self::Literal(literal.to_owned())),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|segment| match segment {
            PathSegment::Literal(text) => write!(f, "/{text}"),
            PathSegment::Any => f.write_str("/*"),
            PathSegment::Rest => f.write_str("/**"),
        })
    }
}

const EXPECTED: &str = "expected a path such as \"/koodrive/ose/v1/users/**\": `*` is one \
                        segment, `**` at the end is the rest, nothing is escaped";

impl Scalar for PathPattern {
    type Value = Self;

    fn shape() -> Shape {
        let pattern = r"^(/([^/*%?#\\;]+|\*))*(/\*\*)?$";
        Shape::form(EXPECTED, json!({"pattern": pattern, "minLength": 2}))
    }

    fn read(written: &toml::Value) -> Result<Self, Fault> {
        text(written)?.parse().map_err(|_| Fault::Unlike)
    }

    fn write(value: &Self) -> toml::Value {
        value.to_string().into()
    }
}
