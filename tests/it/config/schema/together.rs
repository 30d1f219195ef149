//! Keys that decide about one another.

use toml::{Table, Value};

use crate::config::schema::accepts::{Judge, remove, set};
use crate::config::{GOOD, parse};
use crate::support::schema::faults;

/// Each key with the values it may have; none: it is not there.
type Mixture = Vec<(&'static str, Vec<Option<Value>>)>;

/// Every mixture of their values is judged alike, by the program and by the schema, but where
/// something is only missing.
#[test]
fn keys_that_belong_together_are_judged_as_the_program_does() {
    let (yes, no) = (Value::Boolean(true), Value::Boolean(false));
    let texts =
        |texts: &[&str]| texts.iter().map(|text| Some((*text).into())).chain([None]).collect();
    let flags: Vec<_> = vec![None, Some(yes), Some(no)];
    let urls = ["", "https://a", "http://a", "http://localhost:1", "http://[::1]/"];
    let issuers = ["https://a", "http://a", "http://127.0.0.1:1", "urn:a", ""];
    let mixtures: [Mixture; 5] = [
        vec![("forward.upstream", texts(&urls)), ("forward.allow_plain_http", flags.clone())],
        vec![("token.endpoint", texts(&urls)), ("token.allow_plain_http", flags.clone())],
        vec![
            ("accept.issuers[0].issuer", texts(&issuers)),
            ("accept.issuers[0].jwks_url", texts(&urls)),
            ("accept.issuers[0].jwks_file", texts(&["", "keys.json"])),
            ("accept.allow_plain_http", flags),
        ],
        vec![
            ("listen.tls_certificate_file", texts(&["", "one.pem"])),
            ("listen.tls_key_file", texts(&["", "one.key"])),
            ("listen.client_ca_file", texts(&["", "one.pem"])),
        ],
        vec![
            ("forward.client_certificate_file", texts(&["", "one.pem"])),
            ("forward.client_key_file", texts(&["", "one.key"])),
        ],
    ];
    let judge = Judge::new();
    for mixture in mixtures {
        let mut documents = vec![GOOD.parse::<Table>().unwrap()];
        for (key, values) in mixture {
            let with = |document: &Table, value: &Option<Value>| {
                let mut document = document.clone();
                match value {
                    Some(value) => set(&mut document, key, value.clone()),
                    None => remove(&mut document, key),
                }
                document
            };
            documents = documents
                .iter()
                .flat_map(|document| values.iter().map(|value| with(document, value)))
                .collect();
        }
        for document in documents {
            let error = parse(&document.to_string(), judge.folder.path(), &[]).err();
            let error = error.map(|error| error.to_string());
            let missing = error.as_deref().is_some_and(|error| {
                error.contains(": required") || error.contains("so its keys cannot be discovered")
            });
            let refused = !faults(&document).is_empty();
            // An empty name is wrong where it stands; what else is required may be missing.
            assert!(refused == error.is_some() || missing, "{error:?} {refused}\n{document}");
        }
    }
}
