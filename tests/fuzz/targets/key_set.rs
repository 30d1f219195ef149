//! Any key set, with one good key behind it: nothing panics, and the good key can be used.

#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use koodrive_gateway::accept::KeyStores;
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::Config;
use libfuzzer_sys::fuzz_target;

static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let directory = base.join(format!("koodrive-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory for the key set");
    directory
});

const DOCUMENT: &str = "[[accept.issuers]]\nissuer = \"i\"\naudiences = [\"a\"]\n\
    jwks_file = \"keys.json\"\n[token]\nendpoint = \"https://sso/token\"\n\
    [forward]\nupstream = \"https://koodrive\"\n";

/// The example of RFC 8037, appendix A.2, under an id no mutation is likely to hit.
const GOOD: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"the good key of RFC 8037",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    for (text, must_work) in
        [(text.to_owned(), false), (format!("{{\"keys\":[{text},{GOOD}]}}"), is_one_value(text))]
    {
        std::fs::write(DIRECTORY.join("keys.json"), text).expect("memory can be written");
        let loaded = Config::parse(DOCUMENT, "fuzz.toml", &DIRECTORY, std::iter::empty());
        let Ok(loaded) = loaded else {
            assert!(!must_work, "the configuration refused a set with a good key");
            continue;
        };
        let keys = KeyStores::offline(Clock::system());
        keys.apply(&loaded.config.accept);
        assert!(!must_work || keys.missing().is_empty(), "a bad key spoiled the set");
    }
});

fn is_one_value(text: &str) -> bool {
    serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}
