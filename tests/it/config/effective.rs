//! The configuration in force, printed.

use koodrive_gateway::config::{effective, keys};

use super::{Folder, GOOD, leaves, parse, write_files};

#[test]
fn what_is_printed_is_the_configuration_again() {
    let folder = Folder::new();
    write_files(&folder);
    let document = GOOD.replace(
        "[forward]",
        "client_id = \"gateway\"\nclient_secret_file = \"secret\"\ntimeout = \"1500ms\"\n\
         method = \"custom\"\n[token.custom]\n\
         body = { \"a b\" = [1, { c = \"{sso_token}\\n\" }], d = 1.5 }\n\
         success = { \"/code\" = [0, \"0\"] }\n\
         [[accept.issuers]]\nissuer = \"tools\"\naudiences = [\"a\", \"b\"]\n\
         jwks_file = \"keys.json\"\nrequired_claims = { groups = \"users\" }\n\
         [forward]\nrefused_codes = []",
    );
    let loaded = parse(&document, folder.path(), &[]).unwrap();
    let printed = effective(&loaded);
    let again = parse(&printed, folder.path(), &[]).unwrap();
    assert_eq!(again.config, loaded.config, "{printed}");
}

#[test]
fn every_key_is_printed_with_where_its_value_comes_from() {
    let variables = [
        ("KOODRIVE_GATEWAY__LIMIT__CALLS_BURST".to_owned(), "17".to_owned()),
        ("KOODRIVE_GATEWAY__FORWARD__REFUSED_STATUSES__0".to_owned(), "403".to_owned()),
        ("KOODRIVE_GATEWAY__TOKEN__CUSTOM__HEADERS".to_owned(), "{ accept = \"b\" }".to_owned()),
    ];
    let printed = effective(&parse(GOOD, "".as_ref(), &variables).unwrap());
    for line in [
        "issuer = \"https://sso.example.com/realms/tools\"  # gateway.toml:2",
        "audiences = [\"koodrive-gateway\"]  # gateway.toml:3",
        "algorithms = [\"RS256\", \"ES256\"]  # default",
        "required_claims = {}  # default",
        "upstream = \"https://koodrive.example.com\"  # gateway.toml:9",
        "calls_burst = 17  # KOODRIVE_GATEWAY__LIMIT__CALLS_BURST",
        "refused_statuses = [403]  # KOODRIVE_GATEWAY__FORWARD__REFUSED_STATUSES__0",
        "headers = { accept = \"b\" }  # KOODRIVE_GATEWAY__TOKEN__CUSTOM__HEADERS",
        "header_timeout = \"10s\"  # default",
        "max_body = \"1MiB\"  # default",
        "sample_ratio = 1.0  # default",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is not in:\n{printed}");
    }
    let mut table = String::new();
    let mut written = Vec::new();
    for line in printed.lines().filter(|line| !line.is_empty()) {
        match line.split_once(" = ") {
            _ if line.starts_with('[') => table = line.replace(['[', ']'], ""),
            Some((name, _)) => written.push(format!("{table}.{name}")),
            None => panic!("{line}"),
        }
    }
    let mut known: Vec<_> =
        leaves(keys()).into_iter().map(|(key, _)| key.replace("[0]", "")).collect();
    // A list without elements is one key.
    for key in known.iter_mut().filter(|key| key.starts_with("authorize.rules.")) {
        *key = "authorize.rules".to_owned();
    }
    known.dedup();
    assert_eq!(written, known);
}

#[test]
fn no_secret_is_printed() {
    let folder = Folder::new();
    write_files(&folder);
    let document = GOOD.replace(
        "[forward]",
        "client_id = \"gateway\"\nclient_secret_file = \"secret\"\nmethod = \"custom\"\n\
         extra = { login_ticket_secret = \"hunter2\", requested_token_use = \"on_behalf_of\" }\n\
         [token.custom]\nheaders = { X-Api-Key = \"hunter2\", X-Auth = \"hunter2 {subject}, {hunter2 {issuer}\", Accept = \"text/plain\", X-Plain = \"hunter2\" }\n\
         body = { token = \"{sso_token}\", login = { password = \"hunter2\", Passcode = 70707, auth = { value = \"hunter2\", deep = [\"hunter2\"] } }, pwd = \"{client_secret}\" }\n\
         [limit]\nstore = \"redis://gateway:hunter2@cache:6379/1\"\n[forward]",
    );
    let loaded = parse(&document, folder.path(), &[]).unwrap();
    let printed = effective(&loaded);
    for secret in ["hunter2", "a-client-secret", "70707"] {
        assert!(!printed.contains(secret), "{printed}");
        assert!(!format!("{loaded:?}").contains("a-client-secret"));
    }
    assert!(!format!("{:?}", loaded.config.limit).contains("hunter2"));
    for shown in [
        "store = \"redis://gateway:***@cache:6379/1\"",
        "accept = \"text/plain\"",
        "x-auth = \"*** {subject}*** {issuer}\"",
        "requested_token_use = \"on_behalf_of\"",
        "pwd = \"{client_secret}\"",
        "token = \"{sso_token}\"",
        "client_secret_file = \"secret\"",
    ] {
        assert!(printed.contains(shown), "{shown} is not in:\n{printed}");
    }
}

#[test]
fn the_scheme_that_is_shown_is_the_one_that_is_sent() {
    let folder = Folder::new();
    write_files(&folder);
    let login = "method = \"carrier_login\"\nLINE\n[token.carrier]\naccount = \"1\"\n\
                 password_file = \"secret\"\n[forward]";
    for (line, shown) in [
        ("", "scheme = \"AT\""),
        ("scheme = \"Bearer\"", "scheme = \"Bearer\""),
        ("scheme = \"X\"", "scheme = \"X\""),
    ] {
        let document = GOOD.replace("[forward]", &login.replace("LINE", line));
        let loaded = parse(&document, folder.path(), &[]).unwrap();
        assert!(effective(&loaded).contains(shown), "{line}: {}", effective(&loaded));
    }
}
