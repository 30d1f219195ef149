//! Whether the configuration, or a file it names, has changed; and what a change may touch.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::error::ConfigError;
use super::keys::{Shape, keys};
use super::load::{Attempt, Loaded, attempt, of_gateway};
use super::sections::Config;

/// How often a change is read again until two readings agree. Files replaced together, as a
/// Kubernetes volume does it by swapping one symlink, are then not taken half.
const SETTLE_MAX: usize = 5;

/// Compares contents, not times or inodes: `ConfigMap`s and Secrets change by a swapped symlink.
#[derive(Debug)]
pub struct Watcher {
    path: PathBuf,
    variables: Vec<(String, String)>,
    digest: [u8; 32],
}

impl Watcher {
    /// Watches `path` and every file it names, from what `loaded` has read.
    pub fn new(
        path: &Path,
        environment: impl Iterator<Item = (String, String)>,
        loaded: &Loaded,
    ) -> Self {
        let variables = of_gateway(environment);
        Self { path: path.to_owned(), variables, digest: loaded.digest }
    }

    /// What the files hold now, if that is not what they held at the last poll. Bad content is
    /// told once, then again when it changes. Reads files: for a thread that may block.
    pub fn poll(&mut self) -> Option<Result<Loaded, ConfigError>> {
        let (mut digest, mut outcome) = self.attempt();
        if digest == self.digest {
            return None;
        }
        for _ in 0..SETTLE_MAX {
            let before = digest;
            (digest, outcome) = self.attempt();
            if digest == before {
                break;
            }
        }
        if digest == self.digest {
            return None;
        }
        self.digest = digest;
        Some(outcome)
    }

    fn attempt(&self) -> Attempt {
        attempt(&self.path, &self.variables)
    }
}

/// Sections that take effect at start only.
const RESTART_ONLY: [&str; 3] = ["listen", "admin", "telemetry"];

/// The keys that differ and take effect at start only.
///
/// Contents of files do not count: a certificate that was renewed under the same path is no
/// change of configuration.
pub fn restart_only(old: &Config, new: &Config) -> Vec<&'static str> {
    let (old, new) = (old.to_table(), new.to_table());
    restart_only_keys()
        .iter()
        .filter(|(section, name, _)| old[*section].get(name) != new[*section].get(name))
        .map(|(_, _, key)| key.as_str())
        .collect()
}

/// Section, name, and both joined.
fn restart_only_keys() -> &'static [(&'static str, &'static str, String)] {
    static KEYS: LazyLock<Vec<(&'static str, &'static str, String)>> =
        LazyLock::new(|| {
            let mut all = Vec::new();
            for section in keys().iter().filter(|key| RESTART_ONLY.contains(&key.name)) {
                if let Shape::Table(known) = &section.shape {
                    all.extend(known.iter().map(|key| {
                        (section.name, key.name, format!("{}.{}", section.name, key.name))
                    }));
                }
            }
            all
        });
    &KEYS
}

/// The new configuration as far as it can take effect without a restart.
///
/// Certificates and keys of the listener, and the collector's roots, are the new ones if their
/// paths are the old ones.
#[must_use]
pub fn keeping_restart_only(old: &Config, new: &Config) -> Config {
    let mut kept = Config {
        listen: old.listen.clone(),
        admin: old.admin.clone(),
        telemetry: old.telemetry.clone(),
        ..new.clone()
    };
    let (listen, fresh) = (&mut kept.listen, &new.listen);
    let same_paths = listen.tls_certificate_file.path() == fresh.tls_certificate_file.path()
        && listen.tls_key_file.path() == fresh.tls_key_file.path()
        && listen.client_ca_file.path() == fresh.client_ca_file.path();
    if same_paths {
        listen.tls_certificate_file = fresh.tls_certificate_file.clone();
        listen.tls_key_file = fresh.tls_key_file.clone();
        listen.client_ca_file = fresh.client_ca_file.clone();
    }
    if kept.telemetry.ca_file.path() == new.telemetry.ca_file.path() {
        kept.telemetry.ca_file = new.telemetry.ca_file.clone();
    }
    kept
}
