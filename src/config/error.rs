//! What is wrong with a configuration, and where.

use std::fmt;
use std::sync::Arc;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the default holds.
    Default,
    /// Lines and columns count from 1, columns in characters.
    File { name: Arc<str>, line: usize, column: usize },
    /// The name of the environment variable.
    Environment(Arc<str>),
}

/// `default`, `FILE:LINE`, or the name of the environment variable.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line, .. } => write!(f, "{name}:{line}"),
            Self::Environment(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub origin: Origin,
    /// The key, such as `limit.calls_per_minute`; empty when the document is no TOML.
    pub key: String,
    /// What was expected, and the cure. Holds no value of the configuration but paths of files.
    pub reason: String,
}

/// `file:line:column: key `…`: reason`, or the environment variable's name in front.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => {}
            Origin::File { name, line, column } => write!(f, "{name}:{line}:{column}: ")?,
            Origin::Environment(name) => write!(f, "{name}: ")?,
        }
        if !self.key.is_empty() {
            write!(f, "key `{}`: ", self.key)?;
        }
        f.write_str(&self.reason)
    }
}

/// Everything found wrong with a configuration: one line each, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// Sorts by position; what the environment set comes last.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| match &problem.origin {
            Origin::Default => (0, 0, 0),
            Origin::File { line, column, .. } => (1, *line, *column),
            Origin::Environment(_) => (2, 0, 0),
        });
        problems.dedup();
        Self { problems }
    }

    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if 0 < index {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The candidate most like `written`, if one is like it at all.
pub fn nearest<'a>(written: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, candidate) = candidates
        .map(|candidate| {
            (strsim::osa_distance(&written.to_lowercase(), &candidate.to_lowercase()), candidate)
        })
        .min_by_key(|(distance, _)| *distance)?;
    let longest = written.chars().count().max(candidate.chars().count());
    (distance * 5 <= longest * 2).then_some(candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_found_and_a_distant_one_is_not() {
        let names = ["calls_per_minute", "calls_burst", "mode", "store"];
        let cases = [
            ("calls_per_minut", Some("calls_per_minute")),
            ("callsPerMinute", Some("calls_per_minute")),
            ("CALLS_BURST", Some("calls_burst")),
            ("mdoe", Some("mode")),
            ("stores", Some("store")),
            ("frobnicate", None),
            ("x", None),
        ];
        for (written, expected) in cases {
            assert_eq!(nearest(written, names.into_iter()), expected, "{written}");
        }
    }
}
