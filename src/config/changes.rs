//! What differs between two configurations, for who reads the log.

use std::collections::BTreeMap;

use super::effective::lines;
use super::load::Loaded;

/// Each key that differs, with what it was and what it is, as `check-config` would show it; of a
/// file, that its content is another one.
pub fn changes(old: &Loaded, new: &Loaded) -> Vec<String> {
    let (before, now) = (lines(old), lines(new));
    let before: BTreeMap<_, _> = before.into_iter().map(|line| (line.key.clone(), line)).collect();
    let mut changes = Vec::new();
    for line in &now {
        let key = &line.key;
        match before.get(key) {
            None => changes.push(format!("{key}: set to {}", short(&line.shown))),
            Some(was) if was.shown != line.shown => {
                changes.push(format!("{key}: {} to {}", short(&was.shown), short(&line.shown)));
            }
            // The difference is in what is not shown.
            Some(was) if was.value != line.value => changes.push(format!("{key}: changed")),
            Some(_) if old.contents.get(key) != new.contents.get(key) => {
                changes.push(format!("{key}: new content"));
            }
            Some(_) => {}
        }
    }
    let kept = |key: &String| now.iter().any(|line| line.key == **key);
    let gone = before.keys().filter(|key| !kept(key)).map(|key| format!("{key}: gone"));
    changes.extend(gone);
    changes
}

/// Long lists and tables are told by their beginning.
fn short(shown: &str) -> String {
    match shown.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", shown.split_at(at).0),
        None => shown.to_owned(),
    }
}

const SHOWN_CHARS_MAX: usize = 80;
