//! What operators write: shipped files, wrong configurations, environment, reload.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

mod effective;
mod environment;
mod reload;
mod schema;
mod shipped;
mod wrong;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use koodrive_gateway::config::{Config, ConfigError, Key, Loaded, RuleConfig, Shape};

/// The least that works.
const GOOD: &str = r#"[[accept.issuers]]
issuer = "https://sso.example.com/realms/tools"
audiences = ["koodrive-gateway"]

[token]
endpoint = "https://sso.example.com/realms/tools/token"

[forward]
upstream = "https://koodrive.example.com"
"#;

fn parse(
    document: &str,
    base: &Path,
    environment: &[(String, String)],
) -> Result<Loaded, ConfigError> {
    Config::parse(document, "gateway.toml", base, environment.iter().cloned())
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A directory of its own, gone at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name =
            format!("config-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Two self-signed certificates with their keys, and everything else a key can name.
fn write_files(folder: &Folder) {
    for name in ["one", "other"] {
        let signed = rcgen::generate_simple_self_signed(vec![format!("{name}.example.com")]);
        let signed = signed.unwrap();
        folder.write(&format!("{name}.pem"), signed.cert.pem());
        folder.write(&format!("{name}.key"), signed.signing_key.serialize_pem());
    }
    folder.write("secret", "a-client-secret\n");
    folder.write("two-lines", "hunter2\nhunter2\n");
    folder.write("marked", "\u{feff}hunter2\n");
    folder.write("empty", "\n");
    folder.write("binary", [0xff, 0xfe]);
    folder.write("keys.json", r#"{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}"#);
    folder.write("no-keys.json", r#"{"keys": []}"#);
    folder.write("users.toml", "\"alice@example.com\" = \"1575416580416769793\"\n");
    folder.write("blank-users.toml", "\"alice\" = \"1 2\"\n");
    folder.write("bad-users.toml", "\"alice\" = \"1\"\n\"bob\" = 2\n");
}

/// Key → shape of every key that holds a value, elements of lists of tables under `[0]`.
fn leaves(known: &'static [Key]) -> Vec<(String, &'static Shape)> {
    fn walk(known: &'static [Key], table: &str, into: &mut Vec<(String, &'static Shape)>) {
        for key in known {
            let name = format!("{table}{}", key.name);
            match &key.shape {
                Shape::Table(below) => walk(below, &format!("{name}."), into),
                Shape::List(element) => match &**element {
                    Shape::Table(below) => walk(below, &format!("{name}[0]."), into),
                    _ => into.push((name, &key.shape)),
                },
                _ => into.push((name, &key.shape)),
            }
        }
    }
    let mut all = Vec::new();
    walk(known, "", &mut all);
    all
}

/// The value at `accept.issuers[0].issuer`.
fn value_at(config: &Config, key: &str) -> toml::Value {
    let mut value = toml::Value::Table(config.to_table());
    for step in key.split(['.', '[']) {
        value = match step.strip_suffix(']') {
            Some(index) => match value.as_array().unwrap().get(index.parse::<usize>().unwrap()) {
                Some(element) => element.clone(),
                // As it would be, were it written.
                None => RuleConfig::default().to_table().into(),
            },
            None => value[step].clone(),
        };
    }
    value
}
