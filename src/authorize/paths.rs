//! Patterns of paths as a tree of their segments: a path is compared with all of them at once.

use std::cmp::Ordering;

use crate::config::PathSegment;

/// Patterns and the rules they belong to.
#[derive(Debug, Default)]
pub(super) struct PathTree {
    /// In order; folded.
    literal: Vec<(Box<str>, PathTree)>,
    /// `*`.
    any: Option<Box<PathTree>>,
    /// Rules whose pattern ends here, in order.
    ends: Vec<usize>,
    /// Rules whose pattern has `**` here, in order.
    rest: Vec<usize>,
}

impl PathTree {
    /// Rules are added in order.
    pub(super) fn add(&mut self, pattern: &[PathSegment], rule: usize) {
        let mut at = self;
        for segment in pattern {
            at = match segment {
                PathSegment::Rest => {
                    at.rest.push(rule);
                    return;
                }
                PathSegment::Any => at.any.get_or_insert_default(),
                PathSegment::Literal(literal) => at.below(literal),
            };
        }
        at.ends.push(rule);
    }

    fn below(&mut self, segment: &str) -> &mut Self {
        let folded: String = segment.chars().map(fold).collect();
        let place = self.literal.binary_search_by(|(known, _)| (**known).cmp(&folded));
        let place = place.unwrap_or_else(|place| {
            self.literal.insert(place, (folded.as_str().into(), Self::default()));
            place
        });
        &mut self.literal[place].1
    }

    /// Lowers `first` to the first rule below it that has a pattern for the path and of which
    /// `names` says yes. Goes no deeper than patterns do.
    pub(super) fn find<'p>(
        &self,
        mut segments: impl Iterator<Item = &'p str> + Clone,
        names: &impl Fn(usize) -> bool,
        first: &mut usize,
    ) {
        lower(&self.rest, names, first);
        let Some(segment) = segments.next() else { return lower(&self.ends, names, first) };
        let place = self.literal.binary_search_by(|(known, _)| compare(known, segment));
        if let Ok(place) = place {
            self.literal[place].1.find(segments.clone(), names, first);
        }
        if let Some(any) = &self.any {
            any.find(segments, names, first);
        }
    }
}

fn lower(rules: &[usize], names: &impl Fn(usize) -> bool, first: &mut usize) {
    let earlier = rules.iter().take_while(|rule| **rule < *first);
    if let Some(rule) = earlier.copied().find(|rule| names(*rule)) {
        *first = rule;
    }
}

/// Without regard to case; `known` is folded.
fn compare(known: &str, segment: &str) -> Ordering {
    if segment.is_ascii() {
        return known.bytes().cmp(segment.bytes().map(|byte| byte.to_ascii_lowercase()));
    }
    known.chars().cmp(segment.chars().map(fold))
}

/// One form for all letters that some server may take for the same: more than ASCII has, such as
/// the Kelvin sign and the long s, which elsewhere are a k and an s.
fn fold(letter: char) -> char {
    let upper = only(letter.to_uppercase()).unwrap_or(letter);
    only(upper.to_lowercase()).unwrap_or(upper)
}

fn only(mut letters: impl Iterator<Item = char>) -> Option<char> {
    let first = letters.next();
    first.filter(|_| letters.next().is_none())
}
