//! A store over TLS that knows its clients by certificate and password.

use koodrive_gateway::config::{Config, LimitConfig};

use crate::limiters::Replica;
use crate::store::Store;
use crate::support::scratch::Scratch;
use crate::support::tls::Authority;

/// `[limit]` of a complete configuration whose files are in `scratch`.
fn limit(scratch: &Scratch, keys: &str) -> LimitConfig {
    let document = format!(
        "[[accept.issuers]]\nissuer = \"https://sso.example.com\"\naudiences = [\"a\"]\n\
         [token]\nmethod = \"token_exchange\"\nendpoint = \"https://sso.example.com/token\"\n\
         client_id = \"a\"\nclient_secret_file = \"password\"\n\
         [forward]\nupstream = \"https://koodrive.example.com\"\n\
         [limit]\ncalls_per_minute = 1\n{keys}\n"
    );
    let parsed = Config::parse(&document, "gateway.toml", scratch.path(), std::iter::empty());
    parsed.unwrap_or_else(|error| panic!("{error}")).config.limit
}

#[tokio::test]
async fn a_store_over_tls_knows_the_gateway_by_certificate_and_password_file() {
    let authority = Authority::new().unwrap();
    let store = Store::start_with_tls("hun-ter.2", &authority);
    let scratch = Scratch::new().unwrap();
    let client = authority.client_pem("gateway").unwrap();
    for (name, text) in [
        ("password", "hun-ter.2\n".to_owned()),
        ("ca.crt", authority.root_pem()),
        ("tls.crt", client.certificate),
        ("tls.key", client.key),
    ] {
        scratch.write(name, text).unwrap();
    }
    let address = format!("store = \"{}\"\n", store.tls_address());
    let password = "store_password_file = \"password\"\n";
    let roots = "store_ca_file = \"ca.crt\"\n";
    let shown = "store_certificate_file = \"tls.crt\"\nstore_key_file = \"tls.key\"\n";

    let one = Replica::with(&limit(&scratch, &[&*address, password, roots, shown].concat()));
    let other = Replica::with(&limit(&scratch, &[&*address, password, roots, shown].concat()));
    assert_eq!(one.admitted("alice", 20).await, 10);
    assert_eq!(other.admitted("alice", 20).await, 0);
    assert_eq!((one.failures(), other.failures()), (0, 0));

    for lacking in [[password, roots, ""], [password, "", shown], ["", roots, shown]] {
        let lone = Replica::with(&limit(&scratch, &(address.clone() + &lacking.concat())));
        assert_eq!(lone.admitted("alice", 20).await, 10, "locally, without one of {lacking:?}");
        assert!(1 <= lone.failures(), "{lacking:?}");
    }
}
