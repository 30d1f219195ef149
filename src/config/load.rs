//! From a path, or a text, to a checked configuration, or to its batch rules alone.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::document::Node;
use super::environment::ENVIRONMENT_PREFIX;
use super::error::{ConfigError, Origin, Problem};
use super::reader::Reader;
use super::sections::{Config, ValidateConfig};
use super::values::Kind as _;
use super::{check, document, environment, values};
use crate::digest::Fields;

/// A checked configuration, with the contents of all files it names.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// Key → where its value was written; keys that are absent here have their default.
    pub origins: BTreeMap<String, Origin>,
    /// Key of each named file → SHA-256 of what it held.
    pub contents: BTreeMap<String, [u8; 32]>,
    /// Where the document was read.
    pub file: String,
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
    match values::read_text(path) {
        Ok(document) => {
            let base = path.parent().unwrap_or(Path::new(""));
            parse(&document, &file_name, base, variables)
        }
        Err(error) => {
            let error = unreadable(path, &error);
            let mut digest = Fields::new();
            digest.add(error.to_string().as_bytes());
            (digest.finish(), Err(error))
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> ConfigError {
    let (path, error) = (path.display(), values::file_error(error));
    let reason = format!("{path}: cannot read the configuration: {error}");
    ConfigError::new(vec![Problem { origin: Origin::Default, key: String::new(), reason }])
}

/// The batch rules alone: of the configuration at `path`, if there is one, and of the environment.
///
/// They hold for who checks a batch far from any gateway: what a gateway needs besides may be
/// missing, and the files it would read are left alone. Unknown keys and wrong values are errors
/// wherever they stand, since a key that was meant for the rules may be among them.
///
/// # Errors
/// Everything that is wrong, each with its place.
pub fn batch_rules(
    path: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<ValidateConfig, ConfigError> {
    let (text, file_name) = match path {
        Some(path) => {
            let text = values::read_text(path).map_err(|error| unreadable(path, &error))?;
            (text, path.display().to_string())
        }
        None => (String::new(), String::new()),
    };
    let (root, found) = written(&text, &file_name, &of_gateway(environment))?;
    let mut reader = Reader::without_files();
    reader.found = found;
    let config = Config::read(&root, "", &mut reader).unwrap_or_default();
    if reader.found.is_empty() { Ok(config.validate) } else { Err(ConfigError::new(reader.found)) }
}

/// The document with the environment written over it, and what is wrong with the latter.
fn written(
    text: &str,
    file_name: &str,
    variables: &[(String, String)],
) -> Result<(Node, Vec<Problem>), ConfigError> {
    let (mut root, mut found) = document::parse(text, file_name);
    if !found.is_empty() {
        return Err(ConfigError::new(found)); // the rest may be misread
    }
    environment::overlay(&mut root, variables, &mut found);
    Ok((root, found))
}

fn parse(text: &str, file_name: &str, base: &Path, variables: &[(String, String)]) -> Attempt {
    let mut digest = Fields::new();
    digest.add(text.as_bytes());
    for (name, value) in variables {
        digest.add(name.as_bytes());
        digest.add(value.as_bytes());
    }
    let (root, found) = match written(text, file_name, variables) {
        Ok(written) => written,
        Err(error) => return (digest.finish(), Err(error)),
    };
    let mut reader = Reader::new(base, digest);
    reader.found = found;
    let mut config = Config::read(&root, "", &mut reader).unwrap_or_default();
    check::check(&mut config, &mut reader);
    let Reader { found, origins, contents, digest, .. } = reader;
    let digest = digest.finish();
    if found.is_empty() {
        let file = file_name.to_owned();
        (digest, Ok(Loaded { config, origins, contents, file, digest }))
    } else {
        (digest, Err(ConfigError::new(found)))
    }
}
