//! Wrong configurations, each with exactly what the operator reads.

use super::{Folder, GOOD, parse, write_files};

/// How a case differs from the good configuration.
pub(super) enum Change {
    /// Lines 11 and on.
    Add(&'static str),
    /// One text for another.
    Swap(&'static str, &'static str),
    /// Another document.
    Document(&'static str),
    /// One variable: the name behind the prefix, and its value.
    Env(&'static str, &'static str),
}

use Change::{Add, Document, Env, Swap};

#[test]
fn every_wrong_configuration_is_told_exactly() {
    let folder = Folder::new();
    write_files(&folder);
    let told: Vec<String> = CASES
        .iter()
        .map(|(name, change)| {
            let (document, environment) = changed(name, change);
            let told = match parse(&document, folder.path(), &environment) {
                Ok(_) => "nothing is wrong".to_owned(),
                Err(error) => error.to_string(),
            };
            let told = told.replace(&folder.path().display().to_string(), "DIR");
            assert!(!told.contains("hunter2"), "{name}: {told}");
            format!("# {name}\n{told}\n")
        })
        .collect();
    let golden = include_str!("wrong.golden");
    let unlike: Vec<_> = told.iter().filter(|told| !golden.contains(*told)).cloned().collect();
    assert!(unlike.is_empty(), "not as promised in wrong.golden:\n{}", unlike.join("\n"));
    assert_eq!(told.join("\n"), golden);
}

pub(super) fn changed(name: &str, change: &Change) -> (String, Vec<(String, String)>) {
    match *change {
        Add(lines) => (format!("{GOOD}\n{lines}\n"), Vec::new()),
        Swap(old, new) => {
            assert!(GOOD.contains(old), "{name}: the good configuration lacks {old}");
            (GOOD.replace(old, new), Vec::new())
        }
        Document(text) => (text.to_owned(), Vec::new()),
        Env(variable, value) => {
            let variable = format!("KOODRIVE_GATEWAY__{variable}");
            (GOOD.to_owned(), vec![(variable, value.to_owned())])
        }
    }
}

pub(super) const CASES: &[(&str, Change)] = &[
    // keys
    ("a key with a typing error", Add("[limit]\ncalls_per_minut = 5")),
    ("a key of another table", Add("[limit]\nmax_users = 5")),
    ("a key like no other", Add("[admin]\nfrobnicate = 5")),
    ("a table with a typing error", Add("[limits]\nmode = \"off\"")),
    ("a key of an issuer with a typing error", Swap("audiences =", "audience =")),
    ("a secret in the document", Swap("[token]", "[token]\nclient_secret = \"hunter2\"")),
    ("a key of a sub-table", Add("[token.carrier]\npassword = \"hunter2\"")),
    ("a key without its table", Swap("[[accept", "mode = \"off\"\n[[accept")),
    // types and ranges
    ("a number as text", Add("[limit]\ncalls_per_minute = \"60\"")),
    ("zero where it has no meaning", Add("[limit]\ncalls_per_minute = 0")),
    ("zero connections", Add("[listen]\nmax_connections = 0")),
    ("a negative number", Add("[limit]\nusers_burst = -1")),
    ("a number too large", Add("[limit]\nusers_burst = 4294967296")),
    ("a duration without a unit", Add("[listen]\nheader_timeout = 10")),
    ("a duration with an unknown unit", Add("[listen]\nheader_timeout = \"10 minutes\"")),
    ("a duration of zero", Add("[listen]\nheader_timeout = \"0s\"")),
    ("a size with an unknown unit", Add("[validate]\nmax_body = \"1MB\"")),
    ("a word that is no choice", Add("[limit]\nmode = \"enfroce\"")),
    ("a word like no choice", Add("[trace_id]\non_illegal = \"explode\"")),
    ("a flag as a word", Add("[telemetry]\naccess_log = \"yes\"")),
    ("a table where a value belongs", Add("[limit.mode]\nx = 1")),
    ("a value where a table belongs", Swap("[[accept", "limit = 1\n[[accept")),
    ("a text where a list belongs", Swap("[\"koodrive-gateway\"]", "\"koodrive-gateway\"")),
    (
        "a list with one wrong element",
        Swap("[forward]", "[forward]\nrefused_statuses = [401,\n  \"403\"]"),
    ),
    ("a map with one wrong value", Swap("[token]", "required_claims = { groups = [] }\n[token]")),
    (
        "an algorithm that is refused",
        Swap("[token]", "algorithms = [\"RS256\", \"HS256\"]\n[token]"),
    ),
    ("an address that is none", Swap("https://koodrive.example.com", "koodrive.example.com")),
    ("an address with a password", Swap("https://koodrive", "https://user:hunter2@koodrive")),
    (
        "an address with a port too large",
        Swap("koodrive.example.com", "koodrive.example.com:65536"),
    ),
    ("a listener with a port too large", Add("[listen]\naddress = \"127.0.0.1:65536\"")),
    ("an id of two lines", Swap("[token]", "[token]\nprivate_key_id = \"gateway\\n\"")),
    ("more calls than can be counted", Add("[listen]\nmax_in_flight = 2305843009213693952")),
    ("a listener without a port", Add("[listen]\naddress = \"0.0.0.0\"")),
    ("a listener on IPv6 without brackets", Add("[listen]\naddress = \"::1:8080\"")),
    (
        "a log format that is none",
        Add("[telemetry]
log_format = \"xml\""),
    ),
    // syntax
    ("a line that is no TOML", Add("[limit]\nmode = enforce")),
    ("a key twice", Add("[limit]\nmode = \"off\"\nmode = \"observe\"")),
    ("two lines that are no TOML", Add("[limit]\nmode = = \"off\"\ncalls_burst")),
    ("a string that does not end", Add("[limit]\nmode = \"off")),
    ("a number beyond 64 bits", Add("[validate]\nmax_capacity = 99999999999999999999")),
    // required keys
    ("an empty file", Document("")),
    ("an issuer without a name", Swap("issuer = \"https://sso.example.com/realms/tools\"\n", "")),
    ("an issuer without audiences", Swap("audiences = [\"koodrive-gateway\"]", "audiences = []")),
    (
        "client credentials without a client",
        Swap("[token]", "[token]\nmethod = \"client_credentials\""),
    ),
    ("a client without its secret", Swap("[token]", "[token]\nclient_id = \"gateway\"")),
    (
        "a signing client without its key",
        Swap("[token]", "[token]\nclient_auth = \"private_key_jwt\""),
    ),
    ("a custom login without a body", Swap("[token]", "[token]\nmethod = \"custom\"")),
    ("a carrier login without account", Swap("[token]", "[token]\nmethod = \"carrier_login\"")),
    ("a signature without an app", Swap("[token]", "[token]\nmethod = \"app_signature\"")),
    // keys that belong together
    ("plain HTTP to KooDrive", Swap("https://koodrive", "http://koodrive")),
    ("plain HTTP to the token endpoint", Swap("endpoint = \"https:", "endpoint = \"http:")),
    ("plain HTTP to discovery", Swap("issuer = \"https:", "issuer = \"http:")),
    (
        "an issuer that is no address",
        Swap("issuer = \"https://sso.example.com/realms/tools\"", "issuer = \"tools\""),
    ),
    (
        "keys from two places",
        Swap(
            "[token]",
            "jwks_file = \"keys.json\"\njwks_url = \"https://sso.example.com/keys\"\n[token]",
        ),
    ),
    (
        "one issuer twice",
        Swap(
            "[token]",
            "[[accept.issuers]]\nissuer = \"https://sso.example.com/realms/tools\"\naudiences = [\"other\"]\n[token]",
        ),
    ),
    ("no algorithms", Swap("[token]", "algorithms = []\n[token]")),
    ("keys that lapse", Swap("[token]", "jwks_max_stale = \"1m\"\n[token]")),
    (
        "a header that frames the message",
        Swap("[[accept", "[accept]\nheader = \"Transfer-Encoding\"\n[[accept"),
    ),
    ("the header of the trace id", Swap("[[accept", "[accept]\nheader = \"X-Traceid\"\n[[accept")),
    ("a header that cannot be", Swap("[[accept", "[accept]\nheader = \"sso token\"\n[[accept")),
    ("both listeners on one port", Add("[admin]\naddress = \"0.0.0.0:8080\"")),
    ("a burst below the largest batch", Add("[validate]\nmax_users = 6000")),
    ("memory below the largest batch", Add("[listen]\nmax_buffered = \"512KiB\"")),
    ("a head that is too small", Add("[listen]\nmax_header_bytes = \"1KiB\"")),
    ("a depth no batch fits", Add("[validate]\nmax_depth = 2")),
    ("lives in the wrong order", Swap("[token]", "[token]\nidle_lifetime = \"20h\"")),
    ("a margin as long as a life", Swap("[token]", "[token]\nfreshness_margin = \"20m\"")),
    ("a renewal at the very end", Swap("[token]", "[token]\nrefresh_ahead = 1.0")),
    ("a share above one", Add("[telemetry]\nsample_ratio = 1.5")),
    ("a share that is no number", Add("[telemetry]\nsample_ratio = nan")),
    ("an unknown log level", Add("[telemetry]\nlog_level = \"loud\"")),
    ("a prefix without its slash", Swap("[forward]", "[forward]\nprefix = \"/koodrive\"")),
    (
        "an upstream with a query",
        Swap("https://koodrive.example.com", "https://koodrive.example.com/base?x=1"),
    ),
    ("a status that is none", Swap("[forward]", "[forward]\nrefused_statuses = [401, 999]")),
    ("a scheme of two words", Swap("[token]", "[token]\nscheme = \"Bearer token\"")),
    ("a Redis address without a host", Add("[limit]\nstore = \"redis://:hunter2@\"")),
    ("a Sentinel", Add("[limit]\nstore = \"redis+sentinel://host\"")),
    (
        "roots for a store without TLS",
        Add("[limit]\nstore = \"redis://host\"\nstore_ca_file = \"one.pem\""),
    ),
    ("a password for no store", Add("[limit]\nstore_password_file = \"secret\"")),
    (
        "a store's certificate without its key",
        Add("[limit]\nstore = \"rediss://host\"\nstore_certificate_file = \"one.pem\""),
    ),
    ("another store", Add("[limit]\nstore = \"memcached://host\"")),
    (
        "a pointer without its slash",
        Swap(
            "[forward]",
            "method = \"custom\"\n[token.custom]\nbody = { t = \"{sso_token}\" }\ntoken = \"access_token\"\nsuccess = { code = [0] }\n[forward]",
        ),
    ),
    (
        "a placeholder that is unknown",
        Swap(
            "[forward]",
            "method = \"custom\"\n[token.custom]\nbody = { a = { b = \"{sso_token}\", c = \"{sub}\" } }\n[forward]",
        ),
    ),
    (
        "one token for all callers",
        Swap(
            "[forward]",
            "method = \"custom\"\n[token.custom]\nbody = { user = \"gateway\" }\n[forward]",
        ),
    ),
    // files
    (
        "a file that is not there",
        Swap("[token]", "[token]\nclient_id = \"gateway\"\nclient_secret_file = \"nowhere\""),
    ),
    (
        "a secret that is empty",
        Swap("[token]", "[token]\nclient_id = \"gateway\"\nclient_secret_file = \"empty\""),
    ),
    (
        "a secret of two lines",
        Swap("[token]", "[token]\nclient_id = \"gateway\"\nclient_secret_file = \"two-lines\""),
    ),
    (
        "a secret behind a byte order mark",
        Swap("[token]", "[token]\nclient_id = \"gateway\"\nclient_secret_file = \"marked\""),
    ),
    (
        "a secret that is no text",
        Swap("[token]", "[token]\nclient_id = \"gateway\"\nclient_secret_file = \"binary\""),
    ),
    (
        "a secret in place of its path",
        Swap(
            "[token]",
            "[token]\nclient_auth = \"private_key_jwt\"\nclient_id = \"gateway\"\nprivate_key_file = \"\"\"-----BEGIN PRIVATE KEY-----\nhunter2\"\"\"",
        ),
    ),
    ("a key set without keys", Swap("[token]", "jwks_file = \"no-keys.json\"\n[token]")),
    ("roots that are no certificates", Swap("[forward]", "[forward]\nca_file = \"secret\"")),
    ("a certificate without its key", Add("[listen]\ntls_certificate_file = \"one.pem\"")),
    (
        "a certificate with another's key",
        Add("[listen]\ntls_certificate_file = \"one.pem\"\ntls_key_file = \"other.key\""),
    ),
    ("client certificates without TLS", Add("[listen]\nclient_ca_file = \"one.pem\"")),
    (
        "a user map with a number",
        Swap("audiences =", "koodrive_users_file = \"bad-users.toml\"\naudiences ="),
    ),
    (
        "a user id with a blank",
        Swap("audiences =", "koodrive_users_file = \"blank-users.toml\"\naudiences ="),
    ),
    ("an app id with a comma", Add("[token.app]\napp_id = \"tool,other\"")),
    ("where the user map was", Swap("[forward]", "[token.app]\nuser_map_file = \"u\"\n[forward]")),
    ("where the user claim was", Swap("[forward]", "[token.app]\nuser_claim = \"u\"\n[forward]")),
    ("an issuer with a line break", Swap("realms/tools\"", "realms/tools\\n\"")),
    ("an audience behind a byte order mark", Swap("[\"koodrive", "[\"\\uFEFFkoodrive")),
    ("a scope with a line break", Swap("[token]", "[token]\nscope = \"a\\n\"")),
    ("a resource with a line break", Swap("[token]", "[token]\nresource = \"https://a\\n\"")),
    ("a parameter that is sent anyway", Swap("[token]", "[token]\nextra = { grant_type = \"x\" }")),
    (
        "a parameter that another key sends",
        Swap("[token]", "[token]\nscope = \"a\"\nextra = { scope = \"b\", audience = \"c\" }"),
    ),
    ("a list of audiences with a number", Swap("[token]", "[token]\naudience = [1]")),
    (
        "a certificate for the endpoint over http",
        Swap("[token]", "[token]\nclient_auth = \"tls\"\nclient_id = \"g\""),
    ),
    ("an assertion without its file", Swap("[token]", "[token]\nclient_auth = \"assertion_file\"")),
    (
        "an assertion's file that is not there",
        Swap("[token]", "[token]\nassertion_file = \"none\""),
    ),
    (
        "PS256 by another key",
        Swap(
            "[token]",
            "[token]\nprivate_key_algorithm = \"PS256\"\nprivate_key_file = \"one.key\"",
        ),
    ),
    // egress
    ("a proxy over TLS", Add("[egress]\nproxy = \"https://proxy.example\"")),
    ("a proxy with its password", Add("[egress]\nproxy = \"http://me:hunter2@proxy.example\"")),
    ("a proxy with a path", Add("[egress]\nproxy = \"http://proxy.example/x\"")),
    ("a network that is too long", Add("[egress]\nno_proxy = [\"10.0.0.0/33\"]")),
    ("a destination with a port", Add("[egress]\nno_proxy = [\"example.com:443\"]")),
    ("a user of a proxy without a password", Add("[egress]\nusername = \"me\"")),
    (
        "a user of a proxy with a colon",
        Add("[egress]\nusername = \"me:you\"\npassword_file = \"secret\""),
    ),
    (
        "a user of no proxy",
        Add("[egress]\nproxy = \"none\"\nusername = \"me\"\npassword_file = \"secret\""),
    ),
    // environment
    ("an unknown variable", Env("LIMIT__CALLS_PER_MINUT", "5")),
    ("a variable in lower case", Env("limit__mode", "off")),
    ("a variable of no table", Env("LIMITS__MODE", "off")),
    ("a variable below a value", Env("LIMIT__MODE__X", "off")),
    ("a variable for a table", Env("LIMIT", "{mode = \"off\"}")),
    ("a variable without an index", Env("ACCEPT__ISSUERS__ISSUER", "https://sso.example.com")),
    ("a variable that leaves a gap", Env("ACCEPT__ISSUERS__2__ISSUER", "https://sso.example.com")),
    ("a variable into a map", Env("TOKEN__CUSTOM__HEADERS__ACCEPT", "text/plain")),
    ("a variable with the wrong type", Env("LIMIT__CALLS_PER_MINUTE", "many")),
    ("a variable with a wrong choice", Env("LIMIT__MODE", "enfroce")),
    ("a variable that is no TOML", Env("FORWARD__REFUSED_STATUSES", "401, 403")),
    ("a variable with a wrong element", Env("FORWARD__REFUSED_STATUSES__0", "forbidden")),
    ("a second issuer by half", Env("ACCEPT__ISSUERS__1__ISSUER", "https://other.example.com")),
    // all at once
    (
        "five mistakes at once",
        Document(
            "[limit]\nmode = 1\ncalls_burst = 0\ncals_per_minute = 2\n[forward]\nprefix = \"x\"\n[telemetry]\nsample_ratio = 2.0\n",
        ),
    ),
];
