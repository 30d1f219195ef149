//! A strict reader of the `OpenMetrics` text form: what it does not know, it refuses.

use std::collections::{BTreeMap, BTreeSet};

/// One metric family.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) labels: BTreeSet<String>,
    unit: String,
    help: bool,
    series: BTreeSet<String>,
    last_bucket: Option<(String, f64, f64)>,
}

/// All families by name; panics at the first line that breaks a rule.
pub(crate) fn parse(text: &str) -> BTreeMap<String, Family> {
    let body = text.strip_suffix("# EOF\n").expect("it ends in # EOF");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in body.lines() {
        assert_eq!(line.trim(), line, "no stray blanks");
        if let Some(about) = line.strip_prefix("# ") {
            let mut words = about.splitn(3, ' ');
            let (what, name) = (words.next().expect("a word"), words.next().expect("a name"));
            let rest = words.next().expect("a value");
            if current != name {
                assert!(!families.contains_key(name), "{name} comes in one piece");
                assert!(legal_name(name), "{name}");
                name.clone_into(&mut current);
            }
            let family = families.entry(current.clone()).or_default();
            assert!(family.series.is_empty(), "metadata come first: {line}");
            match what {
                "HELP" => family.help = true,
                "TYPE" => rest.clone_into(&mut family.kind),
                "UNIT" => {
                    assert!(name.ends_with(&format!("_{rest}")), "{name} ends in its unit");
                    rest.clone_into(&mut family.unit);
                }
                _ => panic!("{line}"),
            }
        } else {
            let family = families.get_mut(&current).unwrap_or_else(|| panic!("no family: {line}"));
            sample(&current, family, line);
        }
    }
    for (name, family) in &families {
        assert!(family.help && !family.kind.is_empty(), "{name} says what it is");
        assert!(!family.series.is_empty(), "{name} has a series");
        assert_eq!(name.ends_with("_seconds"), family.unit == "seconds", "{name}");
    }
    families
}

fn sample(name: &str, family: &mut Family, line: &str) {
    let rest = line.strip_prefix(name).unwrap_or_else(|| panic!("{line} is not of {name}"));
    let end = rest.find(['{', ' ']).expect("a value");
    let (suffix, rest) = rest.split_at(end);
    let legal: &[&str] = match family.kind.as_str() {
        "counter" => &["_total"],
        "gauge" => &[""],
        "histogram" => &["_sum", "_count", "_bucket"],
        "info" => &["_info"],
        other => panic!("type {other}"),
    };
    assert!(legal.contains(&suffix), "{line}");
    let (mut labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest),
        None => (Vec::new(), rest),
    };
    let rest = rest.strip_prefix(' ').expect("a blank before the value");
    let (value, exemplar) = match rest.split_once(" # ") {
        Some((value, exemplar)) => (value, Some(exemplar)),
        None => (rest, None),
    };
    let value: f64 = value.parse().unwrap_or_else(|_| panic!("a number: {line}"));
    let le = labels.iter().position(|(label, _)| label == "le").map(|at| labels.remove(at).1);
    assert_eq!(le.is_some(), suffix == "_bucket", "{line}");
    if let Some(le) = &le {
        let bound = if le == "+Inf" { f64::INFINITY } else { le.parse().expect("a bound") };
        let group = format!("{labels:?}");
        if let Some((last_group, last_bound, last_value)) = &family.last_bucket
            && *last_group == group
        {
            assert!(*last_bound < bound && *last_value <= value, "buckets rise: {line}");
        }
        family.last_bucket = Some((group, bound, value));
    }
    if let Some(exemplar) = exemplar {
        assert!(matches!(suffix, "_bucket" | "_total"), "{line}");
        let (pairs, rest) = self::labels(exemplar.strip_prefix('{').expect("labels"));
        let length: usize = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
        assert!(length <= 128, "{line}");
        let numbers: Vec<f64> =
            rest.trim_start().split(' ').map(|number| number.parse().expect("a number")).collect();
        assert!((1..=2).contains(&numbers.len()), "value and time: {line}");
    }
    assert!(family.series.insert(format!("{suffix}{labels:?}{le:?}")), "twice: {line}");
    family.labels.extend(labels.into_iter().map(|(label, _)| label));
}

/// Pairs up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> (Vec<(String, String)>, &str) {
    let mut pairs: Vec<(String, String)> = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"").expect("a label");
        assert!(legal_name(name), "{name}");
        assert!(pairs.iter().all(|(seen, _)| seen != name), "{name} stands twice");
        let mut value = String::new();
        let mut letters = after.char_indices();
        let end = loop {
            match letters.next().expect("a closing quote") {
                (at, '"') => break at,
                (_, '\\') => match letters.next().expect("an escape").1 {
                    'n' => value.push('\n'),
                    letter @ ('"' | '\\') => value.push(letter),
                    letter => panic!("escape {letter}"),
                },
                (_, letter) => value.push(letter),
            }
        };
        pairs.push((name.to_owned(), value));
        let (_, after) = after.split_at(end + 1);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return (pairs, after.strip_prefix('}').expect("a closing brace")),
        }
    }
}

fn legal_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
