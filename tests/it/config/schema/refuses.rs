//! What is wrong and can be seen in the document alone, the schema refuses.

use crate::config::wrong;
use crate::support::schema::faults;

/// Why no schema can see a wrong configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Unseen {
    /// The environment is wrong, not the document.
    Environment,
    /// It is no TOML document, so there is nothing to judge.
    Syntax,
    /// Something is not there that the environment may give.
    Missing,
    /// A file that the document names does not hold what it should.
    FileContents,
    /// JSON Schema cannot compare two values.
    TwoValues,
}

use Unseen::{Environment, FileContents, Missing, Syntax, TwoValues};

const UNSEEN: &[(&str, Unseen)] = &[
    ("a line that is no TOML", Syntax),
    ("a key twice", Syntax),
    ("two lines that are no TOML", Syntax),
    ("a string that does not end", Syntax),
    ("a number beyond 64 bits", Syntax),
    ("an empty file", Missing),
    ("an issuer without a name", Missing),
    ("client credentials without a client", Missing),
    ("a client without its secret", Missing),
    ("a signing client without its key", Missing),
    ("a custom login without a body", Missing),
    ("a carrier login without account", Missing),
    ("a signature without an app", Missing),
    ("a certificate for the endpoint over http", Missing),
    ("an assertion without its file", Missing),
    ("an assertion's file that is not there", FileContents),
    ("PS256 by another key", FileContents),
    ("an issuer that is no address", Missing), // its `jwks_url` or `jwks_file`
    ("one issuer twice", TwoValues),
    ("a parameter that another key sends", TwoValues),
    ("keys that lapse", TwoValues),
    ("both listeners on one port", TwoValues),
    ("a burst below the largest batch", TwoValues),
    ("memory below the largest batch", TwoValues),
    ("lives in the wrong order", TwoValues),
    ("a margin as long as a life", TwoValues),
    ("a file that is not there", FileContents),
    ("a secret that is empty", FileContents),
    ("a secret of two lines", FileContents),
    ("a secret behind a byte order mark", FileContents),
    ("a secret that is no text", FileContents),
    ("a key set without keys", FileContents),
    ("roots that are no certificates", FileContents),
    ("a certificate with another's key", FileContents),
    ("a user map with a number", FileContents),
    ("a user id with a blank", FileContents),
    ("an unknown variable", Environment),
    ("a variable in lower case", Environment),
    ("a variable of no table", Environment),
    ("a variable below a value", Environment),
    ("a variable for a table", Environment),
    ("a variable without an index", Environment),
    ("a variable that leaves a gap", Environment),
    ("a variable into a map", Environment),
    ("a variable with the wrong type", Environment),
    ("a variable with a wrong choice", Environment),
    ("a variable that is no TOML", Environment),
    ("a variable with a wrong element", Environment),
    ("a second issuer by half", Environment),
];

#[test]
fn every_wrong_configuration_is_refused_but_those_no_schema_can_see() {
    let mut misjudged = Vec::new();
    for (name, change) in wrong::CASES {
        let (document, environment) = wrong::changed(name, change);
        let unseen = UNSEEN.iter().find(|(unseen, _)| unseen == name).map(|(_, why)| *why);
        let parsed = toml::from_str::<toml::Table>(&document);
        assert_eq!(parsed.is_err(), unseen == Some(Syntax), "{name}");
        assert_eq!(!environment.is_empty(), unseen == Some(Environment), "{name}");
        let Ok(document) = parsed else { continue };
        let faults = faults(&document);
        if faults.is_empty() == unseen.is_none() {
            misjudged.push(format!("{name}: {unseen:?}, {faults:?}"));
        }
    }
    assert!(misjudged.is_empty(), "{}", misjudged.join("\n"));
    let is_case = |name: &str| wrong::CASES.iter().any(|(case, _)| *case == name);
    let gone: Vec<_> = UNSEEN.iter().filter(|(name, _)| !is_case(name)).collect();
    assert!(gone.is_empty(), "no such cases: {gone:?}");
}

#[test]
fn a_fault_is_told_at_its_place() {
    let wrong = [
        ("[limit]\ncalls_per_minute = \"60\"", "/limit/calls_per_minute"),
        ("[limit]\nusers_burst = 4294967296", "/limit/users_burst"),
        ("[listen]\nheader_timeout = \"0m0s\"", "/listen/header_timeout"),
        ("[listen]\nmax_header_bytes = \"8191B\"", "/listen/max_header_bytes"),
        ("[listen]\nmax_header_bytes = \"7KiB\"", "/listen/max_header_bytes"),
        ("[limit]\nmode = \"enfroce\"", "/limit/mode"),
        ("[telemetry]\nlog_level = \"info,loud\"", "/telemetry/log_level"),
        ("[telemetry]\njaeger_ui = \"https://jaeger?x\"", "/telemetry/jaeger_ui"),
        ("[forward]\nupstream = \"http://koodrive\"", "/forward/upstream"),
        ("[forward]\nprefix = \"/a/../\"", "/forward/prefix"),
        ("[forward]\nrefused_statuses = [401, \"403\"]", "/forward/refused_statuses/1"),
        ("[forward]\nca_file = '''-----BEGIN CERTIFICATE-----'''", "/forward/ca_file"),
        ("[[accept.issuers]]\nalgorithms = [\"HS256\"]", "/accept/issuers/0/algorithms/0"),
        ("[[accept.issuers]]\njwks_url = \"http://sso/keys\"", "/accept/issuers/0/jwks_url"),
        (
            "[token]\nmethod = 'custom'\n[token.custom]\nbody = {t = '{sso_token}', u = ['{user}']}",
            "/token/custom/body/u/0",
        ),
    ];
    for (document, place) in wrong {
        let faults = faults(&toml::from_str(document).unwrap());
        let places: Vec<_> = faults.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, [place], "{document}: {faults:?}");
    }
}

#[test]
fn a_login_does_not_write_the_headers_of_the_framing() {
    for (header, is_wrong) in [("Host", true), ("tRaNsFeR-eNcOdInG", true), ("X-Host", false)] {
        let login = "method = 'custom'\n[token.custom]\nbody = {t = '{sso_token}'}";
        let document = format!("[token]\n{login}\nheaders = {{{header} = 'x'}}");
        let faults = faults(&toml::from_str(&document).unwrap());
        assert_eq!(!faults.is_empty(), is_wrong, "{document}: {faults:?}");
    }
}
