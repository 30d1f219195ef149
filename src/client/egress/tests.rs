//! Which destinations go which way.

use std::path::Path;

use super::*;
use crate::config::Config;

/// `[egress]` as an operator writes it, under an environment.
fn egress(lines: &str, environment: &[(&str, &str)]) -> Result<Egress, EgressError> {
    let document = format!(
        "[[accept.issuers]]\nissuer = \"https://sso.example.com\"\naudiences = [\"g\"]\n\
         [token]\nendpoint = \"https://sso.example.com\"\n\
         [forward]\nupstream = \"https://koodrive.example.com\"\n[egress]\n{lines}"
    );
    let loaded = Config::parse(&document, "gateway.toml", Path::new(""), std::iter::empty());
    let config = loaded.unwrap_or_else(|error| panic!("{error}")).config.egress;
    let variable = |name: &str| {
        let found = environment.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Egress::new(&config, &ProxyVariables::read(&variable), &ProxyFailures::default())
}

fn way(egress: &Egress, to: &str) -> String {
    egress.way_to(&to.parse().unwrap()).to_string()
}

/// No proxy, destination, whether it is reached directly: as curl does, but where it says otherwise.
/// `tests/tools/no_proxy` asks curl and Go.
const EXEMPT: &[(&str, &str, bool)] = &[
    ("", "https://koodrive.example.com", false),
    ("koodrive.example.com", "https://koodrive.example.com", true),
    ("koodrive.example.com", "https://KOODRIVE.example.com:8443/x", true),
    ("KooDrive.Example.com", "https://koodrive.example.com", true),
    ("example.com", "https://koodrive.example.com", true),
    ("example.com", "https://example.com", true),
    ("example.com", "https://notexample.com", false),
    ("example.com", "https://example.com.evil.org", false),
    (".example.com", "https://koodrive.example.com", true),
    (".example.com", "https://a.b.example.com", true),
    // curl; Go takes a leading dot for what is below the domain only.
    (".example.com", "https://example.com", true),
    (".example.com", "https://notexample.com", false),
    // curl knows no other wildcard than a lone one.
    ("*.example.com", "https://koodrive.example.com", true), // as Go
    ("*.example.com", "https://notexample.com", false),
    ("example.com.", "https://koodrive.example.com", true),
    ("example.com", "https://koodrive.example.com.", true),
    ("com", "https://example.com", true),
    ("om", "https://example.com", false),
    ("*", "https://koodrive.example.com", true),
    ("*", "https://10.1.2.3", true),
    ("*", "https://[2001:db8::1]", true),
    ("10.1.2.3", "https://10.1.2.3", true),
    ("10.1.2.3", "https://10.1.2.3:8443", true),
    ("10.1.2.3", "https://10.1.2.30", false),
    ("10.0.0.0/8", "https://10.255.0.1", true),
    ("10.0.0.0/8", "https://11.0.0.1", false),
    ("192.168.4.0/22", "https://192.168.7.255", true),
    ("192.168.4.0/22", "https://192.168.8.0", false),
    ("10.1.2.3/32", "https://10.1.2.3", true),
    ("0.0.0.0/0", "https://8.8.8.8", true), // as Go
    ("0.0.0.0/0", "https://[2001:db8::1]", false),
    // Names are not resolved to find out.
    ("10.0.0.0/8", "https://ten.example.com", false),
    ("2001:db8::1", "https://[2001:db8::1]", true),
    ("2001:db8::1", "https://[2001:0db8:0:0::1]:8443", true),
    ("2001:db8::/32", "https://[2001:db8:ffff::1]", true), // as Go
    ("2001:db8::/32", "https://[2001:db9::1]", false),
    ("other.org,example.com", "https://koodrive.example.com", true),
    ("other.org, 10.0.0.0/8", "https://10.1.1.1", true),
];

#[test]
fn destinations_without_a_proxy_are_the_same_in_the_configuration_and_in_no_proxy() {
    let proxy = "proxy = \"http://proxy.example:3128\"";
    for (list, to, direct) in EXEMPT {
        let expected = if *direct { "direct" } else { "proxy http://proxy.example:3128" };
        let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let entries: Vec<String> = entries.map(|entry| format!("{entry:?}")).collect();
        let lines = format!("{proxy}\nno_proxy = [{}]", entries.join(", "));
        assert_eq!(way(&egress(&lines, &[]).unwrap(), to), expected, "configured {list:?}: {to}");
        let variable = egress(proxy, &[("NO_PROXY", list)]).unwrap();
        assert_eq!(way(&variable, to), expected, "NO_PROXY={list:?}: {to}");
    }
    let spaced = egress(proxy, &[("no_proxy", "other.org example.com,, [2001:db8::1]")]).unwrap();
    assert_eq!(way(&spaced, "https://koodrive.example.com"), "direct");
    assert_eq!(way(&spaced, "https://[2001:db8::1]"), "direct");
    // What is configured stands above the environment.
    let lines = format!("{proxy}\nno_proxy = [\"other.org\"]");
    let configured = egress(&lines, &[("NO_PROXY", "*")]).unwrap();
    assert_eq!(way(&configured, "https://koodrive.example.com"), "proxy http://proxy.example:3128");
}

#[test]
fn loopback_never_goes_through_a_proxy() {
    let egress = egress("proxy = \"http://proxy.example:3128\"", &[]).unwrap();
    for to in [
        "http://localhost:1",
        "http://LOCALHOST",
        "https://127.0.0.1",
        "https://127.9.9.9:1",
        "http://[::1]:4318",
    ] {
        assert_eq!(way(&egress, to), "direct", "{to}");
    }
    for to in ["http://localhost.example.com", "https://128.0.0.1", "https://[::2]"] {
        assert_eq!(way(&egress, to), "proxy http://proxy.example:3128", "{to}");
    }
}

type Environment = &'static [(&'static str, &'static str)];

#[test]
fn the_environment_decides_where_nothing_is_configured() {
    const HTTPS: &str = "https://koodrive.example.com";
    const HTTP: &str = "http://collector.example.com:4318";
    let cases: &[(&str, Environment, &str, &str)] = &[
        ("", &[], "direct", "direct"),
        ("", &[("HTTPS_PROXY", "http://s:1")], "proxy http://s:1", "direct"),
        ("", &[("HTTP_PROXY", "http://p:1")], "direct", "proxy http://p:1"),
        (
            "",
            &[("https_proxy", "http://s:1"), ("http_proxy", "p:2")],
            "proxy http://s:1",
            "proxy http://p:2",
        ),
        (
            "",
            &[("HTTPS_PROXY", "http://s:1"), ("https_proxy", "http://t:1")],
            "proxy http://s:1",
            "direct",
        ),
        ("", &[("HTTPS_PROXY", " "), ("https_proxy", "http://t:1")], "proxy http://t:1", "direct"),
        ("", &[("HTTPS_PROXY", "proxy.example:3128")], "proxy http://proxy.example:3128", "direct"),
        ("", &[("HTTPS_PROXY", "http://me:hunter2@s:1/")], "proxy http://s:1", "direct"),
        ("proxy = \"none\"", &[("HTTPS_PROXY", "http://s:1")], "direct", "direct"),
        (
            "proxy = \"http://c:1\"",
            &[("HTTPS_PROXY", "http://s:1")],
            "proxy http://c:1",
            "proxy http://c:1",
        ),
        // Variables that are not needed may say anything.
        ("proxy = \"none\"", &[("HTTPS_PROXY", "socks5://s:1")], "direct", "direct"),
    ];
    for (lines, environment, https, http) in cases {
        let egress = egress(lines, environment).unwrap();
        assert_eq!(way(&egress, HTTPS), *https, "{lines} {environment:?}");
        assert_eq!(way(&egress, HTTP), *http, "{lines} {environment:?}");
    }
}

#[test]
fn a_variable_that_names_no_usable_proxy_is_told_without_its_value() {
    for value in [
        "socks5://hunter2:1",
        "https://hunter2:1",
        "http://hunter2:99999",
        "http://hunter2/path",
        "http://",
        "hunter2 x",
    ] {
        for variable in ["HTTPS_PROXY", "http_proxy"] {
            let told = egress("", &[(variable, value)]).unwrap_err().to_string();
            assert!(told.starts_with(&format!("{variable}: expected a proxy")), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}

#[test]
fn credentials_of_a_proxy_are_in_no_text() {
    let egress = egress("", &[("HTTPS_PROXY", "http://me:hunt%65r2@s:1")]).unwrap();
    let told = format!("{egress:?} {:?}", egress.way_to(&"https://k.example".parse().unwrap()));
    assert!(!told.contains("hunt") && !told.contains("bWU6"), "{told}");
    let Way::Tunnel(proxy) = egress.way_to(&"https://k.example".parse().unwrap()) else {
        panic!("{told}");
    };
    // base64 of me:hunter2
    assert_eq!(proxy.authorization().unwrap(), "Basic bWU6aHVudGVyMg==");
}
