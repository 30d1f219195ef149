//! Every spelling of a path that servers read alike gets the same verdict; what they read in more
//! than one way goes nowhere.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::json;

use super::Table;

/// Spellings of `/koodrive/ose/v1/users/7`.
const ALIKE: [&str; 18] = [
    "/koodrive/ose/v1/users/7",
    "/koodrive/ose/v1/users/7/",
    "//koodrive/ose/v1/users/7",
    "/koodrive//ose/v1///users/7",
    "/koodrive/ose/v1/./users/7",
    "/koodrive/ose/v1/x/../users/7",
    "/koodrive/ose/v1/%2e/users/7",
    "/koodrive/ose/v1/x/%2E%2e/users/7",
    "/koodrive/ose/v1/users/7/x/..",
    "/KOODRIVE/ose/v1/Users/7",
    "/koodrive/ose/v1/USERS/7",
    "/koodrive/ose/v1/%75sers/7",
    "/koodrive/ose/v1/%55sers/%37",
    "/koodrive/%6Fse/v1/user%73/7",
    // Letters that are others in lower or upper case: the Kelvin sign, the long s.
    "/%E2%84%AAoodrive/ose/v1/users/7",
    "/koodrive/o%C5%BFe/v1/u%c5%bfers/7",
    "/x/../koodrive/ose/v1/y/z/.%2E/%2e%2E/users/%37",
    "/KOODRIVE//OSE/./V1/USERS/7//",
];

const AMBIGUOUS: [&str; 16] = [
    "/koodrive/ose/v1/users%2f7",
    "/koodrive/ose/v1%2Fusers/7",
    "/koodrive/ose/v1/users%5c7",
    "/koodrive/ose/v1\\users/7",
    "/koodrive/ose/v1/users;a=1/7",
    "/koodrive/ose/v1/users/7;x",
    "/koodrive/ose/v1/users%3bx/7",
    "/koodrive/ose/v1/%2575sers/7",
    "/koodrive/ose/v1/users%20/7",
    "/koodrive/ose/v1/users%00/7",
    "/koodrive/ose/v1/users./7",
    "/koodrive/ose/v1/users%c0%af7",
    "/koodrive/ose/v1/users/%09/7",
    "/koodrive/ose/v1/users/7%20",
    "/koodrive/ose/v1/x/..;/users/7",
    "/koodrive/ose/v1/x%2f../users/7",
];

const DELETES: &str = r#"
    [[authorize.rules]]
    methods = ["DELETE"]
    paths = ["/koodrive/ose/v1/users/**"]
    claims = { groups = "hr" }
"#;
const BY_ID: &str = r#"
    [[authorize.rules]]
    paths = ["/KooDrive/ose/*/users/*"]
    claims = { groups = "hr" }
"#;
const ALLOWS: &str = r#"
    otherwise = "deny"
    [[authorize.rules]]
    paths = ["/koodrive/ose/v1/users/7"]
    claims = { groups = "hr" }
"#;

#[test]
fn no_spelling_slips_past_and_none_is_refused_by_accident() {
    for rules in [DELETES, BY_ID, ALLOWS] {
        let table = Table::of(rules);
        let (hr, other) = (table.caller(&json!({"groups": "hr"})), table.caller(&json!({})));
        for path in ALIKE {
            let verdict = table.verdict("DELETE", path, &hr);
            assert_eq!(verdict, "1: allowed", "{path}");
            let denied = table.decide("DELETE", path, &other);
            assert_eq!((&*denied.rule.0, denied.denied.is_some()), ("1", true), "{path}");
        }
        for path in AMBIGUOUS {
            for caller in [&hr, &other] {
                let denied = table.decide("DELETE", path, caller).denied.unwrap().to_string();
                assert!(denied.starts_with("the path can be read in more than one way"), "{path}");
            }
        }
    }
}

#[test]
fn what_can_be_read_in_several_ways_is_judged_where_the_path_does_not_matter() {
    const READS: &str = r#"
        [[authorize.rules]]
        methods = ["DELETE"]
        paths = ["/koodrive/ose/v1/users/**"]
        [[authorize.rules]]
        methods = ["GET"]
        claims = { groups = "hr" }
        [[authorize.rules]]
        methods = ["GET"]
        paths = ["/koodrive/ose/v1/files/**"]
    "#;
    let table = Table::of(READS);
    let (hr, other) = (table.caller(&json!({"groups": "hr"})), table.caller(&json!({})));
    for path in AMBIGUOUS {
        assert_eq!(table.verdict("GET", path, &hr), "2: allowed", "{path}");
        let denied = table.decide("GET", path, &other);
        assert_eq!((&*denied.rule.0, denied.denied.is_some()), ("2", true), "{path}");
        assert_eq!(table.verdict("PUT", path, &other), "otherwise: allowed", "{path}");
        let denied = table.decide("DELETE", path, &hr).denied.unwrap().to_string();
        assert!(denied.starts_with("the path can be read in more than one way"), "{path}");
    }
}

/// A path, and another spelling of it.
fn spelt_twice() -> impl Strategy<Value = (String, String)> {
    let segment =
        prop_oneof!["users", "v1", "ose", "koodrive", "[a-z0-9_~@:,-]{1,6}", "[a-z]\\.[a-z]"];
    let noise = prop_oneof![
        4 => Just("/".to_owned()),
        1 => Just("//".to_owned()),
        1 => Just("/./".to_owned()),
        1 => Just("/%2e/".to_owned()),
        1 => Just("/x/../".to_owned()),
        1 => Just("/y/z/.%2E/%2e./".to_owned()),
    ];
    let letter = (any::<bool>(), any::<bool>());
    let parts = prop::collection::vec((segment, noise, prop::collection::vec(letter, 8)), 1..7);
    parts.prop_map(|parts| {
        let (mut plain, mut other) = (String::new(), String::new());
        for (segment, noise, letters) in parts {
            plain.push('/');
            plain.push_str(&segment);
            other.push_str(&noise);
            for (char, (escaped, upper)) in segment.chars().zip(letters) {
                let char = if upper { char.to_ascii_uppercase() } else { char };
                if escaped {
                    write!(other, "%{:02X}", u32::from(char)).unwrap();
                } else {
                    other.push(char);
                }
            }
        }
        (plain, other)
    })
}

const MANY: &str = r#"
    [[authorize.rules]]
    paths = ["/koodrive/ose/v1/users/*", "/koodrive/*/users"]
    claims = { groups = "hr" }
    [[authorize.rules]]
    paths = ["/koodrive/**"]
    deny = true
    [[authorize.rules]]
    paths = ["/*/ose/**", "/users"]
    claims = { groups = "it" }
"#;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_spellings_of_a_path_get_the_same_verdict((plain, other) in spelt_twice()) {
        let table = Table::of(MANY);
        let alice = table.caller(&json!({"groups": "hr"}));
        prop_assert_eq!(table.decide("GET", &plain, &alice), table.decide("GET", &other, &alice), "{} {}", plain, other);
    }
}
