//! Any header, and any header and payload well encoded: nothing panics, nothing is accepted
//! without a signature, and `explain` tells the same story as the real walk.

#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue};
use http::header::AUTHORIZATION;
use koodrive_gateway::accept::{Acceptor, IdentityRules, KeyStores, Verdict, VerifiedTokens};
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::Config;
use libfuzzer_sys::fuzz_target;

static ACCEPTOR: LazyLock<Acceptor> = LazyLock::new(|| {
    let base = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = "[[accept.issuers]]\nissuer = \"i\"\naudiences = [\"a\"]\n\
        jwks_file = \"keys.json\"\nalgorithms = [\"RS256\", \"PS256\", \"ES256\", \"EdDSA\"]\n\
        [token]\nendpoint = \"https://sso/token\"\n[forward]\nupstream = \"https://koodrive\"\n";
    let loaded = Config::parse(document, "fuzz.toml", base, std::iter::empty());
    let config = loaded.expect("the document is good").config.accept;
    let keys = KeyStores::offline(Clock::system());
    keys.apply(&config);
    assert!(keys.missing().is_empty());
    Acceptor::new(&config, &keys, &VerifiedTokens::new(), IdentityRules::default())
});

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    let value = if kind % 2 == 0 {
        data.to_vec()
    } else {
        let mut parts = data.split(|byte| *byte == 0xff);
        let parts: [&[u8]; 3] = std::array::from_fn(|_| parts.next().unwrap_or_default());
        let [header, payload, signature] = parts.map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("Bearer {header}.{payload}.{signature}").into_bytes()
    };
    let Ok(value) = HeaderValue::from_bytes(&value) else { return };
    let token = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
    let token = token.map(str::to_owned);
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    let now = UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    let judged = ACCEPTOR.accept(&headers, now, None).now_or_never().expect("files are not waited for");
    let error = judged.expect_err("nobody can sign for these keys");
    assert!(!error.to_string().chars().any(char::is_control));
    let Some(token) = token.filter(|token| token.bytes().all(is_legal) && !token.is_empty()) else {
        return;
    };
    let lines = ACCEPTOR.explain(&token, now);
    let told = lines.iter().find_map(|line| match &line.verdict {
        Verdict::Refused(error) => Some(error.to_string()),
        Verdict::Passed | Verdict::NotChecked(_) => None,
    });
    assert_eq!(told, Some(error.to_string()));
});

fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}
