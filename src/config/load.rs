//! From a path, or a text, to a checked configuration.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize as _;

use super::environment::ENVIRONMENT_PREFIX;
use super::error::{ConfigError, Origin, Problem};
use super::read::Reading;
use super::sections::Config;
use super::{check, document, environment, files, read};
use crate::digest::Fields;

/// A checked configuration, with the contents of all files it names.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// Key → where its value was written; keys that are absent here have their default.
    pub origins: BTreeMap<String, Origin>,
    /// SHA-256 over document, environment and the contents of all named files.
    pub digest: [u8; 32],
}

impl Loaded {
    /// Where the value of `key` comes from.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }
}

/// Reads, overlays and checks the configuration at `path`.
///
/// Relative paths in it start at the directory it is in. Of `environment` only the names that
/// begin with [`ENVIRONMENT_PREFIX`] are looked at.
///
/// # Errors
/// Everything that is wrong, each with its place.
pub fn load(
    path: &Path,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    attempt(path, &of_gateway(environment)).1
}

impl Config {
    /// As [`load`], for a `document` at hand. Reads only the files it names, from `base`.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place in `file_name`.
    pub fn parse(
        document: &str,
        file_name: &str,
        base: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigError> {
        parse(document, file_name, base, &of_gateway(environment)).1
    }
}

/// The variables that set keys, in an order of their own.
pub(super) fn of_gateway(
    environment: impl Iterator<Item = (String, String)>,
) -> Vec<(String, String)> {
    let mut variables: Vec<_> =
        environment.filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX)).collect();
    variables.sort();
    variables
}

/// The digest of all that was read, and what came of it.
pub(super) type Attempt = ([u8; 32], Result<Loaded, ConfigError>);

pub(super) fn attempt(path: &Path, variables: &[(String, String)]) -> Attempt {
    let file_name = path.display().to_string();
    match files::read_text(path) {
        Ok(document) => {
            let base = path.parent().unwrap_or(Path::new(""));
            parse(&document, &file_name, base, variables)
        }
        Err(error) => {
            let reason = format!("cannot read the configuration: {}", files::cause(&error));
            let mut digest = Fields::new();
            digest.add(reason.as_bytes());
            let origin = Origin::Default;
            let reason = format!("{file_name}: {reason}");
            let problem = Problem { origin, key: String::new(), reason };
            (digest.finish(), Err(ConfigError::new(vec![problem])))
        }
    }
}

fn parse(text: &str, file_name: &str, base: &Path, variables: &[(String, String)]) -> Attempt {
    let mut digest = Fields::new();
    digest.add(text.as_bytes());
    for (name, value) in variables {
        digest.add(name.as_bytes());
        digest.add(value.as_bytes());
    }
    let (mut root, mut found) = document::parse(text, file_name);
    if !found.is_empty() {
        return (digest.finish(), Err(ConfigError::new(found))); // the rest may be misread
    }
    environment::overlay(&mut root, variables, &mut found);
    let reading = read::read(&root, &mut found);
    let mut config = match Config::deserialize(reading.value.clone()) {
        Ok(config) => config,
        Err(error) => {
            // Each key took its value, so this cannot be; but it must not pass for a default.
            let reason = error.message().to_owned();
            found.push(Problem { origin: root.at.clone(), key: String::new(), reason });
            return (digest.finish(), Err(ConfigError::new(found)));
        }
    };
    read_files(&mut config, base, &reading, &mut digest, &mut found);
    check::check(&config, &reading, &mut found);
    let digest = digest.finish();
    if found.is_empty() {
        (digest, Ok(Loaded { config, origins: reading.origins, digest }))
    } else {
        (digest, Err(ConfigError::new(found)))
    }
}

fn read_files(
    config: &mut Config,
    base: &Path,
    reading: &Reading,
    digest: &mut Fields,
    found: &mut Vec<Problem>,
) {
    for (key, mut file) in config.files_mut() {
        let outcome = file.read(base);
        digest.add(file.content().as_bytes());
        let Err(error) = outcome else { continue };
        let cause = files::cause(&error);
        digest.add(cause.as_bytes());
        let path = base.join(file.path()).display().to_string();
        let reason = if path.contains(files::CONTENT) || path.contains('\n') {
            "expected the path of a file, found its content".to_owned()
        } else {
            format!("cannot read file {path}: {cause}")
        };
        let origin = reading.origins.get(&key).cloned().unwrap_or(Origin::Default);
        found.push(Problem { origin, key, reason });
    }
}
