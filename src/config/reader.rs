//! The written tree against the known keys: every unknown key and wrong value at once.

use std::collections::BTreeMap;
use std::path::Path;

use super::document::{Node, Written};
use super::error::{Origin, Problem, nearest};
use super::keys::{Key, Shape, keys};
use super::values::Fault;
use crate::digest::Fields;

/// What the sections say to while they read themselves.
pub(super) struct Reader<'a> {
    /// Where relative paths start; `None` leaves all files unread.
    base: Option<&'a Path>,
    /// Everything wrong so far.
    pub(super) found: Vec<Problem>,
    /// Where the value of each written key stands.
    pub(super) origins: BTreeMap<String, Origin>,
    /// Where each written table begins; the whole document is "".
    pub(super) tables: BTreeMap<String, Origin>,
    /// Keys an unknown one was probably meant to be.
    pub(super) meant: Vec<String>,
    /// What each named file held, by a digest of it.
    pub(super) contents: BTreeMap<String, [u8; 32]>,
    /// Over all that was read.
    pub(super) digest: Fields,
}

impl<'a> Reader<'a> {
    pub(super) fn new(base: &'a Path, digest: Fields) -> Self {
        Self { base: Some(base), digest, ..Self::without_files() }
    }

    /// For who asks for no key that names a file.
    pub(super) fn without_files() -> Self {
        Self {
            base: None,
            found: Vec::new(),
            origins: BTreeMap::new(),
            tables: BTreeMap::new(),
            meant: Vec::new(),
            contents: BTreeMap::new(),
            digest: Fields::new(),
        }
    }

    /// Where relative paths start, if files are to be read.
    pub(super) fn base(&self) -> Option<&'a Path> {
        self.base
    }

    /// A file's content decides about this configuration too.
    pub(super) fn has_read(&mut self, key: &str, content: &str) {
        self.digest.add(content.as_bytes());
        let mut own = Fields::new();
        own.add(content.as_bytes());
        self.contents.insert(key.to_owned(), own.finish());
    }

    /// The value of `key` stands at `at`.
    pub(super) fn note(&mut self, key: &str, at: &Origin) {
        self.origins.insert(key.to_owned(), at.clone());
    }

    /// Whether somebody wrote this key.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.origins.contains_key(key)
    }

    /// What is written in a table, told apart from what is no key of it.
    pub(super) fn table<'n>(
        &mut self,
        node: &'n Node,
        key: &str,
        shape: &Shape,
    ) -> Option<&'n BTreeMap<String, Node>> {
        self.tables.insert(key.to_owned(), node.at.clone());
        let (Shape::Table(known), Written::Table(entries)) = (shape, &node.value) else {
            return self.unlike(node, key, shape);
        };
        for (name, node) in entries {
            if !known.iter().any(|known| known.name == name) {
                self.unknown_key(node, key, name, known);
            }
        }
        Some(entries)
    }

    /// A table, list or map that is something else.
    pub(super) fn unlike<T>(&mut self, node: &Node, key: &str, shape: &Shape) -> Option<T> {
        let reason = format!("{}, found {}", shape.expected(), node.kind());
        self.problem(&node.at, key, reason);
        None
    }

    /// A value that its key does not take. Never repeats the value.
    pub(super) fn refuse(&mut self, node: &Node, key: &str, shape: &Shape, fault: Fault) {
        let reason = match fault {
            Fault::Because(reason) => reason.into_owned(),
            Fault::Unlike => unlike(node, shape),
        };
        self.problem(&node.at, key, reason);
    }

    pub(super) fn problem(&mut self, origin: &Origin, key: &str, reason: String) {
        self.found.push(Problem { origin: origin.clone(), key: key.to_owned(), reason });
    }

    /// A key nearly of that name here, one of that name elsewhere, or all that are known here.
    fn unknown_key(&mut self, node: &Node, table: &str, name: &str, known: &[Key]) {
        let key = joined(table, name);
        if let Some((_, cure)) = MOVED.iter().find(|(moved, _)| *moved == key) {
            return self.problem(&node.named_at, &key, (*cure).to_owned());
        }
        let near = nearest(name, known.iter().map(|key| key.name));
        let mut elsewhere = Vec::new();
        places_of(name, keys(), "", &mut elsewhere);
        let reason = match (near, elsewhere.first()) {
            (Some(near), _) => {
                self.meant.push(joined(table, near));
                format!("unknown key; did you mean `{near}`?")
            }
            (None, Some(place)) => format!("unknown key; did you mean `{place}`?"),
            (None, None) => unknown(known),
        };
        self.problem(&node.named_at, &key, reason);
    }
}

fn unlike(node: &Node, shape: &Shape) -> String {
    match (shape, &node.value) {
        (Shape::Choice(words), Written::Scalar(toml::Value::String(written))) => {
            match nearest(written, words.iter().copied()) {
                Some(word) => format!("{}; did you mean \"{word}\"?", shape.expected()),
                None => shape.expected(),
            }
        }
        (Shape::Text { .. }, Written::Scalar(toml::Value::String(_)))
        | (Shape::Integer { .. }, Written::Scalar(toml::Value::Integer(_))) => shape.expected(),
        (_, Written::Scalar(_)) if matches!(node.at, Origin::Environment(_)) => shape.expected(),
        _ => format!("{}, found {}", shape.expected(), node.kind()),
    }
}

pub(super) fn unknown(known: &[Key]) -> String {
    let names: Vec<String> = known.iter().map(|key| format!("`{}`", key.name)).collect();
    format!("unknown key; known here: {}", names.join(", "))
}

/// Keys of earlier versions, and where they went.
const MOVED: [(&str, &str); 2] = [
    (
        "token.app.user_claim",
        "whose KooDrive user a caller is, is said per issuer now: write `koodrive_user_claim` into \
         [[accept.issuers]]",
    ),
    (
        "token.app.user_map_file",
        "whose KooDrive user a caller is, is said per issuer now: write `koodrive_users_file` into \
         [[accept.issuers]]",
    ),
];

fn places_of(name: &str, known: &[Key], table: &str, places: &mut Vec<String>) {
    for key in known {
        let here = joined(table, key.name);
        match &key.shape {
            Shape::Table(below) => places_of(name, below, &here, places),
            Shape::List(element) => {
                if let Shape::Table(below) = &**element {
                    places_of(name, below, &here, places);
                }
            }
            _ => {}
        }
        if key.name == name {
            places.push(here);
        }
    }
}

/// `table.name`, with the name in quotes when TOML wants them.
pub(super) fn joined(table: &str, name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let quoted;
    let name = if !name.is_empty() && name.chars().all(bare) {
        name
    } else {
        quoted = toml::Value::String(name.to_owned()).to_string();
        &quoted
    };
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}
